"""Files: names, shards, notes, what services refuse, and bytes."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import formats
from stages.errors import ParamsError
from stages.formats import Lines, Shards
from tests.formats.exporting import ALL, pair, row, write_tables


def digests() -> dict[str, str]:
    files = (path for path in sorted(Path("data/exports").rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_format_that_is_not_selected_leaves_a_note(exported: Any) -> None:
    from stages import export

    made = exported([row(1)], "openai")
    for name in ALL:
        export.main(name)
    assert "add sharegpt to formats" in Path("data/exports/sharegpt/NOTE.txt").read_text()
    assert made.ledger("sharegpt")["selected"] is False and made.ledger("sharegpt")["files"] == []
    assert Path("data/exports/dataset_info.json").read_text() == "{}\n"


def test_an_unknown_format_is_refused_with_the_nearest(exported: Any) -> None:
    with pytest.raises(ParamsError, match="did you mean sharegpt"):
        exported([row(1)], "openai", "sharegtp")


def test_too_few_rows_for_the_service_are_a_note_and_no_file(exported: Any) -> None:
    services = {"bedrock": {"min_rows": 3}}
    made = exported([row(n) for n in range(2)], "bedrock", services=services)
    assert "2 rows of train qualify for bedrock, which takes 3" in made.ledger("bedrock")["note"]
    assert made.rejected("bedrock") == {"too_few_rows": 2}
    assert [path.name for path in Path("data/exports/bedrock").iterdir()] == ["NOTE.txt"]
    made = exported([row(n) for n in range(3)], "bedrock", services=services)
    assert made.ledger("bedrock")["note"] is None and not made.there("bedrock/NOTE.txt")


def test_no_row_at_all_is_a_note_in_every_format(exported: Any) -> None:
    made = exported([], "all")
    assert all(made.ledger(name)["note"] for name in ALL if name != "llama_factory")
    assert made.lines("mental_health_openai.jsonl") == []


def test_validation_beyond_what_a_service_takes_is_left_out_by_hash(exported: Any) -> None:
    rows = [row(n, side="validation") for n in range(200)] + [row(500)]
    services = {"gemini": {"max_validation": 30}}
    made = exported(rows, "gemini", services=services)
    assert made.ledger("gemini")["rows"]["validation"] == 30
    assert made.rejected("gemini") == {"over_service_limit": 170}
    before = made.lines("gemini/validation.jsonl")
    more = exported([*rows, row(900, side="validation")], "gemini", services=services).lines("gemini/validation.jsonl")
    assert len([line for line in before if line not in more]) <= 1


def test_a_large_file_becomes_shards_whose_rows_are_the_file_s(exported: Any) -> None:
    rows = [row(n, side="validation" if n % 4 == 0 else "train", response="x" * 9000) for n in range(400)]
    names = ("openai", "sharegpt", "hub", "mlx", "alpaca", "dpo_text", "kto_text", "llama_factory")
    whole = exported(rows, *names)
    lines = {name: whole.lines(name) for name in ("mental_health_openai.jsonl", "sharegpt/train.jsonl")}
    made = exported(rows, *names, shard_mb=1)
    for folder, stem in (("mental_health_openai_shards", "mental_health_openai"), ("sharegpt", "train")):
        parts = sorted(Path("data/exports", folder).glob(f"{stem}-0*.jsonl"))
        assert [part.name for part in parts] == [f"{stem}-{n:05}-of-{len(parts):05}.jsonl" for n in range(len(parts))]
        assert len(parts) > 1 and all(part.stat().st_size <= 1_000_000 for part in parts)
        joined = [line for part in parts for line in made.lines(str(part.relative_to("data/exports")))]
        assert joined == lines["mental_health_openai.jsonl" if "openai" in stem else "sharegpt/train.jsonl"]
    assert not made.there("sharegpt/train.jsonl") and made.lines("mental_health_openai.jsonl") == []
    assert len(made.lines("mlx/train.jsonl")) == 300, "mlx-lm reads train.jsonl alone"
    parts = sorted(Path("data/exports/hub/data").glob("train-*.parquet"))
    assert len(parts) > 1
    assert [one["input"] for part in parts for one in pq.read_table(part).to_pylist()] == [
        one["input"] for one in rows if one["side"] == "train"
    ]
    register = Path("data/exports/dataset_info.json").read_text()
    assert "mental_health_sharegpt_train_00001" in register


def test_bytes_depend_neither_on_row_groups_nor_on_the_run(exported: Any) -> None:
    from stages import export

    rows = [pair(n, side=("train", "validation")[n % 3 == 0], tags=["b", "a"]) for n in range(50)]
    exported(rows, "all")
    before = digests()
    write_tables(rows, group=7)
    for name in ALL:
        export.main(name)
    assert digests() == before


def test_the_ledger_names_each_file_with_its_rows_bytes_and_hash(exported: Any) -> None:
    made = exported([row(1), row(2, side="validation"), row(3) | {"enters": []}], "openai")
    files = {file["path"]: file for file in made.ledger("openai")["files"]}
    train = files["mental_health_openai_train.jsonl"]
    data = Path("data/exports/mental_health_openai_train.jsonl").read_bytes()
    assert train["bytes"] == len(data) and train["sha256"] == hashlib.sha256(data).hexdigest()
    assert (train["rows"], train["split"], train["refused"]) == (1, "train", {"not_chat": 1})
    assert train["characters"] == len("question 1answer 1") and train["tokens"] is None
    assert made.ledger("openai")["lengths"]["train"]["max"] == 18


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=60), st.integers(40, 130), st.integers(1, 60))
def test_shards_have_no_row_lost_or_split(
    tmp_path: Path, rows: list[tuple[int, bool]], limit: int, together: int
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    lines = [b"x" * (size - 1) + b"\n" for size, _ in rows]
    chosen = np.array([takes for _, takes in rows], bool)
    shards = Shards(folder / "a.jsonl", "train", limit)
    for start in range(0, len(rows), together):
        part = slice(start, start + together)
        ends = np.cumsum([len(line) for line in lines[part]], dtype=np.int64)
        some = Lines(b"".join(lines[part]), ends, np.array([]), np.arange(start, start + len(ends)))
        shards.write(some, np.flatnonzero(chosen[part]))
    made = shards.close()
    wanted = [line for line, takes in zip(lines, chosen, strict=True) if takes]
    written = [one.path.read_bytes() for one in made]
    assert b"".join(written) == b"".join(wanted)
    assert sum(one.rows for one in made) == len(wanted)
    assert sum(one.length or 0 for one in made) == np.flatnonzero(chosen).sum()
    assert all(len(data) <= limit or data.count(b"\n") == 1 for data in written)
    for data, after in itertools.pairwise(written):  # none ends before it is full
        assert len(data) + after.index(b"\n") + 1 > limit


def test_the_stage_s_modules_are_the_formats() -> None:
    assert {"openai", "hub", "dpo", "classification", "huggingface"} <= set(formats.names())
    assert not [name for name in formats.names() if name.startswith("_")]
