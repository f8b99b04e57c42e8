"""Near-duplicates: which rows say the same in nearly the same words, which leave, and which must stay together.

Method: MinHash and bands propose pairs (`minhash`, `candidates`), every proposed pair is compared exactly on its sets
of three-word shingles (`compare`), and clusters are the connected parts of the pairs that hold (`clusters`).

What is a near-duplicate. The whole rows, input, response and rejected response together, must reach `remove`, and so
must each field by itself; a field of fewer than `short` words must be the same. One word changed in a sentence of
eight leaves five shingles of seven and may turn its meaning, so short fields get no tolerance. Hence another answer
to the same question is never a duplicate, nor the same short answer to another question. What all rows of a source
share (system text, instruction) is no part of it. Only pairs of rows that both may be removed count.

What must stay together. Rows whose inputs reach `together`, or whose wholes do, stand on one side of a split,
whatever their source and whether or not they may be removed. The bands miss 2 of 10,000 pairs at 0.7 and 13 of 100 at
0.5, and a pair that was missed is mostly joined by way of a third row: of the real files, no pair at 0.7 or more is in
two clusters, and fewer than 2 of 100 between 0.5 and 0.7.

Templates. Three-word shingles of rows that were filled into one form, as TRACE's and the transcripts of Psych-101 are,
reach 0.7 between rows that differ in all that matters, in every one of 50 pairs read by eye. Such rows must not be
removable.

Same answers. A response of at least `short` words that reaches `remove` under an input that does not is reported with
its pair. With `answers="drop"` only the row of lowest rank stays of those that share an answer; "report" keeps all.
The texts cannot say whether two inputs mean the same, so this is no default.

Ranks decide who stays: the lowest of a cluster. Neither the order of rows nor batches, units or tasks change a result.

    with Writer(folder, unit=0) as writer:
        for batch in batches:
            writer.add(batch, ranks(priority, batch.column("id")))
    found = find(folder, Rules())
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages.dedup import candidates
from stages.dedup.clusters import Together, joined
from stages.dedup.compare import reaches
from stages.dedup.minhash import BANDS
from stages.dedup.spill import RESPONSE, VIEWS, WHOLE, Spill, Writer
from stages.dedup.verify import PAIR, Rules, verify

__all__ = ["Found", "Rules", "Writer", "find", "ranks"]

Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


class Removed(NamedTuple):
    """Rows that leave, by ascending position; all fields of one length."""

    row: np.ndarray  # position
    kept: np.ndarray  # position of the row that stays in its place
    via: np.ndarray  # position of the row that it was compared with; `kept`, but in a chain
    inter: np.ndarray  # shingles that `row` and `via` share ...
    union: np.ndarray  # ... of those that either has
    differing: np.ndarray  # words that differ between them


class Found(NamedTuple):
    """What the search found. Positions are numbers of rows in the order in which they were added."""

    near: Removed
    answers: Removed  # rows that share an answer with `kept`; they leave only if the rules say drop
    same_answers: np.ndarray  # PAIR: responses that reach `remove` under inputs that do not
    together: Together  # which rows must stay together
    counts: dict[str, int]
    rules: Rules

    @property
    def removed(self) -> np.ndarray:
        """Positions of all rows that leave, ascending."""
        return np.union1d(self.near.row, self.answers.row) if self.rules.answers == "drop" else self.near.row


def ranks(priority: int, ids: pa.StringArray) -> np.ndarray:
    """Ranks (uint64) of rows: by the priority of their source, then by 12 hex digits of the id.

    >>> [hex(rank) for rank in ranks(3, pa.array(["00000000000a" + "0" * 20])).tolist()]
    ['0x300000000000a']
    """
    if not 0 <= priority < 1 << 16:
        raise ValueError(f"a priority of {priority}; at most 65535")
    digits = "".join(f"{priority:04x}{value[:12]}" for value in ids.to_pylist())
    return np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)


def find(folder: Path, rules: Rules, each: Each = map) -> Found:
    """Find near-duplicates among the rows spilled to a folder. `each(function, tasks)` runs independent tasks.

    Tasks read and write files of the folder and return pairs of positions: keys travel, text does not.
    """
    spill = Spill(folder)
    counts = dict.fromkeys(("same", "candidates", "cut_short", "compared"), 0) | {"rows": spill.rows}
    for number in each(partial(_collapse, folder, rules.short), VIEWS):
        counts["same"] += number
    for number, cut in each(partial(_search, folder), [(view, band) for view in VIEWS for band in range(BANDS)]):
        counts["candidates"] += number
        counts["cut_short"] += cut
    tasks = [(view, *span) for view in VIEWS for span in candidates.spans(folder, view, spill.rows)]
    found: dict[int, list[np.ndarray]] = {view: [np.zeros(0, PAIR)] for view in VIEWS}
    together = Together(spill.rows)
    for made in each(partial(verify, folder, rules), tasks):
        found[made.view].append(made.close)
        together.add(made.links)
        counts["compared"] += made.compared
    near, answers = np.concatenate(found[WHOLE]), np.concatenate(found[RESPONSE])
    order = _Order(spill, near["a"], near["b"], answers["a"], answers["b"])
    return Found(*_conclude(order, near, answers, rules), together, counts, rules)


def _collapse(folder: Path, short: int, view: int) -> int:
    return candidates.collapse(folder, view, short)


def _search(folder: Path, task: tuple[int, int]) -> tuple[int, int]:
    return candidates.search(folder, *task)


class _Order:
    """Rows of interest, numbered by rank, so that the smallest number of a cluster is the row that stays."""

    def __init__(self, spill: Spill, *positions: np.ndarray) -> None:
        self._rows = np.unique(np.concatenate(positions).astype(np.int64))
        order = np.lexsort((self._rows, spill.rows_at(self._rows)["rank"]))
        self.positions = self._rows[order]  # by number
        self._numbers = np.argsort(order)

    def numbers(self, positions: np.ndarray) -> np.ndarray:
        return self._numbers[np.searchsorted(self._rows, positions)]


def _conclude(
    order: _Order, near: np.ndarray, answers: np.ndarray, rules: Rules
) -> tuple[Removed, Removed, np.ndarray]:
    """The first three fields of what was found."""
    inter, union = (answers[name].astype(np.int64) for name in ("input_inter", "input_union"))
    reworded = answers[~reaches(inter, union, rules.remove)]
    gone = _removed(order, near)
    # Near pairs link as well, so that the row that stays of an answer is one that stays at all.
    answered = _removed(order, np.concatenate([near, reworded]))
    stays = ~np.isin(answered.row, gone.row)
    return gone, Removed(*(part[stays] for part in answered)), reworded


def _removed(order: _Order, pairs: np.ndarray) -> Removed:
    strength = (pairs["inter"].astype(np.int64) << 30) // np.maximum(pairs["union"], 1)
    row, kept, index = joined(order.numbers(pairs["a"]), order.numbers(pairs["b"]), strength)
    row, kept, of = order.positions[row], order.positions[kept], pairs[index]
    via = np.where(of["a"] == row, of["b"], of["a"]).astype(np.int64)
    ascending = np.argsort(row)
    whole = Removed(row, kept, via, of["inter"], of["union"], of["differing"])
    return Removed(*(part[ascending] for part in whole))
