"""One spelling for what people write: the canonical copy that the crisis rules and the linear model read.

Words are runs of letters and digits in lower case; contractions, chat spellings and lemmatised forms are
brought together, intensifiers left out (data/canonical.yaml). `canonical` keeps for each word the span of
code points that it came from, so that evidence can point into the stored text.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).with_name("data")
_TOKEN = re.compile(r"[^\W_]+|[.!?;\n]+")


@dataclass(frozen=True)
class Table:
    """Canonical spellings: `words` and `pairs` map to what is written instead, `drop` is left out."""

    words: dict[str, str]
    pairs: dict[tuple[str, str], str]
    drop: frozenset[str]


@dataclass(frozen=True)
class Copy:
    """A canonical text: word i (words part at spaces) begins at `starts[i]` and came from `spans[i]` of the stored text."""

    text: str
    starts: list[int]
    spans: list[tuple[int, int]]

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Span of code points in the stored text of a span of `text`."""
        first = bisect.bisect_right(self.starts, start) - 1
        last = bisect.bisect_right(self.starts, end - 1) - 1
        return self.spans[first][0], self.spans[last][1]


def load(name: str) -> Any:
    """A rule file beside the screens."""
    return yaml.load((DATA / name).read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@functools.cache
def table() -> Table:
    raw = load("canonical.yaml")
    pairs = {(a, b): to for pair, to in raw["pairs"].items() for a, b in [pair.split()]}
    return Table(raw["words"], pairs, frozenset(raw["drop"]))


def canonical(text: str) -> Copy:
    """The canonical copy, "." for the end of a sentence.

    >>> canonical("I don't really wanna die. Bye").text
    'i dont want to die . bye'
    >>> copy = canonical("I'm so TIRED")
    >>> copy.text, copy.source(3, 8)
    ('im tired', (7, 12))
    """
    rules = table()
    low = _lower(text)
    found = [(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(low)]
    words: list[str] = []
    spans: list[tuple[int, int]] = []
    skip = False
    for i, (word, start, end) in enumerate(found):
        if skip:
            skip = False
            continue
        pair = rules.pairs.get((word, found[i + 1][0])) if i + 1 < len(found) else None
        if pair and not (i + 2 < len(found) and (found[i + 1][0], found[i + 2][0]) in rules.pairs):
            word, end, skip = pair, found[i + 1][2], True
        else:
            word = rules.words.get(word, word)
        if word in rules.drop:
            continue
        for part in (word if word[0].isalnum() else ".").split(" "):
            words.append(part)
            spans.append((start, end))
    starts = list(itertools.accumulate((len(word) + 1 for word in words), initial=0))
    return Copy(" ".join(words), starts, spans)


def _lower(text: str) -> str:
    """Lower case of the same length: a letter whose lower case is two code points stays as it is."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
