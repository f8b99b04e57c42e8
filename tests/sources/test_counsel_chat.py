"""CounselChat: question text as input, HTML as text, and no therapist's name beyond normalize."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from stages import params, readers, text
from stages.sources import counsel_chat as source

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data/sample/counsel_chat/data/20200325_counsel_chat.csv"
REAL = os.environ.get("MHDATA_REAL")
SETTINGS = params.Source(dataset="nbertagnolli/counsel-chat", license="MIT", files={}, priority=80)

LINK = "https://counselchat.example/therapists/ada-quill-lmft"
ROW = {
    "": "0",
    "questionID": "7",
    "questionTitle": "How do I rest?",
    "questionText": "I cannot rest.",
    "questionLink": "https://counselchat.example/questions/how-do-i-rest",
    "topic": "sleep",
    "therapistInfo": "Ada Quill, LMFTRest and worry",
    "therapistURL": LINK,
    "answerText": "Go for a walk.",
}


def read(path: Path) -> list[dict[str, Any]]:
    return [
        row
        for unit in readers.units(path)
        for batch in readers.read(unit, source.raw(SETTINGS), "counsel_chat")
        for row in source.draft(batch.columns, path.name, SETTINGS).to_pylist()
    ]


def draft(tmp_path: Path, **cells: str) -> dict[str, Any]:
    """The draft of one row with these cells."""
    row = ROW | cells
    out = io.StringIO()
    csv.writer(out).writerows([list(row), list(row.values())])
    (tmp_path / "x.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    return read(tmp_path / "x.csv")[0]


def test_a_row(tmp_path: Path) -> None:
    row = draft(tmp_path)
    assert (row["input"], row["response"], row["group"]) == ("I cannot rest.", "Go for a walk.", "I cannot rest.")
    assert orjson.loads(row["meta"]) == {"question": "7", "title": "How do I rest?", "topic": "sleep"}
    assert row["edits"] == [] and row["rejected_response"] is None


def test_the_title_asks_where_there_is_no_text(tmp_path: Path) -> None:
    assert draft(tmp_path, questionText="")["input"] == "How do I rest?"


def test_the_columns_of_the_other_release(tmp_path: Path) -> None:
    names = {"therapistInfo": "therapistName", "therapistURL": "therapistUrl", "topic": "topics"}
    row = {names.get(name, name): value for name, value in ROW.items()}
    row |= {"therapistName": "Ada Quill, LMFT", "answerText": "<p>Walk.</p><p>Ada</p>"}
    out = io.StringIO()
    csv.writer(out).writerows([list(row), list(row.values())])
    (tmp_path / "x.csv").write_text(out.getvalue(), encoding="utf-8")
    found = read(tmp_path / "x.csv")[0]
    assert found["response"] == "Walk.\n\n[therapist]"
    assert found["edits"] == ["html", "therapist"]
    assert orjson.loads(found["meta"])["topic"] == "sleep"


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("<p>One &amp; two.</p><p>Three<br/>four</p>", "One & two.\n\nThree\nfour"),
        ("<div>A\n  b</div><ul><li>c</li><li>d</li></ul>e", "A b\n\n- c\n- d\n\ne"),
        ('<p><span style="x">Bold</span> <A HREF="https://a.example/?b=1">here</A></p>', "Bold here"),
        ("<p>x<o:p></o:p></p><style>p {color: red}</style><!-- y --><h3>z</h3>", "x\n\nz"),
        ('<p>a<img src="data:image/png;base64,AAAA"></p>', "a"),
        ("say &quot;no&quot;&#33;", 'say "no"!'),
        ("1 < 2 and <<A>> and R&B and &nothing; <me>", "1 < 2 and <<A>> and R&B and &nothing; <me>"),
        ("Plain.\n\n\n  Text  stays.", "Plain.\n\n\n  Text  stays."),
    ],
)
def test_html_becomes_text(written: str, plain: str, tmp_path: Path) -> None:
    row = draft(tmp_path, answerText=written)
    assert row["response"] == plain
    assert row["edits"] == (["html"] if written != plain else [])


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Be well. Ada Quill, LMFT", "Be well. [therapist], LMFT"),
        ("Be well.Ada J. Quill", "Be well.[therapist]"),
        ("Hi, I'm Ada! Rest.", "Hi, I'm [therapist]! Rest."),
        ("Yours, Dr. Quill", "Yours, [therapist]"),
        ("yours, ada quill", "yours, [therapist]"),
        ("See www.AdaQuill.example or mail quill@rest.example", "See [therapist] or mail [therapist]"),
        ("Rest.Ada Quillwww.rest.example", "Rest.[therapist]www.rest.example"),
        ("Adamant people use a quill; see www.rest.example", "Adamant people use a quill; see www.rest.example"),
    ],
)
def test_an_answer_does_not_name_its_author(written: str, kept: str, tmp_path: Path) -> None:
    row = draft(tmp_path, answerText=written)
    assert row["response"] == kept
    assert row["edits"] == (["therapist"] if written != kept else [])


@pytest.mark.parametrize(
    ("info", "link", "name"),
    [
        ("Ada Quill, LMFTRest", "https://x.example/therapists/ada-quill-lmft", "Ada Quill"),
        ("Ada QuillRest and worry", "https://x.example/therapists/ada-quill-2", "Ada Quill"),
        ("Dr. Ada O'Quill", "https://x.example/therapists/dr-ada-o-quill", "Ada O'Quill"),
        ("Ada Quill", "https://x.example/therapists/somebody-else", ""),
        ("", "", ""),
    ],
)
def test_the_name_is_what_stands_in_the_link(info: str, link: str, name: str) -> None:
    assert source._name(info, link) == name


def test_a_name_of_a_megabyte_costs_no_more_than_one_of_a_line() -> None:
    long = "a" * 1_000_000
    assert source._name(long, f"https://counselchat.example/therapists/{long}") == ""  # took hours
    assert source._ADDRESS.search(long) is None  # too


def test_an_organisation_is_no_list_of_names(tmp_path: Path) -> None:
    row = draft(
        tmp_path,
        therapistInfo="Fresh Start Online Counseling Services of Ohio",
        therapistURL="https://x.example/therapists/fresh-start-online-counseling-services-of-ohio",
        answerText="Fresh air helps. Online Counseling, too.",
    )
    assert row["edits"] == []


def test_the_sample_names_no_therapist() -> None:
    with SAMPLE.open(encoding="utf-8", errors="replace", newline="") as file:
        people = {row["therapistInfo"].split(",")[0] for row in csv.DictReader(file)}
    rows = orjson.dumps(read(SAMPLE)).decode()
    assert len(people) > 3
    assert not [name for name in people if name in rows]
    assert "counselchat.example" not in rows


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")
@pytest.mark.parametrize(
    ("file", "rows", "named", "html", "empty"),
    [("20200325_counsel_chat.csv", 2129, 134, 0, 0), ("counselchat-data.csv", 1482, 101, 1477, 7)],
)
def test_the_real_releases(file: str, rows: int, named: int, html: int, empty: int) -> None:
    found = read(Path(REAL or "") / "counsel_chat/data" / file)
    edits = [edit for row in found for edit in row["edits"]]
    assert (len(found), edits.count("therapist"), edits.count("html")) == (rows, named, html)
    assert sum(not (row["input"] and row["response"]) for row in found) == empty  # normalize rejects them
    assert "counselchat.com/therapists" not in orjson.dumps(found).decode()


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")
def test_what_was_not_edited_stands_in_amod_too() -> None:
    amod = (Path(REAL or "") / "amod_counseling/combined_dataset.json").read_bytes().splitlines()
    pairs = {tuple(_folded(row["Context"], row["Response"])) for row in map(orjson.loads, amod)}
    for row in read(Path(REAL or "") / "counsel_chat/data/20200325_counsel_chat.csv"):
        assert row["edits"] or tuple(_folded(row["input"], row["response"])) in pairs


def _folded(*values: str) -> list[str]:
    import pyarrow as pa

    return text.fold(pa.array(values, pa.string())).to_pylist()
