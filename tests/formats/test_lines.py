"""What a line of each format is, to the key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.formats.exporting import INSTRUCTION, SYSTEM, pair, row

S = {"role": "system", "content": SYSTEM}
U, A, W = (
    {"role": role, "content": f"{text} 1"}
    for role, text in (("user", "question"), ("assistant", "answer"), ("assistant", "worse"))
)
ID = f"{1:032x}"

LINES: dict[str, list[Any]] = {
    "mental_health_openai_train.jsonl": [{"messages": [S, U, A]}],
    "mental_health_openai.jsonl": [{"messages": [S, U, A]}] * 2,
    "mlx/train.jsonl": [{"messages": [S, U, A]}],
    "sharegpt/train.jsonl": [
        {
            "conversations": [
                {"from": "system", "value": SYSTEM},
                {"from": "human", "value": "question 1"},
                {"from": "gpt", "value": "answer 1"},
            ]
        }
    ],
    "alpaca/train.jsonl": [{"instruction": INSTRUCTION, "input": "question 1", "output": "answer 1", "system": SYSTEM}],
    "prompt_completion/train.jsonl": [{"prompt": "question 1", "completion": "answer 1"}],
    "dpo/train.jsonl": [{"prompt": [S, U], "chosen": [A], "rejected": [W]}],
    "dpo_text/train.jsonl": [{"prompt": "question 1", "chosen": "answer 1", "rejected": "worse 1", "system": SYSTEM}],
    "preference/train.jsonl": [{"chosen": [S, U, A], "rejected": [S, U, W]}],
    "openai_preference/train.jsonl": [
        {
            "input": {"messages": [S, U], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [A],
            "non_preferred_output": [W],
        }
    ],
    "kto/train.jsonl": [
        {"prompt": [S, U], "completion": [A], "label": True},
        {"prompt": [S, U], "completion": [W], "label": False},
    ],
    "kto_text/train.jsonl": [
        {"prompt": "question 1", "completion": "answer 1", "label": True},
        {"prompt": "question 1", "completion": "worse 1", "label": False},
    ],
    "gemini/train.jsonl": [
        {
            "systemInstruction": {"role": "system", "parts": [{"text": SYSTEM}]},
            "contents": [
                {"role": "user", "parts": [{"text": "question 1"}]},
                {"role": "model", "parts": [{"text": "answer 1"}]},
            ],
        }
    ],
    "bedrock/train.jsonl": [
        {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": SYSTEM}],
            "messages": [
                {"role": "user", "content": [{"text": "question 1"}]},
                {"role": "assistant", "content": [{"text": "answer 1"}]},
            ],
        }
    ],
    "inspect_ai/validation.jsonl": [
        {"id": ID, "input": [S, U], "target": "answer 1", "metadata": {"source": "s", "license": "MIT"}}
    ],
    "promptfoo/validation.jsonl": [
        {
            "vars": {"system": SYSTEM, "input": "question 1", "reference": "answer 1"},
            "metadata": {"id": ID, "source": "s", "license": "MIT"},
        }
    ],
}


@pytest.mark.parametrize("path", LINES)
def test_a_line(exported: Any, path: str) -> None:
    name = path.partition("/")[0] if "/" in path else "openai"
    one = pair(1, license="MIT")
    made = exported([one, one | {"side": "validation"}], name)
    lines = made.lines(path)
    assert lines == LINES[path]
    assert [list(line) for line in lines] == [list(line) for line in LINES[path]], "another order of keys"


def test_classification_numbers_labels_by_their_place_in_params(exported: Any) -> None:
    rows = [row(n, ("classification",), response=label) for n, label in enumerate(["depression", "not-depression"])]
    made = exported([*rows, row(3, ("classification",), response="joy"), row(4)], "classification")
    assert made.lines("classification/train.jsonl") == [
        {"text": "question 0", "label": 1, "label_text": "depression"},
        {"text": "question 1", "label": 0, "label_text": "not-depression"},
    ]
    assert made.rejected("classification") == {"not_classification": 1, "unknown_label": 1}


def test_segments_joined_are_the_transcript_and_choices_alone_are_trained_on(exported: Any) -> None:
    turns = [("user", "You press "), ("assistant", "A"), ("user", ".\nYou press "), ("assistant", "B"),
             ("assistant", "C"), ("user", ".\n")]  # fmt: skip
    one = row(1, ("segments",), turns=[{"role": role, "content": text} for role, text in turns])
    (line,) = exported([one, row(2)], "axolotl_segments").lines("axolotl_segments/train.jsonl")
    assert "".join(part["text"] for part in line["segments"]) == "You press <<A>>.\nYou press <<B>><<C>>.\n"
    assert [part["text"] for part in line["segments"] if part["label"]] == ["A", "B", "C"]
    assert all(list(part) == ["label", "text"] for part in line["segments"])


def test_several_turns_go_out_whole_but_for_what_has_no_answer(exported: Any) -> None:
    roles = ("user", "assistant", "user", "assistant", "user")
    turns = [{"role": role, "content": str(n)} for n, role in enumerate(roles)]
    made = exported([row(1, turns=turns)], "openai", "sharegpt", "alpaca")
    assert made.lines("mental_health_openai.jsonl") == [{"messages": [S, *turns[:4]]}]
    assert [one["value"] for one in made.lines("sharegpt/train.jsonl")[0]["conversations"]][1:] == list("0123")
    assert made.rejected("alpaca") == {"multi_turn": 1, "too_few_rows": 0} or made.rejected("alpaca") == {
        "multi_turn": 1
    }


def test_the_system_message_is_the_constant_the_source_s_own_one_of_a_pool_or_none(exported: Any) -> None:
    rows = [row(1, system="You are kind."), row(2)]

    def systems(**settings: Any) -> list[str | None]:
        lines = exported(rows, "openai", **settings).lines("mental_health_openai.jsonl")
        return [one["messages"][0]["content"] if one["messages"][0]["role"] == "system" else None for one in lines]

    assert systems(system="constant") == [SYSTEM, SYSTEM]
    assert systems(system="source") == ["You are kind.", SYSTEM]
    assert systems(system="none") == [None, None]
    rows = [row(n) for n in range(60)]
    pool = systems(system="pool", system_pool=["a", "b", "c"])
    assert set(pool) == {"a", "b", "c"}
    assert systems(system="pool", system_pool=["a", "b", "c"]) == pool
    rows = rows[5:]
    assert systems(system="pool", system_pool=["a", "b", "c"]) == pool[5:], "a row's message hangs on other rows"


def test_text_goes_out_byte_for_byte(exported: Any) -> None:
    odd = ' \u2028\u2029"\\\t\x7f\U0001f642 é e\u0301 </s> '
    made = exported([row(1, input=odd, response=odd + "\r")], "openai", "hub")
    assert [one["content"] for one in made.lines("mental_health_openai.jsonl")[0]["messages"][1:]] == [odd, odd + "\r"]


def test_promptfoo_gets_no_row_that_it_would_render_or_open(exported: Any) -> None:
    texts = ["{{ x }}", "{% raw %}", "{# x", "file://a", "see file://a", "{ x }"]
    rows = [row(n, side="validation", input=text) for n, text in enumerate(texts)]
    made = exported(rows, "promptfoo")
    assert [one["vars"]["input"] for one in made.lines("promptfoo/validation.jsonl")] == ["see file://a", "{ x }"]
    assert made.rejected("promptfoo") == {"template": 4}


def test_the_register_lists_the_files_that_are_there(exported: Any) -> None:
    import json
    from pathlib import Path

    made = exported([pair(1), pair(2, side="validation")], "openai", "dpo_text", "kto_text", "sharegpt", "alpaca")
    exported([pair(1), pair(2, side="validation")], "llama_factory")
    register = json.loads(Path("data/exports/dataset_info.json").read_bytes())
    sides = ("train", "validation")
    kinds = ("chat", "sharegpt", "alpaca", "dpo_text", "kto_text")
    assert set(register) == {f"mental_health_{kind}_{side}" for kind in kinds for side in sides}
    assert all(made.there(entry["file_name"]) for entry in register.values())
    assert register["mental_health_dpo_text_train"]["ranking"] is True
