"""Streaming, byte-reproducible writers and readers of rows; they write to the path that stages.files gives."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages import footers, text
from stages.errors import DamagedError, LawError

ROWS, BYTES = 4096, 32 << 20  # a row group ends at either, whatever batches came in
PIECE = 2 << 20  # bytes of texts that are folded at once: folding holds some copies of them
STRETCH, GROUPS = 16 << 20, 4  # a stretch ends at either: bytes of its row groups, which say little of like texts


class ParquetReader:
    """A Parquet file that a stage wrote, read by row group. Raises DamagedError for what is none."""

    def __init__(
        self, path: Path, metadata: pq.FileMetaData | None = None, groups: Iterable[int] | None = None
    ) -> None:
        """`metadata` is that of an earlier opening; `groups` opens some row groups alone, which count from 0 then.

        Raises FileNotFoundError, DamagedError.
        """
        self.path = path
        with _whole(path):
            if groups is not None:
                metadata = _footer(path).of(groups)
            self._file = pq.ParquetFile(path, metadata=metadata, pre_buffer=False)
        self.metadata = self._file.metadata
        self.schema: pa.Schema = self._file.schema_arrow

    def __enter__(self) -> ParquetReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def groups(self) -> list[int]:
        """Rows of each row group."""
        return [self.metadata.row_group(group).num_rows for group in range(self.metadata.num_row_groups)]

    def read(self, group: int, columns: Sequence[str] | None = None) -> pa.Table:
        """One row group, or some of its columns. Raises DamagedError, for a column that is not there too."""
        if lacking := [name for name in columns or () if name.partition(".")[0] not in self.schema.names]:
            raise DamagedError(self.path, f"it lacks the column {', '.join(lacking)}")
        with _whole(self.path):
            return self._file.read_row_group(group, columns=columns, use_threads=False)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Arrow's words for bytes that are no Parquet (ArrowInvalid, or an OSError without a number) as DamagedError."""
    try:
        yield
    except pa.ArrowInvalid as error:
        why = "it is empty" if not path.stat().st_size else f"no Parquet: {str(error).splitlines()[0]}"
        raise DamagedError(path, why) from None
    except OSError as error:
        if error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from None  # Arrow's own names no file
        raise DamagedError(path, str(error).splitlines()[0]) from None


def _footer(path: Path) -> footers.Footer:
    """Raises DamagedError."""
    try:
        return footers.read(path)
    except (IndexError, KeyError, TypeError, ValueError):
        with _whole(path):
            pq.read_metadata(path)  # Arrow's words for what is wrong
        raise DamagedError(path, "no Parquet: its footer cannot be read") from None


def read_batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Stream a Parquet file, one batch of bounded size at a time. Raises DamagedError."""
    for group in range(len(_footer(path).groups)):
        with ParquetReader(path, groups=[group]) as file:
            yield from file.read(0, columns).to_batches()


class Stretch(NamedTuple):
    """Row groups of a table side by side: what is worked on at once. Cut by the data alone."""

    number: int
    groups: range
    row: int  # number of its first row
    rows: int


def stretches(path: Path) -> Iterator[Stretch]:
    """All rows of a table, at most STRETCH bytes or GROUPS row groups at a time. Raises DamagedError."""
    groups = _footer(path).groups
    rows, sizes = [group.rows for group in groups], [group.size for group in groups]
    number = first = row = 0
    while first < len(rows):
        last = first + 1
        while last < min(len(rows), first + GROUPS) and sum(sizes[first : last + 1]) <= STRETCH:
            last += 1
        yield Stretch(number, range(first, last), row, sum(rows[first:last]))
        number, row, first = number + 1, row + sum(rows[first:last]), last


def read_stretch(path: Path, stretch: Stretch, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a stretch. Raises DamagedError."""
    with ParquetReader(path, groups=stretch.groups) as file:
        for group in range(len(stretch.groups)):
            yield from file.read(group, columns).to_batches()


def row_count(path: Path) -> int:
    """Rows of a Parquet file, by its footer. Raises DamagedError."""
    return sum(group_rows(path))


def byte_size(path: Path) -> int:
    """Bytes of a Parquet file's rows before compression, by its footer. Raises DamagedError."""
    return sum(group.size for group in _footer(path).groups)


def group_rows(path: Path) -> list[int]:
    """Rows of each row group of a Parquet file. Raises DamagedError."""
    return [group.rows for group in _footer(path).groups]


def read_rows(path: Path, start: int, stop: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Stream the rows from `start` to `stop` (excluded) of a Parquet file. Raises DamagedError."""
    first = 0
    for group, count in enumerate(group_rows(path)):
        if first >= stop:
            return
        last = first + count
        if last > start:
            with ParquetReader(path, groups=[group]) as file:
                rows = file.read(0, columns)
            yield from rows.slice(max(start - first, 0), min(stop, last) - max(start, first)).to_batches()
        first = last


def read_stream(path: Path) -> Iterator[pa.RecordBatch]:
    """Stream an Arrow IPC file, a batch at a time."""
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        yield from reader


def aligned(*streams: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, ...]]:
    """Walk tables of the same rows side by side, in slices of equal length.

    Raises LawError if one table has fewer rows than another, or if their ids differ.
    """
    heads: list[pa.RecordBatch | None] = [None] * len(streams)
    while True:
        heads = [next(s, None) if h is None or not len(h) else h for h, s in zip(heads, streams, strict=True)]
        present = [head for head in heads if head is not None]
        if not present:
            return
        if len(present) < len(streams):
            raise LawError("two tables that stand beside each other differ in length: run `dvc repro` again")
        count = min(len(head) for head in present)
        row = tuple(head.slice(0, count) for head in present)
        if any(not side["id"].equals(row[0]["id"]) for side in row[1:]):
            raise LawError("two tables that stand beside each other hold other rows: run `dvc repro` again")
        yield row
        heads = [head.slice(count) for head in present]


def row_bytes(array: pa.Array | pa.RecordBatch) -> np.ndarray:
    """Bytes of text per row (int64), lists and structs included; a function of the values alone."""
    if isinstance(array, pa.RecordBatch):
        return sum((row_bytes(column) for column in array.columns), np.zeros(len(array), np.int64))
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_list(kind):
        total = np.concatenate([[0], np.cumsum(row_bytes(array.flatten()))])
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        ends = np.cumsum(lengths)
        return total[ends] - total[ends - lengths]
    if pa.types.is_struct(kind):
        return sum((row_bytes(field) for field in array.flatten()), np.zeros(len(array), np.int64))
    return np.full(len(array), 8, np.int64)


def pieces(texts: pa.StringArray, size: int = PIECE) -> Iterator[pa.StringArray]:
    """The texts in their order, at most `size` bytes at a time; a longer one stands alone.

    >>> [piece.to_pylist() for piece in pieces(pa.array(["a", "b", "long", None, "c"]), 2)]
    [['a', 'b'], ['long'], [None, 'c']]
    """
    ends, start = np.cumsum(row_bytes(texts)), 0
    while start < len(texts):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + size, side="right")), start + 1)
        yield texts.slice(start, stop - start)
        start = stop


class ParquetSink:
    """A Parquet file whose row groups depend on the rows alone, not on the batches they came in.

    `published` adds the page index and content-defined chunks that the Hub's viewer and storage like.
    """

    def __init__(self, path: Path | pa.NativeFile, schema: pa.Schema, *, published: bool = False) -> None:
        self._writer = pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=1,
            write_page_index=published, use_content_defined_chunking=published,
        )  # fmt: skip
        self._schema = schema
        self._pending: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; the schema is the sink's."""
        sizes = np.cumsum(row_bytes(batch))
        start = 0
        while start < len(batch):
            before = int(sizes[start - 1]) if start else 0
            full = int(np.searchsorted(sizes, before + BYTES - self._bytes)) + 1  # rows up to the one that fills it
            stop = min(len(batch), start + ROWS - self._rows, max(full, start + 1))
            self._pending.append(batch.slice(start, stop - start))
            self._rows += stop - start
            self._bytes += int(sizes[stop - 1]) - before
            if self._rows >= ROWS or self._bytes >= BYTES:
                self.cut()
            start = stop

    def cut(self) -> None:
        """End the row group."""
        if self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending, self._schema).combine_chunks())
        self._pending, self._rows, self._bytes = [], 0, 0

    def close(self) -> None:
        self.cut()
        self._writer.close()


def parquet_file(rows: pa.RecordBatch) -> pa.Buffer:
    """A published Parquet file of these rows, to be spliced with others."""
    with pa.BufferOutputStream() as out:
        sink = ParquetSink(out, rows.schema, published=True)
        sink.write(rows)
        sink.close()
        return out.getvalue()


class JsonArraySink:
    """One JSON array, one row a line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(b"[")
        self._gap = b"\n"

    def write(self, rows: pa.RecordBatch) -> None:
        """Append rows of texts and lists of texts."""
        self.append(self.made(rows))

    @staticmethod
    def made(rows: pa.RecordBatch) -> pa.Buffer:
        """The bytes of rows, to be appended."""
        return json_rows(rows, ",\n") if len(rows) else pa.py_buffer(b"")

    def append(self, made: pa.Buffer) -> None:
        if made.size:
            self._file.write(self._gap)
            self._file.write(made[:-2])
            self._gap = b",\n"

    def close(self) -> None:
        self._file.write(b"\n]\n")
        self._file.close()


def json_rows(rows: pa.RecordBatch, end: str = "\n") -> pa.Buffer:
    """Each row of texts and lists of texts as a JSON object, followed by `end`: the bytes that orjson would write."""
    parts: list[Any] = []
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        parts += [f'{"," if parts else "{"}"{name}":', *_json_values(column)]
    return _concatenated([*parts, "}" + end])


def _json_values(column: pa.Array) -> list[Any]:
    """The values of a column as JSON, in parts to be put together row by row."""
    if pa.types.is_list(column.type):
        return [json_lists(column)]
    quoted = ['"', escaped(column), '"']
    if not column.null_count:
        return quoted
    return [pc.if_else(column.is_null(), "null", pc.binary_join_element_wise(*quoted, ""))]


def json_lists(lists: pa.ListArray) -> pa.StringArray:
    """Lists of texts as JSON arrays."""
    lengths = pc.list_value_length(lists)
    ends = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))]).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends), escaped(lists.flatten())), '","')
    return pc.if_else(pc.equal(lengths, 0), "[]", pc.binary_join_element_wise('["', joined, '"]', ""))


_SHORT = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r"}


def escaped(texts: pa.StringArray) -> pa.StringArray:
    r"""Texts as they stand between the quotes of a JSON string; null as empty. A text must not hold U+0000.

    >>> print(escaped(pa.array(['say "no"\n', "\x1f"])).to_pylist())
    ['say \\"no\\"\\n', '\\u001f']
    """
    joined = text.join(texts).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    data = np.frombuffer(joined, np.uint8)
    for control in np.unique(data[data < 32]).tolist():
        if control:
            joined = joined.replace(bytes([control]), _SHORT.get(control, b"\\u%04x" % control))
    return text.apart(joined)


def _concatenated(parts: list[Any]) -> pa.Buffer:
    """The parts (arrays of strings, or strings for all rows) of each row, row after row, as bytes."""
    whole = pc.binary_join_element_wise(*parts, "")
    _, offsets, values = whole.buffers()
    return values.slice(0, int(np.frombuffer(offsets, np.int32)[len(whole)]))


class CsvSink:
    """CSV by RFC 4180: UTF-8, every cell quoted, LF; null is an empty cell."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        # Quoting every cell keeps a lone CR inside its cell, which csv's minimal quoting does not.
        self._file = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        self._csv.writerow(columns)

    def write(self, rows: Iterable[Sequence[str | None]]) -> None:
        self._csv.writerows(rows)

    def add(self, rows: pa.RecordBatch) -> None:
        """Append rows of texts: the same bytes as `write`, faster."""
        self.append(self.made(rows))

    @staticmethod
    def made(rows: pa.RecordBatch) -> pa.Buffer:
        """The bytes of rows of texts, to be appended."""
        if not len(rows):
            return pa.py_buffer(b"")
        cells = (text.apart(text.join(column).replace(b'"', b'""')) for column in rows.columns)
        parts = [part for cell in cells for part in ('","', cell)]
        return _concatenated(['"', *parts[1:], '"\n'])

    def append(self, made: pa.Buffer) -> None:
        self._file.flush()
        self._file.buffer.write(made)

    def close(self) -> None:
        self._file.close()
