"""What can be said against one text by itself: leftovers, refusals, length, loops, language, copies, no referral."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.llm.copied import longest_run
from stages.llm.prose import Texts, foreign, loops
from stages.params import Filters, Length, Referral
from stages.screens import referral

RULES = Path(__file__).parent / "rules"

AT_ONCE = ("crisis_line", "emergency")  # help that a person in danger can reach now
COPIED = 15  # words of the question in a row that an answer may not repeat


def questions(texts: Texts, length: Length, filters: Filters) -> list[str | None]:
    """For each question the first reason against it, or None."""
    return _first(
        len(texts.words),
        leftover=leftovers(texts, filters),
        refusal=_phrases(texts, filters.refusal),
        length=[not length.question[0] <= count <= length.question[1] for count in _word_counts(texts)],
        language=[foreign(words) for words in texts.words],
        loop=[loops(words) for words in texts.words],
    )


def answers(texts: Texts, asked: Texts, crisis: Sequence[bool], length: Length, filters: Filters) -> list[str | None]:
    """For each answer the first reason against it, or None. `crisis`: it must name a line or an emergency number."""
    referred = [kind in AT_ONCE for kind in referrals(texts)]
    return _first(
        len(texts.words),
        leftover=leftovers(texts, filters),
        refusal=_phrases(texts, filters.refusal),
        banned_opening=_openings(texts, filters.banned_openings),
        no_referral=[wanted and not there for wanted, there in zip(crisis, referred, strict=True)],
        copies_question=[longest_run(q, a, COPIED) > 0 for q, a in zip(asked.words, texts.words, strict=True)],
        length=[not length.answer[0] <= count <= length.answer[1] for count in _word_counts(texts)],
        language=[foreign(words) for words in texts.words],
        loop=[loops(words) for words in texts.words],
    )


def crisis(texts: Texts) -> list[bool]:
    """Whether a text holds the wording of a crisis."""
    return _any_match(texts.plain, _rules("crisis"))


def referrals(texts: Texts) -> list[str]:
    """The strongest help that each text points to: crisis_line, emergency, professional or none.

    The same screen as every answer of the corpus meets: what is accepted here is not dropped there.
    """
    batch = pa.record_batch({"response": texts.raw})
    return [kind or referral.NONE for kind in pc.struct_field(referral.screen(batch, Referral()), "kind").to_pylist()]


def leftovers(texts: Texts, filters: Filters) -> list[bool]:
    """Whether a text holds what a prompt or a template left in it."""
    return _any_match(texts.raw, filters.leftovers)


def starts(texts: Texts, phrases: Sequence[str]) -> list[bool]:
    """Whether a text starts with one of the phrases, by whole words."""
    return _openings(texts, phrases)


def contains(texts: Texts, phrases: Sequence[str]) -> list[bool]:
    """Whether a text holds one of the phrases, by whole words."""
    return _phrases(texts, phrases)


def _first(count: int, **faults: list[bool]) -> list[str | None]:
    return [next((reason for reason, flags in faults.items() if flags[place]), None) for place in range(count)]


def _word_counts(texts: Texts) -> list[int]:
    """Words between blanks, as people count them."""
    return [len(value.split()) for value in texts.raw.to_pylist()]


def _any_match(values: pa.StringArray, patterns: Sequence[str]) -> list[bool]:
    found = [False] * len(values)
    for pattern in patterns:
        for place, hit in enumerate(pc.match_substring_regex(values, pattern).to_pylist()):
            found[place] |= hit
    return found


def _spelled(phrases: Sequence[str]) -> list[str]:
    """Phrases in the form of `Texts.plain`."""
    return [" ".join(words) for words in Texts.of(phrases).words if words]


def _phrases(texts: Texts, phrases: Sequence[str]) -> list[bool]:
    spelled = [f" {phrase} " for phrase in _spelled(phrases)]
    return [any(phrase in f" {value} " for phrase in spelled) for value in texts.plain.to_pylist()]


def _openings(texts: Texts, phrases: Sequence[str]) -> list[bool]:
    spelled = tuple(f"{phrase} " for phrase in _spelled(phrases))
    return [f"{value} ".startswith(spelled) if spelled else False for value in texts.plain.to_pylist()]


@cache
def _rules(name: str) -> tuple[str, ...]:
    """The lines of a rule file, without comments."""
    listed = (RULES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in listed if line.strip() and not line.startswith("#"))
