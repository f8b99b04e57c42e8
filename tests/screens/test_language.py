from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from stages.errors import ParamsError
from stages.params import Language
from stages.screens import language
from tests.records import batch

DATA = Path(__file__).parents[1] / "data/language"


def load(name: str, keep: Callable[[dict[str, str]], bool] = lambda row: True) -> list[dict[str, str]]:
    rows = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().splitlines()]
    return [row for row in rows if keep(row)]


def screen(texts: list[str], field: str = "input", params: Language | None = None) -> list[dict[str, Any]]:
    column = language.screen(batch(*({field: text} for text in texts)), params or Language())
    return column.to_pylist()


def share(rows: list[dict[str, str]], codes: list[str]) -> float:
    found = screen([row["text"] for row in rows])
    return sum(row["input"] == code for row, code in zip(found, codes, strict=True)) / len(rows)


@pytest.mark.parametrize("draw", ["first", "second"])  # thresholds were set on the first, the second was written after
def test_names_the_language(draw: str) -> None:
    rows = load("other", lambda row: row["draw"] == draw)
    assert len(rows) >= 50
    assert share(rows, [row["language"] for row in rows]) >= 0.99


@pytest.mark.parametrize("draw", ["first", "second"])
def test_keeps_slangy_english(draw: str) -> None:
    rows = load("english", lambda row: row["draw"] == draw)
    assert len(rows) >= 40
    assert share(rows, ["en"] * len(rows)) >= 0.99


def test_stubs_are_undetermined() -> None:
    rows = load("stubs")
    assert share(rows, ["und"] * len(rows)) == 1.0


def test_question_and_answer_may_differ() -> None:
    row = batch({"input": "I can't sleep since dad died.", "response": "Lo siento mucho, es un momento muy difícil."})
    found = language.screen(row, Language()).to_pylist()[0]
    assert (found["input"], found["response"]) == ("en", "es")
    assert found["rejected_response"] is None and found["rejected_response_confidence"] is None


def test_an_answer_in_two_languages_tells_both() -> None:
    english = "It sounds as if the last months have been very hard for you and your family. " * 5
    spanish = "Parece que los últimos meses han sido muy difíciles para ti y para tu familia. " * 5
    found = screen([english + spanish, english, spanish], "response")
    assert {found[0]["response"], found[0]["response_other"]} == {"en", "es"}
    assert [row["response_other"] for row in found[1:]] == [None, None]


@pytest.mark.parametrize(
    "text",
    [
        "soooooooooooooooooooooooooo tireddddddddddddddddd of everythinggggggggggggggg",
        "PLEASE SOMEBODY TELL ME WHAT TO DO ABOUT MY MOTHER",
        "You press <<A>> and you get 3.2 points. You press <<B>> and you get 1.7 points. " * 40,
    ],
)
def test_odd_english_is_english(text: str) -> None:
    assert screen([text])[0]["input"] == "en"


def test_no_letters_no_language() -> None:
    found = screen(["", "1 2 3 " * 200, "😀" * 100, "-----------------------------------"])
    assert [row["input"] for row in found] == ["und"] * 4


def test_only_declared_languages_are_named() -> None:
    few = Language(languages=("en", "de"))
    texts = [row["text"] for row in load("other")]
    assert {row["input"] for row in screen(texts, params=few)} <= {"en", "de", "und"}


def test_unknown_code_is_refused_with_a_sentence() -> None:
    with pytest.raises(ParamsError, match=r"screens\.language\.languages.*'xq'"):
        screen(["hello"], params=Language(languages=("en", "xq")))


@example(["00000", "00000"], 1)  # a run does not go on into the next text
@given(st.lists(st.text(max_size=300), min_size=1, max_size=8), st.integers(0, 8))
def test_independent_of_batch_size(texts: list[str], cut: int) -> None:
    texts = [text.replace("\0", "").encode("utf-8", "ignore").decode() for text in texts]
    whole = batch(*({"input": text, "response": text * 5} for text in texts))
    parts = [part for part in (whole.slice(0, cut), whole.slice(cut)) if len(part)]
    found = [row for part in parts for row in language.screen(part, Language()).to_pylist()]
    assert found == language.screen(whole, Language()).to_pylist()


def test_empty_batch() -> None:
    found = language.screen(batch(), Language())
    assert len(found) == 0 and found.type == language.TYPE


def test_real_posts(real: Path) -> None:
    """Labels by eye on posts of the depression source, by hash: all that the model doubts, and a random draw."""
    labels = {row["hash"]: row for row in load("real")}
    with (real / "depression_reddit/depression_dataset_reddit_cleaned.csv").open(newline="") as file:
        texts = {
            xxhash.xxh3_128_hexdigest(row["clean_text"].encode()): row["clean_text"] for row in csv.DictReader(file)
        }
    assert labels.keys() <= texts.keys() and len(labels) > 330
    found = dict(zip(labels, screen([texts[key] for key in labels]), strict=True))
    foreign = {key for key, row in found.items() if row["input"] not in ("en", "und")}
    other = {key for key, row in labels.items() if row["language"] == "other"}
    assert len(foreign & other) / len(foreign) >= 0.99  # English that is taken for another language leaves the exports
    assert len(foreign & other) / len(other) >= 0.85  # accents stripped, names and hashtags: und for a part
    plain = [key for key, row in labels.items() if row["stratum"] == "plain"]
    assert all(found[key]["input"] == "en" for key in plain)


def test_real_answers_in_two_languages(real: Path) -> None:
    rows = (real / "amod_counseling/combined_dataset.json").read_text(encoding="utf-8").splitlines()
    answers = sorted({json.loads(row)["Response"] for row in rows})
    found = screen(answers, "response")
    spanish = [row for row in found if "es" in (row["response"], row["response_other"])]
    assert len(spanish) >= 55 and all("en" in (row["response"], row["response_other"]) for row in spanish)
    assert all(row["response"] in ("en", "es", "und") for row in found)


def test_the_stored_model_is_the_one_of_the_package() -> None:
    stored, package = language._stored(), language.from_package(Language().languages)
    assert stored.codes == package.codes
    for name in language.ARRAYS:
        ours, theirs = getattr(stored, name), getattr(package, name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


def test_a_language_beyond_the_stored_model_is_found() -> None:
    welsh = "Rwy'n teimlo'n drist iawn heddiw ac nid wyf yn gwybod beth i'w wneud am fy mywyd"
    assert screen([welsh], params=Language(languages=("en", "cy")))[0]["input"] == "cy"
