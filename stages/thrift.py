"""Thrift's compact protocol, as far as a Parquet footer needs it: bytes to fields by number, and back to the same.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)

Struct = dict[int, tuple[int, Any]]  # number of a field: its type and value; a list is its items' type and they


def read(data: bytes, at: int = 0) -> Struct:
    """The struct that begins at a place. Raises ValueError for a type that no footer holds, IndexError at an end."""
    return read_on(data, at)[0]


def _number(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    number, shift = byte & 127, 7
    while byte >= 128:
        at += 1
        byte = data[at]
        number |= (byte & 127) << shift
        shift += 7
    return number, at + 1


def _signed(data: bytes, at: int) -> tuple[int, int]:
    number, at = _number(data, at)
    return (number >> 1) ^ -(number & 1), at


def value(kind: int, data: bytes, at: int) -> tuple[Any, int]:
    """The value of a type that begins at a place, and where it ends."""
    if I16 <= kind <= I64:
        return _signed(data, at)
    if kind == STRUCT:
        return read_on(data, at)
    if kind == BINARY:
        size, at = _number(data, at)
        return data[at : at + size], at + size
    if kind in (TRUE, FALSE):
        return None, at  # a field's type is its value
    if kind in (LIST, SET):
        return _list(data, at)
    if kind == BYTE:
        return data[at : at + 1], at + 1
    if kind == DOUBLE:
        return data[at : at + 8], at + 8
    raise ValueError(f"type {kind} in a footer")


def list_head(data: bytes, at: int) -> tuple[int, int, int]:
    """How many items the list that begins at a place has, their type, and where the first begins."""
    head, at = data[at], at + 1
    if head >> 4 == 15:
        count, at = _number(data, at)
        return count, head & 15, at
    return head >> 4, head & 15, at


def _list(data: bytes, at: int) -> tuple[tuple[int, list[Any]], int]:
    count, kind, at = list_head(data, at)
    items = []
    for _ in range(count):
        item, at = value(BYTE if kind in (TRUE, FALSE) else kind, data, at)
        items.append(item)
    return (kind, items), at


def read_on(data: bytes, at: int) -> tuple[Struct, int]:
    """The struct that begins at a place, and where it ends."""
    fields: Struct = {}
    field = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _signed(data, at)
        kind = head & 15
        found, at = value(kind, data, at)
        fields[field] = (kind, found)
    return fields, at + 1


def written(fields: Struct) -> bytes:
    """The bytes of a struct."""
    out = bytearray()
    _put_struct(fields, out)
    return bytes(out)


def put_fields(fields: Struct, last: int, out: bytearray) -> None:
    """Append the fields of a struct, but for its end; `last` is the number of the field before them."""
    for field, (kind, value) in fields.items():
        _put_field(field, last, kind, out)
        _put(kind, value, out)
        last = field


def put_list(field: int, last: int, kind: int, count: int, out: bytearray) -> None:
    """Append what a list in a struct begins with; its items follow."""
    _put_field(field, last, LIST, out)
    _put_head(kind, count, out)


def _put_field(field: int, last: int, kind: int, out: bytearray) -> None:
    if 0 < field - last < 16:
        out.append(field - last << 4 | kind)
    else:
        out.append(kind)
        _put(I16, field, out)


def _put_number(number: int, out: bytearray) -> None:
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _put(kind: int, value: Any, out: bytearray) -> None:
    if I16 <= kind <= I64:
        _put_number(value << 1 if value >= 0 else ~(value << 1), out)
    elif kind == STRUCT:
        _put_struct(value, out)
    elif kind == BINARY:
        _put_number(len(value), out)
        out += value
    elif kind in (LIST, SET):
        _put_list(value, out)
    elif kind in (BYTE, DOUBLE):
        out += value


def _put_list(value: tuple[int, list[Any]], out: bytearray) -> None:
    kind, items = value
    _put_head(kind, len(items), out)
    for item in items:
        _put(BYTE if kind in (TRUE, FALSE) else kind, item, out)


def _put_head(kind: int, count: int, out: bytearray) -> None:
    out.append(min(count, 15) << 4 | kind)
    if count >= 15:
        _put_number(count, out)


def _put_struct(fields: Struct, out: bytearray) -> None:
    put_fields(fields, 0, out)
    out.append(0)
