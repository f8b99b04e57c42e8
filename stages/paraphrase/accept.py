"""What a round takes: to be long enough, in English, and to give nothing of its page away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.llm import reply
from stages.llm.prompts import Prompt
from stages.llm.prose import Texts, foreign, loops
from stages.llm.request import Request, make
from stages.llm.rounds import Candidate
from stages.params import MinWords, Paraphrase
from stages.paraphrase import leaks

VERSION = 1  # raise when the same answers give other rows

PROMPT = Path(__file__).parent / "prompts" / "round.txt"

FIELDS = {"question": str, "answer": str}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in FIELDS},
    "required": list(FIELDS),
    "additionalProperties": False,
}


def prompt() -> Prompt:
    return Prompt(PROMPT, ())


class Recipe:
    """Rules of one settling (see stages.llm.rounds). `pages` holds the text of each page."""

    parts: tuple[str, ...] = ("round",)

    def __init__(self, settings: Paraphrase, pages: Mapping[str, str], template: Prompt) -> None:
        self._settings, self._pages, self._system = settings, pages, template.fill()

    def request(self, slot: str, part: str, attempt: int, held: Mapping[str, Any], truncated: int) -> Request:
        messages = (("system", self._system), ("user", self._pages[slot]))
        return make(self._settings, slot, part, attempt, messages, truncated=truncated, schema=SCHEMA)

    def read(self, slot: str, part: str, plain: str) -> tuple[dict[str, Any], list[str]]:
        return reply.record(plain, FIELDS)

    def judge(self, part: str, candidates: Sequence[Candidate]) -> list[str | None]:
        made = [f"{c.texts['question']}\n\n{c.texts['answer']}" for c in candidates]
        words = Texts.of(made).words
        pages = Texts.of([self._pages[c.slot] for c in candidates]).words
        every = zip(candidates, made, words, pages, strict=True)
        return [self._judge(candidate, text, spoken, page) for candidate, text, spoken, page in every]

    def _judge(self, candidate: Candidate, made: str, spoken: list[str], page: list[str]) -> str | None:
        if too_short(candidate.texts["question"], candidate.texts["answer"], self._settings.min_words):
            return "min_words"
        if loops(spoken):
            return "loop"
        if foreign(spoken):
            return "language"
        return leaks.find(self._pages[candidate.slot], page, made, spoken, self._settings.leak)

    def release(self, slot: str) -> None:
        """Rounds do not depend on each other."""


def too_short(question: str, answer: str, rule: MinWords) -> bool:
    """The 40-word rule of MentalChat16K in its three readings; words are what stands between blanks.

    >>> [too_short("a b", "c d e", MinWords(n=3, scope=scope)) for scope in ("total", "either", "both")]
    [False, True, False]
    """
    asked, given = len(question.split()), len(answer.split())
    return {
        "total": asked + given < rule.n,
        "either": asked < rule.n or given < rule.n,
        "both": asked < rule.n and given < rule.n,
    }[rule.scope]
