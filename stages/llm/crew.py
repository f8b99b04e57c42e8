"""Many requests at once: retries, one shared pause, a limit on spending, and a stop that keeps what came."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from stages.errors import EndpointError, IncompleteError
from stages.llm import verdict
from stages.llm.answers import Answer, Open, Spool
from stages.llm.budget import Budget, Exhausted, worst_case
from stages.llm.request import Request
from stages.llm.verdict import Again, Response, Stop, Unfit
from stages.params import Model

SAME_ERROR = 3  # equal server errors for one request: no try will cure it, another attempt may
THROTTLED = 10  # times max_tries that a request may be told to come later
DEAD = 10  # requests in a row that fail for good, with no success between: it is the endpoint, not they


class Poster(Protocol):
    def post(self, body: dict[str, Any]) -> Response: ...


class Crew:
    """Threads that work through requests. `stop` is the reason why the run must end, or None."""

    def __init__(
        self, client: Poster, spool: Spool, budget: Budget, settings: Model, answers: dict[str, Answer]
    ) -> None:
        self._client, self._spool, self._budget = client, spool, budget
        self._settings, self._answers = settings, answers
        self._guard = threading.Lock()
        self._wake = threading.Event()  # set: nobody sleeps any more
        self._pause_until = 0.0
        self._failures: list[Answer] = []  # kept only once the endpoint has shown that it works
        self._lost = 0  # in a row
        self._successes = 0
        self.stop: Exception | None = None
        self.unanswered: Counter[str] = Counter()

    def ask(self, requests: Sequence[Request], watch: Callable[[], None]) -> None:
        """Ask all, or until `stop`. Answers go to the spool and into `answers`. `watch` is called now and then.

        On Ctrl-C no request goes out any more; those under way are waited for, and a second Ctrl-C ends that too.
        """
        queue = deque(requests)
        threads = [
            threading.Thread(target=self._work, args=(queue,), daemon=True)
            for _ in range(min(self._settings.limits.concurrency, len(queue)))
        ]
        for thread in threads:
            thread.start()
        try:
            _join(threads, watch)
        except KeyboardInterrupt as interrupt:
            self._halt(interrupt)
            _join(threads, watch)
            raise
        self._keep_failures()

    def _work(self, queue: deque[Request]) -> None:
        while not self._wake.is_set():
            try:
                request = queue.popleft()
            except IndexError:
                return
            try:
                self._ask_one(request)
            except Exhausted as limit:
                self._halt(IncompleteError(f"a limit is reached: {limit}"))
            except Exception as error:  # a full disk, or a bug: the main thread raises it
                self._halt(error)

    def _ask_one(self, request: Request) -> None:
        retry = self._settings.retry
        tries = throttled = 0
        same: Counter[str] = Counter()
        worst = worst_case(request)
        started = time.monotonic()
        while self._rest():
            outcome = self._send(request, worst)
            if isinstance(outcome, Answer):
                self._keep(outcome, tries=tries + throttled + 1, seconds=round(time.monotonic() - started, 3))
                return
            if isinstance(outcome, Stop):
                self._halt(
                    EndpointError(f"the endpoint answers {outcome.why}; all answers are kept: mend it and run again")
                )
                return
            if isinstance(outcome, Unfit):
                self._give_up(verdict.failure(request, outcome.reason), outcome.why)
                return
            tries, throttled = tries + (not outcome.throttled), throttled + outcome.throttled
            same[outcome.same or ""] += outcome.same is not None
            if outcome.same and same[outcome.same] >= SAME_ERROR:
                self._give_up(verdict.failure(request, "server_error"), outcome.why)
                return
            if tries >= retry.max_tries or throttled >= retry.max_tries * THROTTLED:
                self._lose(outcome.why)
                return
            self._wait(outcome, tries + throttled)

    def _send(self, request: Request, worst: Open) -> Answer | Again | Unfit | Stop:
        """One request, from the reservation of its worst case to its place in the account."""
        amount = self._budget.reserve(worst)
        try:
            self._spool.sent(worst)
        except OSError:
            self._budget.release(amount, billed=False)
            raise
        response = self._client.post(request.body(self._settings.endpoint.max_tokens_field))
        outcome = verdict.judge(response, request)
        if isinstance(outcome, Answer):
            self._budget.settle(amount, outcome)
            return outcome
        billed = isinstance(outcome, Again) and outcome.billed
        self._budget.release(amount, billed=billed)
        if not billed:
            self._spool.void(request.key)
        return outcome

    def _keep(self, answer: Answer, **about: Any) -> None:
        self._spool.store(answer, **about)
        with self._guard:
            self._answers.setdefault(answer.key, answer)
            self._successes += 1
            self._lost = 0
        self._keep_failures()

    def _give_up(self, answer: Answer, why: str) -> None:
        """A request that gets no text, whatever is tried; unless nothing succeeds: then it may be the endpoint."""
        with self._guard:
            self._failures.append(answer)
        self._count_lost(why)

    def _lose(self, why: str) -> None:
        """A request that got no answer in this run; the next run asks it again."""
        with self._guard:
            self.unanswered[why] += 1
        self._count_lost(why)

    def _count_lost(self, why: str) -> None:
        with self._guard:
            self._lost += 1
            dead = self._lost >= DEAD
        if dead:
            self._halt(IncompleteError(f"the endpoint fails: {DEAD} requests in a row ended with {why}"))

    def _keep_failures(self) -> None:
        with self._guard:
            ready = self._failures if self._successes and not self.stop else []
            self._failures = [] if ready else self._failures
        for answer in ready:
            self._spool.store(answer)
            self._answers.setdefault(answer.key, answer)

    # --- waiting -----------------------------------------------------------------------------------------

    def _wait(self, outcome: Again, number: int) -> None:
        """Wait by the endpoint's wish, or with full jitter; told to come later, all wait."""
        retry = self._settings.retry
        asked = verdict.pause(outcome.retry_after, time.time()) if retry.honour_retry_after else None
        jitter = random.uniform(0, min(retry.cap_s, retry.base_s * 2 ** min(number, 30)))  # noqa: S311 no secret
        seconds = jitter if asked is None else min(asked, retry.cap_s) + min(jitter, retry.base_s)
        if outcome.throttled:
            with self._guard:
                self._pause_until = max(self._pause_until, time.monotonic() + seconds)
        else:
            self._wake.wait(seconds)

    def _rest(self) -> bool:
        """Sit out the shared pause; False when the run ends."""
        while (left := self._pause_until - time.monotonic()) > 0:
            if self._wake.wait(left):
                break
        return not self._wake.is_set()

    def _halt(self, reason: BaseException) -> None:
        with self._guard:
            if self.stop is None and isinstance(reason, Exception):
                self.stop = reason
        self._wake.set()


def _join(threads: list[threading.Thread], watch: Callable[[], None]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
            watch()
