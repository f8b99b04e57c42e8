from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stages.params import Quality
from stages.screens import quality
from tests.records import batch

SOME = "This is an answer of more than five words."


def one(**fields: Any) -> dict[str, Any]:
    return quality.screen(batch(fields), Quality()).to_pylist()[0]


@pytest.mark.parametrize(
    ("tag", "field", "text"),
    [
        ("url", "response", "See www.example.org for more."),
        ("url", "response", "Have a look at example.com, it helped me."),
        ("url", "input", "so true http t co abc depression"),
        ("self_promotion", "response", "Read more on my website and call me at the office."),
        ("self_promotion", "response", "I wrote about this in my book, Calm Days, last year."),
        ("self_promotion", "response", "I offer online counseling in the whole state."),
        ("ai_disclaimer", "response", "As an AI, I do not sleep at all."),
        ("ai_disclaimer", "response", "You know, I'm just a chatbot, but it sounds fun!"),
        ("ai_disclaimer", "response", "As a highly advanced language model, I must decline."),
        ("ai_disclaimer", "response", "I don't really have personal preferences, but tell me more."),
        ("placeholder", "response", "Dear [Name], thank you for your long letter."),
        ("placeholder", "input", "Oh, you like [insert hobby here]? Me too, what a surprise!"),
        ("placeholder", "input", "My mother lives in [Address] and [Name 2] helps."),
        ("moderator", "input", "welcome to r depression s check in post a place to share"),
        ("moderator", "response", "I am a bot, and this action was performed automatically."),
        ("glued_sentences", "response", "That is hard.You are not alone.Talk to a friend soon."),
        ("mojibake", "response", "Itâ€™s a long way home from here."),
        ("mojibake", "response", "We were \ufffdall there on that day."),
        ("html", "response", "<p>It takes time</p> and a lot of care."),
        ("html", "response", "You &amp; me against the rest of the world"),
        ("base64", "response", "Here: " + "iVBORw0KGgo9AAAANSUhEUgAA" * 8),
        ("short", "response", "Yes, do it."),
    ],
)
def test_tags(tag: str, field: str, text: str) -> None:
    assert tag in one(**({"response": SOME} | {field: text}))["tags"]


@pytest.mark.parametrize(
    "text",
    [
        "In my practice I often see couples who stop talking to each other.",
        "Call me old-fashioned, but a walk every day helps.",
        "Feel free to message me if you ever need to talk.",
        "You can contact me in your mind, she used to say to him.",
        "I don't have personal experience with this, but my sister does.",
        "An AI said that to me once, and it was wrong about most things.",
        "He said [laughs] that it was fine [sic] and left.",
        "I rate it 3.5 of 5. It took from 8 a.m. to 9 p.m. every day.",
        "HAHAHA" * 30 + " that was a good one, was it not?",
        "The U.S. and the U.K. are far from here, Mr. Smith.",
        "You press <<A>> and you get 3 points, then <<B>> and you get 2.",
        "Il était déjà là, à côté; Ça va? Não, são só três.",
        "He removed my post from the wall and put a poster there.",
    ],
)
def test_no_tag(text: str) -> None:
    assert one(response=text)["tags"] == []


def test_tags_of_a_rejected_answer_stand_apart() -> None:
    row = one(
        input="How was your week, and what did you do?", response=SOME, rejected_response="As an AI, I have none."
    )
    assert (row["tags"], row["rejected_tags"]) == ([], ["ai_disclaimer"])
    assert one(response=SOME)["rejected_response_words"] is None


def test_a_label_is_no_answer() -> None:
    row = one(type="classification", input="so tired of it all today", response="depression")
    assert row["tags"] == [] and row["response_words"] is None and row["input_words"] == 6
    assert one(type="classification", input="so sad lol", response="depression")["tags"] == ["short"]


def test_an_experiment_has_no_figures() -> None:
    row = one(type="behavioral-experiment", input="You press <<A>>. " * 50, response="A")
    assert row["tags"] == [] and row["repeated_5"] is None and row["input_words"] == 150


def test_figures() -> None:
    row = one(response="One two three four five. Six seven eight nine ten!")
    assert (row["response_words"], row["sentence_words"]) == (10, 50)
    letters = len("onetwothreefourfivesixseveneightnineten")
    assert row["ari"] == 471 * letters // 100 + 25 - 214
    assert one(response="no sentence ends here at all")["ari"] is None


def test_repetition() -> None:
    fresh = one(response=" ".join(f"word{i}" for i in range(60)))
    assert (fresh["top_pair"], fresh["repeated_5"], fresh["repeated_10"]) == (0, 0, 0)
    again = one(response="you are not alone in this and it will get better " * 4)
    assert again["repeated_5"] > 60 and again["repeated_10"] > 60
    assert one(response="ha ha " * 20)["top_pair"] == 100


words = st.lists(st.sampled_from(["a", "Don't", "it’s", "[Name]", "end.Next", "b c d e f", "\u00a0", "é", "…", "42"]))


@example([["a"], ["a"]], 1)  # no word, run or pair goes on into the next text
@given(st.lists(words, min_size=1, max_size=6), st.integers(0, 6))
def test_independent_of_batch_size(rows: list[list[str]], cut: int) -> None:
    texts = [" ".join(row) for row in rows]
    whole = batch(*({"input": t, "response": t * 2, "rejected_response": t or None} for t in texts))
    parts = [part for part in (whole.slice(0, cut), whole.slice(cut)) if len(part)]
    found = [row for part in parts for row in quality.screen(part, Quality()).to_pylist()]
    assert found == quality.screen(whole, Quality()).to_pylist()


def test_long_texts_are_counted_whole() -> None:
    row = one(response="word " * 500_000, input="first")
    assert (row["response_words"], row["input_words"]) == (500_000, 1)


def test_empty_batch() -> None:
    found = quality.screen(batch(), Quality())
    assert len(found) == 0 and found.type == quality.TYPE


def test_real_answers(real: Path) -> None:
    """Seen by eye: two base64 images, a third of the answers glued, three texts with lost characters."""
    lines = (real / "amod_counseling/combined_dataset.json").read_bytes().splitlines()
    counseling = [orjson.loads(line) for line in lines]
    rows = quality.screen(
        batch(*({"input": row["Context"], "response": row["Response"]} for row in counseling)), Quality()
    ).to_pylist()
    assert [place for place, row in enumerate(rows) if "base64" in row["tags"]] == [2487, 2624]
    assert 0.3 < sum("glued_sentences" in row["tags"] for row in rows) / len(rows) < 0.45
    pairs = orjson.loads((real / "human_like_dpo/data.json").read_bytes())
    rows = quality.screen(
        batch(*({"input": p["prompt"], "response": p["chosen"], "rejected_response": p["rejected"]} for p in pairs)),
        Quality(),
    ).to_pylist()
    assert sum("mojibake" in row["tags"] for row in rows) == 3
    machine = [sum("ai_disclaimer" in row[name] for row in rows) / len(rows) for name in ("tags", "rejected_tags")]
    assert machine[0] < 0.1 and machine[1] > 0.85
