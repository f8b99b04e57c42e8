"""Psych-101: a transcript's choices become turns, and thousands of turns a row cost no memory to speak of."""

from __future__ import annotations

import tracemalloc

import pyarrow as pa

from stages import params
from stages.sources import psych_101 as source

SETTINGS = params.Source(dataset="marcelbinz/Psych-101", license="Apache-2.0", files={}, priority=50)


def drafted(*texts: str) -> pa.RecordBatch:
    names = [pa.array([name] * len(texts), pa.string()) for name in ("games/one.csv", "7")]
    batch = pa.RecordBatch.from_arrays([pa.array(texts, pa.string()), *names], schema=source.raw(SETTINGS))
    drafts = source.draft(batch, "prompts_training.jsonl", SETTINGS)
    drafts.validate(full=True)
    return drafts


def test_choices_are_turns_and_the_last_one_is_the_response() -> None:
    drafts = drafted("Pick é: <<A>><<😀\nB>>", "No choice >> <<", "<<>> and <<last>>. The end.")
    assert drafts["input"].to_pylist() == ["Pick é: <<A>>", None, "<<>> and "]
    assert drafts["response"].to_pylist() == ["😀\nB", None, "last"]
    assert drafts["reject"].to_pylist() == [None, "no_choice", None]
    user, assistant = ([{"role": role, "content": text} for text in texts] for role, texts in (
        ("user", ["Pick é: ", " and ", ". The end."]), ("assistant", ["A", "😀\nB", "", "last"])
    ))  # fmt: skip
    assert drafts["turns"].to_pylist() == [
        [user[0], *assistant[:2]], None, [assistant[2], user[1], assistant[3], user[2]]
    ]  # fmt: skip
    assert len(drafted()) == 0
    assert drafted("none")["turns"].to_pylist() == [None]


def test_turns_are_no_objects_of_python_all_at_once() -> None:
    texts = [f"{row}: " + "you press <<A>>. " * 2000 for row in range(40)]
    drafted(*texts)
    tracemalloc.start()
    drafted(*texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * sum(map(len, texts))
