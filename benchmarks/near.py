"""Near-duplicates: CPU, recall and memory, beside rensa and datasketch where they are installed.

    [MHDATA_REAL=...] python -m benchmarks.near              the same rows for all, one text a row
    python -m benchmarks.near --scale 100000 1000000         cost per row and peak memory, a process for each size

Peers get the folded words for nothing and their fastest calls in bulk; all use three-word shingles, 128 values, 32
bands of 4, and exact comparison of every candidate at 0.7. Recall is measured against all pairs (an inverted index of
shingles), and counts a pair that stands in one cluster. Without MHDATA_REAL the rows are made up.
"""

from __future__ import annotations

import importlib.metadata
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import text
from stages.dedup.clusters import components
from stages.dedup.near import Rules, Writer, find
from stages.dedup.spill import FIELDS
from tests.near_oracle import WORDS, Row, alike, corpus

BOUND = Fraction(7, 10)
BATCH = 4096


def real_rows(folder: Path) -> dict[str, list[str]]:
    from tests.dedup.test_near_real import amod, depression, mentalchat, preference, trace

    people, templates = (amod, mentalchat, preference, depression), (trace,)
    kinds = {"written by people and models": people, "with TRACE's templates": people + templates}
    return {kind: [joined(row) for source in sources for row in source(folder)] for kind, sources in kinds.items()}


def joined(row: Row) -> str:
    return "\n".join(part or "" for part in row)


def made_rows(count: int = 20_000) -> dict[str, list[str]]:
    return {"made up": [joined(row) for row in corpus(1, count // 5)]}


# --- the contestants: texts to (seconds, pairs of rows that are in one cluster) -----------------------------


def ours(texts: list[str]) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    batches = list(_batches(texts))
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        _spill(Path(folder), batches)
        found = find(Path(folder), Rules(short=1))
        return time.process_time() - start, (found.near.row, found.near.kept)


def _batches(texts: list[str]) -> Iterator[pa.RecordBatch]:
    for part in _parts(texts):
        yield _batch(pa.array(part, pa.string()))


def _parts(texts: list[str]) -> Iterator[list[str]]:
    return (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))


def _batch(inputs: pa.Array, responses: pa.Array | None = None) -> pa.RecordBatch:
    empty = pa.nulls(len(inputs), pa.string())
    return pa.record_batch([inputs, empty if responses is None else responses, empty], names=list(FIELDS))


def _spill(folder: Path, batches: list[pa.RecordBatch]) -> None:
    at = 0
    with Writer(folder, 0) as writer:
        for batch in batches:
            writer.add(batch, np.arange(at, at + len(batch), dtype=np.uint64))
            at += len(batch)


def rensa(texts: list[str]) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    from rensa import RMinHash, RMinHashLSH

    words = _words(texts)
    start = time.process_time()
    shingles = [_shingles(value) for value in words]
    minhashes = RMinHash.from_token_sets(shingles, 128, 42)
    index = RMinHashLSH(0.5, 128, 32)
    index.insert_many(minhashes)
    pairs = _verified(shingles, enumerate(index.query_all(minhashes)))
    return time.process_time() - start, pairs


def datasketch(texts: list[str]) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    from datasketch import MinHash, MinHashLSH

    words = _words(texts)
    start = time.process_time()
    shingles = [_shingles(value) for value in words]
    minhashes = MinHash.bulk([[item.encode() for item in of] for of in shingles], num_perm=128)
    index = MinHashLSH(num_perm=128, params=(32, 4))
    with index.insertion_session() as session:
        for row, minhash in enumerate(minhashes):
            session.insert(row, minhash)
    pairs = _verified(shingles, ((row, index.query(minhash)) for row, minhash in enumerate(minhashes)))
    return time.process_time() - start, pairs


def _words(texts: list[str]) -> list[list[str]]:
    return [value.split() for part in _parts(texts) for value in text.words(pa.array(part)).to_pylist()]


def _shingles(words: list[str]) -> set[str]:
    return {" ".join(words[at : at + 3]) for at in range(max(1, len(words) - 2))}


def _verified(shingles: list[set[str]], candidates: Iterator[tuple[int, list[int]]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = []
    for one, others in candidates:
        for two in others:
            if one < two:
                shared = len(shingles[one] & shingles[two])
                if shared * 10 >= 7 * (len(shingles[one]) + len(shingles[two]) - shared):
                    pairs.append((one, two))
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


CONTESTANTS: dict[str, Callable[[list[str]], tuple[float, tuple[np.ndarray, np.ndarray]]]] = {
    "ours": ours,
    "rensa": rensa,
    "datasketch": datasketch,
}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name) if name != "ours" else ""
    except importlib.metadata.PackageNotFoundError:
        return None


def compare(kind: str, texts: list[str]) -> None:
    print(f"{len(texts):,} rows ({kind}), {sum(len(value.encode()) for value in texts) / 1e6:.1f} MB")
    true = {(a, b) for a, b, _ in alike(texts, BOUND)}
    print(f"{len(true):,} pairs reach {float(BOUND)}")
    base = None
    for name, run in CONTESTANTS.items():
        version = _version(name)
        if version is None:
            print(f"{name}: not installed")
            continue
        seconds, pairs = min((run(texts) for _ in range(3 if name == "ours" else 1)), key=lambda made: made[0])
        base = base or seconds
        label = dict(zip(*(part.tolist() for part in components(*pairs)), strict=True))
        recall = sum(label.get(a, -1) == label.get(b, -2) for a, b in true) / len(true)
        cost = seconds / len(texts) * 1e5
        print(f"{name} {version}: {cost:.1f} CPU s / 100k rows, {seconds / base:.1f} x ours, recall {recall:.4f}")


# --- scale -------------------------------------------------------------------------------------------------


def distinct(rows: int) -> Iterator[pa.RecordBatch]:
    """Made-up questions (about 60 words) and answers (about 200), words by Zipf, one row in ten an edit of another."""
    draw = np.random.Generator(np.random.Philox(7))
    words = pa.array([*WORDS, *(f"{one}{two}" for one, two in zip(WORDS, WORDS[7:] + WORDS[:7], strict=True))])
    shares = np.cumsum(1 / np.arange(30, 30 + len(words)))
    for start in range(0, rows, BATCH):
        count = min(BATCH, rows - start)
        columns = []
        for middle in (60, 200):
            lengths = np.maximum(3, draw.lognormal(np.log(middle), 0.6, count).astype(np.int64))
            lengths[9::10] = lengths[: count - 9 : 10]
            ends = np.cumsum(lengths)
            picked = np.searchsorted(shares, draw.random(ends[-1]) * shares[-1])
            for row in range(9, count, 10):
                copy = slice(ends[row] - lengths[row], ends[row])
                picked[copy] = picked[ends[row - 9] - lengths[row - 9] : ends[row - 9]]
                picked[ends[row] - lengths[row] // 2 - 1] = 0  # one other word
            lists = pa.ListArray.from_arrays(pa.array([0, *ends], pa.int32()), words.take(pa.array(picked)))
            columns.append(pc.binary_join(lists, " "))
        yield _batch(*columns)


def scale(rows: int) -> None:
    """Cost of each step and peak memory; the making of rows is not counted."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder, spent, at, size = Path(name), 0.0, 0, 0
        with Writer(folder, 0) as writer:
            for batch in distinct(rows):
                start = time.process_time()
                writer.add(batch, np.arange(at, at + len(batch), dtype=np.uint64))
                spent += time.process_time() - start
                at, size = at + len(batch), size + batch.nbytes
        before = _peak()
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        start = time.process_time()
        found = find(folder, Rules())
        search = time.process_time() - start
        spent, search = (seconds / rows * 1e5 for seconds in (spent, search))
        print(
            f"{rows:,} rows, {size / 1e6:,.0f} MB: spill {spent:.2f} + find {search:.2f} CPU s / 100k rows; "
            f"peak {before} then {_peak()} MB; spilled {disk / rows:,.0f} bytes a row; {len(found.near.row):,} leave, "
            f"{found.counts['candidates']:,} candidates, {found.counts['compared']:,} compared",
            flush=True,
        )


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main(*words: str) -> None:
    folder = os.environ.get("MHDATA_REAL")
    if not words:
        for kind, texts in (real_rows(Path(folder)) if folder else made_rows()).items():
            compare(kind, texts)
    elif len(words) == 2:
        scale(int(words[1]))
    else:
        for size in words[1:]:
            subprocess.run([sys.executable, "-m", "benchmarks.near", "--scale", size], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
