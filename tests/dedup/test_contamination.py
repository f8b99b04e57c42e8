"""Decontamination: a benchmark's question is found however it is spaced or cut, a phrase in common is no hit."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import params, readers, sources, text
from stages.dedup import contamination as con
from stages.errors import ParamsError, SourceError
from stages.files import write_json
from stages.record import SCHEMA

ROOT = Path(__file__).parents[2]
REAL = os.environ.get("MHDATA_REAL")

_WORDS = random.Random(7)
VOCABULARY = [f"{a}{b}{c}" for a in "bdgkmpt" for b in "aeiou" for c in "lnrs"]


def prose(length: int) -> str:
    """Words at random: any two texts share no run of 13."""
    return " ".join(_WORDS.choices(VOCABULARY, k=length))


INSTRUCTION = "please read what the person wrote with great care and then answer in a kind voice"  # 16 words
QUESTIONS = [f"{INSTRUCTION}: {prose(80)}" for _ in range(6)] + [prose(30), prose(14), prose(13), "Why me?", "Wirklich"]


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> con.Benchmarks:
    folder = tmp_path_factory.mktemp("benchmarks")
    write_json(folder / "alpha.json", con.describe("alpha", QUESTIONS))
    write_json(folder / "beta.json", con.describe("beta", [QUESTIONS[8], "Only here."]))
    return con.load(["beta", "alpha"], folder)


def batch(*inputs: str, **columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"input": pa.array(inputs, pa.string())} | {k: pa.array(v, SCHEMA.field(k).type) for k, v in columns.items()}
    )


def hit(found: pa.StructArray, row: int = 0) -> tuple[Any, ...] | None:
    value = found[row].as_py()
    return value and (value["benchmark"], value["question"], value["method"], value["overlap"])


def one(benchmarks: con.Benchmarks, asked: str, min_overlap: float = 0.5) -> tuple[Any, ...] | None:
    return hit(con.hits(batch(asked), benchmarks, min_overlap))


# --- exact -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
@pytest.mark.parametrize(
    "change", [str, str.upper, lambda t: t.replace(" ", ""), lambda t: f"«{t.replace(' ', ' - ')}»"]
)
def test_a_question_is_found_in_any_spelling(benchmarks: con.Benchmarks, number: int, change: Any) -> None:
    assert one(benchmarks, change(QUESTIONS[number])) == ("alpha", number, "exact", 1000)


@given(st.lists(st.text(max_size=30).map(lambda value: value.replace("\0", ""))))
def test_words_without_gaps_are_the_folded_text(values: list[str]) -> None:
    texts = pa.array(values, pa.string())
    assert pc.replace_substring(text.words(texts), " ", "").to_pylist() == text.fold(texts).to_pylist()


def test_a_short_question_inside_a_text_is_no_hit(benchmarks: con.Benchmarks) -> None:
    assert one(benchmarks, f"{prose(20)} Why me? {prose(20)}") is None
    assert one(benchmarks, "Wirklich gut") is None


# --- overlap -----------------------------------------------------------------------------------------------


def test_a_question_within_a_longer_text_is_found(benchmarks: con.Benchmarks) -> None:
    found = con.hits(batch(f"{prose(50)} {QUESTIONS[6]} {prose(50)}"), benchmarks)
    assert hit(found) == ("alpha", 6, "overlap", 1000)
    value = found[0].as_py()
    assert value["field"] == "input" and 50 <= value["word"] <= 50 + 17


def test_a_question_with_words_changed_is_found(benchmarks: con.Benchmarks) -> None:
    words = QUESTIONS[0].split()
    words[3], words[60] = "other", "words"
    found = one(benchmarks, " ".join(words))
    assert found is not None and found[:3] == ("alpha", 0, "overlap") and 500 <= found[3] < 1000


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_the_share_decides(benchmarks: con.Benchmarks, share: float) -> None:
    words = QUESTIONS[1].split()
    asked = " ".join(words[: 16 + int(80 * share)]) + " " + prose(60)
    assert (one(benchmarks, asked) is not None) == (share > 0.5)
    assert one(benchmarks, asked, min_overlap=0.01) is not None


def test_the_benchmarks_own_instruction_is_no_question(benchmarks: con.Benchmarks) -> None:
    assert one(benchmarks, f"{INSTRUCTION}: {prose(40)}", min_overlap=0.001) is None


def test_a_phrase_in_common_is_no_hit(benchmarks: con.Benchmarks) -> None:
    phrase = " ".join(QUESTIONS[2].split()[40:55])
    assert one(benchmarks, f"{prose(40)} {phrase} {prose(40)}") is None


def test_no_run_reaches_from_one_text_into_the_next(benchmarks: con.Benchmarks) -> None:
    words = QUESTIONS[8].split()  # 13 words: one run
    halves = batch(" ".join(words[:6]), " ".join(words[6:]), response=["", ""])
    assert con.hits(halves, benchmarks).null_count == 2


def test_a_run_that_comes_twice_counts_once(benchmarks: con.Benchmarks) -> None:
    part = " ".join(QUESTIONS[3].split()[30:50])
    assert one(benchmarks, " x ".join([part] * 12)) is None


@pytest.mark.parametrize("length", [13, 14, 15, 30, 200])
def test_the_whole_question_always_overlaps_itself(length: int, tmp_path: Path) -> None:
    asked = prose(length)
    write_json(tmp_path / "x.json", con.describe("x", [asked]))
    found = con.hits(batch(f"and {asked} end"), con.load(["x"], tmp_path), min_overlap=1.0)
    assert hit(found) == ("x", 0, "overlap", 1000)


# --- rows --------------------------------------------------------------------------------------------------


def test_every_field_is_looked_at_and_the_best_hit_named(benchmarks: con.Benchmarks) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Well: {QUESTIONS[6]}"}]
    rows = batch(
        *["hello"] * 6,
        response=["a", QUESTIONS[0], f"so {QUESTIONS[6]}", "b", "c", "d"],
        rejected_response=[None, None, QUESTIONS[9], QUESTIONS[10], None, None],
        turns=[None, None, None, [], talk, talk],
        type=[*["interview"] * 5, "behavioral-experiment"],
    )
    found = con.hits(rows, benchmarks)
    fields = [value and (value["field"], value["question"], value["method"]) for value in found.to_pylist()]
    assert fields == [
        None,
        ("response", 0, "exact"),
        ("rejected_response", 9, "exact"),
        ("rejected_response", 10, "exact"),
        ("turns", 6, "overlap"),
        None,  # the turns of a transcript are its input
    ]
    assert found.type == con.TYPE


def test_a_question_of_two_benchmarks_counts_for_the_first(benchmarks: con.Benchmarks) -> None:
    assert benchmarks.names == ("alpha", "beta")
    assert one(benchmarks, QUESTIONS[8]) == ("alpha", 8, "exact", 1000)
    assert one(benchmarks, "only HERE") == ("beta", 1, "exact", 1000)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_hits_do_not_depend_on_the_batch(benchmarks: con.Benchmarks, size: int) -> None:
    texts = [QUESTIONS[0], "", prose(40), f"x {QUESTIONS[7]} y", "👋", QUESTIONS[9].upper(), " ".join(QUESTIONS)]
    whole = con.hits(batch(*texts), benchmarks).to_pylist()
    rows = batch(*texts)
    parts = [con.hits(rows.slice(at, size), benchmarks).to_pylist() for at in range(0, len(texts), size)]
    assert whole == [value for part in parts for value in part]


def test_no_benchmark_no_hit() -> None:
    assert con.hits(batch("a", ""), con.load([])).null_count == 2


def test_the_matrix(benchmarks: con.Benchmarks) -> None:
    matrix = con.Matrix(benchmarks, ["one", "two"])
    rows = batch(QUESTIONS[0], QUESTIONS[0], f"x {QUESTIONS[6]}", "nothing")
    matrix.add(pa.array(["one", "one", "one", "two"]), con.hits(rows, benchmarks))
    assert matrix.table() == [
        {"benchmark": "alpha", "size": 11, "source": "one", "exact": 2, "overlap": 1, "questions": 2},
        {"benchmark": "alpha", "size": 11, "source": "two", "exact": 0, "overlap": 0, "questions": 0},
        {"benchmark": "beta", "size": 2, "source": "one", "exact": 0, "overlap": 0, "questions": 0},
        {"benchmark": "beta", "size": 2, "source": "two", "exact": 0, "overlap": 0, "questions": 0},
    ]


# --- files -------------------------------------------------------------------------------------------------


def test_a_file_holds_hashes_alone() -> None:
    found = con.describe("alpha", QUESTIONS)
    for line in found["texts"] + found["runs"]:
        assert set(line) <= set("0123456789abcdef")
    assert [len(line) // 16 for line in found["runs"][6:]] == [5, 2, 1, 0, 0]  # a quarter of 18, all of 2 and of 1


def test_the_hashes_are_for_good() -> None:
    """Files in git were made with them: another value here means that all of them must be made again."""
    found = con.describe("x", ["The quick brown fox jumps over the lazy dog, and runs away again."])
    assert found["probe"] == found["runs"][0] == "f173f5dc40d8e8da"


def test_a_file_made_by_other_rules_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", con.describe("x", ["a b c"]) | {"probe": "0" * 16})
    with pytest.raises(ParamsError, match="other rules"):
        con.load(["x"], tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"none\.json is missing"):
        con.load(["none"], tmp_path)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_make_reads_a_users_copy(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": 1, "q": "First, one?"}, {"id": 2, "q": "Second\none"}]
    file = tmp_path / f"copy.{kind}"
    content = {
        "jsonl": b"\n".join(map(orjson.dumps, rows)),
        "json": orjson.dumps(rows),
        "csv": b'\xef\xbb\xbfid,q\n1,"First, one?"\n2,"Second\none"\n',
    }
    file.write_bytes(content[kind])
    monkeypatch.chdir(tmp_path)
    con.main("make", "mine", str(file), "q")
    assert one(con.load(["mine"]), "second ONE") == ("mine", 1, "exact", 1000)


def test_turns_are_one_question(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"turns": ["a", "b"]}\n')
    assert con.questions_of(tmp_path / "x.jsonl", "turns") == ["a\nb"]


@pytest.mark.parametrize(("line", "sentence"), [('{"a": 1}', "row 0"), ("oh", "neither"), ("[1]", "row 0")])
def test_make_names_what_is_no_question(line: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(line)
    with pytest.raises(SourceError, match=sentence):
        con.questions_of(tmp_path / "x.jsonl", "q")


@pytest.mark.parametrize("words", [(), ("make", "x", "y"), ("do", "x", "y", "z")])
def test_make_says_how_it_is_called(words: tuple[str, ...]) -> None:
    with pytest.raises(ParamsError, match="usage"):
        con.main(*words)


def test_a_blank_question_is_refused() -> None:
    with pytest.raises(SourceError, match="letter"):
        con.describe("x", ["fine", " ?! "])


# --- the real files ----------------------------------------------------------------------------------------


def test_the_benchmark_in_git_is_whole() -> None:
    assert con.load(params.Decontaminate().benchmarks, ROOT / con.FOLDER).sizes.tolist() == [200]


@pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")
def test_the_benchmark_in_git_is_made_from_the_users_copy() -> None:
    copy = Path(REAL or "") / "mentalchat16k/eval/question_200.jsonl"
    name = "mentalchat16k_eval"
    kept = orjson.loads((ROOT / con.FOLDER / f"{name}.json").read_bytes())
    assert kept | con.describe(name, con.questions_of(copy, "turns")) == kept


def _real(key: str) -> Iterator[pa.RecordBatch]:
    source = params.load(path=ROOT / "params.yaml").sources[key]
    module = sources.load(key)
    for file in source.files:
        path = Path(REAL or "") / key / file
        for unit in readers.units(path) if path.exists() else ():
            for read in readers.read(unit, module.raw(source), key):
                yield module.draft(read.columns, file, source)


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")
def test_all_200_questions_are_rows_of_the_depression_source_and_of_no_other() -> None:
    keys = ["amod_counseling", "mentalchat16k", "trace", "human_like_dpo", "psych_101", "depression_reddit"]
    benchmarks = con.load(["mentalchat16k_eval"], ROOT / con.FOLDER)
    matrix = con.Matrix(benchmarks, keys)
    exact: set[int] = set()
    texts: Counter[str] = Counter()
    for key in keys:
        for rows in _real(key):
            found = con.hits(rows, benchmarks)
            matrix.add(pa.array([key] * len(rows)), found)
            exact |= {value["question"] for value in found.to_pylist() if value and value["method"] == "exact"}
            texts[key] += len(rows)
    by_source = {line["source"]: (line["exact"], line["overlap"], line["questions"]) for line in matrix.table()}
    assert all(texts.values())
    assert exact == set(range(200))
    assert by_source.pop("depression_reddit") == (206, 1, 200)
    assert set(by_source.values()) == {(0, 0, 0)}
