"""normalize: upstream rows to records. `python -m stages.normalize <source>`

Two passes. The first reads, checks and maps each unit of data on its own, wherever the engine runs it, and spills
records as if no two rows were equal; the second numbers the equal rows, which ids without an upstream key need, and
writes the table. A source that makes records of several rows spills drafts instead, for the second pass to gather.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stages import engine, errors, ledger, params, readers, record, sources, text
from stages.engine import Each
from stages.engine.keys import KeySpill, PlaceSpill, hash128, hexes, run_starts
from stages.errors import SourceError
from stages.files import atomic, read_json, renamed, scratch
from stages.layout import LEDGER, NORMALIZED, QUARANTINE, RAW
from stages.ledger import Ledger
from stages.params import Source
from stages.splice import Splice
from stages.storage import ROWS, ParquetSink, read_stream

SMALL = 1000  # rows; a smaller file fails only when all of it is rejected

# A draft on its way: what the source made of the row, where it stood, and the hash of what it was.
SPILLED = sources.DRAFT.append(pa.field("row", pa.int64())).append(pa.field("file", pa.int32()))
KEY = np.dtype([("hi", "u8"), ("lo", "u8"), ("content", "u8"), ("place", "i8")])


@dataclass(frozen=True)
class Task:
    """One unit of one file, and where its drafts and rejects are spilled."""

    source: str
    file: str
    number: int  # of the file, in declared order
    unit: readers.Unit
    spill: Path


@dataclass(frozen=True)
class Done:
    """What became of one unit."""

    task: Task
    rows: int
    rejected: Counter[str]
    examples: dict[str, str]


def main(key: str) -> None:
    settings = params.load(f"sources.{key}")
    source = settings.sources[key]
    receipt = read_json(RAW / key / "receipt.json", "files")
    with scratch(NORMALIZED / f"{key}.parquet") as folder:
        size = sum(entry["bytes"] for entry in receipt["files"])
        first = functools.partial(_first_pass, source=source, receipt=receipt)
        account = Ledger("normalize", key)
        with engine.started(settings.engine, size) as each:
            done = list(each(first, _tasks(key, receipt, folder)))
            _check_files(key, done, source)
            spills = [d.task.spill for d in done]
            with atomic(QUARANTINE / f"{key}.jsonl") as quarantine, atomic(NORMALIZED / f"{key}.parquet") as records:
                _collect_rejects(done, quarantine, account)
                last: Callable[[Some], Made] = functools.partial(_renumbered, key)
                fates = None
                if spills and hasattr(sources.load(key), "gather"):
                    last = functools.partial(_gathered, key, source, receipt, spills)
                    fates = _fates(each, key, source, spills, folder)
                _second_pass(each(last, _some(spills, *_numbers(spills, folder), fates)), records, quarantine, account)
        ledger.write(LEDGER / "normalize" / f"{key}.json", account)


def _tasks(key: str, receipt: dict[str, Any], folder: Path) -> Iterator[Task]:
    for number, entry in enumerate(receipt["files"]):
        path = RAW / key / entry["file"]
        for part, unit in enumerate(readers.units(path)):
            yield Task(key, entry["file"], number, unit, folder / f"{number}-{part}.arrow")


# --- first pass: one unit ------------------------------------------------------------------------------


def _first_pass(task: Task, source: Source, receipt: dict[str, Any]) -> Done:
    module = sources.load(task.source)
    schema = module.raw(source)
    gathered = hasattr(module, "gather")
    rejected: Counter[str] = Counter()
    examples: dict[str, str] = {}
    rows = 0
    label = f"{task.source}: {task.file}"
    with (
        renamed(task.spill) as records,
        renamed(task.spill.with_suffix(".keys")) as identities,
        renamed(task.spill.with_suffix(".jsonl")) as rejected_rows,
        pa.OSFile(str(records), "wb") as out,
        pa.ipc.new_stream(out, SPILLED if gathered else record.SCHEMA) as spill,
        identities.open("wb") as keys,
        rejected_rows.open("wb") as rejects,
        _index(task.spill, module if gathered else None) as index,
    ):
        for batch in readers.read(task.unit, schema, label):
            drafts, identity, faults = transform(batch, task, module, source)
            rows += len(batch.numbers) + len(batch.faults)
            for fault in faults:
                rejected[fault.reason] += 1
                examples.setdefault(fault.reason, f"row {fault.row}: {fault.message}")
            rejects.write(_quarantined(task.source, task.file, faults))
            if gathered:
                index(drafts)
            else:
                drafts = _records(task.source, source, receipt, drafts, identity, np.zeros(len(drafts), np.int64))
            spill.write_batch(drafts)
            keys.write(identity.tobytes())
    return Done(task, rows, rejected, examples)


@contextlib.contextmanager
def _index(spill: Path, module: sources.Module | None) -> Iterator[Callable[[pa.RecordBatch], object]]:
    """Give what leaves the source's index of a batch of drafts, and their texts, beside the spill."""
    if module is None:
        yield len
        return
    with (
        renamed(spill.with_suffix(".index")) as entries,
        renamed(spill.with_suffix(".texts")) as whole,
        entries.open("wb") as file,
        whole.open("wb") as texts,
    ):
        yield lambda drafts: file.write(module.index(drafts, texts).tobytes())


def transform(
    batch: readers.Read, task: Task, module: sources.Module, source: Source
) -> tuple[pa.RecordBatch, np.ndarray, list[readers.Fault]]:
    """One batch of upstream rows to drafts (schema SPILLED), their identities (dtype KEY) and what was rejected."""
    private = getattr(module, "PRIVATE", ())
    faults = [fault._replace(raw="") if private else fault for fault in batch.faults]
    numbers = np.array(batch.numbers, np.int64)
    raw, numbers = _without_nul(batch.columns, numbers, faults, private)
    identity_text = _raw_text(raw)
    repaired, edits = _repair(raw, module.REPAIRS)
    drafts = module.draft(repaired, task.file, source)
    reject, message = _checks(drafts, source)
    bad = pc.is_valid(reject).to_numpy(zero_copy_only=False)
    for place in np.flatnonzero(bad).tolist():
        shown = _shown(raw, place, private)
        faults.append(readers.Fault(int(numbers[place]), reject[place].as_py(), message[place].as_py(), shown))
    drafts = _with_edits(drafts, edits)
    keep = pa.array(~bad)
    arrays = [*drafts.columns, pa.array(numbers), pa.array(np.full(len(numbers), task.number, np.int32))]
    kept = pa.RecordBatch.from_arrays(arrays, schema=SPILLED).filter(keep)
    return kept, _identity(drafts["key"].filter(keep), identity_text.filter(keep)), sorted(faults)


def _without_nul(
    raw: pa.RecordBatch, numbers: np.ndarray, faults: list[readers.Fault], private: tuple[str, ...]
) -> tuple[pa.RecordBatch, np.ndarray]:
    """Take out the rows with U+0000 in a text: databases, C libraries and our own folding cannot hold it."""
    bad = np.zeros(len(raw), bool)
    for column in raw.columns:
        if pa.types.is_string(column.type):
            bad |= pc.fill_null(pc.match_substring(column, "\0"), False).to_numpy(zero_copy_only=False)
        elif pa.types.is_list(column.type):
            hits = pc.match_substring(pc.struct_field(column.flatten(), "content"), "\0")
            bad[pc.list_parent_indices(column).filter(hits).to_numpy()] = True
    if not bad.any():
        return raw, numbers
    for place in np.flatnonzero(bad).tolist():
        shown = _shown(raw, place, private)
        faults.append(readers.Fault(int(numbers[place]), "nul", "the row holds U+0000", shown))
    return raw.filter(pa.array(~bad)), numbers[~bad]


def _shown(raw: pa.RecordBatch, place: int, private: tuple[str, ...]) -> str:
    """A row as JSON text for the quarantine, without the columns that name people."""
    row = {name: raw[name][place].as_py() for name in raw.schema.names if name not in private}
    return orjson.dumps(row).decode()


def _repair(raw: pa.RecordBatch, wanted: tuple[str, ...]) -> tuple[pa.RecordBatch, dict[str, np.ndarray]]:
    """Repair every text column; say which rows each repair changed."""
    edits: dict[str, np.ndarray] = {}
    if not wanted:
        return raw, edits
    columns = []
    for field, column in zip(raw.schema, raw.columns, strict=True):
        if pa.types.is_string(field.type) and field.metadata != readers.RAW_JSON.metadata:
            column, changed = text.repair(column, wanted)
            for name, rows in changed.items():
                edits[name] = edits.get(name, False) | rows.to_numpy(zero_copy_only=False)
        elif pa.types.is_list(field.type):
            column, changed = _repair_turns(column, wanted)
            for name, rows in changed.items():
                edits[name] = edits.get(name, False) | rows
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=raw.schema), edits


def _repair_turns(turns: pa.ListArray, wanted: tuple[str, ...]) -> tuple[pa.ListArray, dict[str, np.ndarray]]:
    items = turns.flatten()
    contents, changed = text.repair(pc.struct_field(items, "content"), wanted)
    parents = pc.list_parent_indices(turns).to_numpy()
    rows = {}
    for name, flags in changed.items():
        rows[name] = np.zeros(len(turns), bool)
        rows[name][parents[flags.to_numpy(zero_copy_only=False)]] = True
    offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(turns).to_numpy())]).astype(np.int32)
    items = pa.StructArray.from_arrays([pc.struct_field(items, "role"), contents], fields=list(record.TURN))
    return pa.ListArray.from_arrays(pa.array(offsets), items, type=turns.type), rows


def _checks(drafts: pa.RecordBatch, source: Source) -> tuple[pa.Array, pa.Array]:
    """The reject reason (or null) and its sentence for each draft: the source's own, then the common ones."""
    reject, message = drafts["reject"], drafts["message"]
    for name in ("input", "response", "rejected_response"):
        blank = _blank(drafts[name], missing=name != "rejected_response")
        reject, message = _reject(reject, message, blank, "empty_text", f"{name} is blank")
        long = pc.greater(pc.binary_length(drafts[name]), source.max_chars)
        if pc.any(long).as_py():
            long = pc.greater(pc.utf8_length(drafts[name]), source.max_chars)
        sentence = f"{name} has more than {source.max_chars} characters (max_chars in params.yaml)"
        reject, message = _reject(reject, message, long, "too_long", sentence)
    return reject, message


def _blank(texts: pa.StringArray, *, missing: bool) -> pa.Array:
    """Which texts are white space alone; `missing` says what a null is."""
    blank = text.maybe_blank_edges(texts)
    places = np.flatnonzero(blank)
    trimmed = pc.utf8_trim_whitespace(texts.take(pa.array(places)))
    blank[places] = pc.fill_null(pc.equal(trimmed, ""), missing).to_numpy(zero_copy_only=False)
    blank[texts.is_null().to_numpy(zero_copy_only=False)] = missing
    return pa.array(blank)


def _reject(
    reject: pa.Array, message: pa.Array, flags: pa.Array, reason: str, sentence: str
) -> tuple[pa.Array, pa.Array]:
    flags = pc.and_(pc.is_null(reject), pc.fill_null(flags, False))
    if not pc.any(flags).as_py():
        return reject, message
    return pc.if_else(flags, reason, reject), pc.if_else(flags, sentence, message)


def _with_edits(drafts: pa.RecordBatch, edits: dict[str, np.ndarray]) -> pa.RecordBatch:
    """Put the names of all edits of each row, sorted, into the column `edits`."""
    own = drafts["edits"]
    made = {name: rows for name, rows in edits.items() if rows.any()}
    if not made and own.null_count == len(own):
        lists = pa.repeat(pa.scalar([], own.type), len(own)) if len(own) else own  # Arrow repeats no list 0 times
    else:
        lists = pc.if_else(own.is_null(), pa.scalar([], own.type), own)
        touched = np.logical_or.reduce([pc.greater(pc.list_value_length(lists), 1), *made.values()])
        if made or touched.any():
            rows = np.flatnonzero(touched)
            names = [set(some) for some in lists.take(pa.array(rows)).to_pylist()]
            for name, flags in made.items():
                for place in np.flatnonzero(flags[rows]).tolist():
                    names[place].add(name)
            fresh = pa.array([sorted(some) for some in names], own.type)
            order = np.arange(len(own))
            order[rows] = len(own) + np.arange(len(rows))
            lists = pa.concat_arrays([lists, fresh]).take(pa.array(order))
    return drafts.set_column(drafts.schema.get_field_index("edits"), SPILLED.field("edits"), lists)


def _raw_text(raw: pa.RecordBatch) -> pa.Array:
    """All upstream fields of each row in one binary value: what the row was, before any edit."""
    columns = [c if pa.types.is_string(c.type) else _nested_text(c) for c in raw.columns]
    whole = pc.binary_join_element_wise(*columns, "\0", null_handling="replace", null_replacement="\0")
    return whole.cast(pa.binary())


def _nested_text(column: pa.Array) -> pa.Array:
    return pa.array([orjson.dumps(value).decode() for value in column.to_pylist()], pa.string())


def _identity(keys: pa.Array, content: pa.Array) -> np.ndarray:
    """The identity of each row (dtype KEY, place unset): of the source's own key if it has one, else of its content."""
    hashes = hash128(content)
    identity = np.zeros(len(content), KEY)
    identity["content"] = hashes["hi"] ^ hashes["lo"]
    keyed = pc.is_valid(keys).to_numpy(zero_copy_only=False)
    own = hash128(keys) if keyed.any() else hashes
    for name in ("hi", "lo"):
        identity[name] = np.where(keyed, own[name], hashes[name])
    return identity


def _quarantined(source: str, file: str, faults: list[readers.Fault]) -> bytes:
    rows = (
        {"source": source, "reason": f.reason, "message": f.message, "file": file, "row": f.row, "raw": f.raw}
        for f in faults
    )
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


# --- between the passes ----------------------------------------------------------------------------------


def _check_files(key: str, done: list[Done], source: Source) -> None:
    """Stop when so much of one file is rejected that its schema must have changed."""
    choices = sources.load(key).CHOICES if done else ()
    for file in dict.fromkeys(d.task.file for d in done):
        units = [d for d in done if d.task.file == file]
        rows = sum(d.rows for d in units)
        if not rows and not source.optional:
            raise SourceError(
                f"{key}: {file} holds no row: expected upstream's rows: download the file again, or set "
                f"sources.{key}.enabled to false in params.yaml"
            )
        rejected = sum((d.rejected for d in units), Counter())
        examples = {reason: text for d in reversed(units) for reason, text in d.examples.items()}
        bad = sum(count for reason, count in rejected.items() if reason not in choices)
        if bad and bad > (source.max_reject_share * rows if rows >= SMALL else rows - 1):
            worst = ", ".join(f"{r} {n} ({examples[r]})" for r, n in rejected.most_common(3))
            raise SourceError(
                f"{key}: {bad} of {rows} rows of {file} are rejected: {worst}; "
                "upstream's schema may have changed: compare the file with stages/sources/"
                f"{key}.py, or raise sources.{key}.max_reject_share in params.yaml"
            )


def _collect_rejects(done: list[Done], quarantine: Path, account: Ledger) -> None:
    with quarantine.open("wb") as out:
        for unit in done:
            account.rows_in += unit.rows
            account.rejected += unit.rejected
            out.write(unit.task.spill.with_suffix(".jsonl").read_bytes())


# --- second pass: ids, and what needs several rows --------------------------------------------------------


class Some(NamedTuple):
    """Units side by side; the place of their first row among all, the places (from that row) and numbers of the rows
    that equal earlier ones, and what becomes of their rows where the source gathers these."""

    spills: list[Path]
    row: int
    places: np.ndarray
    numbers: np.ndarray
    fates: np.ndarray | None


class Made(NamedTuple):
    """The records of some units as a Parquet file beside their spills, their rows, and what was rejected."""

    part: Path
    rows: int
    rejected: Counter[str]


def _second_pass(made: Iterable[Made], records: Path, quarantine: Path, account: Ledger) -> None:
    """Write the records of all units; a row that others before it equal has the id of its number."""
    table = Splice(records, record.SCHEMA)
    with quarantine.open("ab") as rejects:
        for some in made:
            table.add(some.part)
            some.part.unlink()
            account.rows_out += some.rows
            if some.rejected:
                account.rejected += some.rejected
                rejects.write(some.part.with_suffix(".left").read_bytes())
    table.close()


def _some(spills: list[Path], places: np.ndarray, numbers: np.ndarray, fates: PlaceSpill | None) -> Iterator[Some]:
    """All units, so many at a time that they fill a row group."""
    first = row = rows = 0
    for place, path in enumerate(spills, 1):
        rows += path.with_suffix(".keys").stat().st_size // KEY.itemsize
        if rows - row >= ROWS or place == len(spills):
            start, stop = np.searchsorted(places, [row, rows])
            own = fates.take(rows) if fates else None
            yield Some(spills[first:place], row, places[start:stop] - row, numbers[start:stop], own)
            first, row = place, rows


def _drafts(some: Some) -> Iterator[tuple[pa.RecordBatch, np.ndarray, int, np.ndarray]]:
    """What the first pass spilled of some units: batches, their identities, the place of their first row and the
    numbers of their rows among equal ones."""
    place = 0
    for path in some.spills:
        with path.with_suffix(".keys").open("rb") as keys:
            for batch in read_stream(path):
                own = _number_of((some.places, some.numbers), place, len(batch))
                yield batch, np.fromfile(keys, KEY, len(batch)), some.row + place, own
                place += len(batch)


def _renumbered(key: str, some: Some) -> Made:
    """The records of some units."""
    part, rows = some.spills[0].with_suffix(".parquet"), 0
    with renamed(part) as out:
        sink = ParquetSink(out, record.SCHEMA)
        for batch, identity, _, own in _drafts(some):
            again = np.flatnonzero(own)
            if len(again):
                ids = _ids(key, identity[again], own[again])
                mask = pa.array(own > 0)
                batch = batch.set_column(0, record.SCHEMA.field("id"), pc.replace_with_mask(batch["id"], mask, ids))
            sink.write(batch)
            rows += len(batch)
        sink.close()
    return Made(part, rows, Counter())


# --- a source that makes records of several rows -----------------------------------------------------------


def _fates(each: Each, key: str, source: Source, spills: list[Path], folder: Path) -> PlaceSpill:
    """What the source says becomes of each row."""
    module = sources.load(key)
    counts = [path.with_suffix(".keys").stat().st_size // KEY.itemsize for path in spills]

    def entries() -> Iterator[np.ndarray]:
        place = 0
        for unit, (path, count) in enumerate(zip(spills, counts, strict=True)):
            found = np.fromfile(path.with_suffix(".index"), module.INDEX)
            found["unit"], found["place"] = unit, np.arange(place, place + count)
            yield found
            place += count

    return module.gather(entries(), sum(counts), folder, source, each)


def _gathered(key: str, source: Source, receipt: dict[str, Any], spills: list[Path], some: Some) -> Made:
    """The records that the source makes of the drafts of some units; those of no record are left for the quarantine."""
    module, texts = sources.load(key), [path.with_suffix(".texts") for path in spills].__getitem__
    part, rows, rejected = some.spills[0].with_suffix(".parquet"), 0, Counter[str]()
    with (
        renamed(part) as out,
        renamed(part.with_suffix(".left")) as lines,
        lines.open("wb") as rejects,
    ):
        sink = ParquetSink(out, record.SCHEMA)
        for batch, identity, place, own in _drafts(some):
            assert some.fates is not None
            start, stop = np.searchsorted(some.fates["place"], [place, place + len(batch)])
            drafts = module.render(batch, place, some.fates[start:stop], texts)
            bad = pc.is_valid(drafts["reject"])
            made = _records(key, source, receipt, drafts, identity, own)
            if pc.any(bad).as_py():
                rejects.write(_gathered_out(key, receipt, drafts.filter(bad), rejected))
                made = made.filter(pc.invert(bad))
            sink.write(made)
            rows += len(made)
        sink.close()
    return Made(part, rows, rejected)


def _numbers(spills: list[Path], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Places and numbers of the rows that are not the first of their identity; all others have number 0."""
    spill, place = KeySpill(folder, KEY), 0
    for path in spills:
        identity = np.fromfile(path.with_suffix(".keys"), KEY)
        identity["place"] = np.arange(place, place + len(identity))
        place += len(identity)
        spill.add(identity)
    places, numbers = [], []
    for part in spill.partitions():
        number = np.arange(len(part)) - run_starts(part, ("hi", "lo"))
        places.append(part["place"][number > 0])
        numbers.append(number[number > 0])
    all_places = np.concatenate(places) if places else np.empty(0, np.int64)
    order = np.argsort(all_places)
    return all_places[order], (np.concatenate(numbers) if numbers else np.empty(0, np.int64))[order]


def _number_of(numbers: tuple[np.ndarray, np.ndarray], place: int, count: int) -> np.ndarray:
    start, stop = np.searchsorted(numbers[0], [place, place + count])
    result = np.zeros(count, np.int64)
    result[numbers[0][start:stop] - place] = numbers[1][start:stop]
    return result


def _records(
    key: str, source: Source, receipt: dict[str, Any], drafts: pa.RecordBatch, identity: np.ndarray, numbers: np.ndarray
) -> pa.RecordBatch:
    count = len(drafts)
    columns = {name: drafts[name] for name in record.SCHEMA.names if name in sources.DRAFT.names}
    columns |= {
        "id": _ids(key, identity, numbers),
        "source": pa.repeat(key, count),
        "license": pa.repeat(source.license, count),
        "group": _groups(sources.load(key).GROUP, drafts["group"]),
        "origin": _origin(source, receipt, drafts),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in record.SCHEMA.names], schema=record.SCHEMA)


def _ids(key: str, identity: np.ndarray, numbers: np.ndarray) -> pa.StringArray:
    """The id of each row: hash of the source, the row's identity and its number among equal ones."""
    names = zip(hexes(identity), numbers.tolist(), strict=True)
    hashed = hash128(pa.array([f"{key}/{name}/{number}" for name, number in names], pa.string()))
    return pa.array(hexes(hashed), pa.string())


def _groups(kind: str, texts: pa.StringArray) -> pa.Array:
    """`kind:hash` of the folded text; of the NFKC text where nothing is left by folding (emoji only)."""
    folded = text.fold_or_nfkc(texts)
    return pa.array([f"{kind}:{name}" for name in hexes(hash128(folded))], pa.string())


def _origin(source: Source, receipt: dict[str, Any], drafts: pa.RecordBatch) -> pa.Array:
    files = pa.array([entry["file"] for entry in receipt["files"]], pa.string())
    hashes = pa.array([entry["sha256"] for entry in receipt["files"]], pa.string())
    columns = {
        "dataset": pa.repeat(source.dataset, len(drafts)),
        "revision": pa.repeat(pa.scalar(receipt["revision"], pa.string()), len(drafts)),
        "file": files.take(drafts["file"]),
        "sha256": hashes.take(drafts["file"]),
        "row": drafts["row"],
        "key": drafts["key"],
        "meta": drafts["meta"],
        "edits": drafts["edits"],
    }
    return pa.StructArray.from_arrays([columns[field.name] for field in record.ORIGIN], fields=list(record.ORIGIN))


def _gathered_out(key: str, receipt: dict[str, Any], drafts: pa.RecordBatch, rejected: Counter[str]) -> bytes:
    """Quarantine lines for the drafts that the source put into other rows, or left out."""
    lines = []
    for row in drafts.to_pylist():
        rejected[row["reject"]] += 1
        file = receipt["files"][row["file"]]["file"]
        raw = orjson.dumps({"input": row["input"], "response": row["response"], "meta": row["meta"]}).decode()
        lines.append(_quarantined(key, file, [readers.Fault(row["row"], row["reject"], row["message"], raw)]))
    return b"".join(lines)


if __name__ == "__main__":
    errors.run(main)
