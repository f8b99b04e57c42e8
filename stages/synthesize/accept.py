"""What a row of `synthesize` takes: a question, the answer to it and, where asked for, the judge's word.

`generate` and `build` settle with the same rules, so that what one finds missing the other has not accepted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stages.llm import reply, scores
from stages.llm.prompts import Prompt
from stages.llm.prose import Texts
from stages.llm.request import Request, make
from stages.llm.rounds import Candidate
from stages.params import Synthesize
from stages.synthesize import checks
from stages.synthesize.openings import Openings
from stages.synthesize.plan import Slot
from stages.synthesize.similar import Index, Rarity

VERSION = 1  # raise when the same answers give other rows


class Recipe:
    """Rules and memory of one settling (see stages.llm.rounds)."""

    def __init__(self, settings: Synthesize, slots: Sequence[Slot], prompts: Mapping[str, Prompt]) -> None:
        self._settings, self._prompts = settings, prompts
        self._slots = {slot.slot: slot for slot in slots}
        self.parts: tuple[str, ...] = (
            ("question", "answer", "judge") if settings.judge.enabled else ("question", "answer")
        )
        self._index: Index | None = None
        self._openings = {part: Openings(settings.filters.opening, len(slots)) for part in ("question", "answer")}
        self._questions: dict[str, list[str]] = {}
        self._answers: dict[str, list[str]] = {}
        self._folded: dict[str, str] = {}  # answer without case and punctuation -> its slot
        self._template = scores.prompt() if settings.judge.enabled else None

    # --- asking ------------------------------------------------------------------------------------------

    def request(self, slot: str, part: str, attempt: int, held: Mapping[str, Any], truncated: int) -> Request:
        if part == "judge":
            assert self._template is not None
            return scores.request(self._settings, self._template, slot, attempt, held["question"], held["answer"])
        messages = (
            self._question(slot, attempt) if part == "question" else self._answer(slot, attempt, held["question"])
        )
        if self._settings.sampling.response_format == "json_schema":
            (role, content), *rest = messages
            messages = ((role, f"{content}\n\n{self._prompts['json'].fill(slot=slot)}"), *rest)
        return make(self._settings, slot, part, attempt, messages, truncated=truncated, schema=_schema(slot))

    def _question(self, name: str, attempt: int) -> tuple[tuple[str, str], ...]:
        slot = self._slots[name]
        low, high = slot.words
        return (("user", self._prompts["question"].fill(topic=slot.topic, low=low, high=high, **slot.at(attempt))),)

    def _answer(self, name: str, attempt: int, question: str) -> tuple[tuple[str, str], ...]:
        slot = self._slots[name]
        low, high = self._settings.length.answer
        crisis = slot.crisis or _crisis(question)
        system = self._prompts["answer"].fill(
            topic=slot.topic,
            low=low + (high - low) // 5,
            high=high - (high - low) // 5,
            crisis=self._prompts["crisis"].fill(topic=slot.topic) if crisis else "",
            **slot.at(attempt),
        )
        return ("system", system.strip()), ("user", question)

    def read(self, slot: str, part: str, plain: str) -> tuple[dict[str, Any], list[str]]:
        if part == "judge":
            marks, edits = scores.read(plain)
            return {"scores": marks}, edits
        if self._settings.sampling.response_format == "text":
            return {part: plain}, []
        value, edits = reply.record(plain, {"items": list})
        return {part: _only_item(value["items"], slot)}, edits

    # --- judging -----------------------------------------------------------------------------------------

    def judge(self, part: str, candidates: Sequence[Candidate]) -> list[str | None]:
        return {"question": self._judge_questions, "answer": self._judge_answers, "judge": self._judge_scores}[part](
            candidates
        )

    def _judge_questions(self, candidates: Sequence[Candidate]) -> list[str | None]:
        texts = Texts.of([c.texts["question"] for c in candidates])
        if self._index is None:  # the first attempt at all questions is the corpus that says which words are rare
            self._index = Index(self._settings.filters.near_dup, Rarity(texts.words))
        index = self._index
        faults = checks.questions(texts, self._settings.length, self._settings.filters)

        def judge(candidate: Candidate, words: list[str]) -> str | None:
            reason = "near_duplicate" if index.near(words) else self._openings["question"].refuses(words)
            if reason is None:
                index.add(candidate.slot, words)
                self._openings["question"].add(words)
                self._questions[candidate.slot] = words
            return reason

        return _in_order(candidates, faults, texts, judge)

    def _judge_answers(self, candidates: Sequence[Candidate]) -> list[str | None]:
        texts = Texts.of([c.texts["answer"] for c in candidates])
        asked = Texts.of([c.held["question"] for c in candidates])
        faults = checks.answers(
            texts, asked, self.in_crisis(candidates, asked), self._settings.length, self._settings.filters
        )

        def judge(candidate: Candidate, words: list[str]) -> str | None:
            folded = "".join(words)
            reason = "duplicate_answer" if folded in self._folded else self._openings["answer"].refuses(words)
            if reason is None:
                self._folded[folded] = candidate.slot
                self._openings["answer"].add(words)
                self._answers[candidate.slot] = words
            return reason

        return _in_order(candidates, faults, texts, judge)

    def in_crisis(self, candidates: Sequence[Candidate], asked: Texts) -> list[bool]:
        """Whether each answer must carry a referral: by its topic or by the wording of its question."""
        wanted = self._settings.policy.require_resources
        wording = checks.crisis(asked)
        return [wanted and (self._slots[c.slot].crisis or hit) for c, hit in zip(candidates, wording, strict=True)]

    def _judge_scores(self, candidates: Sequence[Candidate]) -> list[str | None]:
        least = self._settings.judge.min_mean
        means = [sum(c.texts["scores"].values()) / len(c.texts["scores"]) for c in candidates]
        return [None if mean >= least else "judged_low" for mean in means]

    def release(self, slot: str) -> None:
        if (words := self._questions.pop(slot, None)) is not None:
            self._openings["question"].remove(words)
            if self._index is not None:
                self._index.remove(slot)
        if (words := self._answers.pop(slot, None)) is not None:
            self._openings["answer"].remove(words)
            del self._folded["".join(words)]


def _in_order(
    candidates: Sequence[Candidate],
    faults: list[str | None],
    texts: Texts,
    judge: Callable[[Candidate, list[str]], str | None],
) -> list[str | None]:
    """The fault of each text by itself, or what stands against it beside those accepted before it."""
    every = zip(candidates, faults, texts.words, strict=True)
    return [fault or judge(candidate, words) for candidate, fault, words in every]


def _schema(slot: str) -> dict[str, Any]:
    """One item that echoes its slot: an answer to something else shows."""
    item = {
        "type": "object",
        "properties": {"slot": {"type": "string", "enum": [slot]}, "text": {"type": "string"}},
        "required": ["slot", "text"],
        "additionalProperties": False,
    }
    items = {"type": "array", "minItems": 1, "maxItems": 1, "items": item}
    return {"type": "object", "properties": {"items": items}, "required": ["items"], "additionalProperties": False}


def _only_item(items: list[Any], slot: str) -> str:
    if not items:
        raise reply.Unreadable("missing_item")
    if len(items) > 1:
        raise reply.Unreadable("extra_items")
    item = items[0]
    if not isinstance(item, dict) or not isinstance(item.get("text"), str):
        raise reply.Unreadable("wrong_type")
    if item.get("slot") != slot:
        raise reply.Unreadable("wrong_id")
    return str(item["text"])


@functools.lru_cache(maxsize=65536)
def _crisis(question: str) -> bool:
    return checks.crisis(Texts.of([question]))[0]
