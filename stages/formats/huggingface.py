"""A folder that `datasets.load_from_disk` reads: the sides as splits, and dataset.csv with all of them, train first."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

from stages.errors import with_pandas
from stages.files import sha256
from stages.formats import SIDES, Made
from stages.params import Export
from stages.storage import CsvSink

KIND = "single"
OUTS = ("mental_health_huggingface",)
ALWAYS = ("train", "validation")  # splits that are there even without a row
FIELDS = ("instruction", "input", "output", "source", "tags")
SCHEMA = pa.schema([pa.field(name, pa.string()) for name in FIELDS[:-1]] + [pa.field("tags", pa.list_(pa.string()))])


class Side:
    """One side of the split, streamed into an Arrow file and a CSV."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.rows, self.length = name, 0, 0
        self.arrow, self.cells = folder / f"{name}.arrow", folder / f"{name}.csv"
        self._file = pa.OSFile(str(self.arrow), "wb")
        self._stream = pa.ipc.new_stream(self._file, SCHEMA)
        self._csv = CsvSink(self.cells, FIELDS)

    def write(self, batch: pa.RecordBatch, length: int) -> None:
        self._stream.write_batch(batch)
        *texts, tags = (column.to_pylist() for column in batch.columns)
        self._csv.write(zip(*texts, (orjson.dumps(names).decode() for names in tags), strict=True))
        self.rows += len(batch)
        self.length += length

    def close(self) -> None:
        self._stream.close()
        self._file.close()
        self._csv.close()


class Folder:
    """Lets `datasets` lay out the folder from the files of the sides."""

    def __init__(self, folder: Path, settings: Export) -> None:
        self._out, self._instruction = folder / OUTS[0], settings.instruction
        self._work = folder / ".work"
        self._work.mkdir()
        self._sides = [Side(self._work, name) for name in SIDES]

    def add(self, rows: pa.RecordBatch, sides: np.ndarray, lengths: np.ndarray) -> None:
        instruction = pa.repeat(pa.scalar(self._instruction), len(rows))
        columns = [instruction, *(rows[name] for name in ("input", "response", "source", "tags"))]
        batch = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
        for side in self._sides:
            here = sides == side.name
            if here.any():
                side.write(batch.filter(pa.array(here)), int(lengths[here].sum()))

    def close(self) -> list[Made]:
        for side in self._sides:
            side.close()
        sides = [side for side in self._sides if side.rows or side.name in ALWAYS]
        with_pandas()
        _save(sides, self._out)
        made = [_join(sides, self._out / "dataset.csv"), *(one for side in sides for one in _parts(side, self._out))]
        shutil.rmtree(self._work)
        return made


def _save(sides: list[Side], out: Path) -> None:
    # takes two seconds to import: only here, when the rows are written
    from datasets import Dataset, DatasetDict, DatasetInfo, Features, List, Value, disable_progress_bars
    from datasets.table import MemoryMappedTable

    disable_progress_bars()
    features = Features({name: Value("string") for name in FIELDS[:-1]} | {"tags": List(Value("string"))})
    splits = {}
    for side in sides:
        # Of the rows as text: any other fingerprint differs by run, by version of datasets, or by the batches.
        splits[side.name] = Dataset(
            MemoryMappedTable.from_file(str(side.arrow)),
            info=DatasetInfo(features=features),
            split=side.name,
            fingerprint=sha256(side.cells)[:16],
        )
    DatasetDict(splits).save_to_disk(str(out))


def _join(sides: list[Side], path: Path) -> Made:
    with path.open("wb") as whole:
        for number, side in enumerate(sides):
            with side.cells.open("rb") as part:
                if number:
                    part.readline()  # the header stands once
                shutil.copyfileobj(part, whole, 1 << 20)
    return Made(path, None, sum(side.rows for side in sides), sum(side.length for side in sides))


def _parts(side: Side, out: Path) -> list[Made]:
    """The Arrow files that `datasets` made of a side: one, or several of 500 MB."""
    paths = sorted((out / side.name).glob("*.arrow"))
    if len(paths) == 1:
        return [Made(paths[0], side.name, side.rows, side.length)]
    return [Made(path, side.name, _count(path), None) for path in paths]


def _count(path: Path) -> int:
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        return sum(len(batch) for batch in stream)


def writer(folder: Path, settings: Export) -> Folder:
    return Folder(folder, settings)
