"""merge: the records of all sources to one table. `python -m stages.merge`

In this order, row by row or by keys alone: the deny list, the licence profile, what the policy drops, exact
duplicates, near-duplicates; then the rows that stay are redacted, tagged and written, in the declared order of
sources, then file, then row.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import deny, engine, errors, ledger, licenses, params, policy, record
from stages.dedup import exact, near
from stages.dedup.clusters import Together
from stages.dedup.links import ANSWER, METHODS, NEAR, Links, Places, near_links
from stages.engine import Each, here
from stages.engine.keys import KeySpill, PlaceSpill, run_starts
from stages.files import atomic, renamed, scratch
from stages.layout import MERGED, MERGED_TABLE, NORMALIZED, SCREENED
from stages.ledger import Ledger
from stages.params import Merge, Params, Source
from stages.splice import Splice
from stages.storage import (
    CsvSink,
    JsonArraySink,
    ParquetSink,
    aligned,
    group_rows,
    json_lists,
    parquet_file,
    read_batches,
    read_rows,
    row_count,
)

SKETCHED = 8  # row groups that one task of the near-duplicate search reads
EXCEL_CELL = 32_767  # characters; Excel cuts longer cells
COMPARED = ["id", "type", "turns", *exact.COMPARED]

DUPLICATES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # the removed row
        pa.field("kept", pa.string(), nullable=False),  # the row that stands for it
        pa.field("source", pa.string(), nullable=False),
        pa.field("kept_source", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),  # exact, near, answer, exact+near
        pa.field("score", pa.int32(), nullable=False),  # similarity, in thousandths
        pa.field("differing_words", pa.int32(), nullable=False),
    ]
)
DROPPED = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("id", "source", "reason")])


@dataclass(frozen=True)
class Part:
    """One source, where its rows start among all rows, and what decides about them."""

    key: str
    start: int
    source: Source
    rules: policy.Rules
    allowed: bool  # by the licence profile
    denied: frozenset[bytes]


class Unit(NamedTuple):
    """Row groups of one source's records side by side: what is worked on at once. Cut by the data alone."""

    number: int
    part: int
    start: int  # its rows, among those of the source
    stop: int


class Batch(NamedTuple):
    """Rows of one source with their attributes, the place of the first among all rows, and what is said of them."""

    place: int
    rows: pa.RecordBatch
    attributes: pa.RecordBatch
    verdict: policy.Verdict

    @property
    def stays(self) -> np.ndarray:
        return np.array([reason is None for reason in self.verdict.dropped], bool)


def main() -> None:
    settings = params.with_made(
        params.load("sources", "profile", "policy", "merge", "synthesize.license", "paraphrase.license")
    )
    order = params.ordered(settings)
    accounts = {key: Ledger("merge", key) for key in order}
    for key in order:
        accounts[key].rows_in = row_count(_records(key))
    parts = list(_parts(settings, accounts))
    total = sum(account.rows_in for account in accounts.values())
    size = sum(_records(key).stat().st_size for key in order)
    with scratch(MERGED_TABLE) as folder, engine.started(settings.engine, size) as each:
        links, clusters, counts = _compare(each, parts, settings.merge, total, folder)
        _write(each, parts, links, clusters, folder, accounts)
    for name, count in counts.items():
        print(f"near-duplicates: {name} {count}")
    ledger.write_folder("merge", accounts)


def _parts(settings: Params, accounts: dict[str, Ledger]) -> Iterator[Part]:
    denied, start = deny.load(), 0
    for key, account in accounts.items():
        source = settings.sources[key]
        allowed = licenses.allows(source.license, settings.profile)
        yield Part(key, start, source, policy.Rules(settings, key), allowed, denied)
        start += account.rows_in


def _records(key: str) -> Path:
    return NORMALIZED / f"{key}.parquet"


def _units(parts: list[Part], groups: int) -> Iterator[Unit]:
    """All rows, so many row groups at a time."""
    number = 0
    for place, part in enumerate(parts):
        rows = group_rows(_records(part.key))
        ends = [0, *np.cumsum(rows).tolist()]
        for first in range(0, len(rows), groups):
            yield Unit(number, place, ends[first], ends[min(first + groups, len(rows))])
            number += 1


def _judged(parts: list[Part], unit: Unit, columns: list[str] | None = None) -> Iterator[Batch]:
    """The rows of a unit with what the deny list, the profile and the policy say, in that order."""
    part = parts[unit.part]
    place = part.start + unit.start
    for rows, attributes in aligned(
        read_rows(_records(part.key), unit.start, unit.stop, columns),
        read_rows(SCREENED / f"{part.key}.parquet", unit.start, unit.stop),
    ):
        verdict = part.rules.judge(policy.findings(rows, attributes), len(rows))
        reasons = verdict.dropped if part.allowed else ["license"] * len(rows)
        on_list = deny.denied(rows, part.denied).to_pylist()
        reasons = ["denied" if listed else reason for listed, reason in zip(on_list, reasons, strict=True)]
        yield Batch(place, rows, attributes, verdict._replace(dropped=reasons))
        place += len(rows)


# --- duplicates ----------------------------------------------------------------------------------------------


def _compare(
    each: Each, parts: list[Part], settings: Merge, total: int, folder: Path
) -> tuple[Links, Clusters, dict[str, int]]:
    """What the duplicates come to, on disk, by place: nothing that grows with the rows stays in memory."""
    places, links = Places(total), Links(folder, total)
    _find_exact(each, parts, places, links, folder)
    found = _find_near(each, parts, settings, places, folder)
    links.close(_near_links(parts, found, places, settings))
    return links, _clusters(parts, places, found.together, folder), found.counts


def _find_exact(each: Each, parts: list[Part], places: Places, links: Links, folder: Path) -> None:
    """Put the links of exact duplicates into `links`, and mark in `places` the rows that stay so far."""
    keys = KeySpill(folder / "exact", exact.KEY)
    for found in each(partial(_keys, parts), _units(parts, 1)):
        places.taken[found["place"]] = True
        keys.add(found)
    for removed in exact.duplicates(keys.partitions()):
        places.taken[removed.removed["place"]] = False
        links.add_exact(removed)


def _keys(parts: list[Part], unit: Unit) -> np.ndarray:
    """Keys (dtype exact.KEY) of the rows of a unit that nothing takes out."""
    source = parts[unit.part].source
    found = [np.empty(0, exact.KEY)]
    for batch in _judged(parts, unit, COMPARED):
        stays = batch.stays
        rows = batch.rows.filter(pa.array(stays))
        found.append(exact.keys(rows, source.priority, source.keep_all, batch.place + np.flatnonzero(stays)))
    return np.concatenate(found)


def _find_near(each: Each, parts: list[Part], settings: Merge, places: Places, folder: Path) -> near.Found:
    """Search the rows that stay so far; positions in the result are numbers among these."""
    spills = folder / "near"
    spills.mkdir()
    if settings.near:
        starts = [part.start for part in parts]
        taken = (
            (unit, places.taken[starts[unit.part] + unit.start : starts[unit.part] + unit.stop])
            for unit in _units(parts, SKETCHED)
        )
        for _ in each(partial(_sketch, parts, spills), taken):
            pass
    rules = near.Rules(_fraction(settings.remove), _fraction(settings.together), settings.short, settings.answers)
    found = near.find(spills, rules, each)
    shutil.rmtree(spills)  # as large as the corpus
    return found


def _sketch(parts: list[Part], spills: Path, work: tuple[Unit, np.ndarray]) -> None:
    """Spill what the search compares of the rows of a unit that were not taken out before."""
    unit, taken = work
    part, done = parts[unit.part], 0
    may_leave = part.source.near and not part.source.keep_all
    with near.Writer(spills, unit.number) as writer:
        for rows in read_rows(_records(part.key), unit.start, unit.stop, COMPARED):
            left = rows.filter(pa.array(taken[done : done + len(rows)]))
            writer.add(left, near.ranks(unit.part, left["id"]), may_leave)
            done += len(rows)


def _fraction(value: float) -> Fraction:
    return Fraction(str(value))


def _near_links(parts: list[Part], found: near.Found, places: Places, settings: Merge) -> np.ndarray:
    made = [(found.near, NEAR)] + ([(found.answers, ANSWER)] if settings.answers == "drop" else [])
    ids = partial(_ids_at, parts)
    links = [
        near_links(
            places.of(gone.row), places.of(gone.kept), method,
            (gone.inter.astype(np.int64) * 1000 // np.maximum(gone.union, 1)).astype(np.int64), gone.differing, ids,
        )
        for gone, method in made
    ]  # fmt: skip
    return np.concatenate(links)


def _ids_at(parts: list[Part], places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids (two uint64 arrays) of rows at sorted places."""
    high, low = np.empty(len(places), "u8"), np.empty(len(places), "u8")
    done = 0
    for part in parts if len(places) else ():
        place = part.start
        for batch in read_batches(_records(part.key), ["id"]):
            stop = int(np.searchsorted(places, place + len(batch)))
            if stop > done:
                high[done:stop], low[done:stop] = exact.id_parts(batch["id"].take(pa.array(places[done:stop] - place)))
                done = stop
            place += len(batch)
    return high, low


# A row that must stand on one side of the split with others: its cluster, what says which row is the first of it, and
# the row's place; and the row by its place, with the id of the first of its cluster.
MEMBER = np.dtype([("hi", "u8"), ("part", "u2"), ("id_hi", "u8"), ("id_lo", "u8"), ("place", "i8")])
CLUSTER = np.dtype([("place", "i8"), ("id_hi", "u8"), ("id_lo", "u8")])
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd: no two clusters share a product


class Clusters(PlaceSpill):
    """Rows that must stand on one side of the split (dtype CLUSTER)."""

    def __init__(self, folder: Path, total: int) -> None:
        super().__init__(folder / "clusters", CLUSTER, total)


def _clusters(parts: list[Part], places: Places, together: Together, folder: Path) -> Clusters:
    members, number = KeySpill(folder / "members", MEMBER), 0
    for order, part in enumerate(parts if together.any() else ()):
        place = part.start
        for batch in read_batches(_records(part.key), ["id"]):
            compared = np.flatnonzero(places.taken[place : place + len(batch)])
            rows, firsts = together.between(number, number + len(compared))
            own = compared[rows - number]
            found = np.empty(len(rows), MEMBER)
            found["hi"], found["part"], found["place"] = firsts.astype(np.uint64) * _SPREAD, order, place + own
            found["id_hi"], found["id_lo"] = exact.id_parts(batch["id"].take(pa.array(own)))
            members.add(found)
            place, number = place + len(batch), number + len(compared)
    clusters = Clusters(folder, places.taken.size)
    for found in members.partitions():
        named = np.empty(len(found), CLUSTER)
        named["place"], first = found["place"], found[run_starts(found, ("hi",))]
        named["id_hi"], named["id_lo"] = first["id_hi"], first["id_lo"]
        clusters.add(named)
    return clusters


# --- what is written -------------------------------------------------------------------------------------------


class Rendered(NamedTuple):
    """What one unit adds to each file."""

    number: int
    parquet: pa.Buffer
    json: pa.Buffer
    csv: pa.Buffer
    evidence: pa.RecordBatch
    dropped: pa.RecordBatch
    account: Ledger


class Task(NamedTuple):
    """A unit with the links of its rows and the clusters that they are in."""

    unit: Unit
    removed: np.ndarray
    stands_for: np.ndarray
    clusters: np.ndarray  # CLUSTER


def _write(
    each: Each, parts: list[Part], links: Links, clusters: Clusters, folder: Path, accounts: dict[str, Ledger]
) -> None:
    spills = folder / "rendered"
    spills.mkdir()
    with (
        atomic(MERGED_TABLE) as parquet,
        atomic(MERGED_TABLE.with_suffix(".json")) as json,
        atomic(MERGED_TABLE.with_suffix(".csv")) as csv,
        atomic(MERGED / "duplicates.parquet") as duplicates,
        atomic(MERGED / "dropped.parquet") as dropped,
    ):
        table = Splice(parquet, record.MERGED)
        array, cells = JsonArraySink(json), CsvSink(csv, record.PUBLIC)
        evidence = ParquetSink(duplicates, DUPLICATES, published=True)
        gone = ParquetSink(dropped, DROPPED, published=True)
        render = partial(_render, parts) if here(each) else partial(_leave, spills, parts)
        for left in each(render, _rendering(parts, links, clusters)):
            made = left if here(each) else _left(spills, left)
            table.add_file(pa.BufferReader(made.parquet), parquet)
            array.append(made.json)
            cells.append(made.csv)
            evidence.write(made.evidence)
            gone.write(made.dropped)
            _add(accounts[made.account.source], made.account)
        for sink in (table, array, cells, evidence, gone):
            sink.close()


def _rendering(parts: list[Part], links: Links, clusters: Clusters) -> Iterator[Task]:
    for unit in _units(parts, 1):
        stop = parts[unit.part].start + unit.stop
        yield Task(unit, links.removed.take(stop), links.stands_for.take(stop), clusters.take(stop))


def _render(parts: list[Part], task: Task) -> Rendered:
    part = parts[task.unit.part]
    account = Ledger("merge", part.key)
    kept, evidence, dropped = [], [], []
    for batch in _judged(parts, task.unit):
        start, stop = batch.place, batch.place + len(batch.rows)
        removed, stands_for = (_between(found, start, stop) for found in (task.removed, task.stands_for))
        kept.append(_kept(part, batch, removed, stands_for, task.clusters))
        evidence.append(_evidence(removed, part.key, parts))
        dropped.append(_dropped(batch, part.key))
        _account(account, batch, kept[-1], removed)
    rows = _one(kept, record.MERGED)
    public = rows.select(list(record.PUBLIC))
    cells = public.set_column(public.schema.get_field_index("tags"), "tags", json_lists(public["tags"]))
    return Rendered(
        task.unit.number, parquet_file(rows), JsonArraySink.made(public), CsvSink.made(cells),
        _one(evidence, DUPLICATES), _one(dropped, DROPPED), account,
    )  # fmt: skip


def _leave(spills: Path, parts: list[Part], task: Task) -> Rendered:
    """As `_render`, but what goes into the files is left in files: text is not sent."""
    made = _render(parts, task)
    empty = pa.py_buffer(b"")
    for path, data in zip(_spilled(spills, made.number), (made.parquet, made.json, made.csv), strict=True):
        with renamed(path) as part:
            part.write_bytes(data)
    return made._replace(parquet=empty, json=empty, csv=empty)


def _left(spills: Path, made: Rendered) -> Rendered:
    """With what `_leave` has left; the files go."""
    paths = _spilled(spills, made.number)
    parts = [pa.py_buffer(path.read_bytes()) for path in paths]
    for path in paths:
        path.unlink()
    return made._replace(parquet=parts[0], json=parts[1], csv=parts[2])


def _spilled(spills: Path, number: int) -> list[Path]:
    """The files of a unit: its rows as Parquet, JSON and CSV."""
    return [spills / f"{number:06d}.{kind}" for kind in ("parquet", "json", "csv")]


def _between(links: np.ndarray, start: int, stop: int) -> np.ndarray:
    first, last = np.searchsorted(links["place"], [start, stop])
    return links[first:last]


def _one(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    return pa.concat_batches([pa.RecordBatch.from_pylist([], schema), *batches])


def _kept(
    part: Part, batch: Batch, removed: np.ndarray, stands_for: np.ndarray, clusters: np.ndarray
) -> pa.RecordBatch:
    """The rows that stay: redacted and tagged, with what they may enter and the ids they stand for."""
    stays = batch.stays
    stays[removed["place"] - batch.place] = False
    rows = policy.redacted(batch.rows, batch.attributes, part.rules, batch.verdict)
    tags = policy.tagged(rows["tags"], batch.verdict.tags)
    rows = rows.set_column(rows.schema.get_field_index("tags"), record.SCHEMA.field("tags"), tags)
    stands_for = stands_for[np.lexsort([stands_for[name] for name in ("kept_lo", "kept_hi", "place")])]
    ids = pa.array(_ids(stands_for["kept_hi"], stands_for["kept_lo"]), pa.string())
    counts = np.bincount(stands_for["place"] - batch.place, minlength=len(rows))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    enters = policy.enters(part.source.enters, batch.verdict.held)
    cluster = _cluster_of(_between(clusters, batch.place, batch.place + len(rows)), batch.place, len(rows))
    columns = [*rows.columns, enters, pa.ListArray.from_arrays(offsets, ids), cluster]
    return pa.RecordBatch.from_arrays(columns, schema=record.MERGED).filter(pa.array(stays))


def _ids(high: np.ndarray, low: np.ndarray) -> list[str]:
    return [f"{hi:016x}{lo:016x}" for hi, lo in zip(high.tolist(), low.tolist(), strict=True)]


def _evidence(links: np.ndarray, key: str, parts: list[Part]) -> pa.RecordBatch:
    """Rows of duplicates.parquet for the rows of one batch that left."""
    names, starts = np.array([part.key for part in parts]), np.array([part.start for part in parts])
    kept_source = names[np.searchsorted(starts, links["kept_place"], side="right") - 1]
    columns = [
        pa.array(_ids(links["id_hi"], links["id_lo"]), pa.string()),
        pa.array(_ids(links["kept_hi"], links["kept_lo"]), pa.string()),
        pa.array([key] * len(links), pa.string()),
        pa.array(kept_source.tolist(), pa.string()),
        pa.array([METHODS[method] for method in links["method"].tolist()], pa.string()),
        pa.array(links["score"]),
        pa.array(links["differing"]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=DUPLICATES)


def _dropped(batch: Batch, key: str) -> pa.RecordBatch:
    """Rows of dropped.parquet for the rows of one batch that the deny list, the profile or the policy took out."""
    gone = pa.array(~batch.stays)
    reasons = pa.array(batch.verdict.dropped, pa.string()).filter(gone)
    columns = [batch.rows["id"].filter(gone), pa.array([key] * len(reasons), pa.string()), reasons]
    return pa.RecordBatch.from_arrays(columns, schema=DROPPED)


def _cluster_of(clusters: np.ndarray, place: int, count: int) -> pa.Array:
    """The cluster of each of `count` rows from `place` on; null for a row on its own."""
    names: list[str | None] = [None] * count
    for at, name in zip(clusters["place"].tolist(), _ids(clusters["id_hi"], clusters["id_lo"]), strict=True):
        names[at - place] = name
    return pa.array(names, pa.string())


# --- account ---------------------------------------------------------------------------------------------------

FORMULA, LOOKS_NULL = r"^[=+\-@]", r"^(NA|N/A|None|null|nan|NaN|NULL)$"


def _account(account: Ledger, batch: Batch, kept: pa.RecordBatch, removed: np.ndarray) -> None:
    account.rows_out += len(kept)
    account.duplicates += len(removed)
    account.rejected.update(reason for reason in batch.verdict.dropped if reason)
    stays = batch.stays
    stays[removed["place"] - batch.place] = False
    tags = [name for row, names in batch.verdict.tags.items() if stays[row] for name in names]
    cells = [kept[name] for name in ("input", "response", "rejected_response")]
    details = account.details
    _count(details, "held", int((batch.verdict.held & stays).sum()))
    _count(details, "redacted", int((batch.verdict.redact & stays).sum()))
    _count(details, "cells_cut_by_excel", sum(_true(pc.greater(pc.utf8_length(c), EXCEL_CELL)) for c in cells))
    _count(details, "cells_like_formulas", sum(_true(pc.match_substring_regex(c, FORMULA)) for c in cells))
    _count(details, "cells_like_null", sum(_true(pc.match_substring_regex(c, LOOKS_NULL)) for c in cells))
    for names, label in (
        (tags, "findings"),
        ([METHODS[m] for m in removed["method"].tolist()], "duplicates_by_method"),
    ):
        for name in names:
            _count(details.setdefault(label, {}), name, 1)


def _count(figures: dict[str, int], name: str, count: int) -> None:
    figures[name] = figures.get(name, 0) + count


def _add(account: Ledger, more: Ledger) -> None:
    """Add what one unit came to."""
    account.rows_out += more.rows_out
    account.duplicates += more.duplicates
    account.rejected.update(more.rejected)
    _sum(account.details, more.details)


def _sum(figures: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict):
            _sum(figures.setdefault(name, {}), value)
        else:
            _count(figures, name, value)


def _true(flags: pa.Array) -> int:
    return pc.sum(flags).as_py() or 0


if __name__ == "__main__":
    errors.run(main)
