"""Cross-validation of the crisis screen over all rows labelled by eye.

    MHDATA_REAL=... python -m benchmarks.screens_crisis_folds [--frozen]

Folds go by text. The weights that score a CC0 post were taught without its fold, and the thresholds that judge a row are
chosen on the other folds (the greatest F1 of a grid); the rules are as they stand, and know most of these rows: a fresh
draw comes out lower. A row weighs the rows of its stratum / those labelled. Intervals: 1,000 resamples within strata.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml

from benchmarks.screens_crisis_draw import READERS, distinct, labels, stratum
from benchmarks.screens_crisis_train import Floats, Ints, rows, train
from stages.params import Crisis
from stages.screens import _canonical, _linear, _rules, crisis
from stages.screens._canonical import canonical
from stages.screens._linear import weighed
from stages.screens._rules import FLAG, MENTION, NONE, REVIEW, Hit, rules

FOLDS, RESAMPLES = 5, 1000
GRID = [
    Crisis(promote=promote, alone=alone)
    for promote, alone in itertools.product((-300, -200, -150, -50), (-100, -50, 0, 50, 100, 200))
]


@dataclass(frozen=True)
class Labelled:
    source: str
    draw: str
    stratum: str
    fold: int
    crisis: bool
    text: str
    weight: float


def fold(key: str) -> int:
    return int(key[:6], 16) % FOLDS


def labelled(root: Path, draws: tuple[str, ...] = ()) -> Iterator[Labelled]:
    """All labelled rows of known weight, or those of some draws; where nearly a whole stratum is labelled, those picked to learn from too."""
    for source, read in READERS.items():
        texts = distinct(list(read(root)))
        strata = {key: stratum(text) for key, text in texts.items()}
        sizes = Counter(strata.values())
        known = {row["text_sha256_16"]: row for row in labels() if row["source"] == source}
        known = {key: row for key, row in known.items() if key in texts}
        drawn = {key: row for key, row in known.items() if row["weight"] or (source, strata[key]) in NEARLY_WHOLE}
        if draws:
            drawn = {key: row for key, row in drawn.items() if row["weight"] and row["draw"] in draws}
        counts = Counter(strata[key] for key in drawn)
        for key, row in drawn.items():
            weight = sizes[strata[key]] / counts[strata[key]]
            yield Labelled(source, row["draw"], strata[key], fold(key), row["label"] == "flag", texts[key], weight)


NEARLY_WHOLE = {("depression_reddit", "strong")}  # nine in ten of its posts were drawn or picked


def levels(cases: list[Labelled]) -> Ints:
    """Level of each row under each member of the grid."""
    taught, found = list(rows()), np.zeros((len(GRID), len(cases)), np.int64)
    for number in range(FOLDS):
        weights = train([row for row in taught if not row.key or fold(row.key) != number])
        ours = [i for i, case in enumerate(cases) if case.fold == number]
        texts, model = pa.array([cases[i].text for i in ours], pa.string()), weighed(weights, frozenset(rules().by_cue))
        for at, params in enumerate(GRID):
            found[at, ours] = [level for level, _, _ in crisis._verdicts(texts, model, params)]
    return found


FROZEN = {  # draw -> the commit whose rules were frozen before it was read
    "first": "83a9e6c", "second": "d28072b", "third": "7984daa", "fourth": "abccace", "fifth": "bf3c661",
    "sixth": "8c111b2",
}  # fmt: skip


def frozen_levels(cases: list[Labelled]) -> Ints:
    """Level of each row under each member of the grid, by weights of the other folds and the rules of its draw."""
    taught, scores = list(rows()), np.zeros(len(cases), np.int64)
    for number in range(FOLDS):
        weights = train([row for row in taught if not row.key or fold(row.key) != number])
        ours = [i for i, case in enumerate(cases) if case.fold == number]
        texts = pa.array([cases[i].text for i in ours], pa.string())
        scores[ours] = _linear.read(texts, weighed(weights, frozenset(rules().by_cue))).score
    told = [not _canonical.table().first_person.isdisjoint(canonical(case.text).words) for case in cases]
    found = np.zeros((len(GRID), len(cases)), np.int64)
    for draw, commit in FROZEN.items():
        with rules_of(commit):
            hits = {i: rules().hits(canonical(case.text)) for i, case in enumerate(cases) if case.draw == draw}
        for i, anchors in hits.items():
            for at, params in enumerate(GRID):
                found[at, i] = _level(anchors, int(scores[i]), told[i], params)
    return found


@contextlib.contextmanager
def rules_of(commit: str) -> Iterator[None]:
    """The rule files as they stood in a commit."""

    def load(name: str) -> Any:
        words = ["git", "show", f"{commit}:stages/screens/data/{name}"]
        tree = yaml.safe_load(subprocess.run(words, capture_output=True, check=True).stdout)
        return tree if "cues" in tree else {"classes": {}, "first_person": "i", **tree}

    ours = _canonical.load
    _canonical.load = _rules.load = load
    for kept in (_canonical.table, rules):
        kept.cache_clear()
    yield
    _canonical.load = _rules.load = ours
    for kept in (_canonical.table, rules):
        kept.cache_clear()


def _level(anchors: list[Hit], score: int, told: bool, params: Crisis) -> int:
    """As crisis._verdict has it, for anchors that are found already."""
    hits = [crisis._weighed(hit, score, told, params) for hit in anchors]
    top = max((hit.level for hit in hits), default=NONE)
    if score >= params.alone and not any(hit.level == MENTION for hit in hits):
        top = FLAG
    return max(top, REVIEW) if score >= params.review else top


def shares(level: Ints, gold: npt.NDArray[np.bool_], weight: Floats) -> Floats:
    """Precision, recall and F1 of flags; recall and share of review."""
    flag, review = level == FLAG, level >= REVIEW
    hits, whole = weight[gold & flag].sum(), weight[gold].sum()
    precision, recall = hits / max(weight[flag].sum(), 1e-9), hits / max(whole, 1e-9)
    f1 = 2 * hits / max(weight[flag].sum() + whole, 1e-9)
    caught = weight[gold & review].sum() / max(whole, 1e-9)
    return np.array([precision, recall, f1, caught, weight[review].sum() / weight.sum()])


def resampled(level: Ints, gold: npt.NDArray[np.bool_], weight: Floats, strata: list[Ints]) -> Floats:
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        times = np.zeros(len(level))
        for members in strata:
            np.add.at(times, rng.choice(members, len(members)), 1.0)
        drawn.append(shares(level, gold, weight * times))
    return np.percentile(np.array(drawn), [2.5, 97.5], axis=0)


def main() -> None:
    frozen = "--frozen" in sys.argv[1:]
    cases = list(labelled(Path(os.environ["MHDATA_REAL"]), tuple(FROZEN) if frozen else ()))
    gold, weight = np.array([case.crisis for case in cases]), np.array([case.weight for case in cases])
    found, folds = (frozen_levels if frozen else levels)(cases), np.array([case.fold for case in cases])
    chosen = np.zeros(len(cases), np.int64)
    for number in range(FOLDS):
        others = folds != number
        best = max(range(len(GRID)), key=lambda at: shares(found[at][others], gold[others], weight[others])[2])
        chosen[~others] = found[best][~others]
        print(f"fold {number}: promote {GRID[best].promote}, alone {GRID[best].alone}")
    shipped = found[next(i for i, p in enumerate(GRID) if (p.promote, p.alone) == (Crisis().promote, Crisis().alone))]
    print("| rows | n | crises | flag precision | flag recall | F1 | review recall | review share |")
    print("|---|---|---|---|---|---|---|---|")
    for name, level in (("thresholds of the folds", chosen), ("as shipped", shipped)):
        for source in ("all", *READERS):
            ours = np.array([source in ("all", case.source) for case in cases])
            figures = shares(level[ours], gold[ours], weight[ours])
            kept = [case for case, here in zip(cases, ours, strict=True) if here]
            kinds = sorted({(case.source, case.stratum) for case in kept})
            strata = [np.flatnonzero([(c.source, c.stratum) == kind for c in kept]) for kind in kinds]
            low, high = resampled(level[ours], gold[ours], weight[ours], strata)
            cells = " | ".join(f"{v:.3f} ({a:.2f}-{b:.2f})" for v, a, b in zip(figures, low, high, strict=True))
            print(f"| {source}, {name} | {ours.sum()} | {gold[ours].sum()} | {cells} |")


if __name__ == "__main__":
    main()
