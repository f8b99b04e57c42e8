"""A Parquet footer cut by row group: who reads a few of many row groups need not hold what it says of all of them.

Arrow keeps about 25 kB for each row group of the merged table and takes 30 us to read it, at every opening. Here the
footer is walked once a process, and where it speaks of each row group is kept; `Footer.of` gives Arrow those of a few.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from stages import thrift
from stages.thrift import I64, STRUCT, Struct

MAGIC = b"PAR1"
ROWS, GROUPS = 3, 4  # FileMetaData in parquet.thrift
GROUP_BYTES, GROUP_ROWS = 2, 3  # RowGroup


class Group(NamedTuple):
    """One row group."""

    rows: int
    size: int  # bytes, not compressed
    place: int  # in the file, of what the footer says of it
    length: int  # bytes of that


class Footer(NamedTuple):
    """What stands before the row groups, they, and what stands behind them."""

    path: Path
    head: Struct
    groups: list[Group]
    tail: Struct

    def of(self, numbers: Iterable[int]) -> pq.FileMetaData:
        """The metadata of a file that had these row groups alone; what they say of places in the file holds.

        Raises FileNotFoundError.
        """
        some = [self.groups[number] for number in numbers]
        out = bytearray(MAGIC)
        thrift.put_fields(self.head | {ROWS: (I64, sum(group.rows for group in some))}, 0, out)
        thrift.put_list(GROUPS, ROWS, STRUCT, len(some), out)
        with self.path.open("rb", buffering=0) as file:
            for group in some:
                out += os.pread(file.fileno(), group.length, group.place)
        thrift.put_fields(self.tail, GROUPS, out)
        out.append(0)
        out += (len(out) - len(MAGIC)).to_bytes(4, "little") + MAGIC
        return pq.read_metadata(pa.BufferReader(bytes(out)))


def read(path: Path) -> Footer:
    """The footer of a file; kept as long as the file is the same. Raises ValueError or IndexError for no Parquet."""
    stat = path.stat()
    return _read(path.absolute(), stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, *_stamp: int) -> Footer:
    with path.open("rb") as file:
        data, first = end(file)
    footer, at, number = Footer(path, {}, [], {}), 0, 0
    while byte := data[at]:
        number, kind, at = number + (byte >> 4), byte & 15, at + 1
        if number == GROUPS:
            count, _, at = thrift.list_head(data, at)
            for _ in range(count):
                start = at
                group, at = thrift.read_on(data, start)
                footer.groups.append(Group(group[GROUP_ROWS][1], group[GROUP_BYTES][1], first + start, at - start))
        else:
            value, at = thrift.value(kind, data, at)
            (footer.head if number < GROUPS else footer.tail)[number] = (kind, value)
    if at + 1 < len(data) or ROWS not in footer.head:
        raise ValueError("a footer that ends before its end")
    return footer


def end(file: IO[bytes]) -> tuple[bytes, int]:
    """The bytes of a file's footer, and where they begin. Raises ValueError for no Parquet."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 8, 0))
    tail = file.read()
    start = size - 8 - int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or start < len(MAGIC):
        raise ValueError("no Parquet: its end is missing")
    file.seek(start)
    return file.read(size - 8 - start), start
