"""Which rows enter, and the laws that bind all formats at once."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.errors import LawError
from tests.formats.exporting import ALL, Exports, pair, row, write_tables


def talk(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": f"text {n}"} for n, role in enumerate(roles)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"input": " \n\u3000"}, "blank_message"),
        ({"response": ""}, "blank_message"),
        ({"response": "a\0b"}, "nul"),
        ({"turns": talk("assistant", "user")}, "roles"),
        ({"turns": talk("user", "user", "assistant")}, "roles"),
        ({"turns": talk("user", "system")}, "roles"),
        ({"turns": talk("user")}, "roles"),
        ({"turns": [*talk("user", "assistant", "user"), {"role": "assistant", "content": " "}]}, "blank_message"),
        ({"input": "x" * 262_144}, "too_long"),
        ({"enters": ["pairs"]}, "not_chat"),
        ({"side": "held_out"}, "on_held_out"),
    ],
)
def test_a_row_stays_out_of_chat_with_the_reason(exported: Any, fields: dict[str, Any], reason: str) -> None:
    made = exported([row(1), row(2) | fields, row(3)], "openai")
    assert made.rejected("openai") == {reason: 1}
    assert len(made.lines("mental_health_openai.jsonl")) == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"rejected_response": None}, "no_rejected_response"),
        ({"rejected_response": "  "}, "blank_message"),
        ({"rejected_response": "ANSWER  2!"}, "same_responses"),
        ({"turns": talk("user", "assistant")}, "multi_turn"),
        ({"enters": ["chat"]}, "not_pairs"),
    ],
)
def test_a_row_stays_out_of_pairs_with_the_reason(exported: Any, fields: dict[str, Any], reason: str) -> None:
    made = exported([pair(1), pair(2) | fields], "dpo")
    assert made.rejected("dpo") == {reason: 1}


def test_kto_takes_pairs_and_rows_of_its_own_kind(exported: Any) -> None:
    rows = [pair(1), pair(2) | {"enters": ["kto"]}, pair(3) | {"enters": ["chat"]}]
    made = exported(rows, "kto_text")
    assert made.ledger("kto_text")["rows"]["train"] == 4
    assert made.rejected("kto_text") == {"not_kto": 1}


def test_sources_and_turns_can_be_chosen(exported: Any) -> None:
    rows = [row(1, source="trace"), row(2), row(3, turns=talk("user", "assistant", "user", "assistant"))]
    assert exported(rows, "openai", sources=["trace"]).rejected("openai") == {"source_not_selected": 2}
    assert exported(rows, "openai", turns="single").rejected("openai") == {"multi_turn": 1}
    assert exported(rows, "openai", turns="multi").rejected("openai") == {"single_turn": 2}


def test_evaluation_pools_hold_no_row_of_training_and_openai_none_of_the_test_side(exported: Any) -> None:
    rows = [row(n, side=side) for n, side in enumerate(("train", "validation", "test"))]
    made = exported(rows, "openai", "mlx", "inspect_ai", "promptfoo", "huggingface", "hub")
    assert made.rejected("inspect_ai") == made.rejected("promptfoo") == {"on_train": 1}
    assert made.rejected("openai") == {"on_test": 1}
    assert len(made.lines("mlx/test.jsonl")) == 1
    assert made.there("hub/data/test-00000-of-00001.parquet")
    assert made.there("mental_health_huggingface/test/data-00000-of-00001.arrow")


def test_another_split_than_the_merged_table_s_stops_the_stage(exported: Any) -> None:
    from stages import export

    rows = [row(n) for n in range(4)]
    exported(rows, "openai")
    write_tables(rows)
    merged = Path("data/merged/merged_mental_health_dataset.parquet").read_bytes()
    for other in (rows[:3], rows[::-1], [*rows, row(9)]):
        write_tables(other)
        Path("data/merged/merged_mental_health_dataset.parquet").write_bytes(merged)
        with pytest.raises(LawError, match="dvc repro"):
            export.main("openai")


# --- laws ---------------------------------------------------------------------------------------------------

TEXT = st.sampled_from(["", " ", "fine", "a\0", "«ça»", "x" * 50, "\u2028", "{{x}}"])
SIDE = st.sampled_from(["train", "train", "validation", "test", "held_out"])
KINDS = st.lists(st.sampled_from(["chat", "pairs", "kto", "classification", "segments"]), unique=True)
TURNS = st.none() | st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXT}), min_size=1, max_size=4
)
ROWS = st.lists(
    st.tuples(TEXT, TEXT, st.none() | TEXT, KINDS, SIDE, TURNS, st.sampled_from(["s", "trace"])), max_size=12
)


def drawn(given_rows: list[Any]) -> list[dict[str, Any]]:
    """Rows whose texts name their number, so that a line tells which row it came from."""
    rows = []
    for n, (text, response, rejected, enters, side, turns, source) in enumerate(given_rows):
        named = [{**turn, "content": f"#{n}# {turn['content']}"} for turn in turns] if turns else None
        response = "depression" if "classification" in enters else response
        rows.append(
            row(n, enters, side, input=f"#{n}# {text}" if text.strip() else text, response=response,
                rejected_response=rejected, turns=named, source=source)
        )  # fmt: skip
    return rows


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_rows=ROWS)
def test_every_row_is_accounted_for_and_has_one_side_in_every_format(given_rows: list[Any], tmp_path: Path) -> None:
    rows = drawn(given_rows)
    with contextlib.chdir(tmp_path):
        made = Exports(rows, ["all"], {})
        for name in ALL[:-1]:
            ledger = made.ledger(name)
            accounts = ledger["sources"]
            assert sum(account["in"] for account in accounts.values()) == len(rows)
            for account in accounts.values():
                assert account["in"] == account["out"] + sum(account["rejected"].values())
            out = sum(account["out"] for account in accounts.values())
            assert sum(ledger["rows"].values()) == out * (2 if name.startswith("kto") else 1)
            for file in ledger["files"]:
                seen = Counter(int(n) for n in set(re.findall(r"#(\d+)#", content(file["path"]))))
                wrong = [n for n in seen if file["split"] and rows[n]["side"] != file["split"]]
                assert not wrong, f"{file['path']} holds rows of another side: {wrong}"


def content(path: str) -> str:
    whole = Path("data/exports") / path
    if whole.suffix == ".parquet":
        return str(pq.read_table(whole).to_pylist())
    return whole.read_bytes().decode(errors="replace")
