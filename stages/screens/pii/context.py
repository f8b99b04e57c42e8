"""Questions about the words around a candidate that several detectors ask."""

from __future__ import annotations

import re
from functools import cache

from stages.screens.pii import lists
from stages.screens.pii.spans import before

_LINK = re.compile(r"://|www\.|\b10\.\d{4,9}/|\w\.(?:com|org|net|gov|edu|ca|uk)/", re.I)


def in_link(view: str, at: int) -> bool:
    """Whether a position stands inside a URL, a path or a DOI: the unbroken run before it holds a sign of one."""
    run = before(view, at, 200)
    return _LINK.search(run[max(run.rfind(" "), run.rfind("\n"), run.rfind("\t")) + 1 :]) is not None


@cache
def _order() -> re.Pattern[str]:
    word = lists.any_of("not_phone")
    filler = r"(?:(?:no|number|num|code|id|is|was|of|to|for|my|the|with|are|were|at|usd)\b[ .:#=-]{0,3}){0,3}"
    return re.compile(rf"(?:\b{word}(?:'s)?\b[ .:#=-]{{0,4}}{filler}|\b{word}s?[:#] ?)[\d ,./-]{{0,40}}$", re.I)


def of_order(view: str, start: int) -> bool:
    """Whether a word just before says that the number counts or names something else: an order, a dose, a score."""
    return _order().search(before(view, start, 70)) is not None
