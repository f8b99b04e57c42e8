"""The labelled sets of the pii screen: reading them, and counting what the screen gets right.

Written rows (tests/data/pii/*.jsonl) hold their labels in the text: `call ⟦phone:555-0147⟧`, `⟦phone/public:...⟧`.
Labels of real rows (real_labels.jsonl) name a text by its hash and hold offsets, never text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.params import Pii
from stages.screens.pii.detect import search, settle

DATA = Path(__file__).parent.parent / "data" / "pii"
_MARK = re.compile(r"⟦(?P<type>\w+)(?:/(?P<tier>\w+))?:(?P<text>[^⟧]*)⟧")


class Label(NamedTuple):
    start: int
    end: int
    type: str
    tier: str


def unmark(marked: str) -> tuple[str, list[Label]]:
    """The text of a marked row and its labels."""
    text, labels, last = "", [], 0
    for match in _MARK.finditer(marked):
        text += marked[last : match.start()]
        tier = match["tier"] or ("hint" if match["type"] == "name" else "personal")
        labels.append(Label(len(text), len(text) + len(match["text"]), match["type"], tier))
        text += match["text"]
        last = match.end()
    return text + marked[last:], labels


def written(name: str) -> list[tuple[str, list[Label]]]:
    """Rows of a written set: dev or held_out."""
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [unmark(json.loads(line)["marked"]) for line in lines]


def text_hash(text: str) -> str:
    """What names a real text in real_labels.jsonl."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def found(texts: Sequence[str], links_only: bool = False) -> list[list[Label]]:
    """What the screen finds in each text, with the params' defaults."""
    array, mask = pa.array(texts, pa.string()), np.full(len(texts), links_only)
    spans = settle(array, mask, search(array, mask, Pii()), Pii())
    return [[Label(s.start, s.end, s.type, s.tier) for s in spans.get(i, [])] for i in range(len(texts))]


def same(gold: Label, hit: Label) -> bool:
    """Whether a hit is a label's: the same type, and half of each inside the other (a name: any overlap)."""
    shared = min(gold.end, hit.end) - max(gold.start, hit.start)
    longest = max(gold.end - gold.start, hit.end - hit.start)
    return gold.type == hit.type and shared > 0 and (gold.type == "name" or 2 * shared >= longest)


class Score(NamedTuple):
    """Counts, each weighed; `spared` are public resources that stayed, `harmed` those that were hit."""

    true: float = 0.0
    missed: float = 0.0
    false: float = 0.0
    spared: float = 0.0
    harmed: float = 0.0
    labels: int = 0

    @property
    def recall(self) -> float:
        return self.true / (self.true + self.missed) if self.true + self.missed else float("nan")

    @property
    def precision(self) -> float:
        return self.true / (self.true + self.false) if self.true + self.false else float("nan")

    def plus(self, other: Score) -> Score:
        return Score(*(a + b for a, b in zip(self, other, strict=True)))


def score(gold: Iterable[Label], hits: Iterable[Label], weight: float = 1.0) -> dict[str, Score]:
    """Counts by type for one text: personal and hint hits against personal and hint labels."""
    gold, hits = list(gold), [hit for hit in hits if hit.tier != "public"]
    wanted = [label for label in gold if label.tier != "public"]
    result: dict[str, Score] = {}

    def add(kind: str, **counts: float) -> None:
        result[kind] = result.get(kind, Score()).plus(Score(**counts))  # type: ignore[arg-type]

    for label in wanted:
        hit = any(same(label, other) for other in hits)
        add(label.type, **{"true" if hit else "missed": weight, "labels": 1})
    for other in hits:
        if not any(same(label, other) for label in wanted):
            add(other.type, false=weight)
    for label in gold:
        if label.tier == "public":
            harmed = any(h.tier == "personal" and h.start < label.end and label.start < h.end for h in hits)
            add(label.type, **{"harmed" if harmed else "spared": weight})
    return result


def total(scores: Iterable[dict[str, Score]]) -> dict[str, Score]:
    """Sum of scores by type, with the sums `structured` (all but names) and `name`."""
    result: dict[str, Score] = {}
    for one in scores:
        for kind, counts in one.items():
            for key in (kind, *(("structured",) if kind != "name" else ())):
                result[key] = result.get(key, Score()).plus(counts)
    return dict(sorted(result.items()))
