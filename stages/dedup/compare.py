"""Exact comparison of rows by position: Jaccard similarity of shingle sets and the number of words that differ.

Similarities stay fractions of integers, so that a threshold means the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from stages.dedup.shingles import BITS, Sets, sets
from stages.dedup.spill import OF_VIEW, WHOLE, Spill, ranges

_WORDS, _PAIRS, _MARKS = 1 << 17, 1 << 15, 1 << 12  # compared at once
_KEPT = 1 << 22  # shingles of rows that are kept for the pairs to come
_U = np.uint64
Score = tuple[np.ndarray, np.ndarray]  # sizes of intersection and union (int64) of each pair


class Pairs:
    """Pairs of positions, sorted by the first row and then the second, with what comparison needs of the rows."""

    def __init__(self, spill: Spill, first: np.ndarray, second: np.ndarray) -> None:
        order = np.lexsort((second, first))
        self.first, self.second = first[order].astype(np.int64), second[order].astype(np.int64)
        self.rows, place = np.unique(np.concatenate([self.first, self.second]), return_inverse=True)
        self.a, self.b = place[: len(first)], place[len(first) :]  # indices into rows
        self.where = spill.where(self.rows)
        self.spill = spill
        self._kept = Kept(0)
        self._fields: tuple[int, ...] = ()  # of the sets that are kept

    def alike(self, view: int) -> np.ndarray:
        """In how many of 128 bins the signatures of each pair agree in a view: about similarity x 128 (uint8)."""
        marks = self.spill.marks(view, self.rows)
        found = np.empty(len(self), np.uint8)
        for start in range(0, len(self), _MARKS):
            part = slice(start, start + _MARKS)
            found[part] = np.count_nonzero(marks[self.a[part]] == marks[self.b[part]], axis=1)
        return found

    def __len__(self) -> int:
        return len(self.first)

    def _words(self, rows: np.ndarray, fields: tuple[int, ...]) -> np.ndarray:
        return self.where["counts"][rows][:, fields].sum(axis=1, dtype=np.int64)

    def chunks(self, index: np.ndarray, fields: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Some pairs, by index, as many at a time as their distinct rows fit in memory."""
        while len(index):
            some = index[:_PAIRS]
            rows = np.stack([self.a[some], self.b[some]], axis=1).reshape(-1)
            distinct, first = np.unique(rows, return_index=True)
            size = np.zeros(len(rows), np.int64)
            size[first] = self._words(distinct, fields)
            stop = max(1, int(np.searchsorted(np.cumsum(size)[1::2], _KEPT, side="right")))
            yield some[:stop]
            index = index[stop:]

    def jaccard(self, index: np.ndarray, fields: tuple[int, ...]) -> Score:
        """Sizes of intersection and union (int64) of the shingle sets of each pair of one chunk."""
        if self._fields != fields:
            self._kept, self._fields = Kept(len(self.rows)), fields
        kept = self._kept
        rows = np.unique(np.concatenate([self.a[index], self.b[index]]))
        kept.room(rows, self._words(rows, fields))
        fresh = kept.lacking(rows)
        for part in _slices(self._words(fresh, fields)):
            some = fresh[part]
            texts = self.spill.sequences(self.rows[some], self.where[some], fields)
            kept.add(some, sets(texts, np.repeat(np.arange(len(some)), len(fields))))
        a, b = kept.sizes[self.a[index]], kept.sizes[self.b[index]]
        parts = [kept.shared(self.a[index[part]], self.b[index[part]]) for part in _slices(a + b)]
        inter = np.concatenate([np.zeros(0, np.int64), *parts])
        return inter, a + b - inter

    def by_field(self, index: np.ndarray, score: Score) -> dict[int, Score]:
        """Sizes of intersection and union of each field of each pair of one chunk, whose wholes have `score`."""
        counts = self.where["counts"][self.a[index]].astype(np.int64) + self.where["counts"][self.b[index]]
        found = {}
        for field in OF_VIEW[WHOLE]:
            alone = counts[:, field] == counts.sum(axis=1)  # the whole is this field
            inter, union = (np.where(alone, part, 0) for part in score)
            rest = np.flatnonzero(~alone & (counts[:, field] > 0))
            if len(rest):
                inter[rest], union[rest] = self.jaccard(index[rest], (field,))
            found[field] = inter, union
        return found

    def differing(self, index: np.ndarray, fields: tuple[int, ...]) -> np.ndarray:
        """Words of one row that the other lacks, the larger of both sides (int64): a replaced word counts once."""
        size = self._words(self.a[index], fields) + self._words(self.b[index], fields)
        parts = [self._differing(index[part], fields) for part in _slices(size)]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def _differing(self, index: np.ndarray, fields: tuple[int, ...]) -> np.ndarray:
        rows, place = np.unique(np.concatenate([self.a[index], self.b[index]]), return_inverse=True)
        a, b = place[: len(index)], place[len(index) :]
        texts = self.spill.sequences(self.rows[rows], self.where[rows], fields)
        sizes = texts.counts.reshape(len(rows), -1).sum(axis=1)
        starts = np.cumsum(sizes) - sizes
        first, second = (_tagged(texts.hashes.astype(_U), starts[side], sizes[side], 32) for side in (a, b))
        return np.maximum(sizes[a], sizes[b]) - _common(first, second, len(index))


def _tagged(values: np.ndarray, starts: np.ndarray, sizes: np.ndarray, bits: int) -> np.ndarray:
    """The values of each run, of so many bits, with the run's number above them."""
    tagged = values.take(ranges(starts, sizes))
    tagged |= np.repeat(np.arange(len(starts), dtype=_U) << _U(bits), sizes)
    return tagged


class Kept:
    """Shingle sets of some of so many rows. Rows of one template are in many pairs: their sets are made once."""

    def __init__(self, rows: int) -> None:
        self._keys = np.empty(_KEPT, np.uint64)
        self._used = 0
        self._starts = np.full(rows, -1, np.int64)
        self.sizes = np.zeros(rows, np.int64)

    def lacking(self, rows: np.ndarray) -> np.ndarray:
        """Those of some rows whose sets are not there."""
        return rows[self._starts[rows] < 0]

    def room(self, rows: np.ndarray, words: np.ndarray) -> None:
        """Make room for the sets of some rows, of so many words each, if need be by forgetting all others."""
        if self._used + int(words[self._starts[rows] < 0].sum()) > len(self._keys):
            self._used = 0
            self._starts[:] = -1
            self._keys = np.empty(max(_KEPT, int(words.sum())), np.uint64)  # one pair may be larger

    def add(self, rows: np.ndarray, found: Sets) -> None:
        self.sizes[rows] = np.diff(found.ends, prepend=0)
        self._starts[rows] = self._used + found.ends - self.sizes[rows]
        np.bitwise_and(found.keys, _U((1 << BITS) - 1), out=self._keys[self._used : self._used + len(found.keys)])
        self._used += len(found.keys)

    def shared(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """How many keys both sets of each pair hold: brought together by sorting, they stand side by side."""
        both = np.concatenate([_tagged(self._keys, self._starts[side], self.sizes[side], BITS) for side in (a, b)])
        both.sort(kind="stable")  # two sorted runs: numpy's stable sort merges them in one pass
        twice = both.take(np.flatnonzero(both[1:] == both[:-1])) >> _U(BITS)
        return np.bincount(twice.astype(np.int64), minlength=len(a))


def _slices(sizes: np.ndarray) -> Iterator[slice]:
    """Cut items of so many words or shingles each into runs that are worked on at once."""
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = min(max(int(np.searchsorted(ends, before + _WORDS)), start + 1), start + _PAIRS)
        yield slice(start, stop)
        start = stop


def _common(mine: np.ndarray, other: np.ndarray, pairs: int) -> np.ndarray:
    """For each pair, how many values both sides hold, repeats counted (int64)."""
    both = np.concatenate([mine << _U(1), (other << _U(1)) | _U(1)])
    both.sort()
    values = both >> _U(1)
    starts = np.flatnonzero(np.concatenate([np.ones(min(len(values), 1), bool), values[1:] != values[:-1]]))
    theirs = np.add.reduceat(both & _U(1), starts).astype(np.int64) if len(starts) else np.zeros(0, np.int64)
    shared = np.minimum(theirs, np.diff(starts, append=len(values)) - theirs)
    return np.bincount((values[starts] >> _U(32)).astype(np.int64), shared, pairs).astype(np.int64)


def reaches(inter: np.ndarray, union: np.ndarray, threshold: Fraction) -> np.ndarray:
    """Whether inter / union >= threshold, in integers; two empty sets are equal.

    >>> reaches(np.array([7, 6]), np.array([10, 10]), Fraction("0.7")).tolist()
    [True, False]
    """
    return np.asarray(inter * threshold.denominator >= union * threshold.numerator)
