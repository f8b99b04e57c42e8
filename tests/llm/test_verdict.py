"""What each response means: keep, try again, give the request up, or stop the run."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from stages.llm import reply, verdict
from stages.llm.answers import Answer
from stages.llm.request import Request
from stages.llm.verdict import Again, Response, Stop, Unfit
from stages.params import Sampling

REQUEST = Request("t01-0001", "question", 0, "p", "m", (("user", "Hello you"),), Sampling(), 900, 7)


def meaning(status: int, body: Any = b"", **more: Any) -> Answer | Again | Unfit | Stop:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return verdict.judge(Response(status, data, **more), REQUEST)


def completion(message: Any = None, **changes: Any) -> dict[str, Any]:
    whole = {
        "model": "m-2026",
        "choices": [{"message": message or {"content": "a text"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20},
    }
    return whole | changes


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": {"code": "invalid_api_key"}}, "401 (invalid_api_key): the key is wrong"),
        (402, {}, "402: the account has no credit"),
        (403, b"<html>", "403: the key may not"),
        (404, {"error": {"code": "model_not_found"}}, "404 (model_not_found): the model or the path"),
        (429, {"error": {"code": "insufficient_quota"}}, "insufficient_quota"),
        (400, {"error": {"message": "Unknown parameter: top_p"}}, "400"),
        (301, b"", "redirects are not followed"),
        (307, b"", "redirects are not followed"),
        (405, b"", "405"),
    ],
)
def test_what_no_retry_cures_stops_the_run(status: int, body: Any, said: str) -> None:
    outcome = meaning(status, body)
    assert isinstance(outcome, Stop)
    assert said in outcome.why


def test_a_stop_never_repeats_what_the_endpoint_said() -> None:
    """Its message may quote the prompt, or a part of the key."""
    outcome = meaning(401, {"error": {"code": "Hello you sk-123", "message": "Incorrect API key sk-123: Hello you"}})
    assert isinstance(outcome, Stop)
    assert "sk-123" not in outcome.why
    assert "Hello" not in outcome.why


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(status: int) -> None:
    outcome = meaning(status, b"busy", retry_after="3")
    assert isinstance(outcome, Again)
    assert (outcome.retry_after, outcome.billed, outcome.throttled) == ("3", False, status == 429)


def test_equal_server_errors_are_told_from_different_ones() -> None:
    first, second, other = meaning(500, b"boom"), meaning(500, b"boom"), meaning(500, b"bang")
    assert isinstance(first, Again) and isinstance(second, Again) and isinstance(other, Again)
    assert first.same == second.same != other.same
    later = meaning(503, b"boom", retry_after="1")
    assert isinstance(later, Again) and later.same is None


@pytest.mark.parametrize(
    "body", [b"<!doctype html>", b'{"choices": [{"mess', b"", b"[]", b'{"error": "x"}', b"[" * 100_000]
)
def test_a_success_without_a_completion_is_tried_again_and_may_have_been_billed(body: bytes) -> None:
    outcome = meaning(200, body)
    assert isinstance(outcome, Again)
    assert outcome.billed


@pytest.mark.parametrize(("fault", "billed"), [("ConnectError", False), ("ReadTimeout", True), ("ReadError", True)])
def test_a_fault_of_the_network_is_tried_again(fault: str, billed: bool) -> None:
    outcome = verdict.judge(Response(0, fault=fault, billed=billed), REQUEST)
    assert isinstance(outcome, Again)
    assert (outcome.why, outcome.billed) == (fault, billed)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"error": {"code": "context_length_exceeded"}}, "context_length"),
        (400, {"error": {"message": "the request exceeds the available context size"}}, "context_length"),
        (400, {"error": {"code": "content_filter"}}, "content_filter"),
        (413, b"", "http_413"),
        (422, {"detail": []}, "http_422"),
    ],
)
def test_a_request_that_does_not_fit_fails_alone(status: int, body: Any, reason: str) -> None:
    outcome = meaning(status, body)
    assert isinstance(outcome, Unfit)
    assert outcome.reason == reason


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (completion(choices=[]), "no_choices"),
        (completion(choices=["x"]), "no_choices"),
        (completion({"content": None}), "no_content"),
        (completion({"content": ["x"]}), "no_content"),
        (completion({"content": None, "tool_calls": [{}]}), "tool_calls"),
        (completion({"content": "", "refusal": "No."}), "refusal"),
        (
            completion({"content": "half a"}, choices=[{"message": {"content": "half a"}, "finish_reason": "length"}]),
            "truncated",
        ),
        (completion(choices=[{"message": {"content": "x"}, "finish_reason": "content_filter"}]), "content_filter"),
        (completion({"content": " \n "}), "empty"),
        (completion({"content": "a\0b"}), "nul"),
        (completion({"content": "a\ud800b"}), "broken_characters"),
        (completion({"content": "a\ufffdb"}), "broken_characters"),
        (completion({"content": "<think>never closed"}), "think_block"),
    ],
)
def test_an_answer_without_a_usable_text_is_kept_with_its_reason(whole: dict[str, Any], reason: str) -> None:
    outcome = meaning(200, whole)
    assert isinstance(outcome, Answer)
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Answer) == outcome  # nothing breaks the writer
    with pytest.raises(reply.Unreadable, match=reason):
        reply.plain(outcome)


def test_an_answer_records_who_says_it_answered() -> None:
    outcome = meaning(200, completion())
    assert isinstance(outcome, Answer)
    assert (outcome.model, outcome.reported, outcome.tokens_in, outcome.tokens_out) == ("m", "m-2026", 10, 20)
    assert not outcome.estimated


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": "1", "completion_tokens": 2},
        [],
        {"prompt_tokens": True, "completion_tokens": 1},
    ],
)
def test_without_usable_counts_tokens_are_estimated_and_said_to_be(usage: Any) -> None:
    outcome = meaning(200, completion(usage=usage))
    assert isinstance(outcome, Answer)
    assert outcome.estimated
    assert (outcome.tokens_in, outcome.tokens_out) == (-(-REQUEST.prompt_bytes // 4), 2)


@pytest.mark.parametrize(
    ("text", "plain", "edits"),
    [("<think>hm</think>\n\nA text", "A text", ["think"]), ("A text <b>", "A text <b>", [])],
)
def test_one_leading_think_block_is_taken_off(text: str, plain: str, edits: list[str]) -> None:
    outcome = meaning(200, completion({"content": text}))
    assert isinstance(outcome, Answer)
    assert reply.plain(outcome) == (plain, edits)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('Here it is: {"a": "x"}', "not_json"),
        ('{"a": "x"} Hope it helps', "not_json"),
        ("[1]", "not_json"),
        ("{}", "missing_item"),
        ('{"a": "x", "b": 1}', "extra_items"),
        ('{"a": 1}', "wrong_type"),
        ('```json\n{"a": "x"}\n``` and', "not_json"),
    ],
)
def test_json_is_taken_as_it_is_or_not_at_all(text: str, reason: str) -> None:
    with pytest.raises(reply.Unreadable, match=reason):
        reply.record(text, {"a": str})


def test_a_fence_around_the_whole_json_is_taken_off() -> None:
    assert reply.record('```json\n{"a": "x"}\n```', {"a": str}) == ({"a": "x"}, ["fence"])
    assert reply.record('\n```\n{"a": "x"}\n```\n', {"a": str}) == ({"a": "x"}, ["fence"])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0),
        ("0.5", 0.5),
        (" 7 ", 7.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        (None, None),
        ("99999999999999999999999999 GMT", None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert verdict.pause(header, 10.0) == seconds
