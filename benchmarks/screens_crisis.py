"""Precision and recall of the crisis screen on real rows labelled by eye, and what the screens find in the whole files.

    MHDATA_REAL=... python -m benchmarks.screens_crisis [dev|more|first|second|third|fourth|fifth|sixth|test] [--misses | --cost]

Shares are weighed: a label counts as many rows as its stratum has for each one drawn (screens_crisis_draw). A row
labelled `review` (a careful reader would ask) counts as no flag; `with review` is the precision if it did. Ratios only; the texts never leave memory, but for
--misses, which prints wrong rows to the terminal.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.screens_crisis_draw import COPIES, READERS, distinct, labels
from stages.params import Crisis
from stages.record import TURN
from stages.screens import crisis

GROUPS = {
    "suicidal": {"suicidal_passive", "suicidal_active", "attempt_recent", "method_request"},
    "self_harm": {"self_harm"},
    "others": {"violent_thoughts", "abuse_ongoing", "third_party_risk"},
}


@dataclass(frozen=True)
class Case:
    """A labelled row with what the screen says of it."""

    source: str
    label: str
    categories: frozenset[str]
    weight: Fraction
    text: str
    found: dict[str, Any]


def batch(texts: Iterable[str]) -> pa.RecordBatch:
    """Records as far as the crisis screen looks at them."""
    inputs = pa.array(list(texts), pa.string())
    kinds = pa.array(["counseling"] * len(inputs), pa.string())
    return pa.RecordBatch.from_arrays(
        [inputs, kinds, pa.nulls(len(inputs), pa.list_(TURN))], ["input", "type", "turns"]
    )


def cases(draw: str, root: Path) -> Iterator[Case]:
    """The rows of a draw; a source that holds the same texts by another route takes the labels."""
    wanted = [row for row in labels() if row["draw"] == draw and row["weight"]]
    routes = {source: (source, read) for source, read in READERS.items()} | COPIES
    for source, (labelled, read) in routes.items():
        texts = distinct(list(read(root)))
        rows = [row for row in wanted if row["source"] == labelled and row["text_sha256_16"] in texts]
        chosen = [texts[row["text_sha256_16"]] for row in rows]
        for row, text, found in zip(rows, chosen, crisis.screen(batch(chosen), Crisis()).to_pylist(), strict=True):
            yield Case(source, row["label"], frozenset(row["categories"]), Fraction(row["weight"]), text, found)


def share(chosen: Iterable[Case], of: Iterable[Case]) -> str:
    """Weighed share of some cases among others."""
    whole = sum((case.weight for case in of), Fraction())
    return f"{float(sum((case.weight for case in chosen), Fraction()) / whole):.3f}" if whole else "-"


def row(name: str, of: list[Case]) -> str:
    gold = [case for case in of if case.label == "flag"]
    flagged = [case for case in of if case.found["flag"]]
    hits = [case for case in gold if case.found["flag"]]
    review = [case for case in of if case.found["review"]]
    caught = [case for case in gold if case.found["review"]]
    asked = [case for case in flagged if case.label in ("flag", "review")]
    return (
        f"| {name} | {len(of)} | {len(gold)} | {share(hits, flagged)} | {share(asked, flagged)} | {share(hits, gold)} "
        f"| {share(caught, gold)} | {share(review, of)} |"
    )


def report(found: list[Case]) -> Iterator[str]:
    yield "| rows | n | crises | flag precision | with review | flag recall | review recall | review share |"
    yield "|---|---|---|---|---|---|---|---|"
    apart = [case for case in found if case.source not in COPIES]
    yield row("all", apart)
    for source in dict.fromkeys(case.source for case in found):
        yield row(source, [case for case in found if case.source == source])
    for name, members in GROUPS.items():
        gold = [case for case in apart if case.label == "flag" and case.categories & members]
        named = [case for case in gold if members & set(case.found["categories"])]
        caught = [case for case in gold if case.found["review"]]
        flagged = [case for case in gold if case.found["flag"]]
        yield (
            f"| {name} | {len(gold)} | {len(gold)} | - | - "
            f"| {share(flagged, gold)} (as this category {share(named, gold)}) "
            f"| {share(caught, gold)} | - |"
        )


def misses(found: list[Case]) -> Iterator[str]:
    for case in found:
        if case.source not in COPIES and (case.label == "flag") != case.found["flag"]:
            rules = [(e["rule"], case.text[e["start"] : e["end"]]) for e in case.found["evidence"]]
            text = " ".join(case.text.split())[:400]
            head = (
                f"{case.source} {case.label} {sorted(case.categories)} {float(case.weight):.0f} {case.found['score']}"
            )
            yield f"{head} {rules}\n    {text}"


def cost(root: Path) -> Iterator[str]:
    """CPU seconds per MB of what the person wrote, after a first pass that loads the rules."""
    crisis.screen(batch(["warm up"]), Crisis())
    for source, read in READERS.items():
        texts = list(read(root))
        start = time.process_time()
        for i in range(0, len(texts), 4096):
            crisis.screen(batch(texts[i : i + 4096]), Crisis())
        spent, size = time.process_time() - start, sum(len(text.encode()) for text in texts) / 1e6
        yield f"{source}: {spent / size:.2f} CPU s/MB over {size:.1f} MB"


def main() -> None:
    root, draw = Path(os.environ["MHDATA_REAL"]), next((a for a in sys.argv[1:] if not a.startswith("-")), "test")
    found = list(cases(draw, root))
    lines = misses(found) if "--misses" in sys.argv else cost(root) if "--cost" in sys.argv else report(found)
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
