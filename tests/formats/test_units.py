"""How the work is cut, and how many do it, changes no byte of any export."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import engine, export, storage
from stages.errors import LawError
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
@pytest.mark.parametrize("settings", [{}, MIX])
def test_same_bytes_for_any_worker_count_and_stretch(
    exported: Any, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    exported(rows(), "all", **settings)
    whole = digests()
    assert len(whole) > 60
    write_tables(rows(), group=16)
    monkeypatch.setattr(storage, "STRETCH", 1)
    assert len(list(storage.stretches(MERGED_TABLE))) == 9
    names = ("openai", "kto", "hub", "huggingface", "gemini")
    for workers, size, formats in ((1, 1, ALL), (2, 1 << 20, names)):
        monkeypatch.setattr(storage, "STRETCH", size)
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
