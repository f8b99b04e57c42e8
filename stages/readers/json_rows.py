"""JSON arrays and JSON Lines."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa

from stages.errors import SourceError
from stages.readers.rows import BYTES, CHUNK, LONGEST, RAW_JSON, ROWS, Fault, Read, Unit, check_columns, shown


def line_cuts(file: BinaryIO, size: int, total: int) -> Iterator[tuple[int, int]]:
    """Places of line starts, and the numbers of their lines."""
    last = row = 0
    for near in range(size, total, size):
        file.seek(near - 1)
        file.readline()
        at = file.tell()
        if at > last:
            row += _count_lines(file, last, at)
            last = at
            yield at, row


def _count_lines(file: BinaryIO, start: int, stop: int) -> int:
    file.seek(start)
    count = 0
    while start < stop and (chunk := file.read(min(CHUNK, stop - start))):
        count += chunk.count(b"\n")
        start += len(chunk)
    return count


def is_array(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def read(unit: Unit, schema: pa.Schema, label: str) -> Iterator[Read]:
    decode = _decoder(schema)
    raw_columns = [f"f{at}" for at, field in enumerate(schema) if field.metadata == RAW_JSON.metadata]
    with unit.path.open("rb") as file:
        texts = _numbered(file, unit, label)
        texts = _checked_keys(texts, schema, label) if unit.start == 0 else texts
        while True:
            numbers: list[int] = []
            rows: list[Any] = []
            faults: list[Fault] = []
            size = 0
            for number, text in texts:
                fault = text if isinstance(text, Fault) else None
                if not isinstance(text, Fault):
                    size += len(text)
                    try:
                        row = decode(text)
                        for name in raw_columns:
                            setattr(row, name, bytes(getattr(row, name)).decode())
                    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                        fault = _json_fault(number, text, error)
                if fault is not None:
                    faults.append(fault)
                else:
                    numbers.append(number)
                    rows.append(row)
                if len(rows) + len(faults) >= ROWS or size >= BYTES:
                    break
            if not rows and not faults:
                return
            columns = [_array(list(map(attrgetter(f"f{at}"), rows)), field.type) for at, field in enumerate(schema)]
            yield Read(numbers, pa.RecordBatch.from_arrays(columns, schema=schema), faults)


def _numbered(file: BinaryIO, unit: Unit, label: str) -> Iterator[tuple[int, bytes | Fault]]:
    """The texts of a unit's rows, with their numbers in the file."""
    if is_array(file):
        return ((number, text) for number, (_, text) in enumerate(_array_items(file, label, unit), unit.row))
    return _lines(file, unit)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Decoded values as a column; lists of structs field by field."""
    if not pa.types.is_list(kind) or not pa.types.is_struct(kind.value_type):
        return pa.array(values, kind)
    ends = itertools.accumulate((0 if value is None else len(value) for value in values), initial=0)
    missing = pa.array([value is None for value in values], pa.bool_()) if None in values else None
    items = list(itertools.chain.from_iterable(value for value in values if value is not None))
    listed = [kind.value_type.field(at) for at in range(kind.value_type.num_fields)]
    fields = [_array(list(map(attrgetter(f"f{at}"), items)), field.type) for at, field in enumerate(listed)]
    structs = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), structs, type=kind, mask=missing)


def _decoder(schema: pa.Schema) -> Any:
    return msgspec.json.Decoder(_struct("Row", schema, gc=False)).decode


def _struct(name: str, fields: Iterable[pa.Field], *, gc: bool = True) -> Any:
    """A struct with members f0, f1 ...: a user's column may have any name, a member may not."""
    listed = list(fields)
    members = [(f"f{place}", *_member(field)[1:]) for place, field in enumerate(listed)]
    return msgspec.defstruct(
        name, members, gc=gc, rename={f"f{place}": field.name for place, field in enumerate(listed)}
    )


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
    return _struct("Item", [kind.field(i) for i in range(kind.num_fields)])


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
    return Fault(
        number, "too_long", f"the row has {len(start) + further} bytes, {LONGEST} are allowed", shown(start, further)
    )


_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(_STRING + rb"|[{}\[\]]", re.S)
_FLAT = re.compile(rb'[\s,]*+(\{[^"{}\[\]]*+(?:' + _STRING + rb'[^"{}\[\]]*+)*+\})', re.S)  # no object or list inside
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
GUESSES = 8  # braces that may end the last whole object of a buffer


def array_cuts(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Places of objects in a JSON array, and their numbers; none for an array that cannot be read to its end."""
    cuts: list[tuple[int, int]] = []
    try:
        for number, (at, text) in enumerate(_array_items(file, "", Unit(Path()))):
            if at >= size * (len(cuts) + 1) and text.startswith(b"{"):
                cuts.append((at, number))
    except SourceError:
        return  # reading it tells why
    yield from cuts


def _array_items(file: BinaryIO, label: str, unit: Unit) -> Iterator[tuple[int, bytes]]:
    """The items of a unit of a JSON array as texts with their places, streamed; also those that are no objects."""
    base = file.seek(unit.start)
    buffer, at, depth, start = b"", 0, int(unit.start > 0), 0
    while True:
        ahead = base + len(buffer)
        most = max(CHUNK, len(buffer) - start)  # doubling keeps a huge item linear
        chunk = file.read(most if unit.stop is None else min(most, unit.stop - ahead))
        buffer = buffer[start:] + chunk
        base, at, start = base + start, at - start, 0
        if depth:
            depth, at = 1, 0  # once more from where the item begins that the last chunk cut
            for place, text in _whole_objects(buffer):
                yield base + place, text
                at = start = place + len(text)
        while True:
            while depth == 1 and at == start and (item := _FLAT.match(buffer, at)):
                at = start = item.end()
                yield base + item.start(1), item[1]
            if not (token := _next_token(buffer, at, last=not chunk)):
                break
            at = token.end()
            mark = token.group()
            if mark in b"[{" and len(mark) == 1:
                if depth == 1:
                    yield from _strays(base + start, buffer[start : token.start()])
                    start = token.start()
                depth += 1
                if depth == 1:
                    start = at
            elif mark in b"]}" and len(mark) == 1:
                depth -= 1
                if depth == 1:
                    yield base + start, buffer[start:at]
                    start = at
                elif depth == 0:
                    yield from _strays(base + start, buffer[start : token.start()])
                    if (buffer[at:] + file.read(CHUNK)).strip():
                        raise SourceError(f"{label} has text after the end of its JSON array: download the file again")
                    return
        if not chunk and unit.stop is not None:
            yield from _strays(base + start, buffer[start:])
            return
        if not chunk:
            raise SourceError(f"{label} ends inside its JSON array (truncated): download the file again")
        if len(buffer) - start > LONGEST:
            raise SourceError(f"{label} has an item of more than {LONGEST} bytes in its JSON array: check the file")


def _whole_objects(buffer: bytes) -> Iterator[tuple[int, bytes]]:
    """The objects that a stretch of an array begins with, by place: as many as one look can tell, none where it cannot.

    Where everything up to a brace decodes as items of an array, the last item ends there: no string is open. That
    is ten times faster than to look for every quote.
    """
    stop = len(buffer)
    for _ in range(GUESSES):
        stop = buffer.rfind(b"}", 0, stop)
        if stop < 0:
            return
        if buffer[stop + 1 : stop + 64].lstrip()[:1] not in (b",", b"]"):
            continue
        try:
            items = [bytes(item) for item in _ITEMS.decode(b"[%b]" % buffer[: stop + 1].lstrip(b", \t\r\n"))]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if all(item.startswith(b"{") for item in items):
            at = 0
            for item in items:
                at = buffer.index(b"{", at)
                yield at, item
                at += len(item)
        return


def _next_token(buffer: bytes, at: int, last: bool) -> re.Match[bytes] | None:
    token = _TOKEN.search(buffer, at)
    # An opening quote without its end, before the token found: the string goes on in the next chunk.
    quote = buffer.find(b'"', at, token.start() if token else len(buffer))
    return None if quote >= 0 and not last else token


def _strays(at: int, text: bytes) -> Iterator[tuple[int, bytes]]:
    yield from ((at, piece) for piece in text.split(b",") if piece.strip())


def _checked_keys(
    texts: Iterator[tuple[int, bytes | Fault]], schema: pa.Schema, label: str
) -> Iterator[tuple[int, bytes | Fault]]:
    """Look at the first rows before any is read: a column that none of them has is a changed schema."""
    head = list(itertools.islice(texts, 100))
    keys = [set(row) for _, text in head if (row := _object(text)) is not None]
    if keys:
        check_columns(set().union(*keys), schema, label)
    return itertools.chain(head, texts)


def _object(text: bytes | Fault) -> dict[str, Any] | None:
    if isinstance(text, Fault):
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
