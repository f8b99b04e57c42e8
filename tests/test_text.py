"""Folding and repairs: laws on any text, and the cases that real sources hold."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import text

TEXTS = st.lists(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")), max_size=8)


def fold(*texts: str | None) -> list[str]:
    return text.fold(pa.array(texts, pa.string())).to_pylist()


@settings(deadline=None)
@given(TEXTS)
def test_folding_twice_changes_nothing_more(texts: list[str]) -> None:
    once = fold(*texts)
    assert fold(*once) == once


@settings(deadline=None)
@given(TEXTS, st.integers(1, 3))
def test_folding_does_not_depend_on_the_batch(texts: list[str], size: int) -> None:
    pieces = [fold(*texts[start : start + size]) for start in range(0, len(texts), size)]
    assert [value for piece in pieces for value in piece] == fold(*texts)


@settings(deadline=None)
@given(TEXTS)
def test_folding_ignores_case_and_compatibility_forms_of_ascii_words(texts: list[str]) -> None:
    assert fold(*(unicodedata.normalize("NFD", value) for value in texts)) == fold(
        *(unicodedata.normalize("NFC", value) for value in texts)
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hang out with.Seriously", "Hang out with. SERIOUSLY!"),
        ("a\u00a0b", "a b"),
        ("e\u0301t\u00e9", "ÉTÉ"),
        ("ﬁne", "fine"),
        ("\u00c8\u0359", "E\u0359\u0300"),  # the mark that composes comes after another one
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("１２", "12"),
        ("don’t", "don't"),
    ],
)
def test_texts_that_are_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_texts_that_are_not_one() -> None:
    assert fold("résumé") != fold("resume")
    assert fold("क्षि") != fold("कष")


def test_null_and_symbols_fold_to_nothing_but_symbols_keep_their_own_key() -> None:
    assert fold(None, "…!", "🙂") == ["", "", ""]
    kept = text.fold_or_nfkc(pa.array(["🙂", "🙁", "a"])).to_pylist()
    assert len(set(kept)) == 3


def test_words_stay_apart() -> None:
    assert text.words(pa.array(["Well—don't.Stop"])).to_pylist() == ["well don t stop"]


@settings(deadline=None)
@given(TEXTS)
def test_repairing_twice_changes_nothing_more(texts: list[str]) -> None:
    once, _ = text.repair(pa.array(texts, pa.string()))
    again, changed = text.repair(once)
    assert again.equals(once)
    assert changed == {}


def repaired(value: str, wanted: tuple[str, ...] = text.REPAIRS) -> tuple[str, list[str]]:
    mended, changed = text.repair(pa.array([value]), wanted)
    return mended[0].as_py(), sorted(changed)


@pytest.mark.parametrize(
    ("value", "mended", "edits"),
    [
        ("a\r\nb\rc", "a\nb\nc", ["newlines"]),
        (" \u00a0a\n", "a", ["edges"]),
        ("e\u0301", "é", ["nfc"]),
        ("a\x07\ufeffb", "ab", ["controls"]),
        ("👩\u200d👧", "👩\u200d👧", []),
        ("tab\tand\u00a0nbsp", "tab\tand\u00a0nbsp", []),
        ("ﬁ", "ﬁ", []),
    ],
)
def test_repairs(value: str, mended: str, edits: list[str]) -> None:
    assert repaired(value) == (mended, edits)


def test_only_the_wanted_repairs_are_made() -> None:
    assert repaired(" a\r\nb ", ("newlines",)) == (" a\nb ", ["newlines"])


def test_a_full_cache_forgets_no_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_CACHE_RUNS", 0)
    for _ in range(2):
        assert text.repair(pa.array(["e\u0301"]))[0].to_pylist() == ["\u00e9"]


def test_what_needs_no_composition_has_none() -> None:
    spared = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    alone = pa.array(spared).filter(pc.invert(pc.match_substring_regex(pa.array(spared), text._MAYBE_NOT_NFC)))
    after = pc.binary_join_element_wise("a", alone, "a", "")
    for texts in (alone, after):
        assert pc.utf8_normalize(texts, form="NFC").equals(texts)


def test_null_stays_null() -> None:
    mended, _ = text.repair(pa.array([None, " x"]))
    assert mended.to_pylist() == [None, "x"]
