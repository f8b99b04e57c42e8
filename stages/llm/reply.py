"""From what an endpoint answered to a text that can be judged, or to the reason why there is none.

What is taken off a text, and nothing else: one leading `<think>` block; one code fence around a whole JSON
answer; and the repairs of `stages.text`. Anything further is a reason to reject.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from stages.llm.answers import Answer

_THINK = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)
_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n\s*```\s*", re.DOTALL)

# Failures after which no other attempt of the slot can succeed: the request itself does not fit.
FATAL = frozenset({"context_length", "http_413", "http_422"})

_FINISH = {"length": "truncated", "content_filter": "content_filter", "tool_calls": "tool_calls"}


class Unreadable(Exception):
    """The answer holds no usable text; the argument is the reason code."""


def plain(answer: Answer) -> tuple[str, list[str]]:
    """The text of an answer without a leading `<think>` block, and the names of the edits made.

    Raises Unreadable when the answer is a failure, was cut off, or holds characters that nothing can keep.
    """
    if answer.failure:
        raise Unreadable(answer.failure)
    if answer.finish_reason in _FINISH:
        raise Unreadable(_FINISH[answer.finish_reason])
    text, edits = answer.text or "", []
    if block := _THINK.match(text):
        text, edits = text[block.end() :], ["think"]
    check(text)
    return text, edits


_BROKEN = re.compile("[\ufffd\ud800-\udfff]")


def check(text: str) -> None:
    """Raise Unreadable for a text that nothing can keep, or that is none."""
    faults = {
        "nul": "\0" in text,
        "broken_characters": bool(_BROKEN.search(text)),
        "think_block": "<think" in text.lower(),
        "empty": not text.strip(),
    }
    for reason, found in faults.items():
        if found:
            raise Unreadable(reason)


def record(text: str, fields: Mapping[str, type]) -> tuple[dict[str, Any], list[str]]:
    """A JSON object with exactly these fields, and the names of the edits made.

    Raises Unreadable with `not_json`, `missing_item`, `extra_items` or `wrong_type`.

    >>> record('{"a": "x"}', {"a": str})
    ({'a': 'x'}, [])
    """
    value, edits = any_record(text)
    if fields.keys() - value.keys():
        raise Unreadable("missing_item")
    if value.keys() - fields.keys():
        raise Unreadable("extra_items")
    for name, kind in fields.items():
        if not isinstance(value[name], kind) or isinstance(value[name], bool):
            raise Unreadable("wrong_type")
    return value, edits


def any_record(text: str) -> tuple[dict[str, Any], list[str]]:
    """A JSON object with whatever fields, and the names of the edits made. Raises Unreadable with `not_json`."""
    edits: list[str] = []
    if fence := _FENCE.fullmatch(text):
        text, edits = fence[1], ["fence"]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("not_json") from None
    if not isinstance(value, dict):
        raise Unreadable("not_json")
    return value, edits
