"""Settling: the same answers give the same rows, whatever order they came in, and every candidate is accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stages.llm import reply, rounds
from stages.llm.answers import Answer
from stages.llm.request import Request, make
from stages.llm.rounds import Candidate
from stages.params import Model
from tests.llm.test_answers import answer

SLOTS = [f"t01-{number:04d}" for number in range(1, 5)]


class Toy:
    """Two parts; a text that starts with "bad" is rejected, and so is the twin of one that an earlier slot holds."""

    parts = ("question", "answer")

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}

    def request(self, slot: str, part: str, attempt: int, held: Mapping[str, Any], truncated: int) -> Request:
        return make(Model(), slot, part, attempt, (("user", held.get("question", "")),), truncated=truncated)

    def read(self, slot: str, part: str, plain: str) -> tuple[dict[str, Any], list[str]]:
        if plain == "unreadable":
            raise reply.Unreadable("not_json")
        return {part: plain}, []

    def judge(self, part: str, candidates: Sequence[Candidate]) -> list[str | None]:
        return [self._judge(c.slot, c.texts[part]) if part == "question" else _bad(c.texts[part]) for c in candidates]

    def _judge(self, slot: str, text: str) -> str | None:
        reason = _bad(text) or ("twin" if text in self.taken.values() else None)
        if reason is None:
            self.taken[slot] = text
        return reason

    def release(self, slot: str) -> None:
        self.taken.pop(slot)


def _bad(text: str) -> str | None:
    return "bad" if text.startswith("bad") else None


def speak(request: Request, words: list[str]) -> Answer:
    """What an endpoint would say: one of the words, by the request's seed."""
    said = words[request.seed % len(words)]
    finish = "length" if said == "cut" else "stop"
    failure = "http_413" if said == "huge" else None
    return answer(
        0,
        said,
        key=request.key,
        slot=request.slot,
        part=request.part,
        attempt=request.attempt,
        finish_reason=finish,
        failure=failure,
    )


def fill(words: list[str], attempts: int = 4, stop_after: int = 10**6) -> tuple[dict[str, Answer], int]:
    """Ask round by round as a live run does; give the answers and how many were asked."""
    held: dict[str, Answer] = {}
    while wants := rounds.settle(SLOTS, Toy(), held, attempts).wants:
        for request in wants:
            if len(held) >= stop_after:
                return held, len(held)
            held[request.key] = speak(request, words)
    return held, len(held)


WORDS = st.lists(
    st.sampled_from(["one", "two", "three", "four", "five", "six", "bad", "bad2", "cut", "unreadable", "huge", " "]),
    min_size=2,
    max_size=9,
)


@given(WORDS, st.randoms())
def test_the_order_of_answers_changes_nothing(words: list[str], random: Any) -> None:
    held, _ = fill(words)
    shuffled = list(held.items())
    random.shuffle(shuffled)
    one, other = rounds.settle(SLOTS, Toy(), held, 4), rounds.settle(SLOTS, Toy(), dict(shuffled), 4)
    assert (one.rows, one.rejected, one.failed) == (other.rows, other.rejected, other.failed)


@given(WORDS, st.integers(0, 30))
def test_a_run_that_was_cut_short_goes_on_to_the_same_answers(words: list[str], stop: int) -> None:
    whole, asked = fill(words)
    held, _ = fill(words, stop_after=stop)
    more = 0
    while wants := rounds.settle(SLOTS, Toy(), held, 4).wants:
        for request in wants[::-1]:
            assert request.key not in held
            held[request.key] = speak(request, words)
            more += 1
    assert held == whole
    assert more == max(0, asked - stop)


@given(WORDS)
def test_every_slot_and_every_candidate_is_accounted_for(words: list[str]) -> None:
    held, _ = fill(words)
    settled = rounds.settle(SLOTS, Toy(), held, 4)
    assert settled.wants == [] and settled.open == []
    assert sorted([row.slot for row in settled.rows] + settled.failed) == SLOTS
    assert settled.used == held.keys()
    keys = [reject.key for reject in settled.rejected] + [a.key for row in settled.rows for a in row.answers.values()]
    assert len(keys) == len(set(keys)) and set(keys) <= held.keys()
    questions = [row.texts["question"] for row in settled.rows]
    assert len(questions) == len(set(questions)) and not any(map(_bad, questions))


@given(WORDS)
def test_answers_of_another_plan_are_not_used(words: list[str]) -> None:
    held, _ = fill(words)
    other = answer(99)
    settled = rounds.settle(SLOTS, Toy(), held | {other.key: other}, 4)
    assert other.key not in settled.used
    assert settled.rows == rounds.settle(SLOTS, Toy(), held, 4).rows


def test_a_truncated_answer_gives_the_next_one_more_room_up_to_twice() -> None:
    held: dict[str, Answer] = {}
    seen = []
    while wants := rounds.settle(["t01-0001"], Toy(), held, 4).wants:
        seen.append(wants[0].max_tokens)
        held[wants[0].key] = speak(wants[0], ["cut", "cut"])
    assert seen == [900, 1350, 1800, 1800]


def test_each_attempt_has_a_seed_of_its_own() -> None:
    requests = [Toy().request("t01-0001", "question", attempt, {}, 0) for attempt in range(5)]
    assert len({request.seed for request in requests}) == 5
    assert len({request.key for request in requests}) == 5


def test_an_answer_that_fails_twice_takes_its_question_with_it() -> None:
    held: dict[str, Answer] = {}
    parts = []
    while wants := rounds.settle(["t01-0001"], Toy(), held, 4).wants:
        parts.append((wants[0].attempt, wants[0].part))
        held[wants[0].key] = speak(wants[0], ["one"] if wants[0].part == "question" else ["bad"])
    assert parts == [(0, "question"), (0, "answer"), (1, "answer"), (2, "question"), (2, "answer"), (3, "answer")]


def test_what_does_not_fit_closes_the_slot() -> None:
    held: dict[str, Answer] = {}
    first = rounds.settle(["t01-0001"], Toy(), held, 4).wants[0]
    held[first.key] = speak(first, ["huge"])
    settled = rounds.settle(["t01-0001"], Toy(), held, 4)
    assert (settled.wants, settled.failed) == ([], ["t01-0001"])
    assert rounds.reasons(settled) == {"http_413": 1}
