"""The policy: findings of the screens, and what the rules in params.yaml make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import params, policy, record
from stages.errors import ParamsError
from stages.screens import pii
from tests.test_params import ROOT, load


def settings(tmp_path: Any, rules: dict[str, Any]) -> params.Params:
    return load(tmp_path, lambda tree: tree.update(policy=rules))


def judge(rules: policy.Rules, *found: tuple[int, str], count: int = 3) -> policy.Verdict:
    found = tuple(sorted(found))
    return rules.judge(policy.Findings(np.array([row for row, _ in found]), [name for _, name in found]), count)


def test_each_action_does_what_it_says(tmp_path: Any) -> None:
    wanted = {"pii": "redact", "pii:hint": "tag", "crisis-unreferred": "hold", "quality:base64": "drop"}
    rules = policy.Rules(settings(tmp_path, {"default": wanted}), "trace")
    verdict = judge(
        rules, (0, "pii:phone"), (1, "crisis-unreferred"), (2, "quality:base64"), (0, "pii:hint"), (1, "crisis")
    )
    assert verdict.dropped == [None, None, "quality:base64"]
    assert verdict.held.tolist() == [False, True, False]
    assert verdict.redact.tolist() == [True, False, False]
    assert verdict.tags == {0: ["pii:hint", "pii:phone"], 1: ["crisis-unreferred"]}


def test_a_sources_own_rule_outweighs_the_default(tmp_path: Any) -> None:
    both = {"default": {"pii": "redact"}, "trace": {"pii:phone": "keep"}}
    rules = policy.Rules(settings(tmp_path, both), "trace")
    assert [rules.action(f"pii:{kind}") for kind in ("phone", "email")] == ["keep", "redact"]


def test_where_edits_are_forbidden_a_default_redaction_drops_the_row(tmp_path: Any) -> None:
    rules = policy.Rules(settings(tmp_path, {"default": {"pii": "redact"}}), "amod_counseling")
    assert rules.action("pii:phone") == "drop"


def test_a_redaction_that_the_licence_forbids_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ParamsError, match="RAIL-D forbids edits"):
        policy.Rules(settings(tmp_path, {"amod_counseling": {"pii": "redact"}}), "amod_counseling")


def test_rules_for_no_source_are_refused_with_the_nearest(tmp_path: Any) -> None:
    with pytest.raises(ParamsError, match="did you mean trace"):
        settings(tmp_path, {"tracee": {"pii": "drop"}})


def test_an_unknown_action_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ParamsError, match="delete"):
        settings(tmp_path, {"default": {"pii": "delete"}})


def one(**fields: Any) -> pa.RecordBatch:
    row = {"id": "0" * 32, "input": "", "response": "", "source": "trace", "type": "clinical", "tags": [],
           "license": "MIT", "group": "g",
           "origin": {"dataset": "d", "file": "f", "sha256": "0", "row": 0, "edits": []}, **fields}  # fmt: skip
    return pa.RecordBatch.from_pylist([{name: row.get(name) for name in record.SCHEMA.names}], schema=record.SCHEMA)


def shipped(source: str) -> policy.Rules:
    return policy.Rules(params.load(path=ROOT / "params.yaml"), source)


def redact(batch: pa.RecordBatch, source: str = "trace") -> pa.RecordBatch:
    attributes = pa.RecordBatch.from_arrays([batch["id"], pii.screen(batch, params.Pii())], names=["id", "pii"])
    rules = shipped(source)
    return policy.redacted(batch, attributes, rules, rules.judge(policy.findings(batch, attributes), len(batch)))


def test_redaction_replaces_personal_spans_by_their_type_and_leaves_helplines() -> None:
    row = one(input="Write me at jane.doe@example.org please.", response="Call 988 or text 741741 now.")
    mended = redact(row).to_pylist()[0]
    assert mended["input"] == "Write me at <EMAIL> please."
    assert mended["response"] == "Call 988 or text 741741 now."
    assert mended["origin"]["edits"] == ["redact"]


@given(
    st.lists(
        st.sampled_from(["I feel low. ", "mail jo@example.org ", "call 555-0142 ", "ring 988 ", "🙂 "]), max_size=6
    )
)
def test_redacting_twice_changes_nothing_more(pieces: list[str]) -> None:
    once = redact(one(input="".join(pieces)))
    assert redact(once)["input"].equals(once["input"])


def test_findings_do_not_depend_on_the_batch() -> None:
    rows = [one(input=text) for text in ("mail jo@example.org", "nothing", "ring me at (555) 010-0142 today")]
    whole = pa.Table.from_batches(rows).combine_chunks().to_batches()[0]

    def found(batch: pa.RecordBatch) -> list[str]:
        attributes = pa.RecordBatch.from_arrays([batch["id"], pii.screen(batch, params.Pii())], names=["id", "pii"])
        return policy.findings(batch, attributes).names

    assert found(whole) == [name for row in rows for name in found(row)]
