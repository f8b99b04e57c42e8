"""Nothing of a private page may stand in what was made of it."""

from __future__ import annotations

import pytest

from stages.llm.prose import Texts
from stages.params import Leak
from stages.paraphrase import leaks

PAGE = """Coach: Good morning, Walter. Did the nurse from Brookhaven call on March 3?
Walter: She did, and Dr. Okafor came too. My number is 555 0199, by the way. José drove me to Ohio.
We sat in the kitchen until the tea was cold and my wife fell asleep with her hand on the table.
Coach: My name is Lena and I will call you again."""


def leak(made: str, page: str = PAGE, **changes: object) -> str | None:
    words = Texts.of([page, made]).words
    return leaks.find(page, words[0], made, words[1], Leak(**changes))  # type: ignore[arg-type]


CLEAN = "I care for my wife and hardly sleep. The aide came and we talked in the kitchen. What can I do at night?"


def test_a_clean_round_passes() -> None:
    assert leak(CLEAN) is None


@pytest.mark.parametrize(("count", "found"), [(11, None), (12, "shared_words"), (15, "shared_words")])
def test_twelve_words_in_a_row_are_a_leak_whatever_their_case(count: int, found: str | None) -> None:
    run = PAGE.splitlines()[2].split()[:count]
    assert leak(f"Yesterday, {' '.join(run).upper()}!", pii=()) == found
    assert leak(" ... ".join(run), pii=()) == found


@pytest.mark.parametrize(
    ("made", "found"),
    [
        ("Write to me at jo@example.org.", "email"),
        ("Write to jo (at) example dot org.", "email"),
        ("Call me on 555-0199.", "phone"),
        ("Call +44 20 7946 0958 after six.", "phone"),
        ("Call (212) 555.0199.", "phone"),
        ("My number is 123-45-6789.", "ssn"),
        ("The file 48213 is lost.", "ssn"),
        ("It was on March 3.", "date"),
        ("It was on the 3rd of March.", "date"),
        ("It was on 03/04/2019.", "date"),
        ("It was on 2019-03-04.", "date"),
        ("It was in June 2019.", "date"),
        ("The crisis line at 988 is open.", None),
        ("Call 1-800-799-7233 at any hour.", None),
        ("We met 3 times in 2 weeks, and may try again.", None),
        ("I am 67 and she is 70.", None),
    ],
)
def test_identifiers(made: str, found: str | None) -> None:
    assert leak(made) == found


@pytest.mark.parametrize(
    "made",
    [
        "Walter asks what to do.",
        "WALTER asks what to do.",
        "You said it well, Walter.",
        "It was Walter's turn.",
        "The nurse from Brookhaven came.",
        "Okafor has seen her.",
        "I asked José to drive.",
        "We went to Ohio.",
        "Lena calls again.",
    ],
)
def test_names_of_the_page(made: str) -> None:
    assert leak(made) == "name_in_page"


def test_names_in_a_page_without_capitals() -> None:
    page = "coach: hello my name is lena\nwalter: hello, we live with paula"
    assert leak("Lena will call.", page) == "name_in_page"


@pytest.mark.parametrize(
    "made",
    ["Coach and I agreed on Monday.", "I asked God for help.", "Good mornings are rare.", "My wife sleeps. I do not."],
)
def test_words_that_name_nobody(made: str) -> None:
    assert leak(made) is None


def test_each_kind_can_be_switched_off() -> None:
    assert leak("Walter writes to jo@example.org.", pii=("phone",)) is None
    assert leak("Walter writes to jo@example.org.", pii=("name_in_page",)) == "name_in_page"
