"""The laws that bind screens, policy, merge and split, for any policy, any order and any cut of the rows."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stages import merge, params, policy, screen, split
from stages.licenses import get
from tests.conftest import ROOT, Project
from tests.records import batch
from tests.test_normalize import lines, pair

MERGED = "data/merged/merged_mental_health_dataset.parquet"
LONG = (
    "It sounds exhausting to have the same argument every day. Try to choose a calm moment, say what you feel rather "
    "than what the other does, and agree on one small thing to change before you talk again"
)
TEXTS = (  # what the screens find something in, and what they do not
    "I can't sleep and my anxiety gets worse every evening when I think of work.",
    "Call me at (212) 555-0142 or write to jane.doe@example.org, I would like to talk.",
    "I want to kill myself tonight and I have a plan.",
    "Desde que murió mi madre no tengo ganas de levantarme de la cama por las mañanas.",
    "Please call 988 now, or go to the emergency room; you deserve to be safe.",
    "As an AI language model I cannot feel, but I hear you.",
    "A" + "bC3dE4fG5h" * 12,
    "Hello [Name], your post breaks the rules of this subreddit and was removed by the moderators.",
    LONG,
    LONG.replace("calm", "quiet"),
    LONG.upper() + "!",
    "My sister cuts herself and I do not know what to do about it.",
)
FINDINGS = (*params.FINDINGS, "language:en", "language:es")
SOURCES = ("amod_counseling", "mentalchat16k", "human_like_dpo", "depression_reddit")


def rows(draw: random.Random, count: int) -> dict[str, list[tuple[str, str]]]:
    """Questions and answers of each source; some say the same, within a source and across."""
    return {source: [(draw.choice(TEXTS), draw.choice(TEXTS)) for _ in range(count)] for source in SOURCES}


def csv(header: str, cells: list[list[str]]) -> bytes:
    return (header + "\n" + "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in cells)).encode()


def files(source: str, pairs: list[tuple[str, str]]) -> dict[str, bytes]:
    if source == "amod_counseling":
        return {"combined_dataset.json": lines(*(pair(*both) for both in pairs))}
    if source == "human_like_dpo":
        rows = [{"prompt": question, "chosen": answer, "rejected": "No."} for question, answer in pairs]
        return {"data.json": b"[" + b",".join(line for line in lines(*rows).splitlines()) + b"]"}
    if source == "depression_reddit":
        made = csv("clean_text,is_depression", [[question, str(len(answer) % 2)] for question, answer in pairs])
        return {"depression_dataset_reddit_cleaned.csv": made}
    made = [["Help.", question, answer] for question, answer in pairs]
    return {
        "Interview_Data_6K.csv": csv("instruction,input,output", made[1:]),
        "Synthetic_Data_10K.csv": csv("instruction,input,output", made[:1]),
    }


def screened(root: Path, given: dict[str, list[tuple[str, str]]]) -> Project:
    """A project with the given rows normalized and screened by all default screens; the other sources are empty."""
    root.mkdir()
    (root / "stages").symlink_to(ROOT / "stages")
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    shutil.copytree(ROOT / "data/benchmarks", root / "data/benchmarks")
    shutil.copy(ROOT / "data/deny.txt", root / "data/deny.txt")
    project = Project(root)
    project.params(lambda tree: tree.update(engine={"kind": "local", "workers": 1}))
    for source, pairs in given.items():
        project.raw(source, files(source, pairs))
        project.run("normalize", source)
    with contextlib.chdir(root):
        from stages import record

        for source in params.with_made(params.load(path=root / "params.yaml")).sources:
            if source not in given:
                pq.write_table(record.SCHEMA.empty_table(), f"data/normalized/{source}.parquet")
            screen.main(source)
    return project


# --- conservation ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return screened(tmp_path_factory.mktemp("policies") / "project", rows(random.Random(3), 30))


ACTIONS = st.dictionaries(st.sampled_from(FINDINGS), st.sampled_from(policy.ACTIONS), max_size=8)
POLICIES = st.fixed_dictionaries({"default": ACTIONS}, optional=dict.fromkeys(SOURCES, ACTIONS))


@pytest.mark.slow
@settings(max_examples=15, phases=[Phase.generate])  # an example takes a second: none is made smaller
@given(
    rules=POLICIES,
    profile=st.sampled_from(["research", "noncommercial", "permissive", ["MIT"]]),
    near=st.booleans(),
    answers=st.sampled_from(["report", "drop"]),
    keep_all=st.booleans(),
)
def test_rows_are_conserved_through_every_policy(
    shared: Project, rules: Any, profile: Any, near: bool, answers: str, keep_all: bool
) -> None:
    project = shared
    allowed = {source: own if source == "default" else permitted(source, own) for source, own in rules.items()}

    def change(tree: dict[str, Any]) -> None:
        tree.update(policy=allowed, profile=profile)
        tree["merge"].update(near=near, answers=answers)
        tree["sources"]["amod_counseling"]["keep_all"] = keep_all

    project.params(change)
    with contextlib.chdir(project.root):
        merge.main()
        check(project)


def permitted(source: str, rules: dict[str, str]) -> dict[str, str]:
    """The rules without a redaction that the source's licence forbids, which params refuse."""
    return rules if edits(source) == "yes" else {name: rule for name, rule in rules.items() if rule != "redact"}


def edits(source: str) -> str:
    return get(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["sources"][source]["license"]).edits


def check(project: Project) -> None:
    """Every row is in one place and its place is the one that the policy names; run in the project's folder."""
    kept = {row["id"]: row for row in project.table(MERGED)}
    removed = {row["id"]: row["kept"] for row in project.table("data/merged/duplicates.parquet")}
    dropped = {row["id"]: row["reason"] for row in project.table("data/merged/dropped.parquet")}
    assert len(kept) + len(removed) + len(dropped) == len(kept.keys() | removed.keys() | dropped.keys())
    tree = params.load(path=project.root / "params.yaml")
    for source in SOURCES:
        records = pq.read_table(project.root / f"data/normalized/{source}.parquet").combine_chunks().to_batches()[0]
        attributes = pq.read_table(project.root / f"data/screened/{source}.parquet").combine_chunks().to_batches()[0]
        ids = records["id"].to_pylist()
        verdict = policy.Rules(tree, source).judge(policy.findings(records, attributes), len(ids))
        account = project.json(f"data/ledger/merge/{source}.json")
        reasons = Counter(dropped[id] for id in ids if id in dropped)
        assert (account["in"], account["rejected"]) == (len(ids), dict(reasons))
        assert account["out"] == sum(id in kept for id in ids)
        assert account["in"] == account["out"] + sum(reasons.values()) + account["duplicates"]
        for row, (id, reason) in enumerate(zip(ids, verdict.dropped, strict=True)):
            assert dropped.get(id) in (reason, "license"), (
                "a row leaves for the reason that the policy gives, or its licence"
            )
            if id in kept and verdict.held[row]:
                assert not set(kept[id]["enters"]) & set(policy.HELD_BACK)
            if id in kept and source == "amod_counseling":
                before = records.slice(row, 1).to_pylist()[0]
                assert (kept[id]["input"], kept[id]["response"]) == (before["input"], before["response"])
    assert set(removed.values()) <= kept.keys()


# --- order ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_any_order_of_sources_and_rows_gives_the_same_rows_ids_sides_and_clusters(tmp_path: Path) -> None:
    draw = random.Random(11)
    words = [f"word{n}" for n in range(60)]
    wholes = [" ".join(draw.choice(words) for _ in range(40)) for _ in range(25)]

    def changed(text: str) -> str:
        parts = text.split()
        parts[draw.randrange(40)] = "other"
        return " ".join(parts)

    given = {
        source: [(changed(draw.choice(wholes)), changed(draw.choice(wholes[:6]))) for _ in range(40)]
        for source in ("amod_counseling", "mentalchat16k")
    }

    def outcome(name: str, given: dict[str, list[tuple[str, str]]], reverse: bool) -> tuple[Any, ...]:
        project = screened(tmp_path / name, given)
        if reverse:
            project.params(lambda tree: tree.update(sources=dict(reversed(tree["sources"].items()))))
        with contextlib.chdir(project.root):
            merge.main()
            split.main()
        table = project.table(MERGED)
        clusters: dict[str, set[str]] = {}
        for row in table:
            if row["cluster"]:
                clusters.setdefault(row["cluster"], set()).add(row["id"])
        removed = {row["id"]: (row["kept"], row["method"]) for row in project.table("data/merged/duplicates.parquet")}
        sides = {row["id"]: (row["side"], row["group"]) for row in project.table("data/split/split.parquet")}
        return {row["id"]: row["input"] for row in table}, removed, clusters, sides

    before = outcome("before", given, reverse=False)
    assert {method for _, method in before[1].values()} >= {"near"} and before[2], (
        "no near-duplicates: nothing is shown"
    )
    for pairs in given.values():
        draw.shuffle(pairs)
    assert outcome("after", dict(reversed(given.items())), reverse=True) == before


# --- screens --------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    pairs=st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from(TEXTS)), min_size=1, max_size=14),
    order=st.randoms(use_true_random=False),
    size=st.integers(1, 5),
)
def test_all_screens_give_a_row_the_same_in_any_batch_and_order_and_twice(
    pairs: list[tuple[str, str]], order: random.Random, size: int
) -> None:
    whole = batch(*({"input": question, "response": answer} for question, answer in pairs))
    wanted = screen.attributes(whole, params.Screens())
    assert screen.attributes(whole, params.Screens()).equals(wanted)
    places = list(range(len(pairs)))
    order.shuffle(places)
    mixed = whole.take(pa.array(places))
    parts = [screen.attributes(mixed.slice(i, size), params.Screens()) for i in range(0, len(places), size)]
    assert pa.Table.from_batches(parts).to_pylist() == wanted.take(pa.array(places)).to_pylist()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from(TEXTS)), min_size=1, max_size=8))
def test_screening_what_was_redacted_finds_nothing_more_to_redact(pairs: list[tuple[str, str]]) -> None:
    rows = batch(*({"input": question, "response": answer, "source": "trace"} for question, answer in pairs))
    rules = policy.Rules(params.load(path=ROOT / "params.yaml"), "trace")

    def redacted(rows: pa.RecordBatch) -> pa.RecordBatch:
        found = screen.attributes(rows, params.Screens())
        return policy.redacted(rows, found, rules, rules.judge(policy.findings(rows, found), len(rows)))

    once = redacted(rows)
    found = screen.attributes(once, params.Screens())
    assert not rules.judge(policy.findings(once, found), len(once)).redact.any()
    assert redacted(once).equals(once)
