"""Parquet files of one schema put one after the other without decoding them: their row groups stay as they are.

Workers write whole Parquet files and one process splices them, which costs it a copy of bytes. The result is, byte for
byte, what one Parquet writer makes of the same row groups: all their pages, then the column indexes, the offset
indexes and the footer (parquet.thrift of https://github.com/apache/parquet-format). No library for Python does this.
"""

from __future__ import annotations

import errno
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import pyarrow as pa

from stages import footers, thrift
from stages.errors import DamagedError, LawError
from stages.footers import GROUPS, MAGIC, ROWS
from stages.storage import parquet_file
from stages.thrift import I32, I64, STRUCT, Struct

CHUNK = 1 << 20  # bytes copied at once

# Numbers of the fields that are touched, in parquet.thrift
COLUMNS, FIRST_PAGE = 1, 5  # RowGroup
META, OFFSETS, OFFSETS_BYTES, BOUNDS, BOUNDS_BYTES = 3, 4, 5, 6, 7  # ColumnChunk: OffsetIndex and ColumnIndex
PAGES = (9, 10, 11)  # ColumnMetaData: where the data, index and dictionary pages begin
LOCATIONS, OFFSET = 1, 1  # OffsetIndex, PageLocation


class Splice:
    """The file in the making: `add` appends the row groups of a part, `close` writes what stands behind them."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._out = path.open("wb")
        self._out.write(MAGIC)
        with pa.BufferReader(parquet_file(pa.RecordBatch.from_pylist([], schema))) as empty:
            self._footer, _, _ = _footer(empty, path)
        self._rows = self._footer.pop(ROWS)[1]
        self._groups: list[int] = []  # bytes of what the footer says of each; its indexes' places count from the first
        # That, 7 kB a row group of texts, and the indexes, 20: on disk, in files without a name.
        self._said, self._bounds, self._offsets = (TemporaryFile(dir=path.parent) for _ in range(3))  # noqa: SIM115 - till `close`

    def add(self, path: Path) -> None:
        """Append the row groups of a Parquet file. Raises as `add_file`."""
        with path.open("rb") as file:
            self.add_file(file, path)

    def add_file(self, file: IO[bytes], path: Path) -> None:
        """The same for an open file. Raises DamagedError for what is no Parquet, LawError for another schema."""
        footer, groups, end = _footer(file, path)
        columns = [column for group in groups for column in _items(group[COLUMNS])]
        start = min((column[n][1] for column in columns for n in (BOUNDS, OFFSETS) if n in column), default=end)
        file.seek(start)
        indexes = file.read(end - start)
        moved = self._out.tell() - len(MAGIC)
        file.seek(len(MAGIC))
        _copy(file, self._out, start - len(MAGIC))
        self._rows += footer.pop(ROWS)[1]
        if footer != self._footer:
            raise LawError(f"{path} has another schema than the table that it is a part of")
        for group in groups:
            _move(group, FIRST_PAGE, moved)
            for column in _items(group[COLUMNS]):
                for page in PAGES:
                    _move(column[META][1], page, moved)
                self._index(column, indexes, start, moved)
            self._groups.append(self._said.write(thrift.written(group)))

    def _index(self, column: Struct, indexes: bytes, start: int, moved: int) -> None:
        """Keep the indexes of a column's chunk: the bounds as they are, the offsets moved with their pages."""
        if BOUNDS in column:
            first = column[BOUNDS][1] - start
            column[BOUNDS] = (I64, self._bounds.tell())
            self._bounds.write(indexes[first : first + column[BOUNDS_BYTES][1]])
        if OFFSETS in column:
            index = thrift.read(indexes, column[OFFSETS][1] - start)
            for page in _items(index[LOCATIONS]):
                _move(page, OFFSET, moved)
            column[OFFSETS] = (I64, self._offsets.tell())
            column[OFFSETS_BYTES] = (I32, self._offsets.write(thrift.written(index)))

    def close(self) -> None:
        """Write the indexes and the footer."""
        bounds, offsets = (self._moved_in(file) for file in (self._bounds, self._offsets))
        footer = bytearray()
        thrift.put_fields({n: f for n, f in self._footer.items() if n < ROWS} | {ROWS: (I64, self._rows)}, 0, footer)
        thrift.put_list(GROUPS, ROWS, STRUCT, len(self._groups), footer)
        start = self._out.tell()
        self._out.write(footer)
        self._said.seek(0)
        with self._said:
            for length in self._groups:
                group = thrift.read(self._said.read(length))
                for column in _items(group[COLUMNS]):
                    _move(column, BOUNDS, bounds)
                    _move(column, OFFSETS, offsets)
                self._out.write(thrift.written(group))
        footer.clear()
        thrift.put_fields({n: f for n, f in self._footer.items() if n > GROUPS}, GROUPS, footer)
        footer.append(0)
        self._out.write(footer)
        self._out.write((self._out.tell() - start).to_bytes(4, "little") + MAGIC)
        self._out.close()

    def _moved_in(self, file: IO[bytes]) -> int:
        """Append what a file holds, which is closed; return where it begins."""
        start, size = self._out.tell(), file.tell()
        with file:
            file.seek(0)
            _copy(file, self._out, size)
        return start


def _footer(file: IO[bytes], path: Path) -> tuple[Struct, list[Struct], int]:
    """The footer of a Parquet file without its row groups, they, and where it begins."""
    try:
        data, start = footers.end(file)
        footer = thrift.read(data)
        return footer, _items(footer.pop(GROUPS)), start
    except (IndexError, KeyError, TypeError, ValueError):
        raise DamagedError(path, "no Parquet: its footer cannot be read") from None


def _items(field: tuple[int, Any]) -> list[Struct]:
    return field[1][1]


def _move(struct: Struct, field: int, by: int) -> None:
    """Add to a 64-bit field, where it is set."""
    if field in struct:
        struct[field] = (I64, struct[field][1] + by)


def _copy(source: IO[bytes], target: IO[bytes], count: int) -> None:
    while count:
        data = source.read(min(count, CHUNK))
        if not data:
            raise OSError(errno.EIO, "a file ended while it was copied")
        target.write(data)
        count -= len(data)
