"""Which slots do the stored answers fill, and which requests would fill the rest? Pure: a function of the answers.

A slot wants its parts one after the other (a question, then the answer to it). An attempt that fails makes
room for the next. Candidates are judged by attempt, then part, then slot, never by arrival: whatever order
answers came in, whatever was asked twice or died half-way, the same answers give the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from stages import text
from stages.llm import reply
from stages.llm.answers import Answer
from stages.llm.request import Request

TEXTS_AGAIN = 2  # a later part that failed so often takes the earlier part with it


@dataclass
class Candidate:
    """A readable answer that stands for judgement. `texts` are its own, `held` those of the slot's earlier parts."""

    slot: str
    part: str
    attempt: int
    texts: dict[str, Any]
    held: Mapping[str, Any]
    edits: list[str]
    answer: Answer


class Recipe(Protocol):
    """What a stage makes. One instance serves one call of `settle`: it may remember what it accepted."""

    parts: tuple[str, ...]

    def request(self, slot: str, part: str, attempt: int, held: Mapping[str, Any], truncated: int) -> Request:
        """The request for one part of one slot."""
        ...

    def read(self, slot: str, part: str, plain: str) -> tuple[dict[str, Any], list[str]]:
        """Named texts of an answer, and the edits made; raises reply.Unreadable."""
        ...

    def judge(self, part: str, candidates: Sequence[Candidate]) -> list[str | None]:
        """For each candidate of one part and attempt, in slot order: None to accept it, or the reason."""
        ...

    def release(self, slot: str) -> None:
        """Forget what was accepted of a slot."""
        ...


@dataclass(frozen=True)
class Row:
    """A filled slot."""

    slot: str
    attempt: int
    texts: dict[str, Any]
    edits: list[str]
    answers: dict[str, Answer]  # by part


@dataclass(frozen=True)
class Reject:
    """A candidate that was not accepted."""

    slot: str
    part: str
    attempt: int
    key: str
    reason: str


@dataclass
class Settled:
    """What the answers give."""

    rows: list[Row] = field(default_factory=list)  # in slot order
    rejected: list[Reject] = field(default_factory=list)  # in the order of judgement
    wants: list[Request] = field(default_factory=list)  # of the earliest attempt and part that lacks any, in slot order
    attempt: int = 0  # of `wants`
    open: list[str] = field(default_factory=list)  # slots that a request may still fill
    failed: list[str] = field(default_factory=list)  # slots that nothing can fill any more
    used: set[str] = field(default_factory=set)  # keys that were looked at


@dataclass
class _State:
    turn: int = 0  # the attempt in which the slot acts next
    held: dict[str, Any] = field(default_factory=dict)
    edits: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    faults: int = 0  # of parts after the first, while the first is held
    truncated: int = 0
    want: tuple[int, int, Request] | None = None  # attempt, depth
    closed: bool = False
    row: Row | None = None


def settle(slots: Sequence[str], recipe: Recipe, answers: Mapping[str, Answer], attempts: int) -> Settled:
    """Judge all stored answers to these slots, up to `attempts` for each."""
    states = {slot: _State() for slot in slots}
    result = Settled()
    for attempt in range(attempts):
        for depth, part in enumerate(recipe.parts):
            acting = [
                slot
                for slot, state in states.items()
                if not state.closed and state.row is None and state.turn == attempt and len(state.answers) == depth
            ]
            candidates = _candidates(acting, part, attempt, depth, recipe, answers, states, result)
            for candidate, reason in zip(candidates, recipe.judge(part, candidates), strict=True):
                if reason is None:
                    _accept(candidate, states[candidate.slot], last=depth == len(recipe.parts) - 1)
                else:
                    _reject(candidate.answer, reason, recipe, states[candidate.slot], result)
    _conclude(states, result)
    return result


def _candidates(
    acting: list[str], part: str, attempt: int, depth: int, recipe: Recipe,
    answers: Mapping[str, Answer], states: dict[str, _State], result: Settled,
) -> list[Candidate]:  # fmt: skip
    """The readable answers to one part of one attempt; what is missing is wanted, what is unreadable rejected."""
    candidates = []
    for slot in acting:
        state = states[slot]
        request = recipe.request(slot, part, attempt, state.held, state.truncated)
        answer = answers.get(request.key)
        if answer is None:
            state.want = state.want or (attempt, depth, request)
            _drop(slot, recipe, state)  # what a later attempt brought may still do
            state.turn = attempt + 1
            continue
        result.used.add(request.key)
        try:
            plain, edits = reply.plain(answer)
            texts, more = recipe.read(slot, part, plain)
            for value in texts.values():
                if isinstance(value, str):  # JSON may have hidden in escapes what the outer text did not show
                    reply.check(value)
        except reply.Unreadable as error:
            _reject(answer, str(error), recipe, state, result)
            continue
        candidates.append(Candidate(slot, part, attempt, texts, state.held, edits + more, answer))
    _repair(candidates)
    return candidates


def _repair(candidates: list[Candidate]) -> None:
    """Apply the common repairs to all texts, and note them as edits."""
    places = [(c, name) for c in candidates for name, value in c.texts.items() if isinstance(value, str)]
    repaired, changed = text.repair(pa.array([c.texts[name] for c, name in places], pa.string()))
    for (candidate, name), value in zip(places, repaired.to_pylist(), strict=True):
        candidate.texts[name] = value
    for edit, flags in changed.items():
        for (candidate, _), flag in zip(places, flags.to_pylist(), strict=True):
            if flag and edit not in candidate.edits:
                candidate.edits.append(edit)


def _accept(candidate: Candidate, state: _State, *, last: bool) -> None:
    state.held |= candidate.texts
    state.edits += candidate.edits
    state.answers[candidate.part] = candidate.answer
    if last:
        state.row = Row(candidate.slot, candidate.attempt, state.held, sorted(set(state.edits)), state.answers)


def _reject(answer: Answer, reason: str, recipe: Recipe, state: _State, result: Settled) -> None:
    result.rejected.append(Reject(answer.slot, answer.part, answer.attempt, answer.key, reason))
    state.turn = answer.attempt + 1
    state.truncated += reason == "truncated"
    state.closed = reason in reply.FATAL
    if state.answers:
        state.faults += 1
    if state.closed or state.faults >= TEXTS_AGAIN:
        _drop(answer.slot, recipe, state)


def _drop(slot: str, recipe: Recipe, state: _State) -> None:
    if state.answers:
        recipe.release(slot)
    state.held, state.edits, state.answers, state.faults = {}, [], {}, 0


def _conclude(states: dict[str, _State], result: Settled) -> None:
    result.rows = [state.row for state in states.values() if state.row]
    wants = {slot: s.want for slot, s in states.items() if s.want and not s.row and not s.closed}
    result.open = list(wants)
    result.failed = [slot for slot, state in states.items() if not state.row and slot not in wants]
    if wants:
        phase = min(want[:2] for want in wants.values())
        result.attempt = phase[0]
        result.wants = [want[2] for want in wants.values() if want[:2] == phase]


def reasons(settled: Settled) -> Counter[str]:
    """How many candidates each reason took."""
    return Counter(reject.reason for reject in settled.rejected)
