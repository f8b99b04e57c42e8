"""Rows that hold a benchmark's question: trained on, they would spoil what the benchmark measures.

A benchmark is hashes in git, data/benchmarks/<name>.json, made from a user's own copy:

    python -m stages.dedup.contamination make NAME FILE FIELD

FILE is JSON Lines, a JSON array or CSV; FIELD names the question (of a list, all items as one text).
A row is a hit if one of its texts equals a question after folding (method `exact`), or holds at least
`min_overlap` of the question's runs of 13 words (method `overlap`; Brown et al. 2020, arXiv:2005.14165, section C,
with a share in place of a single run, so that a phrase in common is no hit). A question of fewer than 13 words is
compared as a whole only. Of a question's runs the file keeps the quarter with the smallest hashes (a bottom-k sketch,
Broder 1997), and none that stands in more than two questions: those are the benchmark's own instructions.

What the file gives away. A hash of 64 bits over 13 words, or of 128 over a whole text, cannot be computed back, and
13 words in a row of a person's own story are too many to be guessed in one go. Since three of four runs are missing,
the text cannot be spelled out word by word from one that is known. Who has the text, or guesses a common phrase, can
see that it is there. So the hashes of a benchmark that is not public do not belong in git.
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import errors, text
from stages.dedup.exact import VERBATIM
from stages.dedup.shingles import Sequences, mix, sequences
from stages.engine.keys import hash128, hexes
from stages.errors import DamagedError, ParamsError, SourceError
from stages.files import read_json, sha256, write_json

FOLDER = Path("data/benchmarks")
WORDS = 13
KEPT, FEWEST = 4, 4  # one run in four is kept, but at least four of a question
SHARED = 2  # questions; a run in more of them is no part of any
FIELDS = ("input", "response", "rejected_response", "turns")

TYPE = pa.struct(
    [
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("question", pa.int32(), nullable=False),  # its number in the benchmark, from 0
        pa.field("method", pa.string(), nullable=False),  # exact, overlap
        pa.field("overlap", pa.int32(), nullable=False),  # share of the question's runs, in thousandths
        pa.field("field", pa.string(), nullable=False),  # where in the row
        pa.field("word", pa.int32(), nullable=False),  # number of the word where the first shared run starts
    ]
)

_PROBE = "the quick brown fox jumps over the lazy dog and runs away again"  # 13 words
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
TEXT = np.dtype([("hi", "u8"), ("lo", "u8")])
_BITMAP = 20  # bits of a hash that tell most strangers apart


def runs(words: Sequences) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every run of 13 words within one text: its hash (uint64), the number of its text, and of its first word."""
    hashes, counts = words
    total = max(len(hashes) - (WORDS - 1), 0)
    values = hashes[:total].astype(np.uint64)
    for ahead in range(1, WORDS):
        values *= _FACTOR
        values += hashes[ahead : ahead + total]
    mix(values)
    ends = np.cumsum(counts)
    texts = np.repeat(np.arange(len(counts)), counts)[:total]
    at = np.arange(total)
    whole = at + WORDS <= ends[texts]
    first = (ends - counts)[texts]
    return values[whole], texts[whole], (at - first)[whole]


# --- benchmarks --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Benchmarks:
    """The questions of all benchmarks, numbered through, as tables to look hashes up in."""

    names: tuple[str, ...]
    sizes: np.ndarray  # questions of each benchmark
    texts: np.ndarray  # hash128 of folded questions, sorted
    text_of: np.ndarray  # the question of each
    runs: np.ndarray  # hashes of runs, sorted, one for each question that has it
    run_of: np.ndarray  # the question of each
    counts: np.ndarray  # runs kept of each question
    seen: np.ndarray  # bool, 2**20: whether some run's hash starts with these bits

    def place(self, question: int) -> tuple[str, int]:
        """The benchmark of a question, and its number there."""
        ends = np.cumsum(self.sizes)
        at = int(np.searchsorted(ends, question, side="right"))
        return self.names[at], int(question - (ends[at] - self.sizes[at]))


def load(names: Sequence[str], folder: Path = FOLDER) -> Benchmarks:
    """Read benchmark files. Raises ParamsError for one that is missing or was made by other rules."""
    files = [_read(name, folder) for name in sorted(set(names))]
    sizes = np.array([len(file["texts"]) for file in files], np.int64)
    texts = _parsed("".join(itertools.chain.from_iterable(file["texts"] for file in files))).view(TEXT)
    kept = [_parsed(line) for file in files for line in file["runs"]]
    counts = np.array([len(line) for line in kept], np.int64)
    values = np.concatenate(kept) if kept else np.empty(0, np.uint64)
    order, by_text = np.argsort(values, kind="stable"), np.argsort(texts, kind="stable")
    seen = np.zeros(1 << _BITMAP, bool)
    seen[values >> np.uint64(64 - _BITMAP)] = True
    run_of = np.repeat(np.arange(len(counts)), counts)[order]
    names = tuple(file["name"] for file in files)
    return Benchmarks(names, sizes, texts[by_text], by_text, values[order], run_of, counts, seen)


def _read(name: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{name}.json"
    if not path.exists():
        raise ParamsError(
            f"params.yaml: decontaminate.benchmarks: {path} is missing: take {name!r} out, or make it from your copy "
            f"with `python -m stages.dedup.contamination make {name} FILE FIELD`"
        )
    try:
        found: dict[str, Any] = read_json(path, "probe", "texts", "runs", "name")
    except DamagedError as error:
        raise ParamsError(f"{error.what}: restore it with `git checkout {path}`, or make it again") from None
    if found.get("probe") != _probe():
        raise ParamsError(f"{path} was made by other rules: make it again from your copy, or check it out anew")
    return found


def _probe() -> str:
    """The hash of a fixed run: a file made with other hashing would find nothing, silently."""
    return _hex(runs(sequences(pa.array([_PROBE])))[0])


def _hex(values: np.ndarray) -> str:
    return "".join(f"{value:016x}" for value in values.tolist())


def _parsed(digits: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)


# --- hits --------------------------------------------------------------------------------------------------


def hits(batch: pa.RecordBatch, benchmarks: Benchmarks, min_overlap: float = 0.5) -> pa.StructArray:
    """For each record the question it holds, or null: the best one, an exact one before all others. Type TYPE.

    Columns that the batch lacks are not looked at; in a transcript, turns are parts of the input.
    """
    best: dict[int, tuple[int, ...]] = {}  # row -> rank; the smallest wins
    for field, texts, rows in _texts(batch):
        texts = text.words(texts)  # the costly folding, once for both ways to compare
        found = itertools.chain(_exact(texts, benchmarks), _overlaps(texts, benchmarks, min_overlap))
        for number, exact, overlap, question, word in found:
            rank = (not exact, -overlap, question, FIELDS.index(field), word)
            row = int(rows[number])
            best[row] = min(rank, best.get(row, rank))
    return pa.array([_hit(best[row], benchmarks) if row in best else None for row in range(len(batch))], TYPE)


def _hit(rank: tuple[int, ...], benchmarks: Benchmarks) -> dict[str, Any]:
    inexact, overlap, question, field, word = rank
    name, number = benchmarks.place(question)
    return {
        "benchmark": name,
        "question": number,
        "method": "overlap" if inexact else "exact",
        "overlap": -overlap,
        "field": FIELDS[field],
        "word": word,
    }


def _texts(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.StringArray, np.ndarray]]:
    """Each field's texts, and the row that each text is of."""
    for name in FIELDS[:-1]:
        if name in batch.schema.names and batch[name].null_count < len(batch):
            yield name, batch[name], np.arange(len(batch))
    if "turns" in batch.schema.names and "type" in batch.schema.names:
        talks = pc.if_else(pc.equal(batch["type"], VERBATIM), None, batch["turns"])
        if talks.null_count < len(talks):
            rows = pc.list_parent_indices(talks).to_numpy()
            yield "turns", pc.struct_field(pc.list_flatten(talks), "content"), rows


def _exact(texts: pa.StringArray, benchmarks: Benchmarks) -> Iterator[tuple[int, bool, int, int, int]]:
    hashes = hash128(pc.replace_substring(texts, " ", ""))  # words without gaps are the folded text
    start = np.searchsorted(benchmarks.texts["hi"], hashes["hi"], side="left")
    stop = np.searchsorted(benchmarks.texts["hi"], hashes["hi"], side="right")
    for number in np.flatnonzero(stop > start).tolist():
        for place in range(int(start[number]), int(stop[number])):
            if benchmarks.texts["lo"][place] == hashes["lo"][number]:
                yield number, True, 1000, int(benchmarks.text_of[place]), 0


def _overlaps(
    texts: pa.StringArray, benchmarks: Benchmarks, min_overlap: float
) -> Iterator[tuple[int, bool, int, int, int]]:
    values, numbers, words = runs(sequences(texts))
    near = np.flatnonzero(benchmarks.seen[values >> np.uint64(64 - _BITMAP)])
    values, numbers, words = values[near], numbers[near], words[near]
    start = np.searchsorted(benchmarks.runs, values, side="left")
    many = np.searchsorted(benchmarks.runs, values, side="right") - start
    if not many.any():
        return
    # One line for each run and question that has it: text, question, place in the table, word.
    lines = np.repeat(np.arange(len(values)), many)
    places = np.arange(len(lines)) - np.repeat(np.cumsum(many) - many, many) + start[lines]
    found = np.stack([numbers[lines], benchmarks.run_of[places], places, words[lines]], axis=1)
    found = found[np.lexsort((found[:, 3], found[:, 2], found[:, 1], found[:, 0]))]
    fresh = np.r_[True, (np.diff(found[:, :3], axis=0) != 0).any(axis=1)]  # a run counts once, at its first word
    found = found[fresh]
    heads = np.flatnonzero(np.r_[True, (np.diff(found[:, :2], axis=0) != 0).any(axis=1)])
    shared = np.diff(np.r_[heads, len(found)])
    first = np.minimum.reduceat(found[:, 3], heads)
    wanted = benchmarks.counts[found[heads, 1]]
    enough = np.flatnonzero(shared >= np.ceil(min_overlap * wanted - 1e-9))
    for i in enough.tolist():
        yield int(found[heads[i], 0]), False, int(shared[i] * 1000 // wanted[i]), int(found[heads[i], 1]), int(first[i])


class Matrix:
    """Benchmark by source: rows that hold a question, by method, and how many questions they hold."""

    def __init__(self, benchmarks: Benchmarks, sources: Sequence[str]) -> None:
        self._sizes = dict(zip(benchmarks.names, benchmarks.sizes.tolist(), strict=True))
        self._rows = {(name, source): {"exact": 0, "overlap": 0} for name in benchmarks.names for source in sources}
        self._questions: dict[tuple[str, str], set[int]] = {cell: set() for cell in self._rows}

    def add(self, sources: pa.StringArray, found: pa.StructArray) -> None:
        """Count the hits of one batch; `sources` names the source of each record."""
        rows = found.is_valid()
        for source, hit in zip(sources.filter(rows).to_pylist(), found.filter(rows).to_pylist(), strict=True):
            cell = (hit["benchmark"], source)
            self._rows[cell][hit["method"]] += 1
            self._questions[cell].add(hit["question"])

    def table(self) -> list[dict[str, Any]]:
        """One line for each benchmark and source, in their order."""
        return [
            {"benchmark": name, "size": self._sizes[name], "source": source, **rows}
            | {"questions": len(self._questions[name, source])}
            for (name, source), rows in self._rows.items()
        ]


# --- make --------------------------------------------------------------------------------------------------


def describe(name: str, questions: Sequence[str]) -> dict[str, Any]:
    """The hashes of a benchmark's questions, as plain values for JSON."""
    texts = pa.array(questions, pa.string())
    folded = text.fold(texts)
    if not all(folded.to_pylist()):
        raise SourceError(f"{name}: a question has no letter or digit: check that FIELD names the question")
    values, numbers, _ = runs(sequences(texts))
    pairs = np.unique(np.stack([values, numbers.astype(np.uint64)], axis=1), axis=0)
    _, which, many = np.unique(pairs[:, 0], return_inverse=True, return_counts=True)
    pairs = pairs[many[which] <= SHARED]
    own = [pairs[pairs[:, 1] == number, 0] for number in range(len(questions))]  # sorted, so the smallest come first
    kept = [values[: max(FEWEST, -(-len(values) // KEPT))] for values in own]
    return {
        "name": name,
        "words": WORDS,
        "probe": _probe(),
        "texts": hexes(hash128(folded)),
        "runs": [_hex(values) for values in kept],
    }


def questions_of(path: Path, field: str) -> list[str]:
    """The questions of a user's copy. Raises SourceError for a row without that field."""
    found = []
    for number, row in enumerate(_rows(path)):
        value = row.get(field) if isinstance(row, dict) else None
        value = "\n".join(map(str, value)) if isinstance(value, list) else value
        if not isinstance(value, str):
            raise SourceError(f"{path}, row {number}: there is no text in {field!r}: name the question's field")
        found.append(value)
    return found


def _rows(path: Path) -> Iterator[Any]:
    if path.suffix.lower() == ".csv":
        csv.field_size_limit(sys.maxsize)
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)
        return
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        whole = content.lstrip()[:1] == b"["
        yield from msgspec.json.decode(content) if whole else msgspec.json.Decoder().decode_lines(content)
    except msgspec.DecodeError as error:
        raise SourceError(f"{path} is neither JSON Lines nor a JSON array: {error}") from None


def main(*words: str) -> None:
    """`make NAME FILE FIELD`: write data/benchmarks/NAME.json."""
    if len(words) != 4 or words[0] != "make":
        raise ParamsError("usage: python -m stages.dedup.contamination make NAME FILE FIELD")
    _, name, file, field = words
    found = describe(name, questions_of(Path(file), field))
    write_json(FOLDER / f"{name}.json", found | {"made_from": {"field": field, "sha256": sha256(Path(file))}})
    print(f"{FOLDER / name}.json: {len(found['texts'])} questions, {sum(len(r) for r in found['runs']) // 16} runs")


if __name__ == "__main__":
    errors.run(main)
