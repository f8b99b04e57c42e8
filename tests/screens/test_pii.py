"""The pii screen by its laws and its labelled sets."""

from __future__ import annotations

import itertools
import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import ParamsError
from stages.params import Pii
from stages.screens import pii
from stages.screens.pii import lists
from tests.records import batch
from tests.screens.pii_labels import DATA, found, score, text_hash, total, written

REAL = os.environ.get("MHDATA_REAL")
STRUCTURED = ("email", "phone", "ssn", "card", "ip", "url", "handle", "address", "medical_id", "birth_date")


def screened(*rows: dict) -> list[list[dict]]:
    """The spans of each record."""
    column = pii.screen(batch(*rows), Pii())
    assert column.type == pii.TYPE
    return [row["spans"] for row in column.to_pylist()]


def redacted(text: str) -> str:
    records = batch({"input": text})
    return pii.redact_batch(records, pii.screen(records, Pii()))[0].column("input")[0].as_py()


# --- labelled sets -----------------------------------------------------------------------------------


def scores(name: str) -> dict:
    rows = written(name)
    return total(score(labels, hits) for (_, labels), hits in zip(rows, found([t for t, _ in rows]), strict=True))


@pytest.mark.parametrize("name", ["dev", "held_out"])
def test_written_sets_meet_the_targets(name: str) -> None:
    result = scores(name)
    structured, names = result["structured"], result["name"]
    assert structured.recall >= 0.95 and structured.precision >= 0.97, structured
    assert names.recall >= 0.80 and names.precision >= 0.90, names
    assert sum(one.harmed for one in result.values()) == 0, "a public resource counts as personal"


@pytest.mark.parametrize("name", ["dev", "held_out"])
def test_every_type_is_labelled_and_found(name: str) -> None:
    result = scores(name)
    assert {kind: result[kind].recall >= 0.85 for kind in STRUCTURED} == dict.fromkeys(STRUCTURED, True)


@pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")
@pytest.mark.slow
def test_labels_of_real_rows() -> None:
    from benchmarks.screens_pii import labelled, labels

    known, rows = labels(), list(labelled())
    assert len(rows) == len(known)
    result = total(score(known[text_hash(row.text)].spans, row.found, row.weight) for row in rows)
    assert result["structured"].recall >= 0.95 and result["structured"].precision >= 0.97, result["structured"]
    assert result["name"].recall >= 0.80 and result["name"].precision >= 0.90, result["name"]
    assert result["phone"].harmed == 0


def test_real_labels_hold_no_text() -> None:
    for line in (DATA / "real_labels.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert set(row) == {"source", "draw", "stratum", "hash", "spans"} and re.fullmatch("[0-9a-f]{16}", row["hash"])
        for start, end, kind, tier in row["spans"]:
            assert 0 <= start < end and kind in (*STRUCTURED, "name") and tier in ("personal", "public", "hint")


# --- laws --------------------------------------------------------------------------------------------

FRAGMENTS = [text for name in ("dev", "held_out") for text, _ in written(name)]
FRAGMENTS += [
    "555-1234",
    " ",
    "\n",
    "call ",
    "my ssn is ",
    "<PHONE>",
    "@",
    "u/",
    "🙂",
    "é",
    "\u00a0",
    "http://",
    "7",
    "1",
]
cuts = st.builds(
    lambda text, start, end: text[start : -end or None],
    st.sampled_from(FRAGMENTS),
    st.integers(0, 60),
    st.integers(0, 60),
)
texts = st.lists(st.sampled_from(FRAGMENTS) | cuts | st.text(max_size=8), max_size=6).map("".join)


@given(texts)
@settings(max_examples=150, deadline=None)
def test_screening_redacted_text_finds_nothing_to_redact(text: str) -> None:
    again = redacted(text)
    assert [span for span in screened({"input": again})[0] if span["tier"] == "personal"] == []
    assert redacted(again) == again


@given(texts)
@settings(max_examples=100, deadline=None)
def test_spans_are_sorted_disjoint_and_inside_and_the_rest_of_the_text_stays(text: str) -> None:
    spans = screened({"input": text})[0]
    edges = [edge for span in spans for edge in (span["start"], span["end"])]
    assert edges == sorted(edges) and all(span["start"] < span["end"] <= len(text) for span in spans)
    personal = [span for span in spans if span["tier"] == "personal"]
    outside, last = [], 0
    for span in personal:
        outside.append(text[last : span["start"]])
        last = span["end"]
    outside.append(text[last:])
    holders = [f"<{span['type'].upper()}>" for span in personal]
    expected = "".join(part for pair in zip(outside, [*holders, ""], strict=True) for part in pair)
    assert redacted(text) == expected


@given(st.lists(texts, min_size=1, max_size=6), st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_batches_of_any_size_give_the_same(rows: list[str], size: int) -> None:
    records = batch(*({"input": text, "response": text[::-1]} for text in rows))
    whole = pii.screen(records, Pii()).to_pylist()
    parts = [pii.screen(records.slice(i, size), Pii()).to_pylist() for i in range(0, len(records), size)]
    assert list(itertools.chain(*parts)) == whole


RUNS = [
    *("12-", "a@", "1.", "(555) ", "one ", "Anna ", "Anna, ", "u/", "www.", ":", "John Smith ", "#1234", "a@b.co "),
    *("415-555-0134 ", "Dr. Anna ", "u/abc ", "my sister Anna ", "www.x.com ", "12 High Street, ", "http://", "dot "),
    *("my name is Al ", "born 1/1/1990 ", "<", "discord: a_1 ", "LMFT, ", "é", "🙂"),
]
LONG = [("7", 1_000_000), ("1 2 ", 1_000_000), ("a", 1_000_000), *((run, 50_000) for run in RUNS)]


@pytest.mark.parametrize(("unit", "size"), LONG)
def test_long_runs_stay_linear(unit: str, size: int) -> None:
    """A pattern that backtracks over the run, or a step that is quadratic in the spans, would not end in time."""
    spans = screened({"input": unit * (size // len(unit))})[0]
    assert all(span["end"] - span["start"] <= 2_000 for span in spans)


def test_what_a_redaction_uncovers_is_found_behind_it() -> None:
    """Once the number before it is a placeholder, the second number has its cue: found, at its place in the text."""
    text = (
        "fb facebook.com/profile.one and so on. In Dublin you get me on +353 85 012 3456i wrote 555 0178 on it, call me"
    )
    personal = [span for span in screened({"input": text})[0] if span["tier"] == "personal"]
    assert [text[span["start"] : span["end"]] for span in personal][-1] == "555 0178"
    assert redacted(text).endswith("get me on <PHONE>i wrote <PHONE> on it, call me")


def test_every_listed_helpline_survives() -> None:
    for key in sorted(lists.helplines()):
        country, national = key.split(":")
        number = f"{national[:3]}-{national[3:6]}-{national[6:]}" if country == "1" else f"+{country} {national}"
        for text in (f"Call {number} now.", f"you can text my helper at {number}"):
            assert redacted(text) == text


def test_role_of_the_text_does_not_matter_and_fields_are_named() -> None:
    text = "write to jo.smith@example.com"
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}]
    spans = screened({"input": text, "response": text, "rejected_response": text, "turns": turns}, {})
    assert [(s["field"], s["turn"]) for s in spans[0]] == [
        ("input", None), ("response", None), ("rejected_response", None), ("turns", 1),
    ]  # fmt: skip
    assert spans[1] == []


def test_a_long_transcript_is_searched_for_mail_and_links_alone() -> None:
    text = "mail a.b@example.com, call 415-555-0134, see https://discord.gg/abcd"
    kinds = [span["type"] for span in screened({"input": text, "type": "behavioral-experiment"})[0]]
    assert kinds == ["email", "url"]


def test_offsets_count_code_points_and_survive_json_and_parquet(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    text = "👩‍👩‍👧 naïve — call\u00a0(415)\u00a0555‑0134 🙂"
    records = batch({"input": text})
    table = pa.table({"input": records.column("input"), "pii": pii.screen(records, Pii())})
    pq.write_table(table, tmp_path / "t.parquet")
    row = json.loads(json.dumps(pq.read_table(tmp_path / "t.parquet").to_pylist()[0]))
    span = row["pii"]["spans"][0]
    assert row["input"][span["start"] : span["end"]] == "(415)\u00a0555‑0134"


def test_redact_keeps_nulls_and_untouched_rows() -> None:
    array = pa.array(["call 415-555-0134", None, "nothing"])
    spans = pa.array([[{"start": 5, "end": 17, "type": "phone"}], None, []])
    assert pii.redact(array, spans).to_pylist() == ["call <PHONE>", None, "nothing"]


def test_redact_batch_tells_which_rows_changed_and_reaches_turns() -> None:
    said = "my ssn is 536-22-8726 and mail is a@example.com"
    turns = [{"role": "user", "content": said}, {"role": "assistant", "content": "ok"}]
    records = batch({"input": "hello"}, {"input": "x", "turns": turns})
    mended, changed = pii.redact_batch(records, pii.screen(records, Pii()))
    assert changed.to_pylist() == [False, True]
    assert mended.column("turns")[1].as_py()[0]["content"] == "my ssn is <SSN> and mail is <EMAIL>"
    assert mended.schema == records.schema


def test_params_add_helplines_sites_and_turn_names_off() -> None:
    text = "call 415-555-0134 or mail info@fernhouse.example; my sister Hannah did"
    kinds = {span["type"]: span["tier"] for span in screened({"input": text})[0]}
    own = Pii(helplines=("1:4155550134",), names=False)
    tuned = {s["type"]: s["tier"] for s in pii.screen(batch({"input": text}), own).to_pylist()[0]["spans"]}
    assert kinds["phone"] == "personal" and kinds["name"] == "hint"
    assert tuned["phone"] == "public" and "name" not in tuned


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("I hope that all of this is of help to you both. Be well.Lorna J. Whitfield, LCSW, NCC", "Lorna J. Whitfield"),
        ("Wishing you good luck with all of it from here on out! Warmly,  Tamsin Poole MA LPC", "Tamsin Poole"),
        ("I agree with Sherrie. She is right", "Sherrie"),
        ("We moved out of Susan's house", "Susan"),
        ("my friend Bastien, who is kind", "Bastien"),
    ],
)
def test_a_name_is_cut_where_it_begins_and_ends(text: str, name: str) -> None:
    assert [text[span["start"] : span["end"]] for span in screened({"input": text})[0]] == [name]


@pytest.mark.parametrize(
    "text",
    [
        "I take 20-40 mg, then 100-150-200 mg, 0.5 mg at 10:30",
        "PHQ-9 19/27, GAD-7 14, IQ 132, 1280 on the SAT",
        "from 1999-2000, 2004 - 2008, on 03/14/2019 and 2016-09-30",
        "order #7785552368, tracking 9400111899223197428490, invoice 2125550176",
        "doi:10.1016/j.jad.2018.04.012, PMID 29727800, ISBN 978-0-06-227045-1",
        "version 10.4.2.1, chapter 1.2.3.4, 192.168.1.1, 127.0.0.1",
        "Session 3 (2026-03-24): 12/20 correct (60%); latency 3.9s; PIR 13%",
        "call 988, 911, 116 123, 13 11 14, text 741741",
        "see https://www.nimh.nih.gov/health and www.crisistextline.org",
    ],
)
def test_what_is_no_identifier_is_not_touched(text: str) -> None:
    assert redacted(text) == text


def test_a_region_without_phone_numbers_is_refused() -> None:
    with pytest.raises(ParamsError, match="knows no 'ZZ'"):
        pii.ready(Pii(regions=("US", "ZZ")))
