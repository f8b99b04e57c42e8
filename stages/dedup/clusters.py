"""Clusters from pairs: a vectorised union-find, and for each row the pair that joined it to the row that stays.

Nothing here depends on the order of the pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Forest:
    """Union-find over the numbers 0 to n - 1; a set's root is its smallest number."""

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size, dtype=np.int32 if size < 1 << 31 else np.int64)

    def find(self, items: np.ndarray) -> np.ndarray:
        """The root of each item."""
        roots = self._parent[items]
        while not np.array_equal(up := self._parent[roots], roots):
            roots = up
        self._parent[items] = roots
        return roots

    def union(self, first: np.ndarray, second: np.ndarray) -> None:
        """Join the sets of each pair.

        >>> forest = Forest(5)
        >>> forest.union(np.array([4, 3]), np.array([3, 1]))
        >>> forest.find(np.arange(5)).tolist()
        [0, 1, 2, 1, 1]
        """
        while len(first):
            first, second = self.find(first), self.find(second)
            apart = first != second
            first, second = first[apart], second[apart]
            np.minimum.at(self._parent, np.maximum(first, second), np.minimum(first, second))


class Together:
    """Which of the rows 0 to n - 1 must stay together: 5 bytes a row, however many links there are."""

    def __init__(self, rows: int) -> None:
        self._forest, self._linked = Forest(rows), np.zeros(rows, bool)

    def add(self, links: np.ndarray) -> None:
        """Take links: the numbers of two rows each, shape (2, n)."""
        self._forest.union(*links)
        self._linked[links.reshape(-1)] = True

    def any(self) -> bool:
        """Whether any row must stay with another."""
        return bool(self._linked.any())

    def between(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Those of the rows from `start` to `stop` that are linked, and the smallest row of the cluster of each.

        >>> rows = Together(9)
        >>> rows.add(np.array([[7, 3], [5, 7]]))
        >>> [part.tolist() for part in rows.between(4, 9)]
        [[5, 7], [3, 3]]
        """
        rows = start + np.flatnonzero(self._linked[start:stop])
        return rows, self._forest.find(rows)


class Joined(NamedTuple):
    """Rows that leave: the row that stays in their place, and the pair (its index) by which each joined."""

    row: np.ndarray
    kept: np.ndarray
    pair: np.ndarray


def components(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct numbers in the pairs, ascending, and for each the smallest number of its component.

    >>> components(np.array([7, 9, 3]), np.array([2, 7, 4]))
    (array([2, 3, 4, 7, 9]), array([2, 3, 3, 2, 2]))
    """
    nodes, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    forest = Forest(len(nodes))
    forest.union(place[: len(first)], place[len(first) :])
    return nodes, nodes[forest.find(np.arange(len(nodes)))]


def joined(first: np.ndarray, second: np.ndarray, strength: np.ndarray) -> Joined:
    """Keep the smallest number of each component; say how each other one is joined to it.

    Of the pairs on a shortest chain to the row that stays, the strongest joins, then the one to the smallest number.

    >>> joined(np.array([1, 2, 1]), np.array([2, 3, 3]), np.array([90, 80, 70]))
    Joined(row=array([2, 3]), kept=array([1, 1]), pair=array([0, 2]))
    """
    nodes, labels = components(first, second)
    a, b = np.searchsorted(nodes, first), np.searchsorted(nodes, second)
    source, target = np.concatenate([a, b]), np.concatenate([b, a])
    pair = np.tile(np.arange(len(first)), 2)
    level = _levels(nodes == labels, source, target)
    onward = level[target] == level[source] - 1
    source, target, pair = source[onward], target[onward], pair[onward]
    order = np.lexsort((target, -strength[pair], source))
    best = order[np.flatnonzero(np.diff(source[order], prepend=-1))]
    return Joined(nodes[source[best]], labels[source[best]], pair[best])


def _levels(roots: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Each node's distance from its component's root, in pairs."""
    order = np.argsort(source, kind="stable")
    target = target[order]
    ends = np.searchsorted(source[order], np.arange(len(roots)), side="right")
    counts = np.diff(ends, prepend=0)
    level = np.where(roots, 0, -1)
    front = np.flatnonzero(roots)
    while len(front):
        size = counts[front]
        stops = np.cumsum(size)
        near = target[np.arange(stops[-1]) + np.repeat(ends[front] - stops, size)]
        fresh = np.unique(near[level[near] < 0])
        level[fresh] = level[front[0]] + 1
        front = fresh
    return level
