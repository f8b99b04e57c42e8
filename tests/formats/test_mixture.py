"""The mixture: asked and achieved, stable, reproducible, never across the split."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import mixture
from stages.params import Mixture
from tests.formats.exporting import row


def rows(source: str, count: int, start: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Rows of which every fifth validates; ids as the pipeline's, well spread."""
    import hashlib

    made = []
    for n in range(start, start + count):
        id = hashlib.md5(f"{source} {n}".encode()).hexdigest()
        side = "validation" if n % 5 == 0 else "train"
        made.append(row(n, side=side, source=source, **fields) | {"id": id, "input": id})
    return made


def counts(made: Any, side: str = "train") -> Counter[str]:
    """How often each row stands in the export, by its input."""
    return Counter(line["prompt"] for line in made.lines(f"prompt_completion/{side}.jsonl"))


def asked(weights: dict[str, float] | None = None, **more: Any) -> dict[str, Any]:
    return {"mixture": {"weights": weights or {}, **more}}


def test_weights_are_achieved_in_rows_and_reported(exported: Any) -> None:
    data = [*rows("trace", 500), *rows("amod_counseling", 1000), *rows("psych_101", 20)]
    made = exported(data, "prompt_completion", **asked({"trace": 3, "amod_counseling": 1}))
    report = made.ledger("prompt_completion")["mixture"]
    assert report["asked"]["weights"] == {"amod_counseling": 0.25, "trace": 0.75}
    assert report["achieved"]["trace"]["rows"] == 400
    assert report["achieved"]["amod_counseling"]["rows"] == pytest.approx(400 / 3, abs=1)
    assert report["achieved"]["trace"]["rows_share"] == pytest.approx(0.75, abs=0.005)
    assert report["achieved"]["trace"]["characters"] > 0
    accounts = made.ledger("prompt_completion")["sources"]
    assert accounts["psych_101"]["rejected"]["mixture"] == 16
    assert sum(counts(made).values()) == made.ledger("prompt_completion")["rows"]["train"]
    assert len(counts(made, "validation")) == 304, "validation is no part of the mixture"


def test_weights_in_tokens_count_lengths(exported: Any) -> None:
    data = [*rows("trace", 300, response="x" * 968), *rows("amod_counseling", 2000, response="x" * 68)]
    made = exported(data, "openai", "prompt_completion", **asked({"trace": 1, "amod_counseling": 1}, unit="tokens"))
    achieved = made.ledger("prompt_completion")["mixture"]["achieved"]
    assert achieved["trace"]["characters_share"] == pytest.approx(0.5, abs=0.01)
    assert achieved["trace"]["rows"] < achieved["amod_counseling"]["rows"] / 5


def test_repeats_stay_within_max_repeats_and_on_the_training_side(exported: Any) -> None:
    data = [*rows("trace", 50), *rows("amod_counseling", 1000)]
    made = exported(data, "prompt_completion", **asked({"trace": 1, "amod_counseling": 1}, max_repeats=3))
    found = counts(made)
    mine = [found[one["input"]] for one in data if one["source"] == "trace" and one["side"] == "train"]
    assert set(mine) == {3}
    assert max(found.values()) == 3
    assert set(counts(made, "validation").values()) == {1}
    assert not set(found) & set(counts(made, "validation"))
    ledger = made.ledger("prompt_completion")
    assert ledger["sources"]["trace"]["out"] == 50, "a repeated row is one row of the account"
    assert ledger["mixture"]["achieved"]["trace"]["rows"] == 120


def test_total_and_caps_are_never_passed(exported: Any) -> None:
    data = [*rows("trace", 500), *rows("amod_counseling", 500)]
    made = exported(data, "prompt_completion", **asked({"trace": 1, "amod_counseling": 1}, total=100))
    assert made.ledger("prompt_completion")["rows"]["train"] == 100
    made = exported(data, "prompt_completion", **asked(caps={"trace": 33}))
    achieved = made.ledger("prompt_completion")["mixture"]["achieved"]
    assert (achieved["trace"]["rows"], achieved["amod_counseling"]["rows"]) == (33, 400)


def test_with_rates_a_new_row_changes_no_other(exported: Any) -> None:
    data = [*rows("trace", 400), *rows("amod_counseling", 400)]
    rates = {"rates": {"trace": 0.3, "amod_counseling": 2.5}}
    before = counts(exported(data, "prompt_completion", mixture=rates))
    after = counts(exported([*rows("trace", 90, 1000), *data, *rows("amod_counseling", 7, 1000)], "prompt_completion",
                            mixture=rates))  # fmt: skip
    old = {one["input"] for one in data}
    assert before == Counter({text: count for text, count in after.items() if text in old})
    assert set(before.values()) == {1, 2, 3}


def test_with_weights_growth_moves_no_more_than_its_share(exported: Any) -> None:
    data = [*rows("trace", 400), *rows("amod_counseling", 1000)]
    settings = asked({"trace": 1, "amod_counseling": 1})
    before = counts(exported(data, "prompt_completion", **settings))
    after = counts(exported([*data, *rows("amod_counseling", 50, 5000)], "prompt_completion", **settings))
    old = {one["input"] for one in data}
    left = set(before) - set(after)
    assert {text for text in after if text in old} <= set(before), "a row came in because others grew"
    assert 0 < len(left) <= 30


def test_the_order_of_rows_changes_no_choice_and_another_seed_does(exported: Any) -> None:
    data = [*rows("trace", 200), *rows("amod_counseling", 200)]
    weights = {"trace": 1, "amod_counseling": 3}
    before = counts(exported(data, "prompt_completion", **asked(weights)))
    assert counts(exported(data[::-1], "prompt_completion", **asked(weights))) == before
    assert counts(exported(data, "prompt_completion", **asked(weights, seed=1))) != before


def test_formats_of_pairs_and_pools_are_not_mixed(exported: Any) -> None:
    data = rows("trace", 50)
    made = exported(data, "hub", "inspect_ai", "openai", **asked(rates={"trace": 0.0}))
    assert made.ledger("hub")["rows"] == {"train": 40, "validation": 10, "test": 0}
    assert made.ledger("inspect_ai")["rows"]["validation"] == 10
    assert "mixture" not in made.ledger("hub")
    assert made.ledger("openai")["note"], "no training row is left: a note says so"


UNITS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 10_000), min_size=1)
WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 100), min_size=1)


@given(units=UNITS, weights=WEIGHTS, most=st.floats(1, 8), total=st.none() | st.integers(1, 20_000))
def test_rates_keep_the_shares_asked_for_and_pass_no_limit(
    units: dict[str, int], weights: dict[str, float], most: float, total: int | None
) -> None:
    rates = mixture.rates(Mixture(weights=weights, max_repeats=most, total=total), units)
    got = {source: rates[source] * units[source] for source in units}
    present = {source: weights[source] for source in units if source in weights}
    assert all(rate <= most * (1 + 1e-9) for rate in rates.values())
    assert sum(got.values()) <= (total or float("inf")) * (1 + 1e-9)
    for source in present:
        assert got[source] / sum(got.values()) == pytest.approx(present[source] / sum(present.values()))
