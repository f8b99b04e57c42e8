"""What an HTTP response means: an answer to keep, a reason to try again, or a reason to stop the whole run."""

from __future__ import annotations

import email.utils
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from stages.llm.answers import Answer
from stages.llm.request import Request


@dataclass(frozen=True)
class Response:
    """The outside of one exchange. `status` is 0 when no whole response came; `fault` then says why."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    fault: str | None = None
    billed: bool = True  # with a fault: whether the endpoint may have done the work


@dataclass(frozen=True)
class Again:
    """Try again. `same` marks a server error that may be of the request's own making."""

    why: str
    billed: bool
    retry_after: str | None = None
    throttled: bool = False
    same: str | None = None


@dataclass(frozen=True)
class Unfit:
    """The endpoint cannot take this one request, while others may pass."""

    reason: str  # reason code
    why: str


@dataclass(frozen=True)
class Stop:
    """Nothing can be asked of this endpoint until a person mends it."""

    why: str


_STOPS = {
    401: "the key is wrong or missing",
    402: "the account has no credit",
    403: "the key may not use this model",
    404: "the model or the path is unknown: check endpoint.model and endpoint.base_url",
}
_RETRIED = frozenset({408, 409, 425})
_CONTEXT = re.compile(rb"context|too long|too many tokens|maximum.{0,20}length", re.IGNORECASE)
_POLICY = re.compile(rb"content.?(filter|policy|management)", re.IGNORECASE)


def judge(response: Response, request: Request) -> Answer | Again | Unfit | Stop:
    """The meaning of a response. Messages name the status and the endpoint's error code, never a body."""
    status, body = response.status, response.body
    if status == 0:
        return Again(response.fault or "no response", response.billed)
    if status == 200:
        return _completion(body, request)
    if status == 429:
        if b"insufficient_quota" in body:
            return Stop("429 insufficient_quota: the account has no credit")
        return Again("429", billed=False, retry_after=response.retry_after, throttled=True)
    if status in _RETRIED:
        return Again(str(status), billed=False, retry_after=response.retry_after)
    if status >= 500:
        same = None if response.retry_after else f"{status} {hashlib.sha256(body).hexdigest()}"
        return Again(str(status), billed=False, retry_after=response.retry_after, same=same)
    if 300 <= status < 400:
        return Stop(f"{status}: redirects are not followed; put the final address into endpoint.base_url")
    if reason := _own_fault(status, body):
        return Unfit(reason, str(status))
    return Stop(f"{status}{_code(body)}: {_STOPS.get(status, 'the endpoint does not take such requests')}")


def failure(request: Request, reason: str) -> Answer:
    """The answer that stands for a request that cannot be answered."""
    return Answer(
        request.key, request.slot, request.part, request.attempt, request.provider, request.model,
        None, None, None, 0, 0, False, reason,
    )  # fmt: skip


def _own_fault(status: int, body: bytes) -> str | None:
    """The reason when the request itself is at fault."""
    if status in (413, 422):
        return f"http_{status}"
    if status == 400 and _POLICY.search(body):
        return "content_filter"
    if status == 400 and _CONTEXT.search(body):
        return "context_length"
    return None


def _code(body: bytes) -> str:
    """The endpoint's own short error code, in brackets; nothing that could hold a part of a prompt or key."""
    try:
        error = json.loads(body)["error"]
        code = str(error.get("code") or error.get("type") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return f" ({code})" if re.fullmatch(r"[a-z_]{3,60}", code) else ""


def _completion(body: bytes, request: Request) -> Answer | Again:
    try:
        whole = json.loads(body)
        choices = whole["choices"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Again("200 without a completion in it", billed=True)
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    message = (choice or {}).get("message")
    text, reason = _content(message if isinstance(message, dict) else {}, found=choice is not None)
    finish = (choice or {}).get("finish_reason")
    tokens_in, tokens_out, estimated = _usage(whole.get("usage"), request, text)
    reported = whole.get("model")
    return Answer(
        request.key, request.slot, request.part, request.attempt, request.provider, request.model,
        _writable(reported)[:200] if isinstance(reported, str) else None,
        text, _writable(finish)[:40] if isinstance(finish, str) else None,
        tokens_in, tokens_out, estimated, reason,
    )  # fmt: skip


def _content(message: dict[str, Any], *, found: bool) -> tuple[str | None, str | None]:
    """The text of a message, and the reason where it is none."""
    content = message.get("content")
    text = _writable(content) if isinstance(content, str) else None
    if not found:
        return None, "no_choices"
    if message.get("tool_calls"):
        return text, "tool_calls"
    if message.get("refusal"):
        return text, "refusal"
    return text, None if text is not None else "no_content"


_SURROGATE = re.compile("[\ud800-\udfff]")


def _writable(text: str) -> str:
    """Lone surrogates, which JSON may carry and UTF-8 may not, as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def _usage(usage: Any, request: Request, text: str | None) -> tuple[int, int, bool]:
    """Tokens in and out, and whether they are our estimate of a token for four bytes."""
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else [None]
    whole = [count for count in counts if type(count) is int and count >= 0]
    if len(whole) == 2:
        return whole[0], whole[1], False
    return -(-request.prompt_bytes // 4), -(-len((text or "").encode()) // 4), True


def pause(asked: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header, in seconds or as an HTTP date; None where it says neither.

    >>> pause("2", 0.0), pause("Thu, 01 Jan 1970 00:00:10 GMT", 4.0), pause("soon", 0.0)
    (2.0, 6.0, None)
    """
    if asked is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", asked):
        return float(asked)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None
