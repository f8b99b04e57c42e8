"""What differs between two versions: rows matched by stable id, in partitions on disk, whatever their number.

Each row of either version becomes one fixed-width key: its id, its side, and a 64-bit hash of each field that is
compared. No text is held; a difference is known by the places of the row in the two merged tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from stages.dedup.exact import id_parts
from stages.engine.keys import KeySpill, PlaceSpill, run_starts
from stages.errors import LawError
from stages.layout import MERGED, MERGED_TABLE, SPLIT_TABLE
from stages.storage import ParquetReader, aligned, json_lists, read_batches
from stages.versions.trees import Version, need

DUPLICATES, DROPPED = MERGED / "duplicates.parquet", MERGED / "dropped.parquet"
FILES = (MERGED_TABLE, SPLIT_TABLE, DUPLICATES, DROPPED)

TEXTS = ("input", "response", "rejected_response")
SMALL = ("system", "type", "license")  # few values
LISTS = ("tags", "enters")
COMPARED = (*TEXTS, "turns", *SMALL, *LISTS)
_HASHES = tuple(f"h{number}" for number in range(len(COMPARED)))

REMOVED, ADDED, CHANGED, MOVED = 1, 2, 4, 8
OLD, NEW, LEFT_OLD, LEFT_NEW = range(4)  # rows of a merged table; rows that a merge took out

_KEY = np.dtype(
    [("hi", "u8"), ("lo", "u8"), ("kind", "u1"), ("side", "u1"), ("source", "u2"), ("place", "i8")]
    + [(name, "u8") for name in _HASHES]
)
# One difference. `place` is the row's in the old table, or in the new one for an added row; `other` is its place
# in the new table, or -1. `code` names the reason, `kept_*` the row it is a duplicate of.
DIFFERENCE = np.dtype(
    [("place", "i8"), ("other", "i8"), ("id_hi", "u8"), ("id_lo", "u8"), ("what", "u1"), ("fields", "u2"),
     ("old_side", "u1"), ("new_side", "u1"), ("source", "u2"), ("code", "u2"), ("kept_hi", "u8"), ("kept_lo", "u8")]
)  # fmt: skip


@dataclass
class Names:
    """Texts that stand as numbers in keys: sources, sides, reasons."""

    known: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> int:
        return self.known.setdefault(name, len(self.known))

    def numbers(self, names: pa.Array) -> np.ndarray:
        coded = names.dictionary_encode()
        table = np.array([self.number(name) for name in coded.dictionary.to_pylist()], np.int64)
        return table[coded.indices.to_numpy(zero_copy_only=False)] if len(table) else np.zeros(len(names), np.int64)

    def list(self) -> list[str]:
        return list(self.known)


@dataclass
class Tally:
    """What became of the rows of one source: old = same + changed + moved + changed and moved + removed."""

    old: int = 0
    new: int = 0
    same: int = 0
    changed: int = 0
    moved: int = 0
    changed_and_moved: int = 0
    removed: int = 0
    added: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    sides: Counter[str] = field(default_factory=Counter)  # "train to validation" -> rows

    def check(self, source: str) -> None:
        """Raise LawError unless every row of both versions is accounted for."""
        kept = self.same + self.changed + self.moved + self.changed_and_moved
        if (self.old, self.new) != (kept + self.removed, kept + self.added):
            raise LawError(f"diff of {source} does not account for every row: this is a bug, please report it")


@dataclass
class Found:
    """All differences: counts, and the keys of the rows in the order of the old, then of the new table."""

    old: Path  # the merged tables
    new: Path
    sources: list[str]
    sides: list[str]
    reasons: list[str]
    tallies: dict[str, Tally]
    of_old: PlaceSpill
    of_new: PlaceSpill


class _Rows(KeySpill):
    """Keys by id and kind; the other fields need no order."""

    def _sorted(self, records: np.ndarray) -> np.ndarray:
        return records[np.lexsort([records["kind"], records["lo"], records["hi"]])]


def compare(old: Version, new: Version, folder: Path) -> Found:
    """Match the rows of two versions by id; spills go into `folder`."""
    sources, sides, reasons = Names(), Names(), Names()
    spill = _Rows(folder / "rows", _KEY)
    tables = [need(version, MERGED_TABLE) for version in (old, new)]
    rows = []
    for version, table, kind in ((old, tables[0], OLD), (new, tables[1], NEW)):
        rows.append(_add_rows(spill, kind, table, need(version, SPLIT_TABLE), sources, sides))
        _add_left(spill, kind + LEFT_OLD, version, reasons)
    of_old = PlaceSpill(folder / "old", DIFFERENCE, rows[0])
    of_new = PlaceSpill(folder / "new", DIFFERENCE, rows[1])
    tallies: dict[int, Tally] = {}
    for part in spill.partitions():
        found = _match(part)
        _count(part, found, sides.list(), tallies)
        differences = _differences(part, found)
        added = differences["what"] == ADDED
        of_old.add(differences[~added])
        of_new.add(differences[added])
    named = {name: tallies.get(number, Tally()) for name, number in sources.known.items()}
    for name, tally in named.items():
        tally.check(name)
    return Found(tables[0], tables[1], sources.list(), sides.list(), reasons.list(), named, of_old, of_new)


# --- keys ----------------------------------------------------------------------------------------------------


def _add_rows(spill: KeySpill, kind: int, merged: Path, split: Path, sources: Names, sides: Names) -> int:
    columns = ["id", "source", *COMPARED]
    place = 0
    for rows, side in aligned(read_batches(merged, columns), read_batches(split, ["id", "side"])):
        keys = np.zeros(len(rows), _KEY)
        keys["hi"], keys["lo"] = id_parts(rows["id"])
        keys["kind"], keys["place"] = kind, np.arange(place, place + len(rows))
        keys["source"], keys["side"] = sources.numbers(rows["source"]), sides.numbers(side["side"])
        for name, column in zip(_HASHES, COMPARED, strict=True):
            keys[name] = _hashes(column, rows[column])
        spill.add(keys)
        place += len(rows)
    return place


def _hashes(name: str, column: pa.Array) -> np.ndarray:
    """A 64-bit hash of each value; null has one of its own."""
    if name in TEXTS:
        return _hash_texts(column)
    if name in LISTS:
        column = json_lists(column)
    if name == "turns":
        column = _turns(column)
    coded = column.dictionary_encode()
    known = np.append(_hash_texts(coded.dictionary), np.uint64(0))
    return known[coded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]


def _hash_texts(texts: pa.Array) -> np.ndarray:
    digest = xxhash.xxh3_64_intdigest
    values = texts.cast(pa.binary()).to_pylist()
    return np.array([0 if value is None else digest(value) for value in values], np.uint64)


def _turns(turns: pa.ListArray) -> pa.Array:
    """The turns of each row as one text; null where it has none."""
    if turns.null_count == len(turns):
        return pa.nulls(len(turns), pa.string())
    items = turns.flatten()
    said = pc.binary_join_element_wise(pc.struct_field(items, "role"), pc.struct_field(items, "content"), "\x1f")
    lengths = pc.fill_null(pc.list_value_length(turns), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, said), "\x1e")
    return pc.if_else(turns.is_valid(), joined, None)


def _add_left(spill: KeySpill, kind: int, version: Version, reasons: Names) -> None:
    """Rows that a version's merge took out. The first hashes hold the reason and the row kept."""
    for path in (DUPLICATES, DROPPED):
        for rows in read_batches(need(version, path)):
            keys = np.zeros(len(rows), _KEY)
            keys["hi"], keys["lo"] = id_parts(rows["id"])
            keys["kind"] = kind
            if path == DUPLICATES:
                keys["h1"], keys["h2"] = id_parts(rows["kept"])
                names = pc.binary_join_element_wise("duplicate", rows["method"], ":")
            else:
                names = pc.binary_join_element_wise("dropped", rows["reason"], ":")
            keys["h0"] = reasons.numbers(names) + 1  # 0: no reason known
            spill.add(keys)


# --- matching ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Matched:
    """For each id of a partition: the places of its keys by kind, or -1; shape (4, ids)."""

    at: np.ndarray
    what: np.ndarray
    fields: np.ndarray


def _match(part: np.ndarray) -> _Matched:
    starts = run_starts(part, ("hi", "lo"))
    number = np.cumsum(starts == np.arange(len(part))) - 1
    at = np.full((4, int(number[-1]) + 1 if len(part) else 0), -1, np.int64)
    at[part["kind"], number] = np.arange(len(part))
    here, there = at[OLD] >= 0, at[NEW] >= 0
    what = np.where(here & ~there, REMOVED, 0) | np.where(there & ~here, ADDED, 0)
    both = here & there
    first, second = part[at[OLD][both]], part[at[NEW][both]]
    fields = np.zeros(len(what), np.int64)
    fields[both] = sum((first[name] != second[name]).astype(np.int64) << bit for bit, name in enumerate(_HASHES))
    what[both] = np.where(fields[both] > 0, CHANGED, 0) | np.where(first["side"] != second["side"], MOVED, 0)
    return _Matched(at, what, fields)


def _differences(part: np.ndarray, found: _Matched) -> np.ndarray:
    chosen = np.flatnonzero(found.what)
    made = np.zeros(len(chosen), DIFFERENCE)
    what = found.what[chosen]
    old, new, left_old, left_new = found.at[:, chosen]
    own = part[np.where(what == ADDED, new, old)]
    made["id_hi"], made["id_lo"] = own["hi"], own["lo"]
    made["place"], made["source"] = own["place"], own["source"]
    made["what"], made["fields"] = what, found.fields[chosen]
    made["other"] = np.where((what != ADDED) & (new >= 0), part["place"][new], -1)
    made["old_side"], made["new_side"] = part["side"][old], part["side"][new]  # of an absent row: not read
    left = np.where(what == ADDED, left_old, left_new)
    told = left >= 0
    for name, stored in (("code", "h0"), ("kept_hi", "h1"), ("kept_lo", "h2")):
        made[name][told] = part[stored][left[told]]
    return made


def _count(part: np.ndarray, found: _Matched, sides: list[str], tallies: dict[int, Tally]) -> None:
    here = found.at[OLD] >= 0
    there = found.at[NEW] >= 0
    source = part["source"][np.where(here, found.at[OLD], found.at[NEW])].astype(np.int64)
    merged = here | there
    for number in np.unique(source[merged]).tolist():
        mine = merged & (source == number)
        what, fields = found.what[mine], found.fields[mine]
        tally = tallies.setdefault(number, Tally())
        tally.old += int(here[mine].sum())
        tally.new += int(there[mine].sum())
        counts = np.bincount(what, minlength=16)
        tally.same += int(counts[0])
        tally.removed += int(counts[REMOVED])
        tally.added += int(counts[ADDED])
        tally.changed += int(counts[CHANGED])
        tally.moved += int(counts[MOVED])
        tally.changed_and_moved += int(counts[CHANGED | MOVED])
        for bit, name in enumerate(COMPARED):
            tally.fields[name] += int((fields >> bit & 1).sum())
        moved = mine & ((found.what & MOVED) > 0)
        pairs, rows = np.unique(
            np.stack([part["side"][found.at[kind][moved]] for kind in (OLD, NEW)]), axis=1, return_counts=True
        )
        for first, second, count in zip(*pairs.tolist(), rows.tolist(), strict=True):
            tally.sides[f"{sides[first]} to {sides[second]}"] += count


def changed_fields(bits: int) -> list[str]:
    """The names of the fields that a difference's `fields` marks."""
    return [name for place, name in enumerate(COMPARED) if bits >> place & 1]


# --- in order --------------------------------------------------------------------------------------------------


def in_order(spill: PlaceSpill, table: Path, columns: list[str]) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    """The differences of a spill in the order of a merged table, beside these columns of their rows."""
    place = 0
    with ParquetReader(table) as file:
        for group, rows in enumerate(file.groups()):
            found = spill.take(place + rows)
            if len(found):
                whole = file.read(group, columns).combine_chunks()
                yield found, whole.take(pa.array(found["place"] - place)).combine_chunks().to_batches()[0]
            place += rows


def rows_at(table: Path, places: np.ndarray, columns: list[str]) -> dict[int, dict[str, Any]]:
    """A few rows of a merged table by their places."""
    wanted = np.unique(places)
    found: dict[int, dict[str, Any]] = {}
    place = 0
    with ParquetReader(table) as file:
        for group, rows in enumerate(file.groups()):
            mine = wanted[np.searchsorted(wanted, place) : np.searchsorted(wanted, place + rows)]
            if len(mine):
                whole = file.read(group, columns)
                taken = whole.take(pa.array(mine - place)).to_pylist()
                found.update(zip(mine.tolist(), taken, strict=True))
            place += rows
    return found
