"""JSON arrays and JSON Lines."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import pyarrow as pa

from stages.errors import SourceError
from stages.readers.rows import BYTES, CHUNK, LONGEST, RAW_JSON, ROWS, Fault, Read, Unit, check_columns, shown

FEW = 8  # rows; so many are decoded one by one where one of them is none
_MARK = b"\xef\xbb\xbf"  # a byte order mark


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
    return file.read(4096).removeprefix(_MARK).lstrip()[:1] == b"["


def read(unit: Unit, schema: pa.Schema, label: str) -> Iterator[Read]:
    decoder = _Decoder(schema)
    with unit.path.open("rb") as file:
        if unit.start == 0:
            _check_keys(_stretches(file, unit, label), schema, label)
        batch = _Batch(decoder)
        for texts in _stretches(file, unit, label):
            rest: _Texts | Fault | None = texts
            while rest:
                rest = batch.add(rest)
                if batch.full():
                    yield batch.read()
                    batch = _Batch(decoder)
        if batch.count():
            yield batch.read()


@dataclass(frozen=True, eq=False)
class _Texts:
    """Rows that stand one after another, each parted from the next by one line feed, not decoded yet."""

    row: int  # number of the first
    whole: bytes
    starts: np.ndarray  # int64: where each row starts in `whole`...
    stops: np.ndarray  # ... and stops, a line with its line feed

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, part: slice) -> _Texts:
        first = part.indices(len(self))[0]
        return _Texts(self.row + first, self.whole, self.starts[part], self.stops[part])

    def each(self) -> Iterator[tuple[int, bytes]]:
        """Each row by its number; blank lines are no rows."""
        for number, (start, stop) in enumerate(zip(self.starts.tolist(), self.stops.tolist(), strict=True), self.row):
            text = self.whole[start:stop]
            if text.strip():
                yield number, text


class _Batch:
    """Decodes rows up to the bounds of a batch."""

    def __init__(self, decoder: _Decoder) -> None:
        self._decoder = decoder
        self._numbers: list[int] = []
        self._rows: list[Any] = []
        self._faults: list[Fault] = []
        self._size = 0

    def count(self) -> int:
        return len(self._rows) + len(self._faults)

    def full(self) -> bool:
        return self.count() >= ROWS or self._size >= BYTES

    def add(self, texts: _Texts | Fault) -> _Texts | None:
        """Add what there is room for, at least one; return what is left."""
        if isinstance(texts, Fault):
            self._faults.append(texts)
            return None
        room = texts[: ROWS - self.count()]
        sizes = np.cumsum(room.stops - room.starts)
        some = room[: int(np.searchsorted(sizes, BYTES - self._size)) + 1]
        self._decode(some)
        return texts[len(some) :]

    def _decode(self, texts: _Texts) -> None:
        rows = self._decoder.together(texts)
        if rows is not None:
            self._numbers += range(texts.row, texts.row + len(texts))
            self._rows += rows
            self._size += int((texts.stops - texts.starts).sum())
        elif len(texts) > FEW:
            half = len(texts) // 2
            self._decode(texts[:half])
            self._decode(texts[half:])
        else:
            self._add_each(texts)

    def _add_each(self, texts: _Texts) -> None:
        for number, text in texts.each():
            self._size += len(text)
            row = self._decoder.one(number, text)
            if isinstance(row, Fault):
                self._faults.append(row)
            else:
                self._numbers.append(number)
                self._rows.append(row)

    def read(self) -> Read:
        rows, self._rows = self._rows, []  # whoever reads the batch works while this waits
        fields = enumerate(self._decoder.schema)
        columns = [_array(list(map(attrgetter(f"f{at}"), rows)), field.type) for at, field in fields]
        return Read(self._numbers, pa.RecordBatch.from_arrays(columns, schema=self._decoder.schema), self._faults)


_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Decoder:
    """JSON texts to structs with members f0, f1 ..., by the fields of a schema."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._json: Any = msgspec.json.Decoder(_struct("Row", schema, gc=False))
        self._raw = [f"f{at}" for at, field in enumerate(schema) if field.metadata == RAW_JSON.metadata]

    def one(self, number: int, text: bytes) -> Any:
        """The row of a text, or the Fault that it is."""
        try:
            row = self._json.decode(text)
            self._decode_raw(row)
        except _BROKEN as error:
            return _json_fault(number, text, error)
        return row

    def together(self, texts: _Texts) -> list[Any] | None:
        """The rows of all texts, or None where one of them may be none.

        No JSON string holds a line feed, and no JSON value one with a closing brace before and an opening one after.
        So those between the texts part values, and as many values as texts are one in each.
        """
        data = np.frombuffer(texts.whole, np.uint8)
        if (data[texts.starts] != ord("{")).any() or (data[texts.starts[1:] - 2] != ord("}")).any():
            return None
        try:
            rows = self._json.decode_lines(memoryview(texts.whole)[texts.starts[0] : texts.stops[-1]])
            for row in rows if self._raw else ():
                self._decode_raw(row)
        except _BROKEN:
            return None
        return rows if len(rows) == len(texts) else None

    def _decode_raw(self, row: Any) -> None:
        for name in self._raw:
            setattr(row, name, bytes(getattr(row, name)).decode())


def _stretches(file: BinaryIO, unit: Unit, label: str) -> Iterator[_Texts | Fault]:
    """The texts of a unit's rows, about `CHUNK` bytes at a time."""
    return _item_stretches(file, unit, label) if is_array(file) else _line_stretches(file, unit)


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


def _line_stretches(file: BinaryIO, unit: Unit) -> Iterator[_Texts | Fault]:
    at, row = file.seek(unit.start), unit.row
    while unit.stop is None or at < unit.stop:
        size = min(CHUNK, LONGEST)
        chunk = file.read(size if unit.stop is None else min(size, unit.stop - at))
        lines = chunk[: chunk.rfind(b"\n") + 1]
        file.seek(at + len(lines))
        if not lines:  # the last one, or one that is longer than a chunk
            lines = file.readline(LONGEST)
        if not lines:
            return
        at += len(lines)
        if len(lines) == LONGEST and not lines.endswith(b"\n"):
            further = _skip_line(file)
            at += further
            yield _overlong(row, lines, further)
            row += 1
            continue
        texts = _lines(row, lines)
        yield texts
        row += len(texts)


def _lines(row: int, lines: bytes) -> _Texts:
    """Whole lines as texts; the last of a file may lack its line feed."""
    lines = lines.removeprefix(_MARK) if row == 0 else lines
    stops = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n")) + 1
    if lines and not lines.endswith(b"\n"):
        stops = np.append(stops, len(lines))
    return _Texts(row, lines, np.concatenate([[0], stops])[:-1], stops)


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
    """Places of objects in a JSON array, and their numbers, up to where it cannot be read: reading it tells why."""
    row, count = 0, 1
    with contextlib.suppress(SourceError):
        for places, items in _array_items(file, "", Unit(Path())):
            if places[-1] >= size * count:
                for number, (at, text) in enumerate(zip(places, items, strict=True), row):
                    if at >= size * count and text.startswith(b"{"):
                        yield at, number
                        count += 1
            row += len(items)


def _item_stretches(file: BinaryIO, unit: Unit, label: str) -> Iterator[_Texts]:
    row, size, items = unit.row, 0, list[bytes]()
    for _, some in _array_items(file, label, unit):
        items += some
        size += sum(map(len, some))
        if size >= CHUNK:
            yield _items(row, items)
            row, size, items = row + len(items), 0, []
    if items:
        yield _items(row, items)


def _items(row: int, items: list[bytes]) -> _Texts:
    sizes = np.fromiter(map(len, items), np.int64, len(items))
    starts = np.cumsum(sizes + 1) - sizes - 1
    return _Texts(row, b"\n".join(items), starts, starts + sizes)


Items = tuple[list[int], list[bytes]]  # of an array, at least one: their places in the file, and their texts


def _array_items(file: BinaryIO, label: str, unit: Unit) -> Iterator[Items]:
    """The items of a unit of a JSON array, some at a time, streamed; also those that are no objects."""
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
            places, texts = _whole_objects(buffer)
            if texts:
                at = start = places[-1] + len(texts[-1])
                yield [base + place for place in places], texts
        while True:
            while depth == 1 and at == start and (item := _FLAT.match(buffer, at)):
                at = start = item.end()
                yield [base + item.start(1)], [item[1]]
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
                    yield [base + start], [buffer[start:at]]
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


def _whole_objects(buffer: bytes) -> Items:
    """The objects that a stretch of an array begins with: as many as one look can tell, none where it cannot.

    Where everything up to a brace decodes as items of an array, the last item ends there: no string is open. That
    is ten times faster than to look for every quote.
    """
    stop = len(buffer)
    for _ in range(GUESSES):
        stop = buffer.rfind(b"}", 0, stop)
        if stop < 0:
            break
        if buffer[stop + 1 : stop + 64].lstrip()[:1] not in (b",", b"]"):
            continue
        try:
            items = list(map(bytes, _ITEMS.decode(b"[%b]" % buffer[: stop + 1].lstrip(b", \t\r\n"))))
        except _BROKEN:
            continue
        if all(map(bytes.startswith, items, itertools.repeat(b"{"))):
            return _places(buffer, items), items
        break
    return [], []


def _places(buffer: bytes, objects: list[bytes]) -> list[int]:
    places, at = [], 0
    for item in objects:
        at = buffer.index(b"{", at)
        places.append(at)
        at += len(item)
    return places


def _next_token(buffer: bytes, at: int, last: bool) -> re.Match[bytes] | None:
    token = _TOKEN.search(buffer, at)
    # An opening quote without its end, before the token found: the string goes on in the next chunk.
    quote = buffer.find(b'"', at, token.start() if token else len(buffer))
    return None if quote >= 0 and not last else token


def _strays(at: int, text: bytes) -> Iterator[Items]:
    yield from (([at], [piece]) for piece in text.split(b",") if piece.strip())


def _check_keys(stretches: Iterable[_Texts | Fault], schema: pa.Schema, label: str) -> None:
    """Look at the first rows before any is read: a column that none of them has is a changed schema."""
    texts = (text for some in stretches if isinstance(some, _Texts) for _, text in some.each())
    keys = [set(row) for text in itertools.islice(texts, 100) if (row := _object(text)) is not None]
    if keys:
        check_columns(set().union(*keys), schema, label)


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except _BROKEN:
        return None
    return value if isinstance(value, dict) else None
