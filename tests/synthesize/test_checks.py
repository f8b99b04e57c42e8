"""What is said against one text: leftovers, refusals, openings, crisis, referral, copies, length, loops, language."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
import yaml

from stages.llm.prose import Texts
from stages.params import Filters, Length, Synthesize
from stages.synthesize import checks
from tests import scripted_text
from tests.llm_project import DEFAULTS

FILTERS: Filters = msgspec.convert(
    yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))["synthesize"] | {"mode": "off"}, Synthesize
).filters
LENGTH = Length(question=(60, 300), answer=(120, 450))
GOOD_QUESTION = scripted_text.question(1, "Stress", 90, 120)
GOOD_ANSWER = scripted_text.answer(1, "Stress", 150, 200, crisis=False)


def against(answer: str, question: str = GOOD_QUESTION, *, crisis: bool = False) -> str | None:
    return checks.answers(Texts.of([answer]), Texts.of([question]), [crisis], LENGTH, FILTERS)[0]


def against_question(question: str) -> str | None:
    return checks.questions(Texts.of([question]), LENGTH, FILTERS)[0]


def test_good_texts_pass() -> None:
    assert against(GOOD_ANSWER) is None
    assert against_question(GOOD_QUESTION) is None


@pytest.mark.parametrize(
    "start",
    [
        "Instruction 3. ",
        "[message 9] ",
        "[Anxiety] ",
        "Message 4: ",
        "Patient: ",
        "Patient 2: ",
        "Answer: ",
        "Response 1: ",
        "Dear [Your Name], ",
        "<|assistant|> ",
        "```\n",
        "{topic} ",
        "Sure, here is the message. ",
        "User: ",
        "**Topic:** ",
    ],
)
def test_leftovers_are_rejected_in_questions_and_answers(start: str) -> None:
    assert against_question(start + GOOD_QUESTION) == "leftover"
    assert against(start + GOOD_ANSWER) == "leftover"


@pytest.mark.parametrize(
    "start",
    ["As an AI, I suggest ", "As an ai language model ", "I cannot help with your request. ", "I can’t assist with "],
)
def test_a_refusal_is_found_also_at_the_very_start(start: str) -> None:
    """The original's filter searched from the third character on."""
    assert against(start + GOOD_ANSWER) == "refusal"


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("I'm sorry, ", "banned_opening"),
        ("I’m really glad, ", "banned_opening"),
        ("It sounds like ", "banned_opening"),
        ("it can be hard. ", "banned_opening"),
        ("I hear you. ", "banned_opening"),
        ("Itemise this: ", None),
        ("Sorrow has no clock. ", None),
    ],
)
def test_banned_openings_are_whole_words(start: str, reason: str | None) -> None:
    assert against(start + GOOD_ANSWER) == reason


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Call or text 988 now.", "crisis_line"),
        ("The hotline 1-800-799-7233 is open.", "crisis_line"),
        ("Please call your local emergency number.", "emergency"),
        ("A therapist can help.", "professional"),
        ("Talk to your sister.", "none"),
    ],
)
def test_referrals_by_kind(text: str, kind: str) -> None:
    assert checks.referrals(Texts.of([text])) == [kind]


@pytest.mark.parametrize(
    ("added", "reason"), [("", "no_referral"), (" A therapist can help.", "no_referral"), (" Call 988 now.", None)]
)
def test_an_answer_to_a_crisis_needs_a_line_or_an_emergency_number(added: str, reason: str | None) -> None:
    plain = scripted_text.answer(1, "Stress", 150, 200, crisis=False)
    assert against(plain + added, crisis=True) == reason


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Some nights I want to die.", True),
        ("I don't want to live like this", True),
        ("I keep cutting myself", True),
        ("he hits me when he drinks", True),
        ("thoughts of suicide", True),
        ("I have no reason to live", True),
        ("the plants on the sill have died", False),
        ("I was hit by the news", False),
        ("we cut the budget", False),
    ],
)
def test_crisis_wording(text: str, found: bool) -> None:
    assert checks.crisis(Texts.of([text])) == [found]


def test_an_answer_that_copies_the_question() -> None:
    copied = " ".join(GOOD_QUESTION.split()[10:40])
    assert against(f"{GOOD_ANSWER} {copied}") == "copies_question"
    assert against(f"{GOOD_ANSWER} {' '.join(GOOD_QUESTION.split()[10:18])}") is None


@pytest.mark.parametrize(("words", "reason"), [(59, "length"), (60, None), (300, None), (301, "length")])
def test_the_length_band_holds_both_ends(words: int, reason: str | None) -> None:
    text = " ".join(scripted_text.question(3, "Stress", 400, 420).split()[:words])
    assert against_question(text) == reason


def test_a_loop_is_rejected() -> None:
    sentence = "You could try to sit down and write for a while in the evening when the house is still. "
    assert against(sentence * 10) == "loop"


def test_another_language_is_rejected() -> None:
    text = "manchmal hilft es abends eine weile ruhig am fenster sitzen und schreiben was dich bewegt hat"
    words = text.split()
    text = " ".join(words[(7 * number + number // 15) % len(words)] for number in range(150))
    assert against(text) == "language"


def test_the_order_of_texts_changes_nothing() -> None:
    texts = [GOOD_QUESTION, "Patient: " + GOOD_QUESTION, "too short", ""]
    one: Sequence[str | None] = checks.questions(Texts.of(texts), LENGTH, FILTERS)
    assert list(one) == [None, "leftover", "length", "length"]
    assert checks.questions(Texts.of(texts[::-1]), LENGTH, FILTERS) == list(one)[::-1]
