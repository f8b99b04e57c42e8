"""Which rows of the merged table enter an export, and why each other row does not.

All of it works on whole columns. Texts are read only where a row group holds rows that may enter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import text
from stages.errors import LawError
from stages.layout import MERGED_TABLE, SPLIT_TABLE
from stages.licenses.travel import ORIGIN
from stages.params import Export
from stages.storage import ParquetReader, Stretch, read_rows, row_count, stretches
from stages.tokens import Counter

# What a kind of export takes: the names in a row's `enters` that let it in; None: all rows.
OPENS: dict[str, tuple[str, ...] | None] = {
    "all": None,
    "chat": ("chat",),
    "single": ("chat",),
    "pairs": ("pairs",),
    "kto": ("pairs", "kto"),
    "classification": ("classification",),
    "segments": ("segments",),
}
KEYS = ["id", "source", "enters"]
TEXTS = [
    "id",
    "input",
    "response",
    "rejected_response",
    "source",
    "type",
    "tags",
    "system",
    "turns",
    "license",
    "origin",
]
READ = [*TEXTS[:-1], *(f"origin.{name}" for name in ORIGIN)]

Checks = list[tuple[str, np.ndarray]]


@dataclass(frozen=True)
class Door:
    """What decides whether a row enters."""

    kind: str
    sides: Sequence[str]
    settings: Export
    count: Counter
    refuse: Callable[[pa.RecordBatch, Export], pa.Array] | None = None  # the format's own reasons


class Candidates(NamedTuple):
    """The rows of one row group: reasons for those that stay out, and the rows that enter."""

    sources: list[str]  # of all rows
    on: list[str]  # side of each
    reasons: np.ndarray  # object: a reason code, or None for a row that enters
    rows: pa.RecordBatch  # those that enter, columns TEXTS
    sides: np.ndarray  # of these, object
    lengths: np.ndarray  # of their texts, int64


def units() -> list[Stretch]:
    """All rows of the merged table. Raises LawError if the split has more rows or fewer."""
    found = list(stretches(MERGED_TABLE))
    if row_count(SPLIT_TABLE) != sum(unit.rows for unit in found):
        raise LawError("the split holds more rows or fewer than the merged table: run `dvc repro` again")
    return found


def candidates(door: Door, unit: Stretch) -> Iterator[Candidates]:
    """Walk a unit of the merged table, a row group at a time, beside the split.

    Raises LawError if the two hold other rows.
    """
    if not unit.rows:
        return
    split = _whole(pa.Table.from_batches(read_rows(SPLIT_TABLE, unit.row, unit.row + unit.rows, ["id", "side"])))
    with ParquetReader(MERGED_TABLE, groups=unit.groups) as file:
        for group in range(len(unit.groups)):
            keys = _read(file, group, KEYS, KEYS)
            sides, split = split.slice(0, len(keys)), split.slice(len(keys))
            if not sides["id"].equals(keys["id"]):
                raise LawError("the split holds other rows than the merged table: run `dvc repro` again")
            on = sides["side"].to_pylist()
            reasons = _first(_of_keys(keys, on, door), len(keys))
            rows, lengths = _texts(file, group, door, reasons)
            stay = np.array([reason is None for reason in reasons], bool)
            yield Candidates(keys["source"].to_pylist(), on, reasons, rows, np.array(on, object)[stay], lengths)


def _read(file: ParquetReader, group: int, columns: list[str], names: list[str]) -> pa.RecordBatch:
    return _whole(file.read(group, columns).select(names))


def _whole(table: pa.Table) -> pa.RecordBatch:
    """A table as one batch, also one without rows."""
    columns = [column.combine_chunks() for column in table.columns]
    arrays = [column.chunk(0) if isinstance(column, pa.ChunkedArray) else column for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


def _texts(file: ParquetReader, group: int, door: Door, reasons: np.ndarray) -> tuple[pa.RecordBatch, np.ndarray]:
    """Read the texts of the rows that may enter; add to `reasons` those that their texts keep out."""
    may = np.flatnonzero(reasons == np.array(None))
    if not len(may):
        return pa.RecordBatch.from_pylist([], pa.schema([(name, pa.string()) for name in TEXTS])), np.zeros(0, np.int64)
    rows = _read(file, group, READ, TEXTS).take(pa.array(may))
    reasons[may] = _first(CHECKS[door.kind](rows, door.settings), len(rows))
    if door.refuse:
        own = np.array(door.refuse(rows, door.settings).to_pylist(), object)
        reasons[may] = np.where(reasons[may] == np.array(None), own, reasons[may])
    stay = reasons[may] == np.array(None)
    rows, may = rows.filter(pa.array(stay)), may[stay]
    lengths = _lengths(rows, door)
    settings = door.settings
    limit = settings.max_tokens if settings.tokenizer else settings.max_characters
    if limit and door.kind != "all":
        reasons[may[lengths > limit]] = "too_long"
        rows, lengths = rows.filter(pa.array(lengths <= limit)), lengths[lengths <= limit]
    return rows, lengths


def _first(checks: Checks, count: int) -> np.ndarray:
    """The first reason that holds for each row; None where none does."""
    reasons = np.full(count, None, object)
    for reason, holds in reversed(checks):
        reasons[holds] = reason
    return reasons


# --- by keys ------------------------------------------------------------------------------------------------


def _of_keys(keys: pa.RecordBatch, on: list[str], door: Door) -> Checks:
    checks: Checks = []
    if door.settings.sources:
        checks.append(("source_not_selected", ~_in(keys["source"], door.settings.sources)))
    opens = OPENS[door.kind]
    if opens is not None:
        checks.append((f"not_{door.kind if door.kind != 'single' else 'chat'}", ~_holds(keys["enters"], opens)))
    side = np.array(on, object)
    checks += [(f"on_{name}", side == name) for name in sorted(set(on)) if name not in door.sides]
    return checks


def _in(values: pa.Array, known: Sequence[str]) -> np.ndarray:
    return pc.is_in(values, value_set=pa.array(list(known), pa.string())).to_numpy(zero_copy_only=False)


def _holds(lists: pa.Array, names: Sequence[str]) -> np.ndarray:
    """Whether each list holds one of the names."""
    held = np.zeros(len(lists), bool)
    parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    held[parents[_in(lists.flatten(), names)]] = True
    return held


# --- by texts -----------------------------------------------------------------------------------------------


def _nothing(rows: pa.RecordBatch, settings: Export) -> Checks:
    return []


def _chat(rows: pa.RecordBatch, settings: Export) -> Checks:
    many, roles, blank = _turns(rows["turns"])
    checks: Checks = []
    if settings.turns != "all":
        single = settings.turns == "single"
        checks.append(("multi_turn" if single else "single_turn", many if single else ~many))
    return [
        *checks,
        ("roles", roles),
        ("blank_message", blank | (~many & (_blank(rows["input"]) | _blank(rows["response"])))),
        ("nul", _nul(rows["input"]) | _nul(rows["response"])),
    ]


def _single(rows: pa.RecordBatch, settings: Export) -> Checks:
    many = rows["turns"].is_valid().to_numpy(zero_copy_only=False)
    return [("multi_turn", many), *_chat(rows, settings)]


def _pairs(rows: pa.RecordBatch, settings: Export) -> Checks:
    rejected = rows["rejected_response"]
    # folding takes texts without a NUL, which are refused here
    folded = [text.fold_or_nfkc(pc.replace_substring(texts, "\0", "")) for texts in (rejected, rows["response"])]
    same = pc.equal(*folded)
    return [
        ("no_rejected_response", rejected.is_null().to_numpy(zero_copy_only=False)),
        *_single(rows, settings),
        ("blank_message", _blank(rejected)),
        ("nul", _nul(rejected)),
        ("same_responses", same.to_numpy(zero_copy_only=False)),
    ]


def _classification(rows: pa.RecordBatch, settings: Export) -> Checks:
    return [("blank_message", _blank(rows["input"])), ("unknown_label", ~_in(rows["response"], settings.labels))]


def _segments(rows: pa.RecordBatch, settings: Export) -> Checks:
    many, _, _ = _turns(rows["turns"])
    empty = np.zeros(len(rows), bool)
    empty[_parents(rows["turns"])[_equal(rows["turns"].flatten().field("content"), "")]] = True
    return [("no_turns", ~many), ("blank_message", empty)]


CHECKS: dict[str, Callable[[pa.RecordBatch, Export], Checks]] = {
    "all": _nothing,
    "chat": _chat,
    "single": _single,
    "pairs": _pairs,
    "kto": _pairs,
    "classification": _classification,
    "segments": _segments,
}


def _turns(turns: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which rows have turns; which of them do not go user assistant user assistant; which hold a blank one.

    What came after the last answer has no answer: such a last turn counts in neither.
    """
    many = turns.is_valid().to_numpy(zero_copy_only=False)
    roles, blank = np.zeros(len(turns), bool), np.zeros(len(turns), bool)
    lengths = pc.fill_null(pc.list_value_length(turns), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    parents = _parents(turns)
    place = np.arange(len(parents)) - (np.cumsum(lengths) - lengths)[parents]
    flat = turns.flatten()
    expected = np.where(place % 2 == 0, _equal(flat.field("role"), "user"), _equal(flat.field("role"), "assistant"))
    roles[parents[~expected]] = True
    roles[many & (lengths < 2)] = True
    answered = place < lengths[parents] - lengths[parents] % 2
    blank[parents[answered & (_blank(flat.field("content")) | _nul(flat.field("content")))]] = True
    return many, roles, blank


def _parents(lists: pa.Array) -> np.ndarray:
    return pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)


def _equal(values: pa.Array, wanted: str) -> np.ndarray:
    return pc.equal(values, wanted).to_numpy(zero_copy_only=False)


def _blank(texts: pa.Array) -> np.ndarray:
    """White space alone; null is not blank."""
    return pc.fill_null(pc.equal(pc.utf8_ltrim_whitespace(texts), ""), False).to_numpy(zero_copy_only=False)


def _nul(texts: pa.Array) -> np.ndarray:
    return pc.fill_null(pc.match_substring(texts, "\0"), False).to_numpy(zero_copy_only=False)


# --- lengths ------------------------------------------------------------------------------------------------


# What a kind of export makes lines of, where a row has no turns.
LINES: dict[str, tuple[str, ...]] = {
    "pairs": ("input", "response", "rejected_response"),
    "kto": ("input", "response", "rejected_response"),
    "all": ("input", "response", "rejected_response"),
    "classification": ("input",),
}


def _lengths(rows: pa.RecordBatch, door: Door) -> np.ndarray:
    """Length of the texts that a format makes of each row, without system messages and templates; int64."""
    turns = rows["turns"]
    has_turns = turns.is_valid() if door.kind in ("chat", "segments") else pa.repeat(False, len(rows))
    total = np.zeros(len(rows), np.int64)
    for name in LINES.get(door.kind, ("input", "response")):
        total += door.count(pc.if_else(has_turns, None, rows[name]))
    if pc.any(has_turns).as_py():
        np.add.at(total, _parents(turns), door.count(turns.flatten().field("content")))
    return total
