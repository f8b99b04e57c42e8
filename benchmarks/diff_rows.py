"""Time and memory of `mhdata diff` on two generated versions of N rows: `python benchmarks/diff_rows.py 1000000`

The second version has another seed of the split (a fifth of the rows move), every 50th row removed (half as a
duplicate, half dropped), every 70th changed in its answer, and 1 % added. Prints seconds, MB and the counts, and
fails unless every row is accounted for.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.merge import DROPPED, DUPLICATES
from stages.record import MERGED
from stages.split import SCHEMA
from stages.storage import ParquetSink

SOURCES = ("amod_counseling", "mentalchat16k", "trace", "human_like_dpo")
BATCH = 4096
WORDS = [
    "I",
    "have",
    "been",
    "feeling",
    "low",
    "for",
    "weeks",
    "and",
    "do",
    "not",
    "know",
    "whom",
    "to",
    "ask",
    "about",
]


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as work:
        folders = [Path(work) / name for name in ("old", "new")]
        for number, folder in enumerate(folders):
            write(folder, rows, number)
        size = sum(file.stat().st_size for file in Path(work).rglob("*") if file.is_file())
        start = time.monotonic()
        words = [sys.executable, "-m", "mhdata", "diff", *map(str, folders), "--json", "--rows", f"{work}/rows.jsonl"]
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True, env={**os.environ, "TMPDIR": work})
        seconds, usage = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(f"{work}/rows.jsonl", "rb") as lines:
            listed = sum(1 for _ in lines)
    total = json.loads(done.stdout)["total"]
    assert total["old"] == rows
    assert listed == total["new"] - total["same"] + total["removed"]
    print(
        f"{rows:,} rows, {size / 1e6:,.0f} MB: {seconds:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} CPU s, "
        f"{usage.ru_maxrss / 1024:,.0f} MB at most"
    )
    print(total)


def write(folder: Path, rows: int, version: int) -> None:
    """One version: merged table, split, and what the merge took out."""
    for name in ("merged", "split"):
        (folder / "data" / name).mkdir(parents=True)
    merged = ParquetSink(folder / "data/merged/merged_mental_health_dataset.parquet", MERGED)
    split = ParquetSink(folder / "data/split/split.parquet", SCHEMA)
    left = ParquetSink(folder / "data/merged/duplicates.parquet", DUPLICATES)
    dropped = ParquetSink(folder / "data/merged/dropped.parquet", DROPPED)
    total = rows + rows // 100 if version else rows
    for start in range(0, total, BATCH):
        numbers = np.arange(start, min(start + BATCH, total))
        gone = (numbers % 50 == 7) & bool(version)
        merged.write(table(numbers[~gone], version, rows))
        split.write(sides(numbers[~gone], version))
        lost = removed(numbers[gone], rows)
        left.write(pa.RecordBatch.from_pylist([one for one in lost if "kept" in one], DUPLICATES))
        dropped.write(pa.RecordBatch.from_pylist([one for one in lost if "reason" in one], DROPPED))
    for sink in (merged, split, left, dropped):
        sink.close()


def id_of(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"


def source_of(number: int, rows: int) -> str:
    return SOURCES[min(number * len(SOURCES) // rows, len(SOURCES) - 1)]


def table(numbers: np.ndarray, version: int, rows: int) -> pa.RecordBatch:
    made = []
    for number in numbers.tolist():
        text = " ".join(WORDS[(number >> bit) % len(WORDS)] for bit in range(24)) + f" {number}"
        answer = text[::-1] * 3 + (" changed" if version and number % 70 == 3 else "")
        origin = {"dataset": "x", "revision": None, "file": "f", "sha256": "0" * 64, "row": number, "key": None,
                  "meta": None, "edits": []}  # fmt: skip
        made.append(
            {"id": id_of(number), "input": text, "response": answer, "rejected_response": None,
             "source": source_of(number, rows), "type": "counseling", "tags": ["general"], "system": None,
             "turns": None, "license": "MIT", "group": str(number), "origin": origin, "enters": ["chat"],
             "duplicates": [], "cluster": None}
        )  # fmt: skip
    return pa.RecordBatch.from_pylist(made, MERGED)


def sides(numbers: np.ndarray, version: int) -> pa.RecordBatch:
    on = ["validation" if (n * 7 + version * 13) % 10 < 1 else "train" for n in numbers.tolist()]
    return pa.RecordBatch.from_arrays(
        [pa.array([id_of(n) for n in numbers.tolist()]), pa.array(on), pa.array([str(n) for n in numbers.tolist()])],
        schema=SCHEMA,
    )


def removed(numbers: np.ndarray, rows: int) -> list[dict[str, object]]:
    return [
        {"id": id_of(n), "source": source_of(n, rows), "reason": "quality:base64"} if n % 100 == 7 else
        {"id": id_of(n), "kept": id_of(n + 1), "source": source_of(n, rows), "kept_source": source_of(n + 1, rows),
         "method": "near", "score": 800, "differing_words": 3}
        for n in numbers.tolist()
    ]  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
