"""diff: every row of both versions is accounted for, with the reason that the versions' own files give."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import merge, record, split
from stages.storage import ParquetSink
from stages.versions import compare, page
from stages.versions.diff import between, run
from tests.versions.conftest import Two

MERGED = "data/merged/merged_mental_health_dataset.parquet"
FIELDS = ("input", "response", "rejected_response", "turns", "system", "type", "license", "tags", "enters")


def diff(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mhdata", "diff", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def told(two: Two, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The document, the rows and the page of one run."""
    out = tmp_path_factory.mktemp("out")
    said = diff(two.new, str(two.old), "--json", "--rows", str(out / "rows.jsonl"), "--html", str(out / "d.html"))
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    return json.loads(said), rows, (out / "d.html").read_text(encoding="utf-8")


def table(folder: Path, path: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(folder / path).to_pylist()}


def test_the_rows_that_differ_are_those_of_a_comparison_in_memory(two: Two, told: Any) -> None:
    old, new = table(two.old, MERGED), table(two.new, MERGED)
    sides = [table(folder, "data/split/split.parquet") for folder in two]
    expected = {id: (["removed"], []) for id in old.keys() - new.keys()}
    expected |= {id: (["added"], []) for id in new.keys() - old.keys()}
    for id in old.keys() & new.keys():
        fields = [name for name in FIELDS if old[id][name] != new[id][name]]
        moved = sides[0][id]["side"] != sides[1][id]["side"]
        if fields or moved:
            expected[id] = (["changed"] * bool(fields) + ["moved"] * moved, fields)
    assert {row["id"]: (row["what"], row["fields"]) for row in told[1]} == expected
    assert len(told[1]) == len(expected)


def test_every_row_is_counted_once(told: Any) -> None:
    for one in [told[0]["total"], *told[0]["sources"].values()]:
        kept = one["same"] + one["changed"] + one["moved"] + one["changed_and_moved"]
        assert (one["old"], one["new"]) == (kept + one["removed"], kept + one["added"])
    for name, one in told[0]["sources"].items():
        rows = Counter((what, row["reason"]) for row in told[1] if row["source"] == name for what in row["what"][:1])
        for kind in ("removed", "added"):
            assert sum(one[f"{kind}_by_reason"].values()) == one[kind]
            assert all(rows[kind, reason] == count for reason, count in one[f"{kind}_by_reason"].items())


def test_the_reasons_are_those_that_the_new_version_gives(two: Two, told: Any) -> None:
    dropped, left = table(two.new, "data/merged/dropped.parquet"), table(two.new, "data/merged/duplicates.parquet")
    seen = Counter()
    for row in told[1]:
        if row["what"] == ["removed"]:
            kind, _, rest = row["reason"].partition(":")
            seen[kind] += 1
            if kind == "duplicate":
                assert (left[row["id"]]["method"], left[row["id"]]["kept"]) == (rest, row["kept"])
            elif kind == "dropped":
                assert dropped[row["id"]]["reason"] == rest
            else:
                assert row["id"] not in dropped and row["id"] not in left
    assert set(seen) == {"duplicate", "dropped", "rejected", "gone_upstream", "source_off"}


def test_each_change_shows_where_it_was_made(two: Two, told: Any) -> None:
    sources = told[0]["sources"]
    quarantine = (two.new / "data/quarantine/depression_reddit.jsonl").read_text(encoding="utf-8")
    too_long = sum(json.loads(line)["reason"] == "too_long" for line in quarantine.splitlines())
    assert 0 < sources["depression_reddit"]["removed_by_reason"]["rejected:too_long"] <= too_long
    assert sources["trace"]["removed_by_reason"] == {"gone_upstream": 1}
    assert sources["trace"]["fields"] == {"response": 1}
    assert sources["reddit_ess"]["removed_by_reason"] == {"source_off": sources["reddit_ess"]["old"]}
    assert sources["amod_counseling"]["added_by_reason"] == {"new_upstream": 1}
    assert sources["mentalchat16k"]["removed_by_reason"]["duplicate:exact"] == 1
    assert all(one["moved"] for name, one in sources.items() if name != "reddit_ess")


def test_looked_at_backwards_the_added_rows_say_why_they_were_not_there(two: Two) -> None:
    reasons = json.loads(diff(two.new, str(two.new), str(two.old), "--json"))["sources"]
    assert reasons["depression_reddit"]["added_by_reason"].keys() >= {"was_rejected:too_long"}
    assert reasons["mentalchat16k"]["added_by_reason"]["was_duplicate:exact"] == 1
    assert reasons["reddit_ess"]["added_by_reason"] == {"source_was_off": reasons["reddit_ess"]["new"]}


def test_the_page_marks_words_and_escapes_what_rows_hold(told: Any) -> None:
    html = told[2]
    assert "<ins> &lt;b&gt;Ask&lt;/b&gt; the team first.</ins>" in html
    assert "<b>Ask" not in html and "<script" not in html and "http://" not in html
    assert "rejected:too long" in html


def test_a_tag_is_read_from_the_cache(two: Two, told: Any) -> None:
    found = json.loads(diff(two.new, "v1", "--json"))
    assert (found["total"], found["sources"]) == (told[0]["total"], told[0]["sources"])


def test_a_tag_is_fetched_from_the_remote(pushed: Path, told: Any) -> None:
    said, _ = json.JSONDecoder().raw_decode(diff(pushed, "v1", "--json"))  # what DVC says of the fetch comes after it
    assert said["total"] == told[0]["total"]


def test_a_tag_whose_data_is_nowhere_ends_with_one_sentence(pushed: Path) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "remote", "remove", "here"], cwd=pushed, check=True)
    said = diff(pushed, "v1", code=1)
    assert "of v1 is not in the DVC cache" in said and "dvc remote add" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "part"), [(["nothing-like-it"], "neither a folder nor a revision"), (["stages"], "without data/merged")]
)
def test_what_is_no_version_is_said_in_one_sentence(two: Two, words: list[str], part: str) -> None:
    said = diff(two.new, *words, code=1)
    assert part in said and said.count("\n") == 1


def test_the_exit_code_is_for_ci(two: Two) -> None:
    assert "the same rows" in diff(two.old, str(two.old), "--exit-code")
    diff(two.new, str(two.old), "--exit-code", code=6)


# --- any two versions ------------------------------------------------------------------------------------------

ROW = st.tuples(st.sampled_from(["a", "b", "c"]), st.booleans(), st.sampled_from(["train", "validation"]))
VERSION = st.dictionaries(st.integers(0, 12), ROW, max_size=9)  # number -> text, in the table or a duplicate, side


def write(folder: Path, rows: dict[int, tuple[str, bool, str]], seed: int) -> None:
    order = list(rows)
    random.Random(seed).shuffle(order)
    made = [full(number, rows[number][0]) for number in order if rows[number][1]]
    sides = [{"id": f"{n:032x}", "side": rows[n][2], "group": "g"} for n in order if rows[n][1]]
    left = [
        {"id": f"{n:032x}", "kept": "f" * 32, "source": "trace", "kept_source": "trace", "method": "near",
         "score": 1, "differing_words": 1}
        for n in order if not rows[n][1]
    ]  # fmt: skip
    for path, listed, schema in (
        (compare.MERGED_TABLE, made, record.MERGED), (compare.SPLIT_TABLE, sides, split.SCHEMA),
        (compare.DUPLICATES, left, merge.DUPLICATES), (compare.DROPPED, [], merge.DROPPED),
    ):  # fmt: skip
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        sink = ParquetSink(folder / path, schema)
        sink.write(pa.RecordBatch.from_pylist(listed, schema))
        sink.close()


def full(number: int, text: str) -> dict[str, Any]:
    origin = {"dataset": "d", "revision": None, "file": "f", "sha256": "s", "row": number, "key": None, "meta": None,
              "edits": []}  # fmt: skip
    return {
        "id": f"{number:032x}", "input": text, "response": "r", "rejected_response": None, "source": "trace",
        "type": "t", "tags": [text], "system": None, "turns": None, "license": "MIT", "group": "g", "origin": origin,
        "enters": [], "duplicates": [], "cluster": None,
    }  # fmt: skip


@settings(max_examples=20)
@given(VERSION, VERSION, st.integers())
def test_any_two_versions(tmp_path_factory: pytest.TempPathFactory, old: Any, new: Any, seed: int) -> None:
    folder = tmp_path_factory.mktemp("any")
    write(folder / "old", old, seed)
    write(folder / "new", new, seed + 1)
    here, there = ({n for n in rows if rows[n][1]} for rows in (old, new))
    with between(str(folder / "old"), str(folder / "new"), folder) as difference:
        rows = {int(row.id, 16): row for row in difference.rows()}
    for number in here | there:
        row = rows.pop(number, None)
        if number not in there:
            assert row is not None and row.what == ("removed",)
            assert row.reason == ("duplicate:near" if number in new else "source_off")
        elif number not in here:
            assert row is not None and row.what == ("added",)
            assert row.reason == ("was_duplicate:near" if number in old else "source_was_off")
        else:
            changed, moved = (old[number][at] != new[number][at] for at in (0, 2))
            assert (row.what if row else ()) == ("changed",) * changed + ("moved",) * moved
            assert row is None or row.fields == (("input", "tags") if changed else ())
    assert not rows


WORDS = st.lists(st.sampled_from(["a", "b", " ", "\n", ".", "word "]), max_size=300).map("".join)


@given(WORDS, WORDS)
def test_the_parts_of_a_comparison_give_both_texts(before: str, after: str) -> None:
    parts = list(page.compared(before, after))
    if not any(kind == "cut" for kind, _ in parts):
        assert "".join(text for kind, text in parts if kind != "added") == before
        assert "".join(text for kind, text in parts if kind != "removed") == after
    assert all(kind == "same" for kind, _ in parts if before == after) or any(kind == "cut" for kind, _ in parts)


@pytest.mark.parametrize("option", ["--rows", "--html"])
def test_a_folder_is_no_file_to_write(option: str, tmp_path: Path) -> None:
    with pytest.raises(click.BadParameter, match="is a directory"):
        run(["HEAD", option, str(tmp_path)])
