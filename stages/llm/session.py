"""The three modes of a stage that asks a model: from params and slots to the out with its answers.

off: the out stays as it is. replay: stored answers only, and a miss fails. live: ask for what is missing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import IncompleteError
from stages.llm import answers
from stages.llm.answers import Answer, Spool
from stages.llm.budget import PICO, Budget, cost, worst_case
from stages.llm.endpoint import Access
from stages.params import Limits, Model, Price

if TYPE_CHECKING:
    from stages.llm.rounds import Recipe, Settled

FREE = Price(prompt=0.0, completion=0.0)


@dataclass(frozen=True)
class Job:
    """What a stage wants answered. `recipe` makes a fresh recipe for each settling."""

    name: str  # of the spool, and in messages
    slots: Sequence[str]
    recipe: Callable[[], Recipe]
    out: Path
    fixture: Path  # answers in git, used where they were made with the same labels
    access: Callable[[], Access]
    quota: bool = True  # a slot that nothing can fill is a failure of the run

    def settle(self, held: dict[str, Answer], limits: Limits) -> Settled:
        from stages.llm import rounds  # and with it pyarrow: mode off does without

        return rounds.settle(self.slots, self.recipe(), held, limits.max_attempts_per_slot)


def run(job: Job, settings: Model) -> None:
    """Bring the out up to date by the mode.

    Raises IncompleteError when rows are missing at the end (the out then holds all that came), EndpointError
    when the endpoint refuses, ParamsError when the address or the key is not there.
    """
    if settings.mode == "off":
        if not job.out.exists():
            answers.write(job.out, {})
        return
    held = stored(job, settings)
    if settings.mode == "live":
        _live(job, settings, held)
    else:
        answers.write(job.out, held)
    _conclude(job, settings, job.settle(held, settings.limits))


def stored(job: Job, settings: Model) -> dict[str, Answer]:
    """The answers in the out, and those of the fixture that carry the params' provider and model."""
    out = answers.read(job.out)
    if out.bad_lines:
        _say(job, f"{out.bad_lines} lines of {job.out} cannot be read and are passed over")
    held = out.answers
    for key, answer in answers.read(job.fixture).answers.items():
        if _same_model(answer, settings):
            held.setdefault(key, answer)
    return held


def _same_model(item: Answer | answers.Open, settings: Model) -> bool:
    return (item.provider, item.model) == (settings.endpoint.provider, settings.endpoint.model)


def _live(job: Job, settings: Model, held: dict[str, Answer]) -> None:
    """Ask until nothing is wanted or a limit is reached; whatever happens, the out gets all that came."""
    access = job.access()
    with Spool(answers.spool_path(job.name)) as spool:
        for key, answer in spool.held.answers.items():
            held.setdefault(key, answer)
        if spool.held.bad_lines:
            _say(job, f"{spool.held.bad_lines} lines of the spool cannot be read and are passed over")
        try:
            if job.settle(held, settings.limits).wants:
                _ask(job, settings, held, spool, access)
        finally:
            answers.write(job.out, held)


def _ask(job: Job, settings: Model, held: dict[str, Answer], spool: Spool, access: Access) -> None:
    from stages.llm.client import Client  # an HTTP library: only a live run loads it
    from stages.llm.crew import Crew

    limits = settings.limits
    known: list[Answer | answers.Open] = [*held.values(), *spool.held.open]
    earlier = [item for item in known if _same_model(item, settings)]
    budget = Budget(limits, limits.price_per_mtok or FREE, earlier)
    client = Client(access, settings.endpoint, limits.concurrency)
    crew = Crew(client, spool, budget, settings, held)
    progress = _Progress(job, budget, held)
    first: int | None = None
    try:
        while (settled := job.settle(held, limits)).wants:
            first = settled.attempt if first is None else first
            if settled.attempt - first >= limits.max_rounds:
                break
            progress.start(settled)
            crew.ask(settled.wants, progress.watch)
            if crew.stop:
                raise _told(crew.stop, job, held, limits)
            if crew.unanswered:
                lost = ", ".join(f"{why} {count}" for why, count in sorted(crew.unanswered.items()))
                raise IncompleteError(
                    f"{job.name}: {crew.unanswered.total()} requests got no answer ({lost}): run again to go on"
                )
    finally:
        progress.end()
        client.close()


def _told(stop: Exception, job: Job, held: dict[str, Answer], limits: Limits) -> Exception:
    """The reason of a stop, with how far the rows are."""
    if not isinstance(stop, IncompleteError):
        return stop
    rows = len(job.settle(held, limits).rows)
    return IncompleteError(
        f"{job.name}: {stop}: {rows} of {len(job.slots)} rows are there; raise the limit or run again to go on"
    )


def _conclude(job: Job, settings: Model, settled: Settled) -> None:
    """Say what is missing: an error unless the params take a partial result."""
    if not settled.open and not (settled.failed and job.quota):
        return
    from stages.llm import rounds

    total = len(job.slots)
    if settled.open:
        parts = len(job.recipe().parts)
        worst = worst_case(settled.wants[0])
        price = settings.limits.price_per_mtok or FREE
        dollars = len(settled.open) * parts * cost(price, worst.tokens_in, worst.tokens_out) / PICO
        text = (
            f"{job.name}: {len(settled.open)} of {total} answers missing; about {len(settled.open) * parts} requests"
            + (f" and {dollars:.2f} dollars at worst" if dollars else "")
            + (": run again to go on" if settings.mode == "live" else f": set {job.name}.mode to live to ask for them")
        )
    else:
        worst_reasons = ", ".join(f"{reason} {count}" for reason, count in rounds.reasons(settled).most_common(3))
        text = (
            f"{job.name}: {len(settled.failed)} of {total} rows could not be filled in "
            f"{settings.limits.max_attempts_per_slot} attempts ({worst_reasons}): raise "
            f"{job.name}.limits.max_attempts_per_slot, or set limits.allow_partial"
        )
    if not settings.limits.allow_partial:
        raise IncompleteError(text)
    _say(job, text)


def _say(job: Job, message: str) -> None:
    print(message if message.startswith(job.name) else f"{job.name}: {message}", file=sys.stderr, flush=True)


class _Progress:
    """A line now and then on standard error: rows, requests, tokens, cost, and the time that is left."""

    def __init__(self, job: Job, budget: Budget, held: dict[str, Answer]) -> None:
        self._job, self._spent, self._held = job, budget.spent, held
        self._began = self._shown = time.monotonic()
        self._interval = 2.0 if sys.stderr.isatty() else 15.0
        self._rows = self._goal = 0

    def start(self, settled: Settled) -> None:
        """Begin a phase: the answers that will be there at its end."""
        self._rows, self._goal = len(settled.rows), len(self._held) + len(settled.wants)
        self._line(f"attempt {settled.attempt + 1}, {settled.wants[0].part}: {len(settled.wants)} to ask")

    def watch(self) -> None:
        if time.monotonic() - self._shown >= self._interval:
            self._line(f"{self._left()} left in this round")

    def end(self) -> None:
        self._line("done")

    def _left(self) -> str:
        came = self._spent.requests
        missing = max(0, self._goal - len(self._held))
        seconds = missing * (time.monotonic() - self._began) / came if came else 0.0
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"

    def _line(self, note: str) -> None:
        self._shown = time.monotonic()
        spent = self._spent
        _say(
            self._job,
            f"{self._rows}/{len(self._job.slots)} rows, {spent.requests} requests, "
            f"{spent.tokens_in} + {spent.tokens_out} tokens, {spent.cost / PICO:.4f} dollars; {note}",
        )
