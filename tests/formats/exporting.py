"""A project of merged rows, in which `export` runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from stages import export, formats, params
from stages.files import write_json
from stages.layout import EXPORTS, LEDGER, MERGED_TABLE, SPLIT_TABLE
from stages.record import MERGED
from stages.split import SCHEMA
from tests.conftest import ROOT
from tests.records import batch

ALL = [name for name in formats.names() if name != "llama_factory"] + ["llama_factory"]  # made of others' ledgers
SYSTEM = "You are a helpful mental health assistant."
INSTRUCTION = "Respond to the following message in a helpful, supportive manner:"


def row(number: int = 0, enters: Sequence[str] = ("chat",), side: str = "train", **fields: Any) -> dict[str, Any]:
    """A merged row that may enter `enters`, on a side."""
    texts = {"input": f"question {number}", "response": f"answer {number}"}
    return {"id": f"{number:032x}", **texts, **fields, "enters": list(enters), "side": side}


def pair(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A row with a worse answer."""
    return row(number, ("chat", "pairs"), rejected_response=f"worse {number}", **fields)


class Exports:
    """Where the stage has run, in the current folder."""

    def __init__(self, rows: list[dict[str, Any]], wanted: list[str], settings: dict[str, Any]) -> None:
        tree = params.tree(ROOT / "params.yaml")
        services = {"services": {}}  # small exports are no fault here
        tree["profile"] = settings.pop("profile", tree["profile"])
        tree |= {"formats": wanted, "export": tree["export"] | services | settings}
        for key in {one.get("source", "s") for one in rows}:
            tree["sources"].setdefault(key, tree["sources"]["trace"])
        Path("params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        write_tables(rows)
        for name in ALL if wanted == ["all"] else wanted:
            export.main(name)

    def lines(self, path: str) -> list[Any]:
        data = (EXPORTS / path).read_bytes()
        assert data.endswith(b"\n") or not data
        return [orjson.loads(line) for line in data.split(b"\n")[:-1]]

    def ledger(self, name: str) -> Any:
        return orjson.loads((LEDGER / "export" / f"{name}.json").read_bytes())

    def rejected(self, name: str) -> dict[str, int]:
        """Reasons of all sources together."""
        found: dict[str, int] = {}
        for account in self.ledger(name)["sources"].values():
            for reason, count in account["rejected"].items():
                found[reason] = found.get(reason, 0) + count
        return found

    def there(self, path: str) -> bool:
        return (EXPORTS / path).exists()


def write_tables(rows: list[dict[str, Any]], group: int = 1000) -> None:
    """The merged table and the split; `group` rows to a row group."""
    records = batch(*({k: v for k, v in one.items() if k not in ("enters", "side")} for one in rows)).to_pylist()
    full = [{"duplicates": [], **r, "enters": one["enters"]} for r, one in zip(records, rows, strict=True)]
    full = [{name: one.get(name) for name in MERGED.names} for one in full]
    sides = [{"id": r["id"], "side": one["side"], "group": r["group"]} for r, one in zip(records, rows, strict=True)]
    for key in {one["source"] for one in records}:
        write_json(LEDGER / "merge" / f"{key}.json", {"rejected": {}})
    for path, table in (
        (MERGED_TABLE, pa.Table.from_pylist(full, MERGED)),
        (SPLIT_TABLE, pa.Table.from_pylist(sides, SCHEMA)),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=group if path == MERGED_TABLE else 7 * group)


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """exported(rows, *formats, **settings): the exports of these rows, in a folder of their own."""
    monkeypatch.chdir(tmp_path)

    def run(rows: list[dict[str, Any]], *wanted: str, **settings: Any) -> Exports:
        return Exports(rows, list(wanted), settings)

    return run
