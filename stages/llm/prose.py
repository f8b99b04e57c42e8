"""Texts as words, and whether they are prose at all: in English, and not going in circles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages import text

RULES = Path(__file__).parent / "rules"

ENGLISH = 0.2  # share of function words; English prose has about 0.45, other languages below 0.1
LOOP_OF, LOOP = 4, 0.25  # words; share of such runs that repeat an earlier one. Prose stays below 0.05


@dataclass(frozen=True)
class Texts:
    """Texts in the three forms that the checks need."""

    raw: pa.StringArray
    plain: pa.StringArray  # lower-case words with single spaces
    words: list[list[str]]

    @staticmethod
    def of(values: Sequence[str]) -> Texts:
        raw = pa.array(values, pa.string())
        plain = pc.utf8_trim_whitespace(pc.replace_substring_regex(text.words(raw), " +", " "))
        return Texts(raw, plain, [value.split(" ") if value else [] for value in plain.to_pylist()])


def loops(words: list[str]) -> bool:
    """Whether runs of words repeat as no prose does."""
    runs = [tuple(words[place : place + LOOP_OF]) for place in range(len(words) - LOOP_OF + 1)]
    return len(runs) >= 20 and len(runs) - len(set(runs)) > LOOP * len(runs)


def foreign(words: list[str]) -> bool:
    """Whether the function words of English are rare."""
    known = english()
    return sum(word in known for word in words) < ENGLISH * len(words)


@cache
def english() -> frozenset[str]:
    """Function words of English."""
    listed = (RULES / "english.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in listed if not line.startswith("#") for word in line.split())
