"""The plan: exact quotas, slots that stay the same, and every bad param refused with a sentence."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages import params
from stages.errors import ParamsError
from stages.llm import prompts
from stages.params import Synthesize, Topic
from stages.synthesize import plan
from tests.llm_project import DEFAULTS, Project

TREE = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))["synthesize"] | {"mode": "replay"}
SETTINGS = msgspec.convert(TREE, Synthesize)
LISTS = prompts.choices(plan.PROMPTS / "attributes.yaml", plan.FIXED + plan.VARIED)


def test_the_weights_are_the_published_ones() -> None:
    assert len(SETTINGS.topics) == 33
    assert sum(topic.weight for topic in SETTINGS.topics) == 1223.5
    assert round(SETTINGS.topics[0].weight / 1223.5, 17) == 0.15038823048630975


def test_quotas_are_exact_for_every_total() -> None:
    weights = [Fraction(topic.weight) for topic in SETTINGS.topics]
    shares = [weight / sum(weights) for weight in weights]
    for total in range(1, 10_001):
        counts = plan.quotas(total, SETTINGS.topics)
        assert sum(counts) == total
        assert all(abs(count - share * total) < 1 for count, share in zip(counts, shares, strict=True))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any), st.integers(0, 3), st.integers(0, 500))
def test_quotas_keep_the_sum_and_the_minimum(weights: list[int], least: int, extra: int) -> None:
    topics = [Topic(name=str(place), weight=weight) for place, weight in enumerate(weights)]
    used = sum(weight > 0 for weight in weights)
    counts = plan.quotas(least * used + extra + 1, topics, least)
    assert sum(counts) == least * used + extra + 1
    assert all(count == 0 if weight == 0 else count >= least for count, weight in zip(counts, weights, strict=True))


def test_a_larger_plan_holds_the_slots_of_a_smaller_one() -> None:
    small = plan.plan(msgspec.structs.replace(SETTINGS, total=300), LISTS)
    large = {slot.slot: slot for slot in plan.plan(msgspec.structs.replace(SETTINGS, total=1000), LISTS)}
    assert all(large[slot.slot] == slot for slot in small)


def test_slots_are_one_per_row_with_their_topic_and_crisis() -> None:
    slots = plan.plan(SETTINGS, LISTS)
    assert len({slot.slot for slot in slots}) == 1000
    assert Counter(slot.topic for slot in slots)["Self-harm"] == 4
    assert {slot.topic for slot in slots if slot.crisis} == {"Self-harm", "Domestic Violence"}


def test_another_seed_draws_other_attributes() -> None:
    one, other = plan.plan(SETTINGS, LISTS), plan.plan(msgspec.structs.replace(SETTINGS, seed=1), LISTS)
    assert sum(a.attributes == b.attributes for a, b in zip(one, other, strict=True)) < 10


BAD_PARAMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "negative weight": ({"topics": [{"name": "Anxiety", "weight": -1}]}, ["'Anxiety'", "0 or more"]),
    "weight is no number": (
        {"topics": [{"name": "Anxiety", "weight": float("nan")}]},
        [".nan is not a number", "line 20"],
    ),
    "infinite weight": ({"topics": [{"name": "Anxiety", "weight": float("inf")}]}, [".inf is not a number", "line 20"]),
    "all weights zero": ({"topics": [{"name": "a", "weight": 0}]}, ["weights of all topics are 0"]),
    "duplicate topic": ({"topics": [{"name": "a", "weight": 1}, {"name": " A ", "weight": 1}]}, ["twice"]),
    "blank topic": ({"topics": [{"name": "  ", "weight": 1}]}, ["blank", "topics[0]"]),
    "comma in a topic": ({"topics": [{"name": "a, b", "weight": 1}]}, ["'a, b'", "no comma"]),
    "no topic": ({"topics": []}, ["topics is empty"]),
    "total zero": ({"total": 0}, ["synthesize.total", ">= 1"]),
    "total negative": ({"total": -5}, ["synthesize.total", ">= 1"]),
    "total a fraction": ({"total": 10.5}, ["synthesize.total", "int"]),
    "total too small": ({"total": 65, "min_per_topic": 2}, ["33 topics times min_per_topic 2 make 66"]),
    "unknown key": ({"totel": 5}, ["synthesize.totel", "did you mean `total`"]),
    "unknown inner key": ({"filters": {"near_dupe": {}}}, ["near_dupe", "near_dup"]),
    "length the wrong way round": ({"length": {"answer": [500, 100]}}, ["length.answer", "500 is more than 100"]),
    "no scheme": ({"endpoint": {"base_url": "127.0.0.1:8080/v1"}}, ["base_url", "http"]),
    "credentials": ({"endpoint": {"base_url": "http://me:hunter2@h/v1"}}, ["credentials", "$LLM_API_KEY"]),
    "blank model": ({"endpoint": {"model": " "}}, ["model is blank"]),
    "live without prices": ({"mode": "live", "limits": {}}, ["price_per_mtok"]),
    "prices without a budget": (
        {"mode": "live", "limits": {"price_per_mtok": {"in": 1, "out": 2}}},
        ["budget", "max_cost_usd"],
    ),
    "a budget without prices": ({"mode": "live", "limits": {"max_cost_usd": 5}}, ["price_per_mtok"]),
}


@pytest.mark.parametrize("case", BAD_PARAMS)
def test_bad_params_are_refused_with_what_where_and_the_mend(
    case: str, tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, said = BAD_PARAMS[case]
    project = Project(tmp_path)  # type: ignore[arg-type]
    project.set({"mode": "replay"} | changes)
    monkeypatch.chdir(project.folder)
    with pytest.raises(ParamsError) as refused:
        params.load()
    assert all(part in str(refused.value) for part in said), str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_mode_is_a_word_also_unquoted(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    path = project.folder / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("mode: 'off'", "mode: off"), encoding="utf-8")
    assert "mode: off" in path.read_text(encoding="utf-8")
    monkeypatch.chdir(project.folder)
    assert params.load().synthesize.mode == "off"


def test_blanks_around_a_topic_are_ignored_with_a_notice() -> None:
    settings = Synthesize(total=5, topics=[Topic(name="Military Issues ", weight=1)])
    assert [slot.topic for slot in plan.plan(settings, LISTS)] == ["Military Issues"] * 5
    assert any("'Military Issues '" in notice for notice in plan.notices(settings))


def test_a_crisis_topic_that_is_no_topic_gets_a_notice() -> None:
    assert any("'Self-harm'" in notice for notice in plan.notices(Synthesize(topics=[Topic(name="a", weight=1)])))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["empty"]),
        (" \n ", ["empty"]),
        ("Write about {topic} and {weather}.", ["{weather}", "topic"]),
        ("Write about {topic", ["brace"]),
        (b"\xff\xfe\xfa", ["UTF-8"]),
    ],
)
def test_a_bad_prompt_file_is_refused(tmp_path: Any, text: str | bytes, said: list[str]) -> None:
    path = tmp_path / "question.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ParamsError) as refused:
        prompts.Prompt(path, plan.QUESTION)
    assert all(part in str(refused.value) for part in said)


@pytest.mark.parametrize("text", ["person: []\n", "weather: [a]\n", "person: [1]\n", "- a\n", "person: [a\n"])
def test_a_bad_attributes_file_is_refused(tmp_path: Any, text: str) -> None:
    path = tmp_path / "attributes.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=r"attributes\.yaml"):
        prompts.choices(path, ["person"])


def test_a_leftover_pattern_that_is_no_regular_expression_is_refused(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    project.set({"mode": "replay", "filters.leftovers": ["fine", "(open"]})  # off, nobody compiles them
    with pytest.raises(ParamsError, match=r"leftovers\[1\]"):
        project.run(monkeypatch, "synthesize.plan")
