"""Where a row stands: in the records, in the merged table, and by its words in every file of the exports.

Exports are searched by content, whatever their form: each row's texts are folded and joined, so spacing, case,
templates and the parts that a format makes of a text do not hide it.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stages import deny, params, policy, text
from stages.errors import DamagedError
from stages.layout import EXPORTS, MERGED, MERGED_TABLE, NORMALIZED, SCREENED, SPLIT_TABLE
from stages.storage import aligned, read_batches

ROWS = 1024  # rows of an export that are folded at a time
LISTED = 20  # numbers of rows that are told of one file
SHORT = 32  # letters of a text that stands inside many others: then a whole text must end with it
END = "\ua66e"  # ends each text of a row: a letter, so folding leaves it, that nobody writes


@dataclass
class Record:
    """A record that was found, and what its texts look like after folding, as upstream gave them and redacted."""

    id: str
    source: str
    license: str
    file: str
    row: int
    why: str  # named, match, duplicate, denied
    texts: list[dict[str, str]] = field(default_factory=list)  # field -> folded text
    entries: set[str] = field(default_factory=set)  # for the deny list
    questions: set[str] = field(default_factory=set)  # entries that take out every row with its input


Wanted = Callable[[pa.RecordBatch], np.ndarray]  # which records of a batch, as bool


def records(wanted: Wanted, why: str) -> dict[str, Record]:
    """All records that `wanted` marks, by id."""
    settings = params.with_made(params.load("sources", "policy", "synthesize.license", "paraphrase.license"))
    found: dict[str, Record] = {}
    for key in params.ordered(settings):
        path, rules = NORMALIZED / f"{key}.parquet", policy.Rules(settings, key)
        if not path.exists():
            continue
        for rows, attributes in aligned(read_batches(path), read_batches(SCREENED / f"{key}.parquet")):
            marks = wanted(rows)
            if marks.any():
                mine = pa.array(marks)
                for one in _found(rows.filter(mine), attributes.filter(mine), rules, why):
                    found[one.id] = one
    return found


def _found(rows: pa.RecordBatch, attributes: pa.RecordBatch, rules: policy.Rules, why: str) -> Iterator[Record]:
    verdict = rules.judge(policy.findings(rows, attributes), len(rows))
    variants = [_folded(rows), _folded(policy.redacted(rows, attributes, rules, verdict))]
    entries = deny.entries(rows)
    for at, row in enumerate(rows.select(["id", "source", "license", "origin", "input"]).to_pylist()):
        made = Record(row["id"], row["source"], row["license"], row["origin"]["file"], row["origin"]["row"], why)
        for variant in variants:
            if variant[at] not in made.texts:
                made.texts.append(variant[at])
        made.entries.add(entries[at])
        if made.texts[0]["input"]:
            made.questions.add(deny.entry(row["input"]))
        yield made


def _folded(rows: pa.RecordBatch) -> list[dict[str, str]]:
    columns = {name: text.fold(rows[name].fill_null("")).to_pylist() for name in deny.TEXTS}
    return [{name: columns[name][at] for name in columns} for at in range(len(rows))]


def by_ids(ids: Collection[str]) -> Wanted:
    """Records with one of these ids."""
    known = pa.array(sorted(ids), pa.string())
    return lambda rows: pc.is_in(rows["id"], value_set=known).to_numpy(zero_copy_only=False)


def by_text(folded: str) -> Wanted:
    """Records one of whose texts holds a folded text."""

    def wanted(rows: pa.RecordBatch) -> np.ndarray:
        marks = np.zeros(len(rows), bool)
        for name in deny.TEXTS:
            marks |= _holds(rows[name].fill_null(""), folded)
        turns = rows["turns"]
        if turns.null_count < len(turns):
            parents = pc.list_parent_indices(turns).to_numpy()
            marks[parents[_holds(pc.struct_field(turns.flatten(), "content"), folded)]] = True
        return marks

    return wanted


def _holds(texts: pa.Array, folded: str) -> np.ndarray:
    return pc.match_substring(text.fold(texts), folded).to_numpy(zero_copy_only=False)


def by_list(hashes: frozenset[bytes]) -> Wanted:
    """Records that the deny list names."""
    return lambda rows: deny.denied(rows, hashes).to_numpy(zero_copy_only=False)


def duplicates(ids: Collection[str]) -> set[str]:
    """The ids that duplicates.parquet links with these, however far."""
    path, known = MERGED / "duplicates.parquet", set(ids)
    while path.exists():
        before = len(known)
        for rows in read_batches(path, ["id", "kept"]):
            values = pa.array(sorted(known), pa.string())
            linked = rows.filter(pc.or_(*(pc.is_in(rows[name], value_set=values) for name in ("id", "kept"))))
            known.update(linked["id"].to_pylist(), linked["kept"].to_pylist())
        if len(known) == before:
            break
    return known - set(ids)


# --- in the merged table ------------------------------------------------------------------------------------------


def sides(ids: Collection[str]) -> dict[str, str | None]:
    """Of these ids those in the merged table, each with its side."""
    wanted = by_ids(ids)
    found: dict[str, str | None] = {}
    if MERGED_TABLE.exists():
        for rows in read_batches(MERGED_TABLE, ["id"]):
            found |= dict.fromkeys(rows["id"].filter(pa.array(wanted(rows))).to_pylist())
    if SPLIT_TABLE.exists():
        for rows in read_batches(SPLIT_TABLE, ["id", "side"]):
            some = rows.filter(pa.array(wanted(rows)))
            found |= dict(zip(some["id"].to_pylist(), some["side"].to_pylist(), strict=True))
    return found


# --- in files, by content -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Needle:
    """Folded texts that a row holds all of, and to whom they belong."""

    id: str
    parts: tuple[str, ...]


def needles(found: Collection[Record], question: bool = False) -> list[Needle]:
    """A record is in a row that holds its question and one of its answers; or its question, where that must go."""
    made = {}
    for record in found:
        for texts in record.texts:
            answers = [texts[name] for name in ("response", "rejected_response") if texts[name] and not question]
            for answer in answers or [""]:
                parts = tuple(part for part in (texts["input"], answer) if part)
                if parts:
                    made[parts] = Needle(record.id, parts)
    return list(made.values())


@dataclass
class Hits:
    """Rows of one file that hold a needle."""

    path: str
    rows: int = 0  # that were looked at
    found: int = 0
    numbers: list[int] = field(default_factory=list)  # of the first ones, from 0
    ids: set[str] = field(default_factory=set)


def files() -> list[Path]:
    """Every file that a build hands on: the merged table in its forms, and all exports."""
    merged = [MERGED_TABLE.with_suffix(suffix) for suffix in (".parquet", ".json", ".csv")]
    exports = sorted(path for path in EXPORTS.rglob("*") if path.is_file()) if EXPORTS.exists() else []
    return [path for path in (*merged, *exports) if path.exists() and ".part" not in path.name]


def search(path: Path, wanted: list[Needle]) -> Hits:
    """Look for the needles in each row of a file."""
    hits, rows = Hits(path.as_posix()), _rows(path)
    while joined := list(islice(rows, ROWS)):
        ended = text.fold(pa.array([one.replace("\0", "") for one in joined], pa.string()))
        whole = pc.replace_substring(ended, END, "")
        marks = np.zeros(len(joined), bool)
        for needle in wanted:
            mine = np.ones(len(joined), bool)
            for part in needle.parts:
                found = pc.match_substring(whole, part) if len(part) >= SHORT else pc.match_substring(ended, part + END)
                mine &= found.to_numpy(zero_copy_only=False)
            if mine.any():
                hits.ids.add(needle.id)
                marks |= mine
        hits.numbers += [hits.rows + at for at in np.flatnonzero(marks)[: LISTED - len(hits.numbers)].tolist()]
        hits.found += int(marks.sum())
        hits.rows += len(joined)
    return hits


def _rows(path: Path) -> Iterator[str]:
    """All texts of each row of a file as one text, each with END; a file of another kind is one row."""
    read = {".jsonl": _lines, ".json": _document, ".csv": _cells, ".parquet": _table, ".arrow": _stream}
    try:
        yield from read.get(path.suffix, _whole)(path)
    except (pa.ArrowInvalid, orjson.JSONDecodeError, csv.Error, UnicodeDecodeError) as error:
        raise DamagedError(path, str(error).splitlines()[0]) from None


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as lines:
        for line in lines:
            yield _joined(orjson.loads(line))


def _document(path: Path) -> Iterator[str]:
    """Our arrays hold one row a line; another document is read as a whole."""
    with path.open("rb") as lines:
        if lines.readline().strip() == b"[":
            for line in lines:
                row = line.strip().removesuffix(b",")
                if row and row != b"]":
                    try:
                        yield _joined(orjson.loads(row))
                    except orjson.JSONDecodeError:
                        break
            else:
                return
    whole = orjson.loads(path.read_bytes() or b"null")
    yield from map(_joined, whole if isinstance(whole, list) else [whole])


def _cells(path: Path) -> Iterator[str]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8", newline="") as file:
        yield from map(_joined, csv.reader(file))


def _table(path: Path) -> Iterator[str]:
    for batch in read_batches(path):
        yield from map(_joined, batch.to_pylist())


def _stream(path: Path) -> Iterator[str]:
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield from map(_joined, batch.to_pylist())


def _whole(path: Path) -> Iterator[str]:
    yield path.read_text(encoding="utf-8", errors="replace") + END


def _joined(value: Any) -> str:
    """All texts inside a value, in their order."""
    if isinstance(value, str):
        return value + END
    if isinstance(value, dict):
        return "".join(map(_joined, value.values()))
    return "".join(map(_joined, value)) if isinstance(value, list) else ""
