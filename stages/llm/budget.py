"""What may still be spent: the worst case of a request is set aside before it is sent, so no limit is crossed."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from stages.llm.answers import Answer, Open
from stages.llm.request import Request
from stages.params import Limits, Price

PICO = 10**12  # money is counted in whole pico-dollars: sums are exact and have no order

# A byte-level vocabulary makes at most one token of a byte; what a chat template adds stays below this.
_TEMPLATE, _PER_MESSAGE = 64, 16


class Exhausted(Exception):
    """A limit would be crossed by the next request; the argument names the limit."""


def worst_case(request: Request) -> Open:
    """The most tokens that a request can be billed for."""
    tokens_in = request.prompt_bytes + _TEMPLATE + _PER_MESSAGE * len(request.messages)
    return Open(request.key, request.provider, request.model, tokens_in, request.max_tokens)


def cost(price: Price, tokens_in: int, tokens_out: int) -> int:
    """Pico-dollars for so many tokens."""
    return tokens_in * _per_token(price.prompt) + tokens_out * _per_token(price.completion)


def _per_token(per_million: float) -> int:
    return round(per_million * (PICO // 10**6))


@dataclass
class Spent:
    """Figures for the progress line and the last word."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: int = 0  # pico-dollars, earlier runs included


class Budget:
    """Thread-safe account of one run."""

    def __init__(self, limits: Limits, price: Price, earlier: Iterable[Answer | Open]) -> None:
        """`earlier`: stored answers of this model, and requests of earlier runs that may have been billed."""
        self._guard = threading.Lock()
        self._price = price
        self._requests = limits.max_requests
        self._limit = None if price.free else round((limits.max_cost_usd or 0.0) * PICO)
        self._set_aside = 0
        self.spent = Spent(cost=sum(cost(price, item.tokens_in, item.tokens_out) for item in earlier))

    def reserve(self, worst: Open) -> int:
        """Set the worst case aside and give its cost. Raises Exhausted when it does not fit."""
        amount = cost(self._price, worst.tokens_in, worst.tokens_out)
        with self._guard:
            if self.spent.requests >= self._requests:
                raise Exhausted(f"limits.max_requests is {self._requests}")
            if self._limit is not None and self.spent.cost + self._set_aside + amount > self._limit:
                raise Exhausted(
                    f"limits.max_cost_usd is {self._limit / PICO:g}, spent are {self.spent.cost / PICO:.6f}"
                )
            self.spent.requests += 1
            self._set_aside += amount
        return amount

    def release(self, amount: int, *, billed: bool) -> None:
        """Give back what was set aside for a request without an answer; keep it as spent where it may be billed."""
        with self._guard:
            self._set_aside -= amount
            self.spent.cost += amount if billed else 0

    def settle(self, amount: int, answer: Answer) -> None:
        """Replace what was set aside by what the answer really cost."""
        with self._guard:
            self._set_aside -= amount
            self.spent.cost += cost(self._price, answer.tokens_in, answer.tokens_out)
            self.spent.tokens_in += answer.tokens_in
            self.spent.tokens_out += answer.tokens_out
