"""merge and split: duplicates, order, sides, and the laws that bind them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages import params, record
from tests.conftest import Project
from tests.near_oracle import sentence
from tests.test_normalize import lines, pair


def prompt(text: str, chosen: str = "Good.", rejected: str = "Bad.") -> dict[str, str]:
    return {"prompt": text, "chosen": chosen, "rejected": rejected}


def transcript(text: str, participant: str = "1") -> dict[str, str]:
    return {"text": text, "experiment": "e", "participant": participant}


MERGED = "data/merged/merged_mental_health_dataset"
FILES = {
    "amod_counseling": "combined_dataset.json",
    "human_like_dpo": "data.json",
    "psych_101": "prompts_training.jsonl",
}


def build(project: Project, **rows: list[Any]) -> list[dict[str, Any]]:
    """Normalize the given rows, leave all other sources empty, merge without screens; return the merged rows."""
    settings = params.with_made(params.load(path=project.root / "params.yaml"))
    for folder in ("normalized", "screened"):
        (project.root / "data" / folder).mkdir(parents=True, exist_ok=True)
    for source in settings.sources:
        if source in rows:
            project.raw(source, {FILES[source]: lines(*rows[source])})
            project.run("normalize", source)
        else:
            pq.write_table(record.SCHEMA.empty_table(), project.root / f"data/normalized/{source}.parquet")
        ids = pq.read_table(project.root / f"data/normalized/{source}.parquet", columns=["id"])
        pq.write_table(ids, project.root / f"data/screened/{source}.parquet")
    project.run("merge")
    return project.table(f"{MERGED}.parquet")


def split(project: Project) -> dict[str, str]:
    """Split the merged rows; return the side of each id."""
    project.run("split")
    return {row["id"]: row["side"] for row in project.table("data/split/split.parquet")}


def test_rows_that_fold_alike_are_one_and_the_kept_row_names_the_others(project: Project) -> None:
    rows = build(
        project, amod_counseling=[pair("How are you?", "Well."), pair("how are\u00a0you", "WELL"), pair("x", "y")]
    )
    assert [row["input"] for row in rows] in (["How are you?", "x"], ["how are\u00a0you", "x"])
    removed = project.table("data/merged/duplicates.parquet")
    assert [row["kept"] for row in removed] == [rows[0]["id"]]
    assert rows[0]["duplicates"] == [removed[0]["id"]]
    assert removed[0]["method"] == "exact" and removed[0]["score"] == 1000
    account = project.json("data/ledger/merge/amod_counseling.json")
    assert (account["in"], account["out"], account["duplicates"]) == (3, 2, 1)


def test_another_answer_to_the_same_question_is_no_duplicate(project: Project) -> None:
    assert len(build(project, amod_counseling=[pair("Why?", "One."), pair("Why?", "Two.")])) == 2


def test_a_rejected_response_makes_a_row_another_one(project: Project) -> None:
    assert len(build(project, human_like_dpo=[prompt("Hi", "a", "b"), prompt("Hi", "a", "c")])) == 2


def test_texts_of_symbols_alone_are_told_apart(project: Project) -> None:
    assert len(build(project, amod_counseling=[pair("🙂", "!"), pair("🙁", "!"), pair("🙂", "!")])) == 2


def test_transcripts_are_compared_as_they_stand(project: Project) -> None:
    rows = [transcript("You press <<A>>"), transcript("you press <<A>>", "2"), transcript("You press <<A>>", "3")]
    assert len(build(project, psych_101=rows)) == 2


def test_keep_all_keeps_every_row_of_a_source(project: Project) -> None:
    project.params(lambda tree: tree["sources"]["amod_counseling"].update(keep_all=True))
    assert len(build(project, amod_counseling=[pair("one"), pair("one"), pair("One")])) == 3


def test_the_lower_priority_number_stays_across_sources(project: Project) -> None:
    project.params(lambda tree: tree["sources"]["human_like_dpo"].update(priority=1))
    rows = build(project, amod_counseling=[pair("one", "x")], psych_101=[transcript("t <<A>>")])
    assert [row["source"] for row in rows] == ["amod_counseling", "psych_101"]


def test_a_near_duplicate_of_a_row_that_leaves_for_its_answer_names_the_row_that_stays(project: Project) -> None:
    question = (
        "My partner and I argue every evening about money and I no longer know how to bring it up without a fight"
    )
    other = "Since I changed jobs I lie awake most nights and go over each thing that I said to people that day"
    answer = " ".join(
        f"It takes time to find words for step {number} of this, so be kind to yourself." for number in "abcdefg"
    )
    project.params(lambda tree: tree["merge"].update(answers="drop"))
    project.params(lambda tree: tree["sources"]["human_like_dpo"].update(priority=1))
    near = [pair(question, answer), pair(question.replace("evening", "night"), answer)]
    rows = build(project, human_like_dpo=[prompt(other, answer)], amod_counseling=near)
    removed = project.table("data/merged/duplicates.parquet")
    assert {row["method"] for row in removed} == {"near", "answer"}
    assert [row["kept"] for row in removed] == [rows[0]["id"]] * 2
    assert rows[0]["duplicates"] == sorted(row["id"] for row in removed)


def test_json_and_csv_hold_the_same_six_fields_of_the_same_rows(project: Project) -> None:
    odd = 'comma, "quote"\nline\r\u2028 =1+1 🙂'
    rows = build(project, amod_counseling=[pair(odd, "NA")], human_like_dpo=[prompt("Hi")])
    with (project.root / f"{MERGED}.json").open(encoding="utf-8") as file:
        from_json = json.load(file)
    with (project.root / f"{MERGED}.csv").open(encoding="utf-8", newline="") as file:
        from_csv = list(csv.DictReader(file))
    assert list(from_json[0]) == list(from_csv[0])
    assert list(from_json[0]) == ["input", "response", "rejected_response", "source", "type", "tags"]
    assert [{**row, "tags": json.loads(row["tags"]), "rejected_response": row["rejected_response"] or None}
            for row in from_csv] == from_json  # fmt: skip
    assert from_json[0]["input"] == odd == rows[0]["input"]
    account = project.json("data/ledger/merge/amod_counseling.json")["details"]
    assert account["cells_like_null"] == 1


def test_no_rows_at_all_give_valid_empty_files(project: Project) -> None:
    assert build(project) == []
    assert json.loads((project.root / f"{MERGED}.json").read_bytes()) == []
    assert split(project) == {}


# --- laws ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_any_order_of_rows_gives_the_same_rows_ids_sides_and_clusters(project: Project) -> None:
    rng = random.Random(7)
    words = ["sad", "Sad!", "tired", "tired ", "lost", "alone", "ALONE", "so-so"]
    rows = [pair(f"I feel {rng.choice(words)}", f"Why {rng.choice(words)}?") for _ in range(150)]

    def outcome() -> tuple[Any, ...]:
        merged = build(project, amod_counseling=rows)
        kept = {row["id"]: (row["input"], tuple(sorted(row["duplicates"]))) for row in merged}
        removed = {row["id"]: row["kept"] for row in project.table("data/merged/duplicates.parquet")}
        return kept, removed, split(project)

    before = outcome()
    assert before[1], "the rows hold no duplicates: this test shows nothing"
    rng.shuffle(rows)
    assert outcome() == before


NO_ROOM = (
    "from stages.engine import keys; from stages.dedup import candidates; from stages import merge; "
    "keys.IN_MEMORY = candidates.CUT = 3; candidates.ENTRIES = candidates.PIECE = candidates.SPAN = 20; merge.main()"
)


def test_keys_that_memory_does_not_hold_give_the_same_bytes(project: Project) -> None:
    draw = random.Random(8)
    questions = [" ".join(sentence(draw, 30)) for _ in range(40)]
    asked = [pair(draw.choice(questions) + draw.choice(["", "?", " so"]), draw.choice("abc")) for _ in range(150)]
    others = [prompt(draw.choice(questions) + " now", "yes", str(n % 9)) for n in range(60)]
    rows = build(project, amod_counseling=asked, human_like_dpo=others)
    clusters: dict[str, list[tuple[bool, str]]] = {}
    for row in rows:
        clusters.setdefault(row["cluster"] or row["id"], []).append((row["source"] != rows[0]["source"], row["id"]))
    assert len(clusters) == len(questions)
    assert all(name == min(members)[1] for name, members in clusters.items()), "the first by source, then id"

    def digests() -> dict[str, str]:
        files = sorted((project.root / "data/merged").iterdir())
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    before = digests()
    (project.root / f"{MERGED}.parquet").unlink()
    subprocess.run([sys.executable, "-c", NO_ROOM], cwd=project.root, check=True, capture_output=True)
    assert digests() == before


@pytest.mark.slow
def test_adding_rows_moves_no_other_row(project: Project) -> None:
    rows = [pair(f"question {n // 2}", f"answer {n}") for n in range(60)]
    build(project, amod_counseling=rows)
    before = split(project)
    build(project, amod_counseling=[pair("new", "x"), *rows, pair("newer", "y")])
    after = split(project)
    assert len(after) == len(before) + 2
    assert before.items() <= after.items()


def test_rows_of_one_folded_input_stand_on_one_side(project: Project) -> None:
    build(project, amod_counseling=[pair(f"question {n % 9}" + "!" * (n % 4), f"answer {n}") for n in range(80)])
    sides = split(project)
    by_input: dict[str, set[str]] = {}
    for row in project.table(f"{MERGED}.parquet"):
        by_input.setdefault(row["input"].rstrip("!"), set()).add(sides[row["id"]])
    assert len(by_input) == 9
    assert all(len(found) == 1 for found in by_input.values())
    assert set(sides.values()) == {"train", "validation"}


def test_participants_with_the_same_transcript_stand_on_one_side(project: Project) -> None:
    rows = [transcript(f"{p % 3} same text <<{c}>>", str(p)) for p in range(12) for c in "AB"]
    build(project, psych_101=rows)
    split(project)
    groups = {row["group"] for row in project.table("data/split/split.parquet")}
    assert len(groups) == 3


def test_another_seed_gives_other_sides_and_the_share_lies_within_its_bound(project: Project) -> None:
    build(project, amod_counseling=[pair(f"question {n}", "a") for n in range(400)])
    before = split(project)
    details = project.json("data/ledger/split/amod_counseling.json")["details"]
    assert details["train"] + details["validation"] == details["groups"] == 400
    assert abs(details["validation_share"] - 0.2) <= details["share_bound"]
    project.params(lambda tree: tree["split"].update(seed=2))
    assert split(project) != before


def test_a_group_of_more_than_a_fifth_of_the_rows_is_told(project: Project) -> None:
    build(project, amod_counseling=[pair(f"question {max(n, 40)}", f"answer {n}") for n in range(120)])
    assert "one group holds 41 of 120 rows of amod_counseling" in project.run("split").stdout
    build(project, amod_counseling=[pair(f"question {n // 2}", f"answer {n}") for n in range(120)])
    assert "one group holds" not in project.run("split").stdout


@pytest.mark.parametrize("unbuffered", ["1", ""])
@pytest.mark.parametrize("both", [False, True])
def test_a_stage_whose_reader_has_gone_gives_no_traceback(project: Project, unbuffered: str, both: bool) -> None:
    """Python writes at each print, or at the end: then the work is done, and nothing is left to say."""
    build(project, amod_counseling=[pair(f"question {n}", f"answer {n}") for n in range(5)])
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        words, env = [sys.executable, "-m", "stages.merge"], {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        errors = subprocess.STDOUT if both else subprocess.PIPE
        done = subprocess.run(words, cwd=project.root, stdout=gone, stderr=errors, text=True, env=env, check=False)
    assert done.returncode == (1 if unbuffered else 0)
    said = "error: what read this stage's output has ended: run it again without a pipe\n" if unbuffered else ""
    assert both or done.stderr == said


def test_a_leak_fails_the_build(tmp_path: Path) -> None:
    from stages import split as stage
    from stages.errors import LawError

    part = stage.np.zeros(2, stage.KEY)
    part["side"] = [0, 1]
    with pytest.raises(LawError, match=r"[12] rows"):
        stage._check(part, "group")
