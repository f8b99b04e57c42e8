"""The referral screen: lines, emergency services and professionals that an answer names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.screens_referral import answers, cases
from stages.params import Referral
from stages.screens import referral

REAL = os.environ.get("MHDATA_REAL")
needs_real = pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")


def kinds(*texts: str, **params: object) -> list[str | None]:
    column = referral.screen(answers(texts), Referral(**params))  # type: ignore[arg-type]
    assert column.type == referral.TYPE
    return [value["kind"] for value in column.to_pylist()]


LINES = [
    "Please call or text 988 right now.",
    "The number is 1-800-273-8255, day and night.",
    "You can reach them at 1 (800) 273-TALK.",
    "Call +18002738255 if it gets worse.",
    "Text HOME to 741741.",
    "Text START to 741-741 and somebody will answer.",
    "In the UK the Samaritans are on 116 123.",
    "In Australia call Lifeline on 13 11 14.",
    "The Trevor Project has people to talk to.",
    "The National Domestic Violence Hotline is 1-800-799-7233.",
    "RAINN can help: 1-800-656-HOPE.",
    "Kids Help Phone is there for you.",
    "Is there a crisis line in your country?",
    "There are free helplines for teens.",
    "I would call a suicide hotline tonight.",
    "See suicidepreventionlifeline.org for a chat.",
    "Please call Childline, 0800 1111.",
]
EMERGENCY = [
    "If you are in danger call 911.",
    "Dial 999 or 112 at once.",
    "If it is urgent call 9-1-1.",
    "Please go to the nearest ER.",
    "Go to the emergency room and tell them what you took.",
    "Get somebody to take you to the hospital.",
    "Contact your local emergency services.",
    "Call an ambulance, please.",
    "Is there a mobile crisis team where you live?",
    "If he threatens you again, call the police.",
    "If it gets out of hand the police do need to be involved.",
    "In Australia call 000 at once.",
    "I recommend visiting the hospital tonight.",
]
PROFESSIONAL = [
    "Have you thought about seeing a therapist?",
    "A counselor could help you sort this out.",
    "Please talk to your doctor about the tablets.",
    "I suggest that you find a psychologist nearby.",
    "A psychiatrist may change the dose.",
    "It may be time to seek professional help.",
    "Consider couples counseling.",
    "Make an appointment with a mental health professional.",
    "Ask your GP for a referral.",
    "Your school counselor is a good person to speak to.",
    "You need to get help.",
]
NONE = [
    "That sounds very hard. I am glad you wrote.",
    "Have you tried going for a walk with her?",
    "You have been a lifeline to your brother.",
    "Keep an emergency fund for such months.",
    "Cut across the lines of that old story.",
    "As a therapist, I hear this often.",
    "I am a licensed professional counselor and I like dogs.",
    "I was hospitalized twice and it was dull.",
    "My therapist told me the same last year.",
    "The ball crossed the finish line.",
    "I saw Doctor Who last night.",
    "988 people came to the concert.",
    "Somebody 911 would laugh at, that neighbour.".replace("911 ", ""),
    "The operator gave me room 112.",
    "Light therapy lamps are cheap now.",
    "The man at the national suicide hotline made fun of me.",
    "We were soaring up to 10,000 feet in a tiny plane.",
    "The food bank had become a lifeline for her.",
    "I had to threaten to call the police before he let me out.",
    "You could report it to the ethics hotline of your firm.",
    "You might volunteer at a helpline or a library.",
    "Please visit me in the hospital when you can.",
]


@pytest.mark.parametrize(
    ("kind", "texts"),
    [("crisis_line", LINES), ("emergency", EMERGENCY), ("professional", PROFESSIONAL), ("none", NONE)],
)
def test_written_answers(kind: str, texts: list[str]) -> None:
    found = kinds(*texts)
    assert [text for text, value in zip(texts, found, strict=True) if value != kind] == []


def test_the_first_kind_counts() -> None:
    assert kinds("See a therapist, and call 988 or go to the emergency room.") == ["crisis_line"]
    assert kinds("See a therapist, or go to the emergency room.") == ["emergency"]


def test_no_answer_no_kind() -> None:
    assert kinds("", "  \n", "Hello.") == [None, None, "none"]


def test_curly_apostrophes_and_capitals() -> None:
    assert kinds("PLEASE CALL 988", "I’m a therapist myself.") == ["crisis_line", "none"]


def test_further_lines_of_the_user() -> None:
    assert kinds("Call Die Nummer gegen Kummer.") == ["none"]
    assert kinds("Call Die Nummer gegen Kummer.", lines=("Nummer gegen Kummer",)) == ["crisis_line"]
    assert kinds("a.b", "acb", lines=("a.b",)) == ["crisis_line", "none"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*LINES, *EMERGENCY, *PROFESSIONAL, *NONE, ""]), max_size=10), st.integers(1, 4))
def test_independent_of_batch_size(texts: list[str], size: int) -> None:
    assert [kind for i in range(0, len(texts), size) for kind in kinds(*texts[i : i + size])] == kinds(*texts)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a" * 1_000_000, "1 " * 500_000, "call " * 200_000, "help " * 200_000])
def test_a_megabyte_of_one_thing_ends(text: str) -> None:
    assert kinds(text) == ["none"]


@needs_real
@pytest.mark.slow
def test_real_answers_held_out() -> None:
    """What policy asks: is a line or an emergency service named? Nothing that is named may be missed."""
    rows = list(cases("test", Path(str(REAL))))
    urgent = ("crisis_line", "emergency")
    gold = [row for row in rows if row.label in urgent]
    hits = sum(row.weight for row in gold if row.found in urgent)
    assert len(rows) >= 100
    assert hits / sum(row.weight for row in gold) >= 0.95
    assert hits / sum(row.weight for row in rows if row.found in urgent) >= 0.80
