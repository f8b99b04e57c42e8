"""Exact comparison of rows by position: Jaccard similarity of shingle sets and the number of words that differ.

Similarities stay fractions of integers, so that a threshold means the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from stages.dedup.shingles import BITS, Sets, sets
from stages.dedup.spill import Spill, ranges

_WORDS, _PAIRS, _MARKS = 1 << 18, 1 << 15, 1 << 12  # compared at once
_U = np.uint64


class Pairs:
    """Pairs of positions, sorted by the first row and then the second, with what comparison needs of the rows."""

    def __init__(self, spill: Spill, first: np.ndarray, second: np.ndarray) -> None:
        order = np.lexsort((second, first))
        self.first, self.second = first[order].astype(np.int64), second[order].astype(np.int64)
        self.rows, place = np.unique(np.concatenate([self.first, self.second]), return_inverse=True)
        self.a, self.b = place[: len(first)], place[len(first) :]  # indices into rows
        self.where = spill.where(self.rows)
        self.spill = spill

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

    def chunks(self, index: np.ndarray, fields: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Some pairs, by index, as many at a time as fit in memory."""
        size = self.where["counts"][:, fields].sum(axis=1, dtype=np.int64)
        ends = np.cumsum(size[self.a[index]] + size[self.b[index]])
        start = 0
        while start < len(index):
            before = int(ends[start - 1]) if start else 0
            stop = min(max(int(np.searchsorted(ends, before + _WORDS)), start + 1), start + _PAIRS)
            yield index[start:stop]
            start = stop

    def _load(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The distinct rows of some pairs, and for each pair the places of its two rows among them."""
        rows, place = np.unique(np.concatenate([self.a[index], self.b[index]]), return_inverse=True)
        return rows, place[: len(index)], place[len(index) :]

    def jaccard(self, index: np.ndarray, fields: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Sizes of intersection and union (int64) of the shingle sets of each pair of one chunk."""
        rows, a, b = self._load(index)
        texts = self.spill.sequences(self.rows[rows], self.where[rows], fields)
        found = sets(texts, np.repeat(np.arange(len(rows)), len(fields)))
        sizes = np.diff(np.concatenate([[0], found.ends]))
        inter = _shared(found, sizes, a, b)
        return inter, sizes[a] + sizes[b] - inter

    def differing(self, index: np.ndarray, fields: tuple[int, ...]) -> np.ndarray:
        """Words of one row that the other lacks, the larger of both sides (int64): a replaced word counts once."""
        rows, a, b = self._load(index)
        texts = self.spill.sequences(self.rows[rows], self.where[rows], fields)
        sizes = texts.counts.reshape(len(rows), -1).sum(axis=1)
        starts = np.cumsum(sizes) - sizes
        first, second = (_tagged(texts.hashes.astype(_U), starts[side], sizes[side], 32) for side in (a, b))
        return np.maximum(sizes[a], sizes[b]) - _common(first, second, len(index))


def _tagged(values: np.ndarray, starts: np.ndarray, sizes: np.ndarray, bits: int) -> np.ndarray:
    """The values of each run, with the run's number above their lower bits."""
    low = values[ranges(starts, sizes)] & _U((1 << bits) - 1)
    low |= np.repeat(np.arange(len(starts), dtype=_U) << _U(bits), sizes)
    return low


def _shared(found: Sets, sizes: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many keys both sets of each pair hold: brought together by sorting, they stand side by side."""
    starts = found.ends - sizes
    both = np.concatenate([_tagged(found.keys, starts[side], sizes[side], BITS) for side in (a, b)])
    both.sort(kind="stable")  # two sorted runs: numpy's stable sort merges them in one pass
    twice = both[1:][both[1:] == both[:-1]] >> _U(BITS)
    return np.bincount(twice.astype(np.int64), minlength=len(a))


def _common(mine: np.ndarray, other: np.ndarray, pairs: int) -> np.ndarray:
    """For each pair, how many values both sides hold, repeats counted (int64)."""
    kinds, counts = np.unique(mine, return_counts=True)
    others, other_counts = np.unique(other, return_counts=True)
    both, at, other_at = np.intersect1d(kinds, others, assume_unique=True, return_indices=True)
    found = np.zeros(pairs, np.int64)
    np.add.at(found, (both >> _U(32)).astype(np.int64), np.minimum(counts[at], other_counts[other_at]))
    return found


def reaches(inter: np.ndarray, union: np.ndarray, threshold: Fraction) -> np.ndarray:
    """Whether inter / union >= threshold, in integers; two empty sets are equal.

    >>> reaches(np.array([7, 6]), np.array([10, 10]), Fraction("0.7")).tolist()
    [True, False]
    """
    return np.asarray(inter * threshold.denominator >= union * threshold.numerator)
