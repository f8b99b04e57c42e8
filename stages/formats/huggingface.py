"""A folder that `datasets.load_from_disk` reads: train and validation, and dataset.csv with both, train first."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pyarrow as pa

from stages.errors import with_pandas
from stages.files import sha256
from stages.formats import Refused, Row, chat
from stages.params import Export
from stages.storage import CsvSink

KIND = "single"
OUTS = ("mental_health_huggingface",)
SIDES = ("train", "validation")
FIELDS = ("instruction", "input", "output", "source", "tags")
SCHEMA = pa.schema([pa.field(name, pa.string()) for name in FIELDS[:-1]] + [pa.field("tags", pa.list_(pa.string()))])


class Folder:
    """Streams each side into an Arrow file and a CSV, then lets `datasets` lay out the folder from these files."""

    def __init__(self, folder: Path, settings: Export) -> None:
        self._out, self._settings = folder / OUTS[0], settings
        self._work = folder / ".work"
        self._work.mkdir()
        self._files = {side: pa.OSFile(str(self._arrow(side)), "wb") for side in SIDES}
        self._streams = {side: pa.ipc.new_stream(file, SCHEMA) for side, file in self._files.items()}
        self._csv = {side: CsvSink(self._work / f"{side}.csv", FIELDS) for side in SIDES}

    def _arrow(self, side: str) -> Path:
        return self._work / f"{side}.arrow"

    def add(self, rows: list[Row], sides: list[str]) -> list[str | None]:
        kept: dict[str, list[tuple[str, str, str, str, list[str]]]] = {side: [] for side in SIDES}
        reasons: list[str | None] = []
        for row, side in zip(rows, sides, strict=True):
            try:
                chat(row, self._settings)
            except Refused as refusal:
                reasons.append(str(refusal))
                continue
            reasons.append(None)
            kept[side].append((self._settings.instruction, row.input, row.response, row.source, row.tags))
        for side, values in kept.items():
            if values:
                columns = [pa.array(c, f.type) for c, f in zip(zip(*values, strict=True), SCHEMA, strict=True)]
                self._streams[side].write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
                self._csv[side].write([*cells, orjson.dumps(tags).decode()] for *cells, tags in values)
        return reasons

    def close(self) -> None:
        for side in SIDES:
            self._streams[side].close()
            self._files[side].close()
            self._csv[side].close()
        with_pandas()
        self._save()
        with (self._out / "dataset.csv").open("wb") as whole:
            for side in SIDES:
                with (self._work / f"{side}.csv").open("rb") as part:
                    if side != SIDES[0]:
                        part.readline()  # the header stands once
                    shutil.copyfileobj(part, whole)
        shutil.rmtree(self._work)

    def _save(self) -> None:
        # takes two seconds to import: only here, when the rows are written
        from datasets import Dataset, DatasetDict, DatasetInfo, Features, List, Value, disable_progress_bars
        from datasets.table import MemoryMappedTable

        disable_progress_bars()
        features = Features({name: Value("string") for name in FIELDS[:-1]} | {"tags": List(Value("string"))})
        splits = {}
        for side in SIDES:
            # Any other fingerprint differs from run to run, or between versions of datasets.
            splits[side] = Dataset(
                MemoryMappedTable.from_file(str(self._arrow(side))),
                info=DatasetInfo(features=features),
                split=side,
                fingerprint=sha256(self._arrow(side))[:16],
            )
        DatasetDict(splits).save_to_disk(str(self._out))


def writer(folder: Path, settings: Export) -> Folder:
    return Folder(folder, settings)
