"""Money: the worst case is set aside first, and no order of events crosses the limit."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.llm.answers import Open
from stages.llm.budget import PICO, Budget, Exhausted, cost, worst_case
from stages.llm.request import Request
from stages.params import Limits, Price, Sampling
from tests.llm.test_answers import answer

FATES = st.sampled_from(["answer", "free", "billed"])
PRICE = Price(prompt=0.15, completion=0.6)


def limits(dollars: float, requests: int = 10**6) -> Limits:
    return Limits(max_cost_usd=dollars, max_requests=requests, price_per_mtok=PRICE)


def test_prices_are_exact_to_a_millionth_of_a_cent() -> None:
    assert cost(PRICE, 1_000_000, 0) == 0.15 * PICO
    assert cost(PRICE, 1, 1) == 750_000


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 900), FATES, st.integers(0, 900)), max_size=60),
    st.floats(0.0001, 0.01),
    st.integers(1, 8),
)
def test_no_order_of_events_crosses_the_limit(
    steps: list[tuple[int, int, str, int]], dollars: float, under_way: int
) -> None:
    budget, waiting = Budget(limits(dollars), PRICE, []), []
    limit = round(dollars * PICO)
    for tokens_in, tokens_out, fate, used in steps:
        with contextlib.suppress(Exhausted):
            waiting.append(
                (budget.reserve(Open("k", "p", "m", tokens_in, tokens_out)), tokens_in, tokens_out, fate, used)
            )
        if len(waiting) >= under_way:
            amount, most_in, most_out, end, real = waiting.pop(0)
            if end == "answer":
                budget.settle(amount, answer(1, tokens_in=min(real, most_in), tokens_out=min(real, most_out)))
            else:
                budget.release(amount, billed=end == "billed")
        assert budget.spent.cost + sum(entry[0] for entry in waiting) <= limit


def test_the_last_token_that_fits_is_spent_and_not_one_more() -> None:
    fits = Open("k", "p", "m", 1000, 500)
    dollars = cost(PRICE, 1000, 500) / PICO
    budget = Budget(limits(dollars), PRICE, [])
    budget.reserve(fits)
    with pytest.raises(Exhausted, match="max_cost_usd"):
        budget.reserve(Open("k", "p", "m", 1, 0))
    with pytest.raises(Exhausted):
        Budget(limits(dollars), PRICE, []).reserve(Open("k", "p", "m", 1000, 501))


def test_what_earlier_runs_spent_counts_and_so_does_what_they_may_have_spent() -> None:
    earlier = [answer(1, tokens_in=10, tokens_out=20), Open("x", "p", "m", 100, 50)]
    assert Budget(limits(1), PRICE, earlier).spent.cost == cost(PRICE, 110, 70)


def test_a_number_of_requests_is_a_limit_also_where_tokens_are_free() -> None:
    free = Price(prompt=0, completion=0)
    budget = Budget(Limits(max_requests=2, price_per_mtok=free), free, [])
    budget.reserve(Open("a", "p", "m", 10**9, 10**9))
    budget.reserve(Open("b", "p", "m", 10**9, 10**9))
    with pytest.raises(Exhausted, match="max_requests is 2"):
        budget.reserve(Open("c", "p", "m", 1, 1))


@given(st.text(), st.integers(1, 4000))
def test_the_worst_case_is_more_than_a_token_for_each_byte(text: str, most: int) -> None:
    request = Request("s", "question", 0, "p", "m", (("user", text),), Sampling(), most, 7)
    assert worst_case(request).tokens_in > len(text.encode())
    assert worst_case(request).tokens_out == most
