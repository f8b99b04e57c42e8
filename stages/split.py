"""split: which side each merged row stands on, by seeded hash of its group. `python -m stages.split`

A row's side depends on the seed and its group alone, so adding rows moves no other group. Groups whose rows share
a folded input, or a near-duplicate cluster, are one group. Rows that hold a question of a protected benchmark stand
on neither side. The leak check then looks at the sides as they came out, and fails the build if a group or a folded
input stands on both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from stages import errors, ledger, params, text
from stages.dedup import contamination
from stages.dedup.exact import COMPARED
from stages.engine.keys import KeySpill, hash128, run_starts
from stages.errors import LawError
from stages.files import atomic, scratch
from stages.layout import LEDGER, MERGED_TABLE, SPLIT_TABLE
from stages.ledger import Ledger
from stages.params import Decontaminate, Split
from stages.storage import ParquetSink, read_batches

SIDES = ("train", "validation", "test", "held_out")

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),  # train, validation, test, held_out
        pa.field("group", pa.string(), nullable=False),  # the smallest name among the groups that were joined
    ]
)
LARGE = 0.2  # share of a source's rows in one group, from which on a note is due
KEY = np.dtype([("hi", "u8"), ("lo", "u8"), ("group_hi", "u8"), ("group_lo", "u8"), ("source", "u2"), ("side", "u1")])


def main() -> None:
    settings = params.load("split", "decontaminate")
    merged = MERGED_TABLE
    order = sorted(path.stem for path in (LEDGER / "merge").glob("*.json"))
    accounts = {key: Ledger("split", key) for key in order}
    guard = Guard(settings.decontaminate, order)
    with scratch(SPLIT_TABLE) as folder:
        joined = _join_groups(merged, folder)
        inputs, groups = KeySpill(folder / "check-inputs", KEY), KeySpill(folder / "check-groups", KEY)
        with atomic(SPLIT_TABLE) as out:
            _write(merged, out, settings.split, guard, joined, accounts, inputs, groups)
            for part in inputs.partitions():
                _check(part, "folded input")
            for part in groups.partitions():
                _check(part, "group")
                _weigh(part, order, accounts)
    for account in accounts.values():
        account.details |= _shares(account)
        _warn(account)
        account.details["contamination"] = [line for line in guard.matrix.table() if line["source"] == account.source]
    ledger.write_folder("split", accounts)


# --- groups -------------------------------------------------------------------------------------------------


def _keys(inputs: pa.Array, groups: pa.Array) -> np.ndarray:
    """Hashes of folded input and group for each row; dtype KEY."""
    keys = np.zeros(len(inputs), KEY)
    for prefix, hashes in (("", hash128(text.fold_or_nfkc(inputs))), ("group_", hash128(groups))):
        keys[f"{prefix}hi"], keys[f"{prefix}lo"] = hashes["hi"], hashes["lo"]
    return keys


def _join_groups(merged: Path, folder: Path) -> dict[str, str]:
    """For each group that shares a folded input or a cluster with another: the smallest name among the joined ones."""
    spill = KeySpill(folder / "inputs", KEY)
    for batch in read_batches(merged, ["input", "group", "cluster"]):
        keys = _keys(batch["input"], batch["group"])
        spill.add(keys)
        clustered = batch["cluster"].is_valid()
        members = keys[clustered.to_numpy(zero_copy_only=False)]
        clusters = hash128(pc.binary_join_element_wise("cluster", batch["cluster"].filter(clustered), " "))
        members["hi"], members["lo"] = clusters["hi"], clusters["lo"]
        spill.add(members)
    pairs: set[tuple[tuple[int, int], tuple[int, int]]] = set()
    for part in spill.partitions():
        first = part[run_starts(part, ("hi", "lo"))]
        other = (part["group_hi"] != first["group_hi"]) | (part["group_lo"] != first["group_lo"])
        pairs.update(zip(_nodes(first[other], "group_"), _nodes(part[other], "group_"), strict=True))
    return _components(merged, pairs) if pairs else {}


def _nodes(keys: np.ndarray, prefix: str = "") -> Iterator[tuple[int, int]]:
    return zip(keys[f"{prefix}hi"].tolist(), keys[f"{prefix}lo"].tolist(), strict=True)


def _components(merged: Path, pairs: set[tuple[tuple[int, int], tuple[int, int]]]) -> dict[str, str]:
    """Union-find over the hashed groups; their names are looked up afterwards."""
    parent: dict[tuple[int, int], tuple[int, int]] = {}

    def root(node: tuple[int, int]) -> tuple[int, int]:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    members: dict[tuple[int, int], set[str]] = {}
    for batch in read_batches(merged, ["group"]):
        for node, name in zip(_nodes(hash128(batch["group"])), batch["group"].to_pylist(), strict=True):
            if node in parent:
                members.setdefault(root(node), set()).add(name)
    return {name: min(names) for names in members.values() for name in names}


# --- sides --------------------------------------------------------------------------------------------------


def side_of(groups: list[str], split: Split) -> list[str]:
    """The side of each group: xxh3-64 of the group under the seed, as a share of 2**64, against the wanted shares.

    Validation lies at the low end and test at the high end, so a change of one share moves no row of the other.
    """
    low, high = int(split.validation * 2**64), 2**64 - int(split.test * 2**64)
    hashes = (xxhash.xxh3_64_intdigest(group.encode(), split.seed % 2**64) for group in groups)
    return ["validation" if value < low else "test" if value >= high else "train" for value in hashes]


class Guard:
    """Holds rows with questions of protected benchmarks back from every side, and counts them."""

    def __init__(self, settings: Decontaminate, sources: list[str]) -> None:
        self._benchmarks = contamination.load(settings.benchmarks)
        self._min_overlap = settings.min_overlap
        self.matrix = contamination.Matrix(self._benchmarks, sources)

    def sides(self, batch: pa.RecordBatch, sides: list[str]) -> list[str]:
        hits = contamination.hits(batch, self._benchmarks, self._min_overlap)
        self.matrix.add(batch["source"], hits)
        return ["held_out" if hit else side for hit, side in zip(hits.is_valid().to_pylist(), sides, strict=True)]


def _write(
    merged: Path, out: Path, split: Split, guard: Guard, joined: dict[str, str], accounts: dict[str, Ledger],
    inputs: KeySpill, groups: KeySpill,
) -> None:  # fmt: skip
    """Write id, side, group for each merged row, in its order; emit keys for the checks."""
    sink = ParquetSink(out, SCHEMA, published=True)
    for batch in read_batches(merged, ["id", "type", "turns", "source", "group", *COMPARED]):
        names = [joined.get(group, group) for group in batch["group"].to_pylist()]
        sides = guard.sides(batch, side_of(names, split))
        sink.write(pa.RecordBatch.from_arrays([batch["id"], pa.array(sides), pa.array(names)], schema=SCHEMA))
        keys = _keys(batch["input"], pa.array(names))
        keys["side"] = [SIDES.index(side) for side in sides]
        keys["source"] = pc.index_in(batch["source"], pa.array(list(accounts))).to_numpy()
        inputs.add(keys)
        turned = keys.copy()
        turned["hi"], turned["lo"] = keys["group_hi"], keys["group_lo"]
        groups.add(turned)
        for value in pc.value_counts(batch["source"]).to_pylist():
            accounts[value["values"]].rows_in += value["counts"]
            accounts[value["values"]].rows_out += value["counts"]
    sink.close()


# --- checks and figures ---------------------------------------------------------------------------------------


def _check(part: np.ndarray, what: str) -> None:
    """Raise LawError if rows of one key stand both in train and in validation."""
    part = part[part["side"] != SIDES.index("held_out")]
    leaks = int((part["side"] != part["side"][run_starts(part, ("hi", "lo"))]).sum())
    if leaks:
        raise LawError(
            f"split: {leaks} rows share a {what} with a row on another side: this is a bug, please report it"
        )


def _weigh(part: np.ndarray, order: list[str], accounts: dict[str, Ledger]) -> None:
    """Add the sides and group sizes of one partition of group keys to the sources' figures."""
    names, counts = np.unique(part[["hi", "lo", "source", "side"]], return_counts=True)
    for number, key in enumerate(order):
        mine = names["source"] == number
        details, sizes = accounts[key].details, counts[mine]
        for side_number, side in enumerate(SIDES):
            details[side] = details.get(side, 0) + int(counts[mine & (names["side"] == side_number)].sum())
        details["groups"] = details.get("groups", 0) + len(sizes)
        details["largest_group"] = max(details.get("largest_group", 0), int(sizes.max(initial=0)))
        details["squares"] = details.get("squares", 0) + int((sizes.astype(np.int64) ** 2).sum())


def _shares(account: Ledger) -> dict[str, Any]:
    """The achieved share of validation, and how far from the wanted one the group sizes let it lie."""
    squares = account.details.pop("squares", 0)
    if not account.rows_in:
        return {}
    share = account.details["validation"] / account.rows_in
    return {"validation_share": round(share, 4), "share_bound": round(bound(squares, account.rows_in), 4)}


def _warn(account: Ledger) -> None:
    largest = account.details.get("largest_group", 0)
    if largest > LARGE * account.rows_in and account.rows_in >= 100:
        print(
            f"note: one group holds {largest} of {account.rows_in} rows of {account.source}: its share of validation "
            "may lie far from the wanted one"
        )


def bound(squares: int, rows: int, risk: float = 1e-6) -> float:
    """How far the achieved share may lie from the wanted one, but for a chance of `risk`.

    `squares` is the sum of the squared group sizes. Hoeffding's inequality for a sum of independent
    group weights: sqrt(ln(2 / risk) / 2 * sum((size / rows) ** 2)).
    """
    return math.sqrt(math.log(2 / risk) / 2 * squares) / rows


if __name__ == "__main__":
    errors.run(main)
