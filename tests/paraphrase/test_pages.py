"""Transcripts to pages: a defined cut for every input, nothing lost, no text copied."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import SourceError
from stages.params import Page as Cut
from stages.paraphrase import pages

TURN = "Coach: What did you try so far?\nMary: I tried to sit with her in the evening and to read aloud.\n"


def cut(text: str, **changes: object) -> list[str]:
    settings = Cut(**({"words": 50} | changes))  # type: ignore[arg-type]
    return [text[start:end] for start, end in pages.bounds(text, settings)]


def test_form_feeds_part_pages() -> None:
    assert cut("one\ftwo\fthree") == ["one", "two", "three"]
    assert cut("one\f\f three \f") == ["one", "", " three ", ""]


def test_without_form_feeds_pages_are_cut_by_words_before_a_turn() -> None:
    found = cut(TURN * 20)
    assert "".join(found) == TURN * 20
    assert len(found) > 5
    assert all(piece.startswith(("Coach:", "Mary:")) for piece in found)
    assert all(25 <= len(piece.split()) <= 100 for piece in found)


def test_form_feeds_may_be_told_to_be_ignored() -> None:
    assert len(cut("one\ftwo\fthree", split="words")) == 1


@pytest.mark.parametrize("on_turn", [True, False])
def test_one_huge_page_without_any_turn_is_cut_by_words(on_turn: bool) -> None:
    text = "word " * 1000
    found = cut(text, on_turn=on_turn)
    assert "".join(found) == text
    assert {len(piece.split()) for piece in found} == {50}


def test_a_short_transcript_is_one_page() -> None:
    assert cut("") == [""]
    assert cut(TURN) == [TURN]


@given(st.text(alphabet="ab \n\f:C", max_size=600), st.booleans(), st.sampled_from(["formfeed_or_words", "words"]))
def test_pages_cover_the_transcript_and_stay_in_order(text: str, on_turn: bool, split: str) -> None:
    settings = Cut(words=50, on_turn=on_turn, split=split)  # type: ignore[arg-type]
    found = list(pages.bounds(text, settings))
    assert [start for start, _ in found] == sorted(start for start, _ in found)
    between = [text[a:b] for (_, a), (b, _) in itertools.pairwise(found)]
    assert set(between) <= {"", "\f"}
    assert found[0][0] == 0 and found[-1][1] == len(text)


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"plain", "plain", "utf-8"),
        ("caf\u00e9".encode(), "caf\u00e9", "utf-8"),
        (b"\xef\xbb\xbfmark", "mark", "utf-8-sig"),
        ("caf\u00e9 \u201cso\u201d".encode("cp1252"), "caf\u00e9 \u201cso\u201d", "cp1252"),
        ("caf\u00e9".encode("utf-16"), "caf\u00e9", "utf-16"),
        (b"\x81\xff", "\ufffd\xff", "cp1252"),
        (b"a\r\nb\rc\0", "a\nb\nc", "utf-8"),
    ],
)
def test_every_encoding_has_a_defined_reading(data: bytes, text: str, encoding: str) -> None:
    assert pages.decode(data) == (text, encoding)


def test_pages_are_offsets_and_empty_ones_are_counted_not_sent(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text(f"{TURN}\f \n \f{TURN}", encoding="utf-8")
    (tmp_path / "a.txt").write_text("just one voice, without a label", encoding="utf-8")
    (tmp_path / "README.md").write_text("no transcript", encoding="utf-8")
    found = list(pages.pages(tmp_path, Cut()))
    assert [(page.file, page.skip, page.speakers) for page in found] == [
        ("a.txt", None, 0),
        ("b.txt", None, 2),
        ("b.txt", "empty_page", 0),
        ("b.txt", None, 2),
    ]
    assert len({page.page for page in found}) == 4
    sent = [page for page in found if page.skip is None]
    assert pages.texts(tmp_path, sent)[sent[1].page] == TURN.strip()


def test_a_transcript_that_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TURN, encoding="utf-8")
    found = list(pages.pages(tmp_path, Cut()))
    (tmp_path / "a.txt").write_text(TURN + "more", encoding="utf-8")
    with pytest.raises(SourceError, match="has changed since it was cut"):
        pages.texts(tmp_path, found)


def test_no_transcript_and_the_same_one_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no transcript"):
        list(pages.pages(tmp_path, Cut()))
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(TURN, encoding="utf-8")
    with pytest.raises(SourceError, match=r"a\.txt and b\.txt are the same"):
        list(pages.pages(tmp_path, Cut()))
