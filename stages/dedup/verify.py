"""Which of the proposed pairs hold: exact comparison, and what follows from it for removal and for staying together.

Signatures say which pairs are not worth it: pairs that agree in `SLACK` bins of 128 fewer than a bound asks for are
dropped unread (a pair at the bound falls there 2 times in 10,000). No pair is accepted without exact comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from stages.dedup.candidates import load
from stages.dedup.clusters import Forest
from stages.dedup.compare import Pairs, Score, reaches
from stages.dedup.minhash import BINS
from stages.dedup.spill import INPUT, OF_VIEW, RESPONSE, WHOLE, Spill

SLACK = 20  # bins: 3.5 standard deviations of an estimate at a similarity of 0.5, 3.9 at 0.7
_FIRST, _TURN = 64, 1 << 17  # pairs put in the order of their rows: at first, and at most

# A pair that holds: positions, sizes of intersection and union in the view that it was found in (the whole, or the
# response of a same answer), words that differ there, and intersection and union of the inputs.
PAIR = np.dtype([(name, "<u4") for name in ("a", "b", "inter", "union", "differing", "input_inter", "input_union")])


@dataclass(frozen=True)
class Rules:
    """Bounds of similarity, as decimal fractions, and what to do with same answers."""

    remove: Fraction = Fraction(7, 10)
    together: Fraction = Fraction(1, 2)
    short: int = 20  # words of a field under which nothing but the same will do
    answers: Literal["report", "drop"] = "report"


class Verified(NamedTuple):
    """What one span of pairs gave."""

    view: int
    close: np.ndarray  # PAIR
    links: np.ndarray  # int64 (2, n): positions of rows that must stay together, each linked to a root
    compared: int  # pairs compared exactly


def verify(folder: Path, rules: Rules, task: tuple[int, int, int]) -> Verified:
    """Compare the pairs of one view whose smaller position is in [low, high): `task` is (view, low, high)."""
    view, low, high = task
    spill = Spill(folder)
    proposed = load(folder, view, low, high)
    pairs = Pairs(spill, proposed >> np.uint64(32), proposed & np.uint64(0xFFFFFFFF))
    alike = pairs.alike(view)
    may = spill.rows_at(pairs.rows)["removable"] > 0
    forest = Forest(len(pairs.rows))
    first = (alike >= _bins(rules.remove)) & may[pairs.a] & may[pairs.b] & (view != INPUT)
    close, compared = [np.zeros(0, PAIR)], 0
    for chunk in pairs.chunks(np.flatnonzero(first), OF_VIEW[view]):
        score = pairs.jaccard(chunk, OF_VIEW[view])
        close.append(_judge(pairs, chunk, score, view, rules))
        _link(forest, pairs, chunk[reaches(*score, rules.together)])
        compared += len(chunk)
    if view != RESPONSE:
        then = np.flatnonzero(~first & (alike >= _bins(rules.together)) & ~_seen_whole(pairs, view))
        for chunk in _apart(pairs, then[np.argsort(-alike[then].astype(np.int16), kind="stable")], forest, view):
            _link(forest, pairs, chunk[reaches(*pairs.jaccard(chunk, OF_VIEW[view]), rules.together)])
            compared += len(chunk)
    roots = forest.find(np.arange(len(pairs.rows)))
    moved = np.flatnonzero(roots != np.arange(len(roots))) if view != RESPONSE else np.zeros(0, np.int64)
    return Verified(view, np.concatenate(close), np.stack([pairs.rows[roots[moved]], pairs.rows[moved]]), compared)


def _seen_whole(pairs: Pairs, view: int) -> np.ndarray:
    """Whether the pair is one of rows that hold nothing but an input, seen as inputs: the view of wholes sees to it."""
    alone = (pairs.where["counts"][:, INPUT + 1 :].sum(axis=1) == 0) & (view == INPUT)
    return alone[pairs.a] & alone[pairs.b]


def _bins(bound: Fraction) -> int:
    return max(0, -(-bound.numerator * BINS // bound.denominator) - SLACK)


def _link(forest: Forest, pairs: Pairs, index: np.ndarray) -> None:
    forest.union(pairs.a[index], pairs.b[index])


def _apart(pairs: Pairs, index: np.ndarray, forest: Forest, view: int) -> Iterator[np.ndarray]:
    """Pairs of rows that no pair before has linked; the likeliest come first, so most need no comparison."""
    start, size = 0, _FIRST
    while start < len(index):
        turn = index[start : start + size]
        start, size = start + size, min(2 * size, _TURN)
        turn = turn[forest.find(pairs.a[turn]) != forest.find(pairs.b[turn])]
        for chunk in pairs.chunks(turn[np.argsort(pairs.b[turn], kind="stable")], OF_VIEW[view]):
            yield chunk[forest.find(pairs.a[chunk]) != forest.find(pairs.b[chunk])]


def _judge(pairs: Pairs, chunk: np.ndarray, score: Score, view: int, rules: Rules) -> np.ndarray:
    """Of pairs whose view reaches `remove`: in the whole, those of which each field does; in the response, all."""
    holds = reaches(*score, rules.remove)
    chunk, (inter, union) = chunk[holds], (part[holds] for part in score)
    if len(chunk) == 0:
        return np.zeros(0, PAIR)
    fields = pairs.by_field(chunk, (inter, union)) if view == WHOLE else {INPUT: pairs.jaccard(chunk, (INPUT,))}
    found = np.zeros(len(chunk), PAIR)
    found["a"], found["b"], found["inter"], found["union"] = pairs.first[chunk], pairs.second[chunk], inter, union
    found["input_inter"], found["input_union"] = fields[INPUT]
    if view == WHOLE:
        holds = _each_holds(pairs, chunk, fields, rules)
        chunk, found = chunk[holds], found[holds]
    found["differing"] = pairs.differing(chunk, OF_VIEW[view])
    return found


def _each_holds(pairs: Pairs, chunk: np.ndarray, fields: dict[int, Score], rules: Rules) -> np.ndarray:
    """Which pairs are alike in each field."""
    holds = np.ones(len(chunk), bool)
    for field, (shared, either) in fields.items():
        counts = pairs.where["counts"][:, field]
        short = np.minimum(counts[pairs.a[chunk]], counts[pairs.b[chunk]]) < rules.short
        holds &= np.where(short, shared == either, reaches(shared, either, rules.remove))
    return holds
