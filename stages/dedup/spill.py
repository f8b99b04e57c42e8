"""What near-duplicate search keeps of each row, on disk: word hashes, and the band keys of three views of the row.

A row is seen in three views: its `input`, its `response`, and the `whole` (input, response and rejected response
together). Rows are numbered in the order in which they were added, unit after unit; that number is a row's position.
`Writer` needs one unit's batches and nothing else, so units may be written anywhere, in any order. `Spill` reads all
units of a folder with plain reads: mapped pages would count as memory.

Disk: 4 bytes a word and 832 a row. Memory: one block of rows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.dedup.minhash import BANDS, BINS, bands, densify, minima
from stages.dedup.shingles import BITS, Sequences, Sets, mix, sequences, sets

FIELDS = ("input", "response", "rejected_response")
INPUT, RESPONSE, WHOLE = VIEWS = (0, 1, 2)
REJECTED = 2  # as a field
OF_VIEW = {INPUT: (INPUT,), RESPONSE: (RESPONSE,), WHOLE: (INPUT, RESPONSE, REJECTED)}  # the fields of a view

# Where a row's word hashes lie in its unit's file (in words) and how many each field has.
WHERE = np.dtype([("start", "<u8"), ("counts", "<u4", (3,)), ("_", "<u4")])
# Hash of what a view holds (equal hash: equal content), the rank (lower stays), and whether the row may be removed.
ROW = np.dtype([("same", "<u8", (3,)), ("rank", "<u8"), ("removable", "<u8")])

BLOCK = 4096  # rows; band keys are stored by block, one band after another
_SLICE_ROWS, _SLICE_BYTES = 4096, 1 << 20  # worked on at once
_NEAR = 4096  # bytes between two reads that are cheaper as one


FILES = ("words", "where", "rows", "keys", *(f"marks-{view}" for view in VIEWS))


class Sketch(NamedTuple):
    """What one batch leaves behind; a function of its rows alone."""

    words: np.ndarray  # uint32, all rows, field after field
    counts: np.ndarray  # uint32 (rows, 3): words by field
    same: np.ndarray  # uint64 (rows, 3): hash of the content by view
    keys: np.ndarray  # uint32 (3, 32, rows): band keys by view
    marks: np.ndarray  # uint8 (rows, 3, 128): the last byte of each bin of the signature of each view


def sketch(batch: pa.RecordBatch) -> Sketch:
    """Hash a batch with the columns of `FIELDS`; a field may be null. At most 21,845 rows."""
    rows = len(batch)
    columns = [batch.column(name).cast(pa.string()) for name in FIELDS]
    order = np.arange(3 * rows).reshape(3, rows).T.reshape(-1)
    texts = sequences(pa.concat_arrays(columns).take(pa.array(order)))
    own = sets(texts)
    bins = minima(own).reshape(rows, 3, -1)
    counts = texts.counts.reshape(rows, 3).astype(np.uint32)
    fresh, same = _same_views(counts)
    dense = densify(np.concatenate([bins[:, INPUT], bins[:, RESPONSE], bins.min(axis=1)])[fresh])
    marks = dense.astype(np.uint8)[same].transpose(1, 0, 2)
    return Sketch(texts.hashes, counts, _same(own, rows), bands(dense)[:, same].transpose(1, 0, 2), marks)


def _same_views(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views worth a signature, numbered view after view, and for each view of each row (3, rows) which of them it has.

    A row with words in one field alone is seen whole as that field.
    """
    rows = len(counts)
    same = np.arange(3 * rows).reshape(3, rows)
    for field in (INPUT, RESPONSE):
        alone = np.flatnonzero(counts[:, field] == counts.sum(axis=1))
        same[WHOLE, alone] = same[field, alone]
    return np.unique(same, return_inverse=True)


def _same(own: Sets, rows: int) -> np.ndarray:
    """A hash of each view's shingles, field by field; two rows that share it are compared all the same."""
    value = own.keys & np.uint64((1 << BITS) - 1)
    value *= value | np.uint64(1)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(value)])
    ends = np.concatenate([np.zeros(1, np.int64), own.ends])
    fields = mix(np.diff(sums[ends]) + np.diff(ends).astype(np.uint64)).reshape(rows, 3)
    whole = mix(mix(fields[:, 0] * np.uint64(3)) + mix(fields[:, 1] * np.uint64(5)) + fields[:, 2])
    return np.stack([fields[:, 0], fields[:, 1], whole], axis=1)


class Writer:
    """Writes one unit of rows: `with Writer(folder, unit) as writer: writer.add(...)`."""

    def __init__(self, folder: Path, unit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._final = folder / f"unit-{unit:06d}"
        self._part = folder / f".unit-{unit:06d}.{os.getpid()}.part"
        self._part.mkdir(exist_ok=True)
        self._files: dict[str, BinaryIO] = {n: (self._part / n).open("wb") for n in FILES}
        self._pending: list[np.ndarray] = []
        self._start = self._waiting = 0

    def add(self, batch: pa.RecordBatch, ranks: np.ndarray, removable: np.ndarray | bool = True) -> None:
        """Append rows. `ranks` (uint64): of equal rows the lowest stays. `removable`: near-duplicates may leave."""
        may = np.broadcast_to(np.asarray(removable, bool), len(batch))
        for start, stop in _slices(batch):
            made = sketch(batch.slice(start, stop - start))
            self._write(made, ranks[start:stop], may[start:stop])

    def _write(self, made: Sketch, ranks: np.ndarray, removable: np.ndarray) -> None:
        where = np.zeros(len(ranks), WHERE)
        where["counts"] = made.counts
        total = made.counts.sum(axis=1, dtype=np.uint64)
        where["start"] = np.cumsum(total) - total + np.uint64(self._start)
        self._start += len(made.words)
        rows = np.zeros(len(ranks), ROW)
        rows["same"], rows["rank"], rows["removable"] = made.same, ranks, removable
        self._files["words"].write(made.words.astype("<u4").tobytes())
        self._files["where"].write(where.tobytes())
        self._files["rows"].write(rows.tobytes())
        for view in VIEWS:
            self._files[f"marks-{view}"].write(made.marks[:, view].tobytes())
        self._pending.append(made.keys)
        self._waiting += len(ranks)
        while self._waiting >= BLOCK:
            self._block(BLOCK)

    def _block(self, rows: int) -> None:
        keys = np.concatenate(self._pending, axis=2)
        self._files["keys"].write(np.ascontiguousarray(keys[:, :, :rows], "<u4").tobytes())
        self._pending, self._waiting = [keys[:, :, rows:]], self._waiting - rows

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._waiting:
            self._block(self._waiting)
        for file in self._files.values():
            file.close()
        if kind is None and not self._final.exists():
            os.replace(self._part, self._final)
        else:  # an error; or a unit written twice, which is the same unit
            shutil.rmtree(self._part)


def _slices(batch: pa.RecordBatch) -> Iterator[tuple[int, int]]:
    """Cut a batch so that what is worked on at once stays small; a single long row is a slice of its own."""
    ends = np.cumsum(sum((_lengths(batch.column(name)) for name in FIELDS), np.zeros(len(batch), np.int64)))
    start = 0
    while start < len(batch):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + _SLICE_BYTES, side="right"))
        stop = min(max(stop, start + 1), start + _SLICE_ROWS)
        yield start, stop
        start = stop


def _lengths(column: pa.Array) -> np.ndarray:
    return pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)


class Spill:
    """All units of a folder, read by position."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._units = sorted(folder.glob("unit-*"))
        sizes = [(unit / "where").stat().st_size // WHERE.itemsize for unit in self._units]
        self._bases = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.rows = int(self._bases[-1])

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Each block's first position and its rows (`ROW`), in order."""
        for base, unit in zip(self._bases.tolist(), self._units, strict=False):
            with (unit / "rows").open("rb") as file:
                while data := file.read(16 * BLOCK * ROW.itemsize):
                    values = np.frombuffer(data, ROW)
                    yield base, values
                    base += len(values)

    def keys(self, view: int, band: int, positions: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Each block's first position and the keys (uint32) of its rows in one band of one view, in order.

        Of `positions`, which ascend: only the blocks that hold some.
        """
        for base, stop, unit in zip(self._bases.tolist(), self._bases[1:].tolist(), self._units, strict=False):
            firsts = np.arange(base, stop, BLOCK)
            if positions is not None:
                firsts = firsts[np.diff(np.searchsorted(positions, np.append(firsts, stop))) > 0]
            if len(firsts) == 0:
                continue
            with (unit / "keys").open("rb", buffering=0) as file:
                for first in firsts.tolist():
                    rows = min(BLOCK, stop - first)
                    at = (first - base) * len(VIEWS) * BANDS + (view * BANDS + band) * rows
                    yield first, np.frombuffer(os.pread(file.fileno(), 4 * rows, 4 * at), "<u4")

    def keys_at(self, view: int, band: int, positions: np.ndarray) -> np.ndarray:
        """Keys of some rows, by ascending position."""
        found = []
        for first, keys in self.keys(view, band, positions):
            low, high = np.searchsorted(positions, (first, first + len(keys)))
            found.append(keys[positions[low:high] - first])
        return np.concatenate(found) if found else np.zeros(0, np.uint32)

    def rows_at(self, positions: np.ndarray) -> np.ndarray:
        """`ROW` of some rows, by ascending position."""
        return self._gather("rows", ROW, positions)

    def where(self, positions: np.ndarray) -> np.ndarray:
        """`WHERE` of some rows, by ascending position."""
        return self._gather("where", WHERE, positions)

    def marks(self, view: int, positions: np.ndarray) -> np.ndarray:
        """Signatures of some rows in one view, a byte a bin, by ascending position: uint8 (rows, 128)."""
        return self._gather(f"marks-{view}", np.dtype((np.void, BINS)), positions).view(np.uint8).reshape(-1, BINS)

    def _gather(self, name: str, kind: np.dtype, positions: np.ndarray) -> np.ndarray:
        found = [np.zeros(0, kind)]
        for unit, local in self._by_unit(positions):
            data, places = _read(unit / name, local * kind.itemsize, np.full(len(local), kind.itemsize))
            found.append(data[: len(data) // kind.itemsize * kind.itemsize].view(kind)[places // kind.itemsize])
        return np.concatenate(found)

    def _by_unit(self, positions: np.ndarray) -> Iterator[tuple[Path, np.ndarray]]:
        cuts = np.searchsorted(positions, self._bases)
        for number, unit in enumerate(self._units):
            if cuts[number] < cuts[number + 1]:
                yield unit, positions[cuts[number] : cuts[number + 1]].astype(np.int64) - self._bases[number]

    def sequences(self, positions: np.ndarray, where: np.ndarray, fields: tuple[int, ...]) -> Sequences:
        """Word hashes of some rows, by ascending position: one text for each row and field (fields side by side)."""
        counts = where["counts"][:, fields].astype(np.int64)
        before = where["counts"][:, : fields[0]].sum(axis=1, dtype=np.int64)
        hashes = self._words(positions, where["start"].astype(np.int64) + before, counts.sum(axis=1))
        return Sequences(hashes, counts.reshape(-1))

    def _words(self, positions: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
        found, done = [np.zeros(0, np.uint32)], 0
        for unit, local in self._by_unit(positions):
            mine = slice(done, done + len(local))
            data, places = _read(unit / "words", 4 * starts[mine], 4 * counts[mine])
            found.append(data.view("<u4")[ranges(places // 4, counts[mine])])
            done += len(local)
        return np.concatenate(found)


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Indices of many runs, one after another.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + counts, counts)


def _read(path: Path, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read ascending byte ranges of a file in few reads: the bytes, and where in them each range starts."""
    stops = starts + lengths
    split = np.flatnonzero(starts[1:] > stops[:-1] + _NEAR) + 1
    firsts, lasts = np.concatenate([[0], split]), np.concatenate([split - 1, [len(starts) - 1]])
    begins, sizes = starts[firsts], stops[lasts] - starts[firsts]
    with path.open("rb", buffering=0) as file:
        number = file.fileno()
        parts = [os.pread(number, size, at) for size, at in zip(sizes.tolist(), begins.tolist(), strict=True)]
    shift = np.repeat(np.cumsum(sizes) - sizes - begins, lasts - firsts + 1)
    return np.frombuffer(b"".join(parts), np.uint8), starts + shift
