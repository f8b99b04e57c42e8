"""Our functions, as the stages call them: `ours.py exact|near ROWS.jsonl OUT`"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stages import errors

errors.without_pandas()
errors.reuse_memory()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.compute as pc  # noqa: E402

from stages import readers, text  # noqa: E402
from stages.engine.keys import KeySpill, hash128, run_starts  # noqa: E402
from stages.storage import json_rows, read_stream  # noqa: E402

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string())])
KEY = np.dtype([("hi", "u8"), ("lo", "u8"), ("place", "i8")])
PATTERNS = (
    r"[\w.+-]+@[\w-]+\.[\w.-]+", r"https?://\S+", r"\+?\d[\d ().-]{8,}\d", r"\b\d{1,3}(\.\d{1,3}){3}\b",
    r"\b\d{3}-\d{2}-\d{4}\b", r"\b(\d[ -]?){13,16}\b",
)  # fmt: skip
ANY = "|".join(f"(?:{pattern})" for pattern in PATTERNS)


def mended(path: Path) -> Iterator[pa.RecordBatch]:
    for unit in readers.units(path):
        for batch in readers.read(unit, SCHEMA, "rows"):
            texts, _ = text.repair(batch.columns["text"])
            flags = looked_for(texts)
            names = ["id", "text", *(f"flag{n}" for n in range(len(flags)))]
            yield pa.record_batch(
                [batch.columns["id"], texts, *(f.cast(pa.int8()).cast(pa.string()) for f in flags)], names=names
            )


def looked_for(texts: pa.StringArray) -> list[pa.BooleanArray]:
    """Where each pattern stands: one look for all of them, then one for each in the few texts that hold any."""
    some = pc.match_substring_regex(texts, ANY)
    held = texts.filter(some)
    return [pc.replace_with_mask(some, some, pc.match_substring_regex(held, pattern)) for pattern in PATTERNS]


def exact(rows: Path, out: Path, folder: Path) -> None:
    keys, count = KeySpill(folder / "keys", KEY), 0
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as file:
        stream = None
        for batch in mended(rows):
            stream = stream or pa.ipc.new_stream(file, batch.schema)
            stream.write_batch(batch)
            made = np.zeros(len(batch), KEY)
            hashes = hash128(text.fold_or_nfkc(batch["text"]))
            made["hi"], made["lo"] = hashes["hi"], hashes["lo"]
            made["place"] = np.arange(count, count + len(batch))
            count += len(batch)
            keys.add(made)
        stream.close()
    stays = np.ones(count, bool)
    for part in keys.partitions():
        stays[part["place"][run_starts(part, ("hi", "lo")) != np.arange(len(part))]] = False
    written(folder, out, stays)


def near(rows: Path, out: Path, folder: Path) -> None:
    from stages.dedup.near import Rules, Writer, find

    with (
        pa.OSFile(str(folder / "rows.arrow"), "wb") as file,
        pa.ipc.new_stream(file, SCHEMA) as stream,
        Writer(folder / "near", 0) as writer,
    ):
        count = 0
        for unit in readers.units(rows):
            for read in readers.read(unit, SCHEMA, "rows"):
                batch = pa.record_batch([read.columns["id"], read.columns["text"]], schema=SCHEMA)
                stream.write_batch(batch)
                none = pa.nulls(len(batch), pa.string())
                row = pa.record_batch([batch["text"], none, none], names=["input", "response", "rejected_response"])
                writer.add(row, np.arange(count, count + len(batch), dtype=np.uint64))
                count += len(batch)
    stays = np.ones(count, bool)
    stays[find(folder / "near", Rules(short=1)).removed] = False
    written(folder, out, stays)


def written(folder: Path, out: Path, stays: np.ndarray) -> None:
    out.mkdir(parents=True, exist_ok=True)
    done = 0
    with (out / "rows.jsonl").open("wb") as lines:
        for batch in read_stream(folder / "rows.arrow"):
            kept = batch.filter(pa.array(stays[done : done + len(batch)]))
            done += len(batch)
            if len(kept):
                lines.write(json_rows(kept))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        {"exact": exact, "near": near}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]), Path(name))
