"""takedown: what is found, what goes into the list, and that a build without the rows is told from one with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages import deny
from stages.versions.search import Needle, search
from tests.conftest import Project

FORMATS = ("openai", "hub", "huggingface", "dpo", "classification", "sharegpt", "alpaca", "bedrock", "kto")


def takedown(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mhdata", "takedown", *words], cwd=folder, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def source(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with more formats."""
    folder = tmp_path_factory.mktemp("takedown") / "project"
    shutil.copytree(built, folder, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    Project(folder).params(lambda tree: tree.update(formats=list(FORMATS)))
    for name in ("sharegpt", "alpaca", "bedrock", "kto"):
        Project(folder).run("export", name)
    return folder


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "project", symlinks=True))


def pair(folder: Path) -> dict[str, Any]:
    """A duplicate whose kept row is a chat row in train."""
    left = pq.read_table(folder / "data/merged/duplicates.parquet").to_pylist()
    rows = pq.read_table(folder / "data/split/split.parquet").to_pylist()
    sides = {row["id"]: row["side"] for row in rows}
    return next(row for row in left if row["source"] == "amod_counseling" and sides.get(row["kept"]) == "train")


def test_a_removed_row_leads_to_all_its_duplicates_and_every_file(folder: Path) -> None:
    one = pair(folder)
    found = json.loads(takedown(folder, one["id"], "--dry-run", "--json"))
    assert {row["id"] for row in found["rows"]} >= {one["id"], one["kept"]}
    assert {row["why"] for row in found["rows"]} == {"named", "duplicate"}
    files = {file["path"] for file in found["files"] if file["found"]}
    for part in ("merged_mental_health_dataset.parquet", ".json", ".csv", "openai_train.jsonl", "hub/data/train",
                 "huggingface/train/data", "huggingface/dataset.csv", "sharegpt/train", "alpaca/train"):  # fmt: skip
        assert any(part in path for path in files), (part, files)
    assert not any("validation" in path for path in files)
    assert (folder / "data/deny.txt").read_bytes() == (Path(__file__).parents[2] / "data/deny.txt").read_bytes()


def test_after_the_next_build_it_is_gone_and_before_it_is_not(folder: Path) -> None:
    one = pair(folder)
    said = takedown(folder, one["kept"][:8], "--yes", "--reason", "ticket-7")
    listed = (folder / "data/deny.txt").read_text(encoding="utf-8")
    text = next(row for row in Project(folder).records("amod_counseling") if row["id"] == one["kept"])["input"]
    assert "ticket-7" in listed and text[:30] not in listed + said
    assert "Not gone" in takedown(folder, one["kept"], "--verify", code=1)
    assert "Not gone" in takedown(folder, "--verify", code=1)
    for words in ("merge", "split", *(f"export {name}" for name in FORMATS)):
        Project(folder).run(*words.split())
    assert "Gone: none" in takedown(folder, one["id"], "--verify")
    assert "dvc gc" in takedown(folder, "--verify")
    dropped = pq.read_table(folder / "data/merged/dropped.parquet").to_pylist()
    assert {row["id"] for row in dropped if row["reason"] == "denied"} >= {one["id"], one["kept"]}


def test_a_question_takes_every_row_that_asks_it(folder: Path) -> None:
    rows = Project(folder).records("amod_counseling")
    one = next(row for row in rows if sum(other["input"] == row["input"] for other in rows) > 2)
    takedown(folder, one["id"], "--question", "--yes")
    asked = json.loads(takedown(folder, one["id"], "--question", "--verify", "--json", code=1))
    assert max(file["found"] for file in asked["files"]) > 2
    Project(folder).run("merge")
    left = pq.read_table(folder / "data/merged/merged_mental_health_dataset.parquet", columns=["input"])
    assert one["input"] not in left["input"].to_pylist()


def test_a_text_is_found_whatever_its_case_and_spacing(folder: Path) -> None:
    one = next(row for row in Project(folder).records("trace"))
    part = one["input"][:60].upper().replace(" ", "  ")
    found = json.loads(takedown(folder, "--match", part, "--dry-run", "--json"))
    assert one["id"] in {row["id"] for row in found["rows"]}


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        ([], 2, "say what must go"),
        (["--match", "too short"], 2, "at least 12"),
        (["--match", "nobody ever wrote this sentence here"], 1, "no record holds this text"),
        (["zz"], 2, "is no id"),
        (["000000000000"], 1, "no record has an id"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_sentence(source: Path, words: list[str], code: int, part: str) -> None:
    assert part in takedown(source, *words, code=code)


def test_nobody_to_ask_is_no_yes(folder: Path) -> None:
    before = (folder / "data/deny.txt").read_bytes()
    assert "add --yes" in takedown(folder, pair(folder)["kept"], code=3)
    assert (folder / "data/deny.txt").read_bytes() == before
    assert deny.load(folder / "data/deny.txt") == frozenset()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"x": [{"role": "user", "content": "Where is my KEY?"}]}\n{"x": "no"}\n'),
        ("a.json", '[\n{"x": {"y": "Where is\\nmy key"}},\n{"x": 1}\n]\n'),
        ("b.json", '{"rows": ["where", "is my key"]}'),
        ("a.csv", '"x","y"\n"where is","my ""key"""\n'),
        ("a.md", "# Where\nis my key"),
    ],
)
def test_a_text_is_found_in_every_kind_of_file(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content.replace("KEY", LONG.upper()).replace("key", LONG), encoding="utf-8")
    wanted = "whereismy" + LONG.replace(" ", "").lower()
    hits = search(tmp_path / name, [Needle("1", (wanted,)), Needle("2", (wanted, "other"))])
    assert (hits.found, hits.ids) == (1, {"1"})


LONG = "key that I have looked for all day long"


def test_a_short_text_is_not_found_inside_others(tmp_path: Path) -> None:
    rows = [{"text": "Label this: I am tired", "label": "yes"}, {"text": "I am tired of it", "label": "yes"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hits = search(tmp_path / "a.jsonl", [Needle("1", ("iamtired", "yes"))])
    assert hits.numbers == [0]
