"""A linear model with integer weights over words and short runs of words, for whole batches at once.

A text is as bad as its worst stretch: its score is the bias plus the greatest sum of weights over WINDOW words side
by side, so that one line in a long post counts as much as a post of one line. A weight belongs to a word, or to two or
three words side by side, in the canonical spelling (data/crisis_canonical.yaml, without the words that it drops), and counts
where the run begins. The weights are a readable table, `feature<TAB>weight` (benchmarks/screens_crisis_train.py).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.screens._canonical import DATA, Table, table
from stages.text import words

Ints = npt.NDArray[np.int64]
LONGEST, WINDOW = 3, 16
_UNKNOWN, _DROPPED = 0, -1


@dataclass(frozen=True)
class Tokens:
    """Canonical words of a batch in one run: `code[i]` is a word of text `row[i]`; 0 is a word the vocabulary lacks."""

    code: Ints
    row: Ints


@dataclass(frozen=True)
class Vocabulary:
    """Codes of words, and what the spelling table does to them."""

    codes: dict[str, int]  # word as written -> code > 0
    spelled: Ints  # code -> code of what is written instead; 0 unknown to the model, -1 dropped
    pairs: Ints  # sorted keys (first x size + second) of the pairs written as one
    joined: Ints  # of each of them, as `spelled`
    size: int


@dataclass(frozen=True)
class Model:
    vocabulary: Vocabulary
    keys: tuple[Ints, ...]  # per length of the run: sorted keys of the features
    weights: tuple[Ints, ...]
    bias: int
    cue: npt.NDArray[np.bool_]  # code -> whether it is one of the words that the caller asked after


def vocabulary(wanted: list[str], spelling: Table) -> Vocabulary:
    """Codes for the wanted canonical words and for all words of the spelling table."""
    parts = {part for pair in spelling.pairs for part in pair}
    codes = {word: i for i, word in enumerate(sorted({*wanted, *parts, *spelling.words, *spelling.drop}), 1)}
    size = len(codes) + 1

    def code(spelled: str) -> int:
        first = spelled.split(" ")[0]  # of several words for one the model knows the first
        return _DROPPED if first in spelling.drop else codes.get(first, _UNKNOWN)

    pairs = sorted((codes[a] * size + codes[b], code(to)) for (a, b), to in spelling.pairs.items())
    return Vocabulary(
        codes,
        np.array([_UNKNOWN, *(code(spelling.words.get(word, word)) for word in sorted(codes))], np.int64),
        np.array([key for key, _ in pairs], np.int64),
        np.array([to for _, to in pairs], np.int64),
        size,
    )


def tokens(texts: pa.StringArray, known: Vocabulary) -> Tokens:
    """Words of the texts in canonical spelling, as codes."""
    lists = pc.split_pattern(words(texts), " ")
    encoded = lists.flatten().dictionary_encode()
    lookup = np.fromiter((known.codes.get(word, _UNKNOWN) for word in encoded.dictionary.to_pylist()), np.int64)
    code = lookup[encoded.indices.to_numpy()] if len(lookup) else np.empty(0, np.int64)
    row = np.repeat(np.arange(len(texts)), np.diff(lists.offsets.to_numpy()))
    empty = pc.equal(encoded.dictionary, "").to_numpy(zero_copy_only=False)  # what stands before a leading space
    written = ~empty[encoded.indices.to_numpy()] if len(lookup) else np.empty(0, bool)
    return _spelled(code[written], row[written], known)


def _spelled(code: Ints, row: Ints, known: Vocabulary) -> Tokens:
    """Pairs as one word (of two that overlap the later), the other words as the table has them, dropped ones out."""
    key = np.where((code[:-1] > 0) & (code[1:] > 0) & (row[:-1] == row[1:]), code[:-1] * known.size + code[1:], -1)
    place = np.minimum(np.searchsorted(known.pairs, key), len(known.pairs) - 1)
    hit = known.pairs[place] == key
    hit[:-1] &= ~hit[1:]
    first = np.flatnonzero(hit)
    spelled = known.spelled[code]
    spelled[first] = known.joined[place[first]]
    spelled[first + 1] = _DROPPED
    kept = spelled != _DROPPED
    return Tokens(spelled[kept], row[kept])


def runs(run: Tokens, length: int, size: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Keys of all runs of so many words, and which of them are whole: known words of one text."""
    n = max(len(run.code) - length + 1, 0)
    key = np.zeros(n, np.int64)
    whole = np.ones(n, bool)
    for i in range(length):
        part = run.code[i : n + i]
        key = key * size + part
        whole &= part > 0
    if length > 1:
        whole &= run.row[:n] == run.row[length - 1 : n + length - 1]
    return key, whole


@functools.cache
def model(name: str, cues: frozenset[str] = frozenset()) -> Model:
    """The weights of a file of `data/`; its readings tell too which texts hold one of the cue words."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    weights = {feature: int(weight) for feature, weight in (line.split("\t") for line in lines if not line.startswith("#"))}
    bias = weights.pop("")
    known = vocabulary([*cues, *(word for feature in weights for word in feature.split(" "))], table())
    keys: list[Ints] = []
    values: list[Ints] = []
    for length in range(1, LONGEST + 1):
        found = sorted((_key(feature, known), w) for feature, w in weights.items() if feature.count(" ") == length - 1)
        keys.append(np.array([key for key, _ in found], np.int64))
        values.append(np.array([w for _, w in found], np.int64))
    cue = np.zeros(known.size, bool)
    cue[[known.codes[word] for word in sorted(cues)]] = True
    return Model(known, tuple(keys), tuple(values), bias, cue)


def _key(feature: str, known: Vocabulary) -> int:
    key = 0
    for word in feature.split(" "):
        key = key * known.size + known.codes[word]
    return key


@dataclass(frozen=True)
class Reading:
    """Of each text its score (without words: the bias), and whether it holds a cue word."""

    score: Ints
    cue: npt.NDArray[np.bool_]


def read(texts: pa.StringArray, weights: Model) -> Reading:
    """Score all texts."""
    run = tokens(texts, weights.vocabulary)
    cue = np.zeros(len(texts), bool)
    cue[run.row[weights.cue[run.code]]] = True
    return Reading(weights.bias + _worst(_sums(run, weights), run.row, len(texts)), cue)


def _sums(run: Tokens, weights: Model) -> Ints:
    """For each word the weights of the features that begin with it."""
    total = np.zeros(len(run.code), np.int64)
    for length, (keys, values) in enumerate(zip(weights.keys, weights.weights, strict=True), 1):
        if len(keys) == 0:
            continue
        key, whole = runs(run, length, weights.vocabulary.size)
        at = np.flatnonzero(whole)
        place = np.minimum(np.searchsorted(keys, key[at]), len(keys) - 1)
        hit = keys[place] == key[at]
        total[at[hit]] += values[place[hit]]
    return total


def _worst(sums: Ints, row: Ints, rows: int) -> Ints:
    """For each row the greatest sum over WINDOW words in a run, or over all where there are fewer; 0 without words."""
    worst = np.zeros(rows, np.int64)
    if len(sums) == 0:
        return worst
    first = np.flatnonzero(np.diff(row, prepend=-1))  # where each row that has words begins
    sizes = np.diff(first, append=len(row))
    begin, end = np.repeat(first, sizes), np.repeat(first + sizes, sizes)
    until = np.concatenate([np.zeros(1, np.int64), np.cumsum(sums)])
    place = np.minimum(np.arange(len(row)), np.maximum(begin, end - WINDOW))  # a window never runs over the end
    worst[row[first]] = np.maximum.reduceat(until[np.minimum(place + WINDOW, end)] - until[place], first)
    return worst
