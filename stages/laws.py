"""The laws of the pipeline, measured on a finished build by other means than those that made it.

`broken(root)` gives one sentence for each breach: conservation (every row that came is accounted for, and the files
hold what the ledgers count), traceability (every merged row leads to an upstream file by its hash, every record that is
not merged to a reason), no leak (no group or cluster on two sides), obligations (rows of licences that the profile
allows; rows that may not be edited are equal to their records), and the exports' manifest (bytes and hashes).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from stages import ledger, licenses, params, recorded
from stages.files import read_json, sha256
from stages.layout import EXPORTS, MERGED, MERGED_TABLE, NORMALIZED, RAW, SPLIT_TABLE
from stages.storage import aligned, read_batches, row_count

TEXTS = ("input", "response", "rejected_response")


def broken(root: Path) -> Iterator[str]:
    """One sentence for each breach, streamed: memory grows with hashes of groups alone. Nothing is changed."""
    merge = recorded.load(root).params("merge")
    order = _order(merge)
    yield from _conservation(root, order)
    yield from _traceability(root, merge, order)
    yield from _leaks(root)
    yield from _licenses(root, merge["profile"])
    yield from _manifest(root)


def _order(merge: dict[str, Any]) -> list[str]:
    priorities = {key: (source["priority"], key) for key, source in merge["sources"].items()}
    return [*sorted(priorities, key=priorities.__getitem__), *params.MADE]


def _conservation(root: Path, order: list[str]) -> Iterator[str]:
    stages = ledger.read_joined(root)
    for stage, accounts in stages.items():
        for key, account in accounts.items():
            out = account["out"] + sum(account["rejected"].values()) + account["duplicates"]
            if account["in"] != out:
                yield f"conservation: {stage} of {key} took {account['in']} rows and accounts for {out}"
    for key in order:
        counted, held = stages["normalize"][key]["out"], row_count(root / NORMALIZED / f"{key}.parquet")
        if counted != held:
            yield f"conservation: {NORMALIZED}/{key}.parquet holds {held} rows, its ledger counts {counted}"
    merged, split = row_count(root / MERGED_TABLE), row_count(root / SPLIT_TABLE)
    counted = sum(account["out"] for account in stages["merge"].values())
    if not merged == split == counted:
        yield f"conservation: {counted} rows were merged, {MERGED_TABLE} holds {merged} and {SPLIT_TABLE} {split}"


# --- traceability, and edits that a licence forbids ---------------------------------------------------------------


def _traceability(root: Path, merge: dict[str, Any], order: list[str]) -> Iterator[str]:
    """Walk the records of all sources beside the three tables that share them out; all four have one order."""
    merged = _Ids(root / MERGED_TABLE, ["id", "source", "origin", *TEXTS])
    left = [_Ids(root / MERGED / f"{name}.parquet", ["id"]) for name in ("duplicates", "dropped")]
    for key in order:
        license = merge["sources"][key]["license"] if key in merge["sources"] else merge[f"{key}.license"]
        fixed = licenses.get(license).edits == "no"
        files = None if key in params.MADE else _files(root / RAW / key / "receipt.json")
        lost = 0
        for batch in read_batches(root / NORMALIZED / f"{key}.parquet", ["id", *TEXTS]):
            for at, id in enumerate(batch["id"].to_pylist()):
                if merged.head == id:
                    yield from _traced(merged.row, id, files, batch if fixed else None, at)
                    merged.step()
                elif found := next((table for table in left if table.head == id), None):
                    found.step()
                else:
                    lost += 1
        if lost:
            yield f"traceability: {lost} records of {key} are neither merged nor removed with a reason"
    for table in (merged, *left):
        if table.head is not None:
            yield f"traceability: {table.path.relative_to(root)} holds {table.head}, which is no record"


def _files(receipt: Path) -> set[tuple[str, str]]:
    return {(file["file"], file["sha256"]) for file in read_json(receipt, "files")["files"]}


def _traced(
    row: dict[str, Any], id: str, files: set[tuple[str, str]] | None, record: pa.RecordBatch | None, at: int
) -> Iterator[str]:
    origin = row["origin"]
    if files is not None and (origin["file"], origin["sha256"]) not in files:
        yield f"traceability: row {id} names {origin['file']}, which its source's receipt does not list with that hash"
    if record is not None and any(row[name] != record[name][at].as_py() for name in TEXTS):
        yield f"obligations: row {id} may not be edited and differs from its record"


class _Ids:
    """A table read row by row: `head` is the id of the next row, None at the end."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path = path
        self._batches = read_batches(path, columns)
        self._rows: list[dict[str, Any]] = []
        self._at = -1
        self.head: str | None = None
        self.step()

    @property
    def row(self) -> dict[str, Any]:
        return self._rows[self._at]

    def step(self) -> None:
        self._at += 1
        while self._at >= len(self._rows):
            batch = next(self._batches, None)
            if batch is None:
                self.head = None
                return
            self._rows, self._at = batch.to_pylist(), 0
        self.head = self._rows[self._at]["id"]


# --- sides --------------------------------------------------------------------------------------------------------


def _leaks(root: Path) -> Iterator[str]:
    groups, clusters = _Sides(), _Sides()
    for rows, sides in aligned(
        read_batches(root / MERGED_TABLE, ["id", "cluster"]), read_batches(root / SPLIT_TABLE, ["id", "side", "group"])
    ):
        groups.add(sides["group"], sides["side"])
        clusters.add(rows["cluster"], sides["side"])
    for kind, found in (("group", groups), ("near-duplicate cluster", clusters)):
        if count := found.torn():
            yield f"no leak: {count} {kind}s stand on two sides"


class _Sides:
    """Which sides each name stands on, by hash; rows held out are on neither."""

    def __init__(self) -> None:
        self._pairs: list[np.ndarray] = []
        self._numbers: dict[str, int] = {}

    def add(self, names: pa.Array, sides: pa.Array) -> None:
        keep = pc.and_(names.is_valid(), pc.not_equal(sides, "held_out"))
        pairs = np.empty(pc.sum(keep).as_py() or 0, [("name", "u8"), ("side", "u1")])
        pairs["name"] = [xxhash.xxh3_64_intdigest(name.encode()) for name in names.filter(keep).to_pylist()]
        pairs["side"] = [self._numbers.setdefault(side, len(self._numbers)) for side in sides.filter(keep).to_pylist()]
        self._pairs.append(np.unique(pairs))

    def torn(self) -> int:
        if not self._pairs:
            return 0
        _, counts = np.unique(np.unique(np.concatenate(self._pairs))["name"], return_counts=True)
        return int((counts > 1).sum())


def _licenses(root: Path, profile: str | list[str]) -> Iterator[str]:
    allowed = licenses.profile(profile)
    found: set[str] = set()
    for batch in read_batches(root / MERGED_TABLE, ["license"]):
        found.update(pc.unique(batch["license"]).to_pylist())
    if strange := sorted(found - set(allowed)):
        yield f"obligations: the merged table holds rows under {', '.join(strange)}, which its profile does not allow"


def _manifest(root: Path) -> Iterator[str]:
    for file in read_json(root / EXPORTS / "manifest.json", "files")["files"]:
        path = root / EXPORTS / file["path"]
        if not path.exists():
            yield f"manifest: {file['path']} is missing"
        elif (path.stat().st_size, sha256(path)) != (file["bytes"], file["sha256"]):
            yield f"manifest: {file['path']} is not the file that was written"
