"""One spelling for what people write: the canonical copy that the crisis rules and the linear model read.

Words are runs of letters and digits in lower case; contractions, chat spellings and lemmatised forms are
brought together, intensifiers left out (data/crisis_canonical.yaml). `canonical` keeps for each word the span of
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
_TOKEN = re.compile(r"[^\W_]+|\.(?!\.)")
_STOPS = "!?;\n"  # end a sentence like a full stop


@dataclass(frozen=True)
class Table:
    """Canonical spellings: `words` and `pairs` map to what is written instead, `drop` is left out.

    `classes` maps a word to the class that the linear model reads it as; `first_person` are the words for oneself.
    """

    words: dict[str, str]
    pairs: dict[tuple[str, ...], str]
    drop: frozenset[str]
    marked: frozenset[str]  # tokens that may be written otherwise
    classes: dict[str, str]
    first_person: frozenset[str]


@dataclass(frozen=True)
class Copy:
    """A canonical text. `slots` has for each token what is written for it (nothing, a word, or some words)."""

    low: str
    slots: list[str]
    pairs: frozenset[int]  # slots that stand for their own token and the next

    @functools.cached_property
    def words(self) -> list[str]:
        return self.text.split(" ") if self.text else []

    @functools.cached_property
    def text(self) -> str:
        return " ".join(filter(None, self.slots))

    @functools.cached_property
    def starts(self) -> list[int]:
        """Where each word begins in `text`; one more for the end."""
        return [before + i for i, before in enumerate(itertools.accumulate(map(len, self.words), initial=0))]

    @functools.cached_property
    def tokens(self) -> list[int]:
        """For each word the token that it came from, or the first of two."""
        filled = [i for i, slot in enumerate(self.slots) if slot]
        if len(filled) < len(self.words):  # a slot of several words
            filled = [i for i in filled for _ in range(self.slots[i].count(" ") + 1)]
        return filled

    @functools.cached_property
    def _spans(self) -> list[tuple[int, int]]:
        return [match.span() for match in _TOKEN.finditer(self.low)]

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Span of code points in the stored text of a span of `text`."""
        first = self.tokens[bisect.bisect_right(self.starts, start) - 1]
        last = self.tokens[bisect.bisect_right(self.starts, end - 1) - 1]
        return self._spans[first][0], self._spans[last + (last in self.pairs)][1]


def load(name: str) -> Any:
    """A rule file beside the screens."""
    return yaml.load((DATA / name).read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


@functools.cache
def table() -> Table:
    raw = load("crisis_canonical.yaml")
    pairs = {tuple(pair.split()): to for pair, to in raw["pairs"].items()}
    marked = frozenset({*raw["words"], *raw["drop"], *(first for first, _ in pairs)})
    classes = {word: name for name, members in raw["classes"].items() for word in members.split()}
    return Table(raw["words"], pairs, frozenset(raw["drop"]), marked, classes, frozenset(raw["first_person"].split()))


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
    slots = _TOKEN.findall(low)
    pairs: set[int] = set()
    for i in [i for i, token in enumerate(slots) if token in rules.marked]:
        if not slots[i]:  # the second word of a pair
            continue
        word = _pair(slots, i, rules)
        if word:
            pairs.add(i)
            slots[i + 1] = ""
        else:
            word = rules.words.get(slots[i], slots[i])
        slots[i] = "" if word in rules.drop else word
    return Copy(low, slots, frozenset(pairs))


def _pair(found: list[str], i: int, rules: Table) -> str | None:
    """What tokens i and i + 1 are written as, unless i + 1 makes a pair with the next."""
    if i + 1 == len(found):
        return None
    pair = rules.pairs.get((found[i], found[i + 1]))
    return pair if pair and (found[i + 1], *found[i + 2 : i + 3]) not in rules.pairs else None


def _lower(text: str) -> str:
    """Lower case of the same length (a letter whose lower case is two code points stays), with full stops alone."""
    low = text.lower()
    if len(low) != len(text):
        low = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    for stop in _STOPS:
        low = low.replace(stop, ".")
    return low
