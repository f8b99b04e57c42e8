"""A linear model with integer weights over words and short runs of words, for whole batches at once.

A text is as bad as its worst stretch: its score is the bias plus the greatest sum of weights over WINDOW words side
by side, so that one line in a long post counts as much as a post of one line. A weight belongs to a word in the
canonical spelling (data/crisis_canonical.yaml, without the words that it drops), to its class there (DIE for die,
dying, dead), or to two or three words side by side, each read as its class if it has one; it counts where the run
begins. The weights are a readable table, `feature<TAB>weight`, made by benchmarks/screens_crisis_train.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.screens._canonical import DATA, Copy, Table, table
from stages.text import words

Ints = npt.NDArray[np.int64]
LONGEST, WINDOW = 3, 12
_UNKNOWN, _DROPPED = 0, -1


@dataclass(frozen=True)
class Tokens:
    """Canonical words of a batch in one run: `code[i]` is a word of text `row[i]`; 0 is a word the vocabulary lacks."""

    code: Ints
    row: Ints


@dataclass(frozen=True)
class Lookup:
    """Runs of so many words, by their codes: `values[i]` belongs to the run whose key is `keys[i]` (sorted)."""

    masks: tuple[npt.NDArray[np.bool_], ...]  # for each place in the run: code -> whether a run has it there
    keys: Ints
    values: Ints

    @classmethod
    def of(cls, found: Mapping[tuple[int, ...], int], length: int, size: int) -> Lookup:
        runs = sorted(found)
        masks = tuple(np.isin(np.arange(size), [run[i] for run in runs]) for i in range(length))
        keys = np.array([_key(run, size) for run in runs], np.int64)
        return cls(masks, keys, np.array([found[run] for run in runs], np.int64))

    def find(self, run: Tokens) -> tuple[Ints, Ints]:
        """Where a known run begins, and its values; a run never leaves its text."""
        n = max(len(run.code) - len(self.masks) + 1, 0)
        may = run.row[:n] == run.row[len(run.row) - n :]
        for i, mask in enumerate(self.masks):
            may &= mask[run.code[i : n + i]]
        at = np.flatnonzero(may)
        key = np.zeros(len(at), np.int64)
        for i, mask in enumerate(self.masks):
            key = key * len(mask) + run.code[at + i]
        place = np.searchsorted(self.keys, key)
        place[place == len(self.keys)] = 0
        hit = self.keys[place] == key if len(self.keys) else np.zeros(0, bool)
        return at[hit], self.values[place[hit]]


def _key(run: tuple[int, ...], size: int) -> int:
    key = 0
    for code in run:
        key = key * size + code
    return key


@dataclass(frozen=True)
class Vocabulary:
    """Codes of words, and what the spelling table does to them."""

    codes: dict[str, int]  # word as written -> code > 0
    spelled: Ints  # code -> code of what is written instead; 0 unknown to the model, -1 dropped
    folded: Ints  # code -> code of the word's class, or of the word itself
    pairs: Lookup  # two words -> as `spelled`


@dataclass(frozen=True)
class Model:
    vocabulary: Vocabulary
    weights: Mapping[str, int]  # by feature, without the bias
    single: Ints  # code -> weight of the word and of its class
    features: tuple[Lookup, ...]  # of two and three words, as classes -> weight
    bias: int
    cue: npt.NDArray[np.bool_]  # code -> whether it is one of the words that the caller asked after


def vocabulary(wanted: list[str], spelling: Table) -> Vocabulary:
    """Codes for the wanted canonical words and for all words of the spelling table."""
    parts = {part for pair in spelling.pairs for part in pair}
    every = {*wanted, *parts, *spelling.words, *spelling.drop, *spelling.classes, *spelling.classes.values()}
    codes = {word: i for i, word in enumerate(sorted(every), 1)}

    def code(spelled: str) -> int:
        first = spelled.split(" ")[0]  # of several words for one the model knows the first
        return _DROPPED if first in spelling.drop else codes.get(first, _UNKNOWN)

    spelled = [_UNKNOWN, *(code(spelling.words.get(word, word)) for word in sorted(codes))]
    pairs: dict[tuple[int, ...], int] = {(codes[a], codes[b]): code(to) for (a, b), to in spelling.pairs.items()}
    folded = [_UNKNOWN, *(codes[spelling.classes.get(word, word)] for word in sorted(codes))]
    return Vocabulary(codes, np.array(spelled, np.int64), np.array(folded, np.int64), Lookup.of(pairs, 2, len(spelled)))


def tokens(texts: pa.StringArray, known: Vocabulary) -> Tokens:
    """Words of the texts in canonical spelling, as codes."""
    lists = pc.split_pattern(words(texts), " ")
    encoded = lists.flatten().dictionary_encode()
    lookup = np.fromiter((known.codes.get(word, _UNKNOWN) for word in encoded.dictionary.to_pylist()), np.int64)
    row = np.repeat(np.arange(len(texts)), np.diff(lists.offsets.to_numpy()))
    if len(lookup) == 0:
        return Tokens(np.empty(0, np.int64), row)
    empty = pc.equal(encoded.dictionary, "").to_numpy(zero_copy_only=False)  # what stands before a leading space
    index = encoded.indices.to_numpy()
    written = ~empty[index]
    return _spelled(Tokens(lookup[index[written]], row[written]), known)


def _spelled(run: Tokens, known: Vocabulary) -> Tokens:
    """Pairs as one word (of two that overlap the later), the other words as the table has them, dropped ones out."""
    at, joined = known.pairs.find(run)
    later = np.append(np.diff(at) != 1, [True])[: len(at)]
    spelled = known.spelled[run.code]
    spelled[at[later]] = joined[later]
    spelled[at[later] + 1] = _DROPPED
    kept = spelled != _DROPPED
    return Tokens(spelled[kept], run.row[kept])


@functools.cache
def model(name: str, cues: frozenset[str] = frozenset()) -> Model:
    """The weights of a file of `data/`; its readings tell too which texts hold one of the cue words."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if not line.startswith("#"))
    return weighed({feature: int(weight) for feature, weight in pairs}, cues)


def weighed(by_feature: Mapping[str, int], cues: frozenset[str] = frozenset()) -> Model:
    """A model of feature -> weight, the bias under the empty feature."""
    weights = {feature: weight for feature, weight in by_feature.items() if feature}
    known = vocabulary([*cues, *(word for feature in weights for word in feature.split(" "))], table())
    size = len(known.spelled)
    coded = {tuple(known.codes[word] for word in feature.split(" ")): weight for feature, weight in weights.items()}
    alone = np.zeros(size, np.int64)
    for run, weight in coded.items():
        if len(run) == 1:
            alone[run[0]] = weight
    classed = known.folded != np.arange(size)
    features = (
        Lookup.of({run: weight for run, weight in coded.items() if len(run) == length}, length, size)
        for length in range(2, LONGEST + 1)
    )
    cue = np.zeros(size, bool)
    cue[[known.codes[word] for word in sorted(cues)]] = True
    return Model(known, weights, alone + alone[known.folded] * classed, tuple(features), by_feature[""], cue)


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
    sums = weights.single[run.code]  # for each word the weights of the features that begin with it
    classes = Tokens(weights.vocabulary.folded[run.code], run.row)
    for lookup in weights.features:
        at, values = lookup.find(classes)
        sums[at] += values
    return Reading(weights.bias + _worst(sums, run.row, len(texts)), cue)


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


# --- one text, word by word ------------------------------------------------------------------------------------


def model_words(copy: Copy) -> list[tuple[str, int]]:
    """Words as `read` sees them, each with its place in `copy.words`: no full stops, of several for one the first."""
    return [
        (word, i)
        for i, word in enumerate(copy.words)
        if word != "." and (i == 0 or copy.tokens[i] != copy.tokens[i - 1])
    ]


def features(words: list[str]) -> Iterator[tuple[int, str]]:
    """Each word, its class, and runs of two to LONGEST words as classes, with where they begin."""
    classes = table().classes
    folded = [classes.get(word, word) for word in words]
    for i, word in enumerate(words):
        yield i, word
        if folded[i] != word:
            yield i, folded[i]
        for n in range(2, min(LONGEST, len(words) - i) + 1):
            yield i, " ".join(folded[i : i + n])


def worst_stretch(copy: Copy, weights: Model) -> tuple[int, int]:
    """Where in `copy.text` the words stand that made the score; (0, 0) for a text without words."""
    found = model_words(copy)
    if not found:
        return 0, 0
    sums = np.zeros(len(found), np.int64)
    for at, name in features([word for word, _ in found]):
        sums[at] += weights.weights.get(name, 0)
    until = np.concatenate([np.zeros(1, np.int64), np.cumsum(sums)])
    size = min(WINDOW, len(found))
    first = int(np.argmax(until[size:] - until[:-size]))
    begin, last = found[first][1], found[first + size - 1][1]
    return copy.starts[begin], copy.starts[last] + len(copy.words[last])
