"""Topics of what the person wrote, by a lexicon of MentalChat16K's 33 topics (data/topics.yaml): for reports only.

Never split, filter or drop duplicates by it: the site's own label and a lexicon agree on a third of real questions.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.params import Topics
from stages.screens import TRANSCRIPT
from stages.screens._canonical import load
from stages.screens._words import Ints, Words, words

VERSION = 1
TYPE = pa.struct(
    [
        # By falling score, then in the lexicon's order; score: weights of the distinct cues. Null for experiments.
        pa.field("topics", pa.list_(pa.struct([pa.field("topic", pa.string()), pa.field("score", pa.int32())])))
    ]
)

_WEIGHTS = {"strong": 2, "weak": 1}
_SHORTEST = 3  # letters before a `*`
_CACHE = 200_000  # words


@dataclass
class Lexicon:
    """Cues as sequences of word patterns. `known` remembers which patterns a word meets, by the word's hash."""

    topics: tuple[str, ...]
    cues: tuple[tuple[int, ...], ...]  # patterns of its words
    topic: Ints  # of each cue
    weight: Ints
    exact: dict[str, int]
    prefixes: dict[str, int]
    known: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def patterns(self, part: Words, hashes: list[int], firsts: list[int]) -> list[tuple[int, ...]]:
        """The patterns that each distinct word meets; `firsts` are places of those words in `part`."""
        if len(self.known) > _CACHE:
            self.known.clear()
        for number, first in zip(hashes, firsts, strict=True):
            if number not in self.known:
                self.known[number] = self._meets(part.text(first))
        return [self.known[number] for number in hashes]

    def _meets(self, word: str) -> tuple[int, ...]:
        heads = (word[:size] for size in range(_SHORTEST, len(word) + 1))
        found = [self.prefixes[head] for head in heads if head in self.prefixes]
        return (*found, self.exact[word]) if word in self.exact else tuple(found)


def screen(batch: pa.RecordBatch, params: Topics) -> pa.StructArray:
    """Topics of each record's input."""
    texts = pc.if_else(pc.equal(batch["type"], TRANSCRIPT), None, batch["input"])
    lexicon = _lexicon()
    counts, topics, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for part in words(texts):
        table = _scores(part, lexicon)
        order = np.argsort(-table, axis=1, kind="stable")
        ranked = np.take_along_axis(table, order, axis=1)
        kept = ranked >= params.min_score
        counts.append(kept.sum(axis=1))
        topics.append(order[kept])
        scores.append(ranked[kept])
    return _column(texts, lexicon, np.concatenate(counts), np.concatenate(topics), np.concatenate(scores))


def _column(texts: pa.StringArray, lexicon: Lexicon, counts: Ints, topics: Ints, scores: Ints) -> pa.StructArray:
    kind = TYPE.field("topics").type
    names = pa.array(lexicon.topics, pa.string()).take(pa.array(topics))
    items = pa.StructArray.from_arrays([names, pa.array(scores, pa.int32())], fields=list(kind.value_type))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, items, type=kind, mask=pc.is_null(texts))
    return pa.StructArray.from_arrays([lists], fields=list(TYPE))


@functools.cache
def _lexicon() -> Lexicon:
    entries = load("topics.yaml")
    exact: dict[str, int] = {}
    prefixes: dict[str, int] = {}
    cues: list[tuple[int, ...]] = []
    topic, weight = [], []
    for number, lists in enumerate(entries.values()):
        for kind, value in _WEIGHTS.items():
            for cue in dict.fromkeys(lists[kind]):
                cues.append(tuple(_pattern(word, exact, prefixes) for word in cue.split()))
                topic.append(number)
                weight.append(value)
    return Lexicon(tuple(entries), tuple(cues), np.array(topic), np.array(weight), exact, prefixes)


def _pattern(word: str, exact: dict[str, int], prefixes: dict[str, int]) -> int:
    """The number of a word pattern; a new one is added to the table of its kind."""
    table = prefixes if word.endswith("*") else exact
    return table.setdefault(word.rstrip("*"), len(exact) + len(prefixes))


def _scores(part: Words, lexicon: Lexicon) -> Ints:
    """Weights of the distinct cues of each topic in each text; shape (texts, topics)."""
    order = np.argsort(part.hashes, kind="stable")
    grouped = part.hashes[order]
    heads = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]])) if len(grouped) else order
    meets = lexicon.patterns(part, grouped[heads].tolist(), order[heads].tolist())
    places = _places(order, heads, meets)
    found = [np.zeros(0, np.int64)]
    for cue, patterns in enumerate(lexicon.cues):
        starts = _starts(part, patterns, places)
        found.append(part.row[starts] * len(lexicon.cues) + cue)
    row, cues = np.divmod(np.unique(np.concatenate(found)), len(lexicon.cues))
    texts, topics = part.last - part.first, len(lexicon.topics)
    total = np.bincount(row * topics + lexicon.topic[cues], lexicon.weight[cues], texts * topics)
    return total.astype(np.int64).reshape(texts, topics)


def _places(order: Ints, heads: Ints, meets: list[tuple[int, ...]]) -> dict[int, Ints]:
    """Where in the words each pattern is met, ascending."""
    ends = np.append(heads[1:], len(order))[: len(heads)]
    slices: dict[int, list[Ints]] = {}
    for head, end, patterns in zip(heads.tolist(), ends.tolist(), meets, strict=True):
        for pattern in patterns:
            slices.setdefault(pattern, []).append(order[head:end])
    return {pattern: np.sort(np.concatenate(parts)) for pattern, parts in slices.items()}


def _starts(part: Words, patterns: tuple[int, ...], places: dict[int, Ints]) -> Ints:
    """Where a cue starts: its words follow each other in one text."""
    none = np.zeros(0, np.int64)
    starts = places.get(patterns[0], none)
    for step, pattern in enumerate(patterns[1:], 1):
        starts = np.intersect1d(starts, places.get(pattern, none) - step, assume_unique=True)
    inside = part.row[starts] == part.row[starts + len(patterns) - 1]
    return starts[inside]
