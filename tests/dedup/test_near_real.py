"""Near-duplicates on the real files, where MHDATA_REAL says where they are."""

from __future__ import annotations

import csv
import html
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages import text
from tests.near_oracle import EDITS, SHARES, Row, alike, planted, search

csv.field_size_limit(1 << 27)
pytestmark = pytest.mark.slow


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def amod(real: Path) -> list[Row]:
    return [(row["Context"], row["Response"], None) for row in lines(real / "amod_counseling/combined_dataset.json")]


def mentalchat(real: Path) -> list[Row]:
    files = ("Interview_Data_6K.csv", "Synthetic_Data_10K.csv")
    return [(row["input"], row["output"], None) for file in files for row in table(real / "mentalchat16k" / file)]


def preference(real: Path) -> list[Row]:
    rows = json.loads((real / "human_like_dpo/data.json").read_bytes())
    return [(row["prompt"], row["chosen"], row["rejected"]) for row in rows]


def depression(real: Path) -> list[Row]:
    rows = table(real / "depression_reddit/depression_dataset_reddit_cleaned.csv")
    return [(row["clean_text"], None, None) for row in rows]


def trace(real: Path) -> list[Row]:
    rows = [row for split in ("train", "valid", "test") for row in lines(real / f"trace/data/splits/{split}.jsonl")]
    turns = [{turn["role"]: turn["content"] for turn in row["messages"]} for row in rows]
    return [(turn["user"], turn["assistant"], None) for turn in turns]


def psych(real: Path) -> list[Row]:
    return [(row["text"], None, None) for row in lines(real / "psych_101/prompts_training.jsonl")]


def counsel(real: Path, file: str) -> list[Row]:
    def plain(value: str) -> str:
        return html.unescape(re.sub(r"<[^>]+>", " ", value))

    rows = table(real / "counsel_chat/data" / file)
    return [(plain(row["questionText"]) or row["questionTitle"], plain(row["answerText"]), None) for row in rows]


def folded(rows: list[Row]) -> list[str]:
    return text.fold(pa.array(["\n".join(part or "" for part in row) for row in rows])).to_pylist()


CORPORA: dict[str, tuple[tuple[Callable[[Path], list[Row]], ...], bool]] = {
    "people": ((amod, mentalchat, depression), True),
    "preference": ((preference,), True),
    "trace": ((trace,), False),
    "psych": ((psych,), False),
}


@pytest.mark.parametrize("name", CORPORA)
def test_no_two_clusters_hold_a_pair_that_reaches_the_bound_of_removal(tmp_path: Path, real: Path, name: str) -> None:
    sources, removable = CORPORA[name]
    rows = [row for source in sources for row in source(real)]
    found = search(tmp_path, rows, removable=[removable] * len(rows))
    side = -1 - np.arange(len(rows))
    rows_of, firsts = found.together.between(0, len(rows))
    side[rows_of] = firsts
    wholes = ["\n".join(part or "" for part in row) for row in rows]
    for texts in ([row[0] for row in rows], wholes):
        pairs = Counter(
            (score >= Fraction(7, 10), bool(side[a] == side[b])) for a, b, score in alike(texts, Fraction(1, 2))
        )
        assert pairs[True, True] > 400 or name == "preference"
        assert pairs[True, False] == 0
        assert pairs[False, False] <= 0.02 * pairs[False, True]


def test_both_releases_of_counselchat_are_found_to_be_one(tmp_path: Path, real: Path) -> None:
    old, new = (counsel(real, file) for file in ("20200325_counsel_chat.csv", "counselchat-data.csv"))
    found = search(tmp_path, old + new)
    keys = folded(old + new)
    exact = {row for row in range(len(old), len(keys)) if keys[row] in set(keys[: len(old)])}
    near = {
        row
        for row, kept in zip(found.near.row.tolist(), found.near.kept.tolist(), strict=True)
        if kept < len(old) <= row
    }
    answers = {row for row in found.answers.row.tolist() if row >= len(old)}
    assert len(exact) == 1365
    assert len(exact | near) >= 1366
    assert len(exact | near | answers) >= 1366
    assert len(exact - near) <= 3  # short answers that differ in where a word ends


def test_what_near_adds_to_folding_on_real_rows(tmp_path: Path, real: Path) -> None:
    """All of them were read by eye: the same text edited, cut or sent again with another link."""
    added = {}
    for source in (amod, mentalchat, preference, depression):
        rows = source(real)
        first = {key: row for row, key in reversed(list(enumerate(folded(rows))))}
        kept = [rows[row] for row in sorted(first.values())]
        added[source.__name__] = len(search(tmp_path / source.__name__, kept).near.row)
    assert added == {"amod": 1, "mentalchat": 4, "preference": 0, "depression": 43}


@pytest.mark.parametrize("kind", EDITS)
def test_planted_edits_in_real_texts(tmp_path: Path, real: Path, kind: str) -> None:
    rows = amod(real) + mentalchat(real)
    texts = {
        key: row[1] for row, key in zip(rows, text.fold(pa.array([row[1] for row in rows])).to_pylist(), strict=True)
    }
    long = [words for value in texts.values() if len(words := text.words(pa.array([value]))[0].as_py().split()) >= 60]
    removed, together = planted(tmp_path, random.Random(20).sample(long, 500), kind)
    (low, high), (least, most) = SHARES[kind]
    assert low <= removed <= high
    assert least <= together <= most
