"""Whether what normalize made of a mutated file is right, judged by the standard library's readers alone."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.params import Source
from stages.sources import Module

LIGHT = {"newlines", "controls", "edges", "nfc", "strip"}  # repairs that keep every letter


@dataclass
class Seen:
    """What a build of one source left: records by file and row, rejects, the account."""

    records: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    account: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, key: str) -> Seen:
        from stages.storage import read_batches

        batches = read_batches(folder / f"data/normalized/{key}.parquet")
        records = [row for batch in batches for row in batch.to_pylist()]
        lines = (folder / f"data/quarantine/{key}.jsonl").read_bytes().split(b"\n")
        account = json.loads((folder / f"data/ledger/normalize/{key}.json").read_bytes())
        return cls(records, [json.loads(line) for line in lines if line], account)


@dataclass
class Upstream:
    """A file as the standard library reads it: row number to its columns; `whole` if it was readable to its end."""

    rows: dict[int, dict[str, Any] | None] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)  # a reader may take them or leave them
    whole: bool = True
    text: str = ""


DOUBTFUL: dict[str, Any] = {}  # keys twice, names that no UTF-8 can hold, numbers of thousands of digits


@functools.cache
def upstream(data: bytes, kind: str) -> Upstream:
    """What the standard library makes of a file."""
    read = {"csv": _csv, "array": _array, "lines": _lines}[kind]
    found = Upstream(text=data.decode("utf-8", "replace"))
    try:
        for number, row in read(data):
            found.rows[number] = None if row is DOUBTFUL else row
            if row is DOUBTFUL:
                found.doubtful.add(number)
    except (ValueError, RecursionError, csv.Error):
        found.whole = False
    return found


def _csv(data: bytes) -> Iterator[tuple[int, dict[str, Any] | None]]:
    csv.field_size_limit(64 << 20)  # past it, quotes are anybody's guess
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline=""))
    header = next(reader, [])
    for number, row in enumerate(reader):
        good = len(row) == len(header) and _clean(row)
        yield number, dict(zip(reversed(header), reversed(row), strict=True)) if good else None  # the first name wins


def _lines(data: bytes) -> Iterator[tuple[int, dict[str, Any] | None]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n")):
        if line.strip():
            yield number, _object(line)


def _array(data: bytes) -> Iterator[tuple[int, dict[str, Any] | None]]:
    if len(data) > 64 << 20:
        raise ValueError("longer than a row may be")
    for number, row in enumerate(_loads(data.decode("utf-8-sig"))):
        yield number, _judged(row)


def _object(line: bytes) -> dict[str, Any] | None:
    if len(line) > 64 << 20:
        return None
    try:
        return _judged(_loads(line.decode()))
    except UnicodeDecodeError:
        return DOUBTFUL  # the bad bytes may stand in a column that nobody reads
    except (ValueError, RecursionError):
        return DOUBTFUL if re.search(rb"\d{4000}", line) else None


def _judged(row: Any) -> dict[str, Any] | None:
    if not isinstance(row, dict):
        return None
    if any(TWICE in here or any(map(SURROGATE.search, here)) for here in _objects(row)):
        return DOUBTFUL
    return row if _clean(row) else None


TWICE = "\0twice"
SURROGATE = re.compile("[\ud800-\udfff]")


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_pairs)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs) if len({name for name, _ in pairs}) == len(pairs) else {**dict(pairs), TWICE: None}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    pending = [value]
    while pending:
        here = pending.pop()
        if isinstance(here, dict):
            yield here
        pending += here.values() if isinstance(here, dict) else here if isinstance(here, list) else []


def _clean(value: Any) -> bool:
    return not any(map(SURROGATE.search, texts(value)))


def texts(value: Any) -> list[str]:
    """All texts and numbers of a row, in order."""
    found: list[str] = []
    pending = [value]
    while pending:  # not recursive: rows may be deep
        here = pending.pop()
        if isinstance(here, dict):
            pending += reversed(here.values())
        elif isinstance(here, list):
            pending += reversed(here)
        elif here is not None:
            found.append(here if isinstance(here, str) else json.dumps(here))
    return found


@functools.cache
def letters(text: str) -> str:
    """A text without what repairs and layout may change."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def wrong(
    seen: Seen, before: Seen, data: bytes, was: bytes, file: str, kind: str, module: Module, source: Source
) -> str:
    """What is wrong with the outcome of a file that was mutated from `was`, or nothing."""
    now, old = upstream(data, kind), upstream(was, kind)
    return (
        _unaccounted(seen, now, file, kind, hasattr(module, "gather"))
        or _invented(seen, now, file, source, hasattr(module, "gather"))
        or ("" if hasattr(module, "gather") else _changed(seen, before, now, old, file, module, source))
    )


def _unaccounted(seen: Seen, now: Upstream, file: str, kind: str, gathers: bool) -> str:
    """Rows in = records + rejects, and as many rows as the standard library sees."""
    account = seen.account
    rejected = Counter(reject["reason"] for reject in seen.rejects)
    if account["in"] != account["out"] + sum(account["rejected"].values()) + account["duplicates"]:
        return f"the account does not add up: {account}"
    if dict(rejected) != account["rejected"]:
        return f"quarantine {dict(rejected)} is not the account's {account['rejected']}"
    if account["out"] != len(seen.records):
        return f"{len(seen.records)} records, {account['out']} in the account"
    if any(not reject["message"] or not reject["file"] for reject in seen.rejects):
        return "a reject without its message or file"
    here = [r["origin"]["row"] for r in seen.records if r["origin"]["file"] == file]
    rows = [*here, *(r["row"] for r in seen.rejects if r["file"] == file)]
    if len(rows) != len(set(rows)):
        return "a row became two"
    if now.whole and (kind != "csv") and not gathers and set(rows) != set(now.rows):
        return f"rows {sorted(set(rows) ^ set(now.rows))[:5]} are lost or made up"
    return ""


def _invented(seen: Seen, now: Upstream, file: str, source: Source, gathers: bool) -> str:
    """Each text of a record stands in its row, letter by letter, where no repair changed letters."""
    labels = {letters(label) for label in (source.labels or {}).values()}
    whole: str | None = None
    for record in seen.records:
        if record["origin"]["file"] != file or not set(record["origin"]["edits"]) <= LIGHT:
            continue
        row = now.rows.get(record["origin"]["row"])
        if row is None and now.whole and not gathers and record["origin"]["row"] not in now.doubtful:
            return f"row {record['origin']['row']} is no row to the standard library, but became a record"
        if row is None or gathers:
            whole = whole or letters(now.text)
        home = whole if row is None or gathers else letters("".join(texts(row)))
        turns = [turn["content"] for turn in record["turns"] or []]
        for text in (record["input"], record["response"], record["rejected_response"], record["system"], *turns):
            if text and (found := letters(text)) not in (home or "") and found not in labels and "\\" not in now.text:
                return f"row {record['origin']['row']}: a text that its row does not hold: {text[:60]!r}"
    return ""


CONTENT = ("input", "response", "rejected_response", "type", "tags", "system", "turns", "license", "source")


def _changed(seen: Seen, before: Seen, now: Upstream, old: Upstream, file: str, module: Module, source: Source) -> str:
    """A row that is what it was becomes the record that it was, and stays one."""
    names = list(module.raw(source).names)
    made = {r["origin"]["row"]: r for r in before.records if r["origin"]["file"] == file}
    known = {_key(row, names): made.get(number) for number, row in old.rows.items()}
    here = {r["origin"]["row"]: r for r in seen.records if r["origin"]["file"] == file}
    if not now.whole:
        return ""
    for number, row in now.rows.items():
        if row is None or (key := _key(row, names)) not in known:
            continue
        then, record = known[key], here.get(number)
        if (then is None) != (record is None):
            return f"row {number} is as it was, but {'became a record' if record else 'is no record any more'}"
        if then and record and any(then[name] != record[name] for name in CONTENT):
            return f"row {number} is as it was, but its record differs"
    return ""


def _key(row: dict[str, Any] | None, names: list[str]) -> str:
    return json.dumps([row.get(name) for name in names] if row is not None else None, sort_keys=True)


# Mutations that touch a file in few places: how many records that were not there before they may make, at most. A value
# put into a quoted cell of several lines ends it: lines of it that have the right number of commas are rows then; rows
# that are repeated make pairs anew.
FEW = {"flipped": 100, "truncated": 3, "zeros": 3, "hole": 2, "inserted": 2, "noise": 2, "repeated": 130, "nested": 4}


def too_many(seen: Seen, before: Seen, mutation: str, file: str) -> str:
    """Records of other content than any before, where one spoilt place can have changed one or two."""
    known = {json.dumps([record[name] for name in CONTENT]) for record in before.records}
    fresh = [r for r in seen.records if json.dumps([r[name] for name in CONTENT]) not in known]
    if len(fresh) > FEW.get(mutation, len(fresh)):
        return f"{len(fresh)} records are new, as {fresh[-1]['input'][:80]!r}"
    return ""
