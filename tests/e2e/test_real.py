"""The real upstream files, built by `origin: local`: known figures, and the laws measured by other means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from tests.near_oracle import most_alike

MERGED = "data/merged/merged_mental_health_dataset.parquet"

pytestmark = pytest.mark.slow


def ledger(built: Path) -> dict[str, Any]:
    return orjson.loads((built / "data/reports/ledger.json").read_bytes())


def test_every_row_is_accounted_for(real_built: Path) -> None:
    for stage, sources in ledger(real_built).items():
        for source, figures in sources.items():
            out = figures["out"] + sum(figures["rejected"].values()) + figures["duplicates"]
            assert figures["in"] == out, f"{stage} of {source}"


@pytest.mark.parametrize(
    ("source", "rows", "rejected"),
    [
        ("amod_counseling", 3512, {"empty_text": 4}),
        ("depression_reddit", 7731, {}),
        ("human_like_dpo", 7162, {}),
        ("mentalchat16k", 1279, {}),
        ("psych_101", 1953, {}),
        ("trace", 2979, {}),
    ],
)
def test_rows_arrive_as_the_manifest_counts_them(real_built: Path, source: str, rows: int, rejected: Any) -> None:
    figures = ledger(real_built)["normalize"][source]
    assert (figures["in"], figures["rejected"]) == (rows, rejected)


def test_amod_folds_to_what_was_measured(real_built: Path) -> None:
    details = ledger(real_built)["merge"]["amod_counseling"]["details"]["duplicates_by_method"]
    assert details["exact"] + details.get("exact+near", 0) >= 1470
    records = pq.read_table(real_built / "data/normalized/amod_counseling.parquet", columns=["group"])["group"]
    assert len(records.unique()) == 831


def test_amod_is_byte_equal_or_absent(real_built: Path) -> None:
    raw = [
        json.loads(line)
        for line in (real_built / "data/raw/amod_counseling/combined_dataset.json").open(encoding="utf-8")
    ]
    pairs = {(row["Context"], row["Response"]) for row in raw}
    merged = [row for row in rows(real_built, ["source", "input", "response"]) if row["source"] == "amod_counseling"]
    assert len(merged) > 1800
    assert all((row["input"], row["response"]) in pairs for row in merged)


def rows(built: Path, columns: list[str]) -> list[dict[str, Any]]:
    return pq.read_table(built / MERGED, columns=columns).to_pylist()


def test_transcripts_keep_every_choice(real_built: Path) -> None:
    table = pq.read_table(real_built / "data/normalized/psych_101.parquet", columns=["input", "response", "turns"])
    raw = [
        json.loads(line)["text"]
        for line in (real_built / "data/raw/psych_101/prompts_training.jsonl").open(encoding="utf-8")
    ]
    for text, row in zip(raw, table.to_pylist(), strict=True):
        choices = re.findall(r"<<(.*?)>>", text, re.S)
        assert [turn["content"] for turn in row["turns"] if turn["role"] == "assistant"] == choices
        assert row["response"] == choices[-1]
        assert text.startswith(row["input"] + f"<<{row['response']}>>")


def test_the_benchmark_is_held_out_whole(real_built: Path) -> None:
    lines = [line for f in ledger(real_built)["split"].values() for line in f["details"]["contamination"]]
    questions = {line["source"]: line["questions"] for line in lines}
    assert questions.pop("depression_reddit") == 200
    assert not any(questions.values())
    sides = pq.read_table(real_built / "data/split/split.parquet", columns=["side"])["side"].to_pylist()
    assert sides.count("held_out") >= 195


def test_the_achieved_share_lies_within_its_bound(real_built: Path) -> None:
    for source, figures in ledger(real_built)["split"].items():
        details = figures["details"]
        if not figures["in"]:
            continue
        assert abs(details["validation_share"] - 0.2) <= details["share_bound"], source


# --- no leak, measured by exhaustive comparison -----------------------------------------------------------


@pytest.mark.parametrize("fields", [("input",), ("input", "response", "rejected_response")])
def test_no_train_row_is_like_a_validation_row(real_built: Path, fields: tuple[str, ...]) -> None:
    """Of all sources, within and across."""
    sides = pq.read_table(real_built / "data/split/split.parquet", columns=["side"])["side"].to_pylist()
    texts: dict[str, list[str]] = {"train": [], "validation": [], "held_out": []}
    sources: list[str] = []
    for row, side in zip(rows(real_built, ["source", *fields]), sides, strict=True):
        texts[side].append("\n".join(row[name] or "" for name in fields))
        sources += [row["source"]] if side == "validation" else []
    best = most_alike(texts["train"], texts["validation"])
    assert len(set(sources)) >= 7 and len(best) > 4000
    assert (best < 0.7).all(), f"{(best >= 0.7).sum()} of {len(best)} validation rows have a near twin in train"
    # pairs from 0.5 are joined as well, but for those that MinHash misses: short prompts of DPO most of all
    middle = np.array([source for source, value in zip(sources, best, strict=True) if value >= 0.5])
    assert all((middle == source).sum() <= 0.05 * sources.count(source) for source in set(sources))
