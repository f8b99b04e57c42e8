"""How the work is cut, and how many do it, changes no byte of any export."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import engine, export, exporting, storage
from stages.errors import DamagedError, LawError
from stages.layout import EXPORTS, LEDGER, MERGED_TABLE
from tests.formats.exporting import ALL, exported, pair, row, write_tables

__all__ = ["exported"]
MIX = {"mixture": {"weights": {"a": 3, "b": 1}, "max_repeats": 3}, "services": {"gemini": {"max_validation": 5}}}


def rows(count: int = 120) -> list[dict[str, Any]]:
    """Rows of two sources on all sides, pairs and labels among them."""
    sides = ("train", "train", "validation", "train", "test")
    made = [pair(n, source="a" if n % 3 else "b", side=sides[n % 5]) for n in range(count)]
    return made + [row(count + n, ("classification",), source="b", response="0", side="train") for n in range(9)]


def digests() -> dict[str, str]:
    files = [file for folder in (EXPORTS, LEDGER / "export") for file in folder.rglob("*") if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "part"), [({}, 1 << 20), (MIX, 1)])
def test_same_bytes_for_any_worker_count_and_stretch(
    exported: Any, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], part: int
) -> None:
    exported(rows(), "all", **settings)
    monkeypatch.setattr(exporting, "PART", part)
    whole = digests()
    assert len(whole) > 60
    write_tables(rows(), group=16)
    names = ("openai", "kto", "hub", "huggingface", "gemini")
    for workers, size, formats in ((1, 1, ALL), (2, 1 << 20, names)):
        monkeypatch.setattr(storage, "STRETCH", size)
        assert len(list(storage.stretches(MERGED_TABLE))) == (9 if size == 1 else 3)
        tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        tree["engine"] = {"kind": "local", "workers": workers}
        Path("params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        monkeypatch.setattr(engine, "SMALL", 0)
        for name in formats:
            export.main(name)
        assert digests() == whole


def test_a_split_of_other_rows_stops_the_export(exported: Any) -> None:
    exported(rows(5), "openai")
    merged = MERGED_TABLE.read_bytes()
    for others, says in ((rows(6), "more rows or fewer"), (rows(5)[::-1], "other rows")):
        write_tables(others)
        MERGED_TABLE.write_bytes(merged)
        with pytest.raises(LawError, match=says):
            export.main("openai")


@pytest.mark.slow
def test_a_torn_table_is_the_same_sentence_from_a_worker(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(rows(40), "openai")
    data = MERGED_TABLE.read_bytes()
    MERGED_TABLE.write_bytes(data[:100] + bytes(len(data) - 4100) + data[-4000:])
    monkeypatch.setattr(engine, "SMALL", 0)
    said = []
    for workers in (1, 2):
        tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        tree["engine"] = {"kind": "local", "workers": workers}
        Path("params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        with pytest.raises(DamagedError) as found:
            export.main("openai")
        said.append(str(found.value))
    assert said[0] == said[1] and str(MERGED_TABLE) in said[0]
    assert not [path for path in EXPORTS.rglob("*") if path.name.endswith((".rows", ".part"))]
