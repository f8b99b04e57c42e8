"""split: which side each merged row stands on, by seeded hash of its group. `python -m stages.split`

A row's side depends on the seed and its group alone, so adding rows moves no other group. Groups whose rows share
a folded input, or a near-duplicate cluster, are one group. Rows that hold a question of a protected benchmark stand
on neither side. The leak check then looks at the sides as they came out, and fails the build if a group or a folded
input stands on both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from stages import engine, errors, ledger, params, text
from stages.dedup import contamination
from stages.dedup.clusters import components
from stages.dedup.exact import COMPARED
from stages.engine.keys import KeySpill, hash128, run_starts
from stages.errors import LawError
from stages.files import atomic, renamed, scratch
from stages.layout import LEDGER, MERGED_TABLE, SPLIT_TABLE
from stages.ledger import Ledger
from stages.params import Decontaminate, Split
from stages.splice import Splice
from stages.storage import ParquetSink, Stretch, pieces, read_batches, read_stretch, stretches

SIDES = ("train", "validation", "test", "held_out")
TRAIN, VALIDATION, TEST, HELD_OUT = range(len(SIDES))

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),  # train, validation, test, held_out
        pa.field("group", pa.string(), nullable=False),  # the smallest name among the groups that were joined
    ]
)
LARGE = 0.2  # share of a source's rows in one group, from which on a note is due
KEY = np.dtype([("hi", "u8"), ("lo", "u8"), ("group_hi", "u8"), ("group_lo", "u8"), ("source", "u2"), ("side", "u1")])
NODE = np.dtype([("hi", "u8"), ("lo", "u8")])  # a group, by hash


def main() -> None:
    settings = params.load("split", "decontaminate")
    merged = MERGED_TABLE
    order = sorted(path.stem for path in (LEDGER / "merge").glob("*.json"))
    accounts = {key: Ledger("split", key) for key in order}
    matrix = contamination.Matrix(contamination.load(settings.decontaminate.benchmarks), order)
    with scratch(SPLIT_TABLE) as folder, engine.started(settings.engine, merged.stat().st_size) as each:
        by_row = folder / "rows.bin"
        looked = each(partial(_look, merged, settings.split, settings.decontaminate), stretches(merged))
        joined = _join_groups(looked, merged, folder, by_row, matrix)
        inputs, groups = KeySpill(folder / "check-inputs", KEY), KeySpill(folder / "check-groups", KEY)
        put = partial(_put, merged, folder, by_row, joined, settings.split, order)
        with atomic(SPLIT_TABLE) as out:
            _write(each(put, stretches(merged)), out, accounts, inputs, groups)
            for part in inputs.partitions():
                _check(part, "folded input")
            for part in groups.partitions():
                _check(part, "group")
                _weigh(part, order, accounts)
    for account in accounts.values():
        account.details |= _shares(account)
        _warn(account)
        account.details["contamination"] = [line for line in matrix.table() if line["source"] == account.source]
    ledger.write_folder("split", accounts)


# --- one stretch, wherever the engine works on it -------------------------------------------------------------


class Looked(NamedTuple):
    """What the texts of a stretch tell."""

    keys: np.ndarray  # KEY, of all rows; the side as the row's own group has it, or held out
    clustered: np.ndarray  # KEY, of the rows in a cluster, by the cluster instead of the input
    sources: pa.StringArray  # of the rows that hold a question of a benchmark
    hits: pa.StructArray  # of these, see contamination.hits


def _look(merged: Path, split: Split, guard: Decontaminate, stretch: Stretch) -> Looked:
    """The keys and sides of the rows of a stretch. Rows with a question of a benchmark are held back."""
    benchmarks = contamination.load(guard.benchmarks)
    texts = ["source", "type", "turns", *COMPARED] if benchmarks.names else ["input"]
    keys, clustered, sources, hits = [], [], [], []
    for batch in read_stretch(merged, stretch, ["group", "cluster", *texts]):
        keys.append(_keys(batch["input"], batch["group"]))
        keys[-1]["side"] = sides_of(batch["group"], split)
        if benchmarks.names:
            found = contamination.hits(batch, benchmarks, guard.min_overlap)
            held = found.is_valid()
            keys[-1]["side"][held.to_numpy(zero_copy_only=False)] = HELD_OUT
            sources.append(batch["source"].filter(held))
            hits.append(found.filter(held))
        in_cluster = batch["cluster"].is_valid()
        members = keys[-1][in_cluster.to_numpy(zero_copy_only=False)]
        clusters = hash128(pc.binary_join_element_wise("cluster", batch["cluster"].filter(in_cluster), " "))
        members["hi"], members["lo"] = clusters["hi"], clusters["lo"]
        clustered.append(members)
    return Looked(
        np.concatenate(keys), np.concatenate(clustered), pa.concat_arrays([pa.array([], pa.string()), *sources]),
        pa.concat_arrays([pa.array([], contamination.TYPE), *hits]),
    )  # fmt: skip


def _keys(inputs: pa.Array, groups: pa.Array) -> np.ndarray:
    """Hashes of folded input and group for each row; dtype KEY."""
    keys = np.zeros(len(inputs), KEY)
    folded = np.concatenate([hash128(inputs[:0]), *(hash128(text.fold_or_nfkc(some)) for some in pieces(inputs))])
    for prefix, hashes in (("", folded), ("group_", hash128(groups))):
        keys[f"{prefix}hi"], keys[f"{prefix}lo"] = hashes["hi"], hashes["lo"]
    return keys


def sides_of(groups: pa.StringArray, split: Split) -> np.ndarray:
    """The side of each group, as its number in SIDES: xxh3-64 of the group under the seed, as a share of 2**64.

    Validation lies at the low end and test at the high end, so a change of one share moves no row of the other.
    """
    low, high = int(split.validation * 2**64), 2**64 - int(split.test * 2**64)
    digest, seed = xxhash.xxh3_64_intdigest, split.seed % 2**64
    hashes = np.array([digest(group, seed) for group in groups.cast(pa.binary()).to_pylist()], np.uint64)
    return np.where(hashes < low, VALIDATION, np.where(hashes >= high, TEST, TRAIN)).astype(np.uint8)


# --- groups -------------------------------------------------------------------------------------------------


class Joined(NamedTuple):
    """Groups that were joined with others, by hash of their names, and what they are called together."""

    hashes: np.ndarray  # NODE, ascending
    of: np.ndarray  # the number of each one's common name
    names: pa.StringArray  # the smallest name among those that were joined

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rows (dtype KEY) have a joined group (bool), and the numbers of the common names of these."""
        at = np.minimum(np.searchsorted(self.hashes["hi"], keys["group_hi"]), len(self.hashes) - 1)
        there = self.hashes[at]
        found = (there["hi"] == keys["group_hi"]) & (there["lo"] == keys["group_lo"])
        return found, self.of[at[found]]


def _join_groups(
    looked: Iterable[Looked], merged: Path, folder: Path, by_row: Path, matrix: contamination.Matrix
) -> Joined | None:
    """The groups that share a folded input or a cluster with another one.

    The keys of all rows are left in the file `by_row`, in the rows' order.
    """
    spill = KeySpill(folder / "inputs", KEY)
    with by_row.open("wb") as rows:
        for found in looked:
            found.keys.tofile(rows)
            spill.add(found.keys)
            spill.add(found.clustered)
            matrix.add(found.sources, found.hits)
    pairs = [np.empty((2, 0), NODE)]
    for part in spill.partitions():
        nodes = np.empty(len(part), NODE)
        nodes["hi"], nodes["lo"] = part["group_hi"], part["group_lo"]
        first = nodes[run_starts(part, ("hi", "lo"))]
        pairs.append(np.stack([first, nodes])[:, first != nodes])
    joined = np.concatenate(pairs, axis=1)
    return _named(merged, by_row, joined) if joined.size else None


def _named(merged: Path, by_row: Path, pairs: np.ndarray) -> Joined:
    """Union-find over the hashed groups; their names are looked up afterwards."""
    nodes, place = np.unique(pairs, return_inverse=True)
    first, second = place.reshape(2, -1)
    _, roots = components(first, second)
    roots, of = np.unique(roots, return_inverse=True)
    joined = Joined(nodes, of, pa.nulls(len(roots), pa.string()))
    least: list[str | None] = [None] * len(roots)
    with by_row.open("rb") as rows:
        for batch in read_batches(merged, ["group"]):
            found, numbers = joined.find(np.fromfile(rows, KEY, len(batch)))
            for number, name in zip(numbers.tolist(), batch["group"].filter(pa.array(found)).to_pylist(), strict=True):
                least[number] = min(name, least[number] or name)
    return joined._replace(names=pa.array(least, pa.string()))


# --- sides --------------------------------------------------------------------------------------------------


def _put(
    merged: Path, folder: Path, by_row: Path, joined: Joined | None, split: Split, order: list[str], stretch: Stretch
) -> tuple[Path, np.ndarray]:
    """Id, side and group of the rows of a stretch as a Parquet file, and their keys as they came out (dtype KEY)."""
    part, made = folder / f"{stretch.number}.parquet", []
    with renamed(part) as out, by_row.open("rb") as rows:
        sink = ParquetSink(out, SCHEMA, published=True)
        rows.seek(stretch.row * KEY.itemsize)
        for batch in read_stretch(merged, stretch, ["id", "source", "group"]):
            keys = np.fromfile(rows, KEY, len(batch))
            names = _renamed(batch["group"], keys, joined, split)
            sides = pa.array(SIDES).take(pa.array(keys["side"]))
            sink.write(pa.RecordBatch.from_arrays([batch["id"], sides, names], schema=SCHEMA))
            keys["source"] = pc.index_in(batch["source"], pa.array(order)).to_numpy()
            made.append(keys)
        sink.close()
    return part, np.concatenate(made)


def _write(
    made: Iterable[tuple[Path, np.ndarray]], out: Path, accounts: dict[str, Ledger], inputs: KeySpill, groups: KeySpill
) -> None:
    """Put the stretches together; keep the keys for the checks, by folded input and by group."""
    table = Splice(out, SCHEMA)
    for part, keys in made:
        table.add(part)
        part.unlink()
        inputs.add(keys)
        turned = keys.copy()
        turned["hi"], turned["lo"] = keys["group_hi"], keys["group_lo"]
        groups.add(turned)
        for account, count in zip(accounts.values(), np.bincount(keys["source"], minlength=len(accounts)), strict=True):
            account.rows_in += int(count)
            account.rows_out += int(count)
    table.close()


def _renamed(names: pa.StringArray, keys: np.ndarray, joined: Joined | None, split: Split) -> pa.StringArray:
    """Give each joined group its common name, in `keys` too, and with it its side."""
    if joined is None:
        return names
    found, numbers = joined.find(keys)
    if not found.any():
        return names
    common = joined.names.take(pa.array(numbers))
    hashes = hash128(common)
    keys["group_hi"][found], keys["group_lo"][found] = hashes["hi"], hashes["lo"]
    held = keys["side"][found] == HELD_OUT
    keys["side"][found] = np.where(held, HELD_OUT, sides_of(common, split))
    return pc.replace_with_mask(names, pa.array(found), common)


# --- checks and figures ---------------------------------------------------------------------------------------


def _check(part: np.ndarray, what: str) -> None:
    """Raise LawError if rows of one key stand both in train and in validation."""
    part = part.compress(part["side"] != HELD_OUT)
    leaks = int((part["side"] != part["side"][run_starts(part, ("hi", "lo"))]).sum())
    if leaks:
        raise LawError(
            f"split: {leaks} rows share a {what} with a row on another side: this is a bug, please report it"
        )


def _weigh(part: np.ndarray, order: list[str], accounts: dict[str, Ledger]) -> None:
    """Add the sides and group sizes of one partition of group keys to the sources' figures."""
    first = np.flatnonzero(run_starts(part, ("hi", "lo", "source", "side")) == np.arange(len(part)))
    names, counts = part[first], np.diff(first, append=len(part))
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
