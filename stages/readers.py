"""Upstream files as batches of typed rows; what cannot be a row becomes a Fault with its reason.

JSON and JSON Lines are told apart by content, not by suffix. Files are streamed: a batch ends after
`ROWS` rows or `BYTES` bytes, and no reader holds more than one batch and one row.
"""

from __future__ import annotations

import csv
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import pyarrow as pa

from stages.errors import SourceError

ROWS, BYTES = 2048, 8 << 20
LONGEST = 64 << 20  # bytes of one row; a longer one is a fault, and is never held whole
CHUNK = 1 << 20
RAW_SHOWN = 2000  # characters of an unreadable row that the quarantine keeps

RAW_JSON = pa.field("raw", pa.string(), metadata={"json": "raw"})  # a column that keeps its JSON text as it stands


class Fault(NamedTuple):
    """A row that cannot be read: its number in the file, a reason code, a sentence, and the row as text."""

    row: int
    reason: str
    message: str
    raw: str


@dataclass(frozen=True)
class Unit:
    """A part of a file that is read on its own: cut by data, never by worker count."""

    path: Path
    start: int = 0
    stop: int | None = None
    row: int = 0  # number of the first row


class Read(NamedTuple):
    """One batch: the rows' numbers in the file (JSON Lines: of the line), their columns, and the faults among them."""

    numbers: list[int]
    columns: pa.RecordBatch
    faults: list[Fault]


def is_csv(file: str) -> bool:
    """Whether an upstream file is read as CSV; anything else is JSON or JSON Lines."""
    return file.lower().endswith(".csv")


def units(path: Path, size: int = 64 << 20) -> list[Unit]:
    """Cut a JSON Lines file at line ends near every `size` bytes; other files are one unit."""
    total = path.stat().st_size
    with path.open("rb") as file:
        if is_csv(path.name) or total <= size or _is_array(file):
            return [Unit(path)]
        cuts = [0]
        for near in range(size, total, size):
            file.seek(near - 1)
            file.readline()
            if cuts[-1] < file.tell() < total:
                cuts.append(file.tell())
        bounds = list(itertools.pairwise([*cuts, total]))
        rows = itertools.accumulate((_count_lines(file, start, stop) for start, stop in bounds), initial=0)
        return [Unit(path, start, stop, row) for (start, stop), row in zip(bounds, rows, strict=False)]


def _count_lines(file: BinaryIO, start: int, stop: int) -> int:
    file.seek(start)
    count = 0
    while start < stop and (chunk := file.read(min(CHUNK, stop - start))):
        count += chunk.count(b"\n")
        start += len(chunk)
    return count


def read(unit: Unit, schema: pa.Schema, label: str) -> Iterator[Read]:
    """Stream the rows of a unit as batches in `schema`; `label` names the file in errors.

    Raises SourceError for a file that is no JSON, JSON Lines or CSV of these columns.
    """
    rows = _csv_rows(unit, schema, label) if is_csv(unit.path.name) else _json_rows(unit, schema, label)
    while True:
        numbers: list[int] = []
        values: list[Any] = []
        faults: list[Fault] = []
        size = 0
        for row in rows:
            if isinstance(row, Fault):
                faults.append(row)
                size += len(row.raw)
            else:
                number, value, weight = row
                numbers.append(number)
                values.append(value)
                size += weight
            if len(numbers) + len(faults) >= ROWS or size >= BYTES:
                break
        if not numbers and not faults:
            return
        yield Read(numbers, _columns(values, schema), faults)


def _columns(values: list[Any], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*values, strict=True) if values else ([] for _ in schema)
    return pa.RecordBatch.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
    )


# --- JSON --------------------------------------------------------------------------------------------


def _is_array(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def _json_rows(unit: Unit, schema: pa.Schema, label: str) -> Iterator[Any]:
    decode, names = _decoder(schema), schema.names
    raw_columns = [i for i, field in enumerate(schema) if field.metadata == RAW_JSON.metadata]
    nested = [i for i, field in enumerate(schema) if pa.types.is_nested(field.type)]
    with unit.path.open("rb") as file:
        texts = enumerate(_array_items(file, label)) if unit.start == 0 and _is_array(file) else _lines(file, unit)
        texts = _checked_keys(texts, schema, label) if unit.start == 0 else texts
        for number, text in texts:
            if isinstance(text, Fault):
                yield text
                continue
            try:
                row = decode(text)
                values = [getattr(row, name) for name in names]
                for i in raw_columns:
                    values[i] = bytes(values[i]).decode()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield _json_fault(number, text, error)
                continue
            for i in nested:
                values[i] = msgspec.to_builtins(values[i])
            yield number, values, len(text)


def _decoder(schema: pa.Schema) -> Any:
    row = msgspec.defstruct("Row", [_member(field) for field in schema], rename=None)
    return msgspec.json.Decoder(row).decode


def _member(field: pa.Field) -> Any:
    if field.metadata == RAW_JSON.metadata:
        return (field.name, msgspec.Raw, msgspec.Raw(b"null")) if field.nullable else (field.name, msgspec.Raw)
    kind = _python_type(field.type)
    return (field.name, kind | None, None) if field.nullable else (field.name, kind)


def _python_type(kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return str
    if pa.types.is_boolean(kind):
        return bool
    if pa.types.is_integer(kind):
        return int
    if pa.types.is_list(kind):
        return list[_python_type(kind.value_type)]  # type: ignore[misc]
    assert pa.types.is_struct(kind), kind
    return msgspec.defstruct("Item", [_member(kind.field(i)) for i in range(kind.num_fields)])


def _json_fault(number: int, text: bytes, error: Exception) -> Fault:
    message = str(error)
    if isinstance(error, UnicodeDecodeError) or "utf-8" in message.lower() or "surrogate" in message.lower():
        reason = "invalid_utf8"
    elif "missing required field" in message:
        reason = "missing_field"
    elif isinstance(error, msgspec.ValidationError):
        reason = "wrong_type"
    else:
        reason = "not_json"
    return Fault(number, reason, message, shown(text))


def shown(text: bytes) -> str:
    """An unreadable row as text: bytes that are no UTF-8 as \\xNN, long rows cut."""
    return text[:RAW_SHOWN].decode("utf-8", "backslashreplace") + ("…" if len(text) > RAW_SHOWN else "")


def _lines(file: BinaryIO, unit: Unit) -> Iterator[tuple[int, bytes | Fault]]:
    """The lines of a unit with their numbers; blank ones are no rows."""
    at = file.seek(unit.start)
    for number in itertools.count(unit.row):
        line = file.readline(LONGEST)
        if not line or (unit.stop is not None and at >= unit.stop):
            return
        if len(line) == LONGEST and not line.endswith(b"\n"):
            further = _skip_line(file)
            at += len(line) + further
            yield number, _overlong(number, line, further)
            continue
        at += len(line)
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if line.strip():
            yield number, line


def _skip_line(file: BinaryIO) -> int:
    skipped = 0
    while part := file.readline(CHUNK):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _overlong(number: int, start: bytes, further: int) -> Fault:
    return Fault(number, "too_long", f"the row has {len(start) + further} bytes, {LONGEST} are allowed", shown(start))


_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.S)


def _array_items(file: BinaryIO, label: str) -> Iterator[bytes]:
    """The items of one JSON array as texts, streamed. Items that are no objects come as they stand."""
    file.seek(0)
    buffer, at, depth, start = b"", 0, 0, 0
    while True:
        chunk = file.read(max(CHUNK, len(buffer) - start))  # doubling keeps a huge item linear
        buffer = buffer[start:] + chunk
        at, start = at - start, 0
        while token := _next_token(buffer, at, last=not chunk):
            at = token.end()
            mark = token.group()
            if mark in b"[{" and len(mark) == 1:
                if depth == 1:
                    yield from _strays(buffer[start : token.start()])
                    start = token.start()
                depth += 1
                if depth == 1:
                    start = at
            elif mark in b"]}" and len(mark) == 1:
                depth -= 1
                if depth == 1:
                    yield buffer[start:at]
                    start = at
                elif depth == 0:
                    yield from _strays(buffer[start : token.start()])
                    if (buffer[at:] + file.read(CHUNK)).strip():
                        raise SourceError(f"{label} has text after the end of its JSON array: download the file again")
                    return
        if not chunk:
            raise SourceError(f"{label} ends inside its JSON array (truncated): download the file again")
        if len(buffer) - start > LONGEST:
            raise SourceError(f"{label} has an item of more than {LONGEST} bytes in its JSON array: check the file")


def _next_token(buffer: bytes, at: int, last: bool) -> re.Match[bytes] | None:
    token = _TOKEN.search(buffer, at)
    # An opening quote without its end, before the token found: the string goes on in the next chunk.
    quote = buffer.find(b'"', at, token.start() if token else len(buffer))
    return None if quote >= 0 and not last else token


def _strays(text: bytes) -> Iterator[bytes]:
    yield from (piece for piece in text.split(b",") if piece.strip())


def _checked_keys(
    texts: Iterator[tuple[int, bytes | Fault]], schema: pa.Schema, label: str
) -> Iterator[tuple[int, bytes | Fault]]:
    """Look at the first rows before any is read: a column that none of them has is a changed schema."""
    head = list(itertools.islice(texts, 100))
    keys = [set(row) for _, text in head if (row := _object(text)) is not None]
    if keys:
        _check_columns(set().union(*keys), schema, label)
    return itertools.chain(head, texts)


def _object(text: bytes | Fault) -> dict[str, Any] | None:
    if isinstance(text, Fault):
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _check_columns(found: Iterable[str], schema: pa.Schema, label: str) -> None:
    found = set(found)
    missing = [field.name for field in schema if field.name not in found and not field.nullable]
    extra = sorted(found - set(schema.names))
    if missing:
        raise SourceError(
            f"{label} has no column {', '.join(map(repr, missing))} (it has {', '.join(map(repr, sorted(found)))}): "
            "upstream's schema changed or the file is another one; check it, or declare its columns in params.yaml"
        )
    if extra:
        print(f"note: {label} has further columns, which are left out: {', '.join(extra)}", file=sys.stderr)


# --- CSV ---------------------------------------------------------------------------------------------


def _csv_rows(unit: Unit, schema: pa.Schema, label: str) -> Iterator[Any]:
    csv.field_size_limit(LONGEST)
    # surrogateescape carries bytes that are no UTF-8 through the parser, to the row that they spoil
    with unit.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file)
        try:
            header = next(rows)
        except StopIteration:
            raise SourceError(f"{label} is empty: expected a CSV with the columns {', '.join(schema.names)}") from None
        except csv.Error as error:
            raise SourceError(f"{label} is no CSV ({error}): download the file again") from None
        _check_columns(header, schema, label)
        picks = [header.index(field.name) if field.name in header else None for field in schema]
        for number in itertools.count():
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield Fault(number, "too_long", f"{error} (an unclosed quote?)", "")
                continue
            yield _csv_row(number, row, len(header), picks)


def _csv_row(number: int, row: list[str], width: int, picks: list[int | None]) -> Any:
    text = "".join(row)
    if not text.isascii() and not _encodable(text):
        raw = ",".join(row).encode("utf-8", "surrogateescape")
        return Fault(number, "invalid_utf8", "the row holds bytes that are no UTF-8", shown(raw))
    if len(row) != width:
        return Fault(number, "wrong_columns", f"{len(row)} cells, expected {width}", shown(",".join(row).encode()))
    return number, [None if pick is None else row[pick] for pick in picks], len(text)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
