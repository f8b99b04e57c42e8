"""Train the linear model of the crisis screen; writes stages/screens/data/crisis_weights.tsv.

    MHDATA_REAL=... python -m benchmarks.screens_crisis_train

Texts: the CC0 posts (depression_reddit) and our own authored rows. Labels: ours (tests/data/crisis) where a row has
one, else what the rules say (a flag, or no anchor at all; rows between are left out), at a lower weight. Rows of the
test draw never train. A feature must stand in at least MIN_DOCUMENTS posts, so that the table can name nobody.

Method: logistic regression with an L2 penalty on one window of words per text, its worst (multiple instances by
maximum: Andrews et al. 2002); each round finds the worst windows under the last weights, and keeps those of the texts
without crisis as counter-examples. A feature is held down the less, the more its shares among crises and others differ
(after the log-count ratio of Wang & Manning 2012). Weights x 100 as whole numbers; those that round to less than LEAST
are left out.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.screens_crisis_draw import READERS, distinct, draw, labels
from stages.screens._canonical import DATA, canonical
from stages.screens._linear import WINDOW, features, model_words
from stages.screens._rules import FLAG, MENTION, rules

AUTHORED = Path(__file__).resolve().parents[1] / "tests/data/crisis/authored_dev.jsonl"
SOURCE = "depression_reddit"
MIN_DOCUMENTS, SCALE, LEAST = 5, 100, 3
BY_EYE, BY_RULE = 4.0, 1.0  # weight of a row
PENALTY, STEPS, ROUNDS = 8.0, 250, 4
LEAST_TELLING = 0.1

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    text: str
    crisis: bool
    weight: float
    key: str = ""  # of a post; none for a row written by us


@dataclass(frozen=True)
class Features:
    """Features of a text: number `column` begins at word `at`; `words` words in all."""

    at: Ints
    column: Ints
    words: int

    def window(self, begin: int) -> Ints:
        return self.column[(self.at >= begin) & (self.at < begin + WINDOW)]

    def worst(self, weights: Floats) -> int:
        """Where the window with the greatest sum begins."""
        if self.words <= WINDOW:
            return 0
        until = np.concatenate([[0.0], np.cumsum(np.bincount(self.at, weights[self.column], self.words))])
        return int(np.argmax(until[WINDOW:] - until[:-WINDOW]))


def rows() -> Iterator[Row]:
    """Texts to train on."""
    root = Path(os.environ["MHDATA_REAL"])
    read = [row for row in labels() if row["source"] == SOURCE]
    ours = {row["text_sha256_16"]: row["label"] for row in read if row["draw"] != "test"}
    # the draw to judge by: the one that is labelled, or, while it is not yet, the next
    judged = {row["text_sha256_16"] for row in read if row["draw"] == "test"}
    held_out = judged or {row["text_sha256_16"] for row in draw(SOURCE, root)}
    for key, text in distinct(list(READERS[SOURCE](root))).items():
        if key in held_out or ours.get(key) == "review":
            continue
        if key in ours:
            yield Row(text, ours[key] == "flag", BY_EYE, key)
            continue
        level = max((hit.level for hit in rules().hits(canonical(text))), default=0)
        if level == FLAG or level < MENTION:
            yield Row(text, level == FLAG, BY_RULE, key)
    for row in map(json.loads, AUTHORED.read_text(encoding="utf-8").splitlines()) if AUTHORED.exists() else ():
        if row["label"] in ("flag", "mention", "none"):
            yield Row(row["input"], row["label"] == "flag", BY_EYE)


def train(texts: list[Row]) -> dict[str, int]:
    """Feature -> weight; the bias under the empty feature."""
    words = [[word for word, _ in model_words(canonical(row.text))] for row in texts]
    posts = (run for row, run in zip(texts, words, strict=True) if row.key)
    count = Counter(name for run in posts for name in {name for _, name in features(run)})
    names = sorted(name for name, n in count.items() if n >= MIN_DOCUMENTS and not any(c.isdigit() for c in name))
    column = {name: i for i, name in enumerate(names)}
    weights, bias = _learn(texts, [_numbered(row, column) for row in words], len(names))
    whole = np.rint(weights * SCALE).astype(int)
    return {
        "": int(np.rint(bias * SCALE)),
        **{name: int(w) for name, w in zip(names, whole, strict=True) if abs(w) >= LEAST},
    }


def _numbered(words: list[str], column: dict[str, int]) -> Features:
    known = [(i, column[name]) for i, name in features(words) if name in column]
    return Features(np.array([i for i, _ in known], np.int64), np.array([c for _, c in known], np.int64), len(words))


def _learn(texts: list[Row], features: list[Features], size: int) -> tuple[Floats, float]:
    weights, bias = _fit([np.unique(f.column) for f in features], texts, [r.weight for r in texts], size)
    counter: dict[int, list[int]] = {i: [] for i, row in enumerate(texts) if not row.crisis}
    for _ in range(ROUNDS):
        chosen: list[tuple[int, int, float]] = []
        for i, row in enumerate(texts):
            begins = [features[i].worst(weights)]
            if not row.crisis:
                begins = counter[i] = sorted({*counter[i], *begins})
            chosen.extend((i, begin, row.weight / len(begins) ** 0.5) for begin in begins)
        windows = [features[i].window(begin) for i, begin, _ in chosen]
        weights, bias = _fit(windows, [texts[i] for i, _, _ in chosen], [w for _, _, w in chosen], size)
    return weights, bias


def _fit(columns: list[Ints], texts: list[Row], row_weights: list[float], size: int) -> tuple[Floats, float]:
    """Weighted logistic regression, L2, Nesterov's method with a step for each weight (a bound on its curvature)."""
    row = np.repeat(np.arange(len(columns)), [len(c) for c in columns])
    column = np.concatenate(columns)
    target = np.array([float(text.crisis) for text in texts])
    weight = np.array(row_weights)
    reach = weight * (np.bincount(row, minlength=len(target)) + 1.0)
    penalty = np.append(PENALTY / _telling(column, (weight * target)[row], (weight * (1.0 - target))[row], size), 0.0)
    step = 1.0 / (0.25 * np.append(np.bincount(column, reach[row], size), reach.sum()) + penalty)
    values = ahead = np.zeros(size + 1)
    for i in range(STEPS):
        margin = np.bincount(row, ahead[column], len(target)) + ahead[size]
        error = weight * (1.0 / (1.0 + np.exp(-margin)) - target)
        gradient = np.append(np.bincount(column, error[row], size), error.sum()) + penalty * ahead
        fresh = ahead - step * gradient
        ahead = fresh + i / (i + 3.0) * (fresh - values)
        values = fresh
    return values[:size], float(values[size])


def _telling(column: Ints, crisis: Floats, other: Floats, size: int) -> Floats:
    """How far apart the shares of each feature among crises and among others lie: a log ratio without its sign."""
    counts = [1.0 + np.bincount(column, weights, size) for weights in (crisis, other)]
    shares = [count / count.sum() for count in counts]
    return np.abs(np.log(shares[0] / shares[1])) + LEAST_TELLING


def main() -> None:
    texts = list(rows())
    weights = train(texts)
    out = DATA / "crisis_weights.tsv"
    with out.open("w", encoding="utf-8", newline="\n") as lines:
        lines.write(
            "# feature, weight x 100 (benchmarks/screens_crisis_train.py; CC0 posts and our own rows); first the bias\n"
        )
        lines.writelines(f"{name}\t{weight}\n" for name, weight in sorted(weights.items()))
    print(f"{len(texts)} rows, {sum(row.crisis for row in texts)} crises, {len(weights) - 1} features -> {out}")


if __name__ == "__main__":
    main()
