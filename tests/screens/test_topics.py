from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stages.params import Topics
from stages.screens import topics
from stages.screens._canonical import load
from tests.records import batch

LEXICON: dict[str, dict[str, list[str]]] = load("topics.yaml")


def found(*texts: str, **params: int) -> list[dict[str, int]]:
    column = topics.screen(batch(*({"input": text} for text in texts)), Topics(**params)).to_pylist()
    return [{item["topic"]: item["score"] for item in row["topics"]} for row in column]


def test_the_lexicon_is_whole() -> None:
    assert len(LEXICON) == 33
    for topic, lists in LEXICON.items():
        cues = lists["strong"] + lists["weak"]
        assert len(lists["strong"]) >= 10 and len(cues) == len(set(cues)), topic
        assert all(cue == cue.lower() and "'" not in cue for cue in cues), topic


@pytest.mark.parametrize(
    ("topic", "text"),
    [
        ("Grief and Loss", "My grandmother passed away in May and I can't stop thinking about her funeral."),
        ("Sleep Improvement", "I toss and turn for hours and I can’t sleep without the radio."),
        ("Anger Management", "I lost my temper again and screamed at the cashier. My anger frightens me."),
        ("Military Issues", "I was deployed twice, and civilian life makes no sense to me."),
        ("Eating Disorders", "I binge in the evening and then I starve myself and count calories."),
        ("LGBTQ", "How do I come out to my grandparents? I am bisexual."),
        ("Career Counseling", "I was laid off and I dread the job search at my age."),
        ("Alzheimer's", "Dad has dementia, and his memory loss gets worse each week."),
        ("Anxiety", "My panic attacks come back whenever I take the bus."),
        ("Substance Abuse", "I drink every night and I tried to get sober twice, but the alcohol wins."),
        ("Domestic Violence", "He slapped me and threatens me when I want to see a friend."),
        ("Workplace Relationships", "My boss and my coworkers ignore me in every meeting."),
        ("Parenting", "My toddler has tantrums, and my son will not sleep in his own bed."),
        ("Self-esteem", "I am never good enough. I have no confidence and I compare myself to everyone."),
    ],
)
def test_first_topic(topic: str, text: str) -> None:
    scores = found(text)[0]
    assert next(iter(scores)) == topic


def test_words_of_a_phrase_follow_each_other_within_one_text() -> None:
    assert "Grief and Loss" in found("She passed away.")[0]
    assert "Grief and Loss" not in found("She passed the salt and went away.")[0]
    assert found("she passed", "away") == [{}, {}]
    assert "Human Sexuality" not in found("A fantastic, fantastic day!")[0]


def test_a_cue_counts_once_and_the_threshold_holds() -> None:
    assert found("anxiety")[0] == found("anxiety anxiety anxiety")[0] == {"Anxiety": 2}
    assert found("worried")[0] == {}
    assert found("worried", min_score=1)[0] == {"Anxiety": 1}
    assert found("anxiety", min_score=3)[0] == {}


def test_ranked_by_score_then_in_the_order_of_the_lexicon() -> None:
    scores = found("divorce court lawyer custody anxiety depression stress boyfriend")[0]
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    order = list(LEXICON)
    ties = [order.index(topic) for topic, score in scores.items() if score == 2]
    assert ties == sorted(ties) and len(ties) >= 3


def test_only_what_the_person_wrote_and_no_transcripts() -> None:
    answer = batch({"input": "hello", "response": "Anxiety and panic are common."})
    assert topics.screen(answer, Topics()).to_pylist() == [{"topics": []}]
    transcript = batch({"type": "behavioral-experiment", "input": "anxiety panic", "response": "A"})
    assert topics.screen(transcript, Topics()).to_pylist() == [{"topics": None}]


pieces = st.lists(
    st.sampled_from(["panic", "attack", "Passed", "away", "don't", "can’t sleep", "42", ",", "é", "my ex"])
)


@example([["passed"], ["away"]], 1)
@given(st.lists(pieces, min_size=1, max_size=6), st.integers(0, 6))
def test_independent_of_batch_size(rows: list[list[str]], cut: int) -> None:
    whole = batch(*({"input": " ".join(row)} for row in rows))
    parts: list[Any] = [part for part in (whole.slice(0, cut), whole.slice(cut)) if len(part)]
    assert [row for part in parts for row in topics.screen(part, Topics()).to_pylist()] == topics.screen(
        whole, Topics()
    ).to_pylist()


def test_empty_batch() -> None:
    column = topics.screen(batch(), Topics())
    assert len(column) == 0 and column.type == topics.TYPE
