"""The Hub folder: data/<side>-00000-of-0000N.parquet, which `load_dataset(folder)` and the Hub's viewer read.

All rows, those of classification and of preference pairs too: `type` and the null columns tell them apart. What
stands beside data/, the card and the licences among them, is the stage `card`'s.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.formats import SIDES, Made, named
from stages.params import Export
from stages.storage import ParquetReader, ParquetSink, row_bytes

KIND = "all"
OUTS = ("hub/data",)
TERMS = None
FIELDS = (
    "id", "input", "response", "rejected_response", "source", "type", "tags", "system", "turns", "license",
)  # fmt: skip


class Side:
    """The Parquet files of one side; a new one begins where `limit` bytes of text are full."""

    def __init__(self, folder: Path, name: str, limit: int) -> None:
        self._path, self._name, self._limit = folder / f"{name}.parquet", name, limit
        self._made: list[Made] = []
        self._sink: ParquetSink | None = None

    def write(self, rows: pa.RecordBatch, lengths: np.ndarray) -> None:
        sizes = np.cumsum(row_bytes(rows))
        start = 0
        while start < len(rows):
            if self._sink is None or self._bytes >= self._limit:
                self._next(rows.schema)
            before = int(sizes[start - 1]) if start else 0
            stop = min(len(rows), int(np.searchsorted(sizes, before + self._limit - self._bytes)) + 1)
            assert self._sink is not None
            self._sink.write(rows.slice(start, stop - start))
            self._bytes += int(sizes[stop - 1]) - before
            self._rows += stop - start
            self._length += int(lengths[start:stop].sum())
            start = stop

    def _next(self, schema: pa.Schema) -> None:
        self._end()
        self._part = self._path.with_name(f"{self._path.name}.{len(self._made)}.part")
        self._sink = ParquetSink(self._part, schema, published=True)
        self._bytes = self._rows = self._length = 0

    def _end(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._made.append(Made(self._part, self._name, self._rows, self._length, _memory(self._part)))
        self._sink = None

    def close(self) -> list[Made]:
        self._end()
        return named(self._made, self._path)


def _memory(path: Path) -> int:
    """Bytes of a file's rows in Arrow: what `datasets` counts when it loads the file, and a card has to tell."""
    with ParquetReader(path) as file:
        return sum(file.read(group).nbytes for group in range(file.metadata.num_row_groups))


class Folder:
    """One set of files per side."""

    def __init__(self, folder: Path, settings: Export) -> None:
        data = folder / OUTS[0]
        data.mkdir(parents=True)
        self._sides = {side: Side(data, side, settings.shard_mb * 1_000_000) for side in SIDES}

    def add(self, rows: pa.RecordBatch, sides: np.ndarray, lengths: np.ndarray) -> None:
        # The Hub's loaders make every column nullable: these names make a schema that says so.
        batch = pa.RecordBatch.from_arrays([rows[name] for name in FIELDS], FIELDS)
        for name, side in self._sides.items():
            here = sides == name
            if here.any():
                side.write(batch.filter(pa.array(here)), lengths[here])

    def close(self) -> list[Made]:
        return [made for side in self._sides.values() for made in side.close()]


def writer(folder: Path, settings: Export) -> Folder:
    return Folder(folder, settings)
