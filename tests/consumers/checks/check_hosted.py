"""Hosted services, as far as their own libraries check offline: the types of openai and google-genai, and the
request model that botocore validates Converse requests with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _runner


def _each(files: dict[str, list[str]], check: Callable[[Any], None], step: str) -> dict[str, Any]:
    rows = {}
    for split, paths in files.items():
        rows[split] = 0
        for path in paths:
            for line in Path(path).read_bytes()[:-1].split(b"\n"):
                check(json.loads(line))
                rows[split] += 1
    return {"rows": rows, "step": step}


def openai(files: dict[str, list[str]]) -> dict[str, Any]:
    from openai.types.chat import ChatCompletionMessageParam
    from pydantic import TypeAdapter

    messages = TypeAdapter(list[ChatCompletionMessageParam])
    return _each(files, lambda row: messages.validate_python(row["messages"]), "typed messages")


def openai_preference(files: dict[str, list[str]]) -> dict[str, Any]:
    from openai.types.chat import ChatCompletionAssistantMessageParam, ChatCompletionMessageParam
    from pydantic import TypeAdapter

    messages = TypeAdapter(list[ChatCompletionMessageParam])
    answer = TypeAdapter(ChatCompletionAssistantMessageParam)

    def check(row: Any) -> None:
        messages.validate_python(row["input"]["messages"])
        for side in ("preferred_output", "non_preferred_output"):
            (one,) = row[side]
            assert isinstance(answer.validate_python(one)["content"], str)

    return _each(files, check, "typed messages")


def gemini(files: dict[str, list[str]]) -> dict[str, Any]:
    from google.genai.types import Content

    def check(row: Any) -> None:
        assert set(row) <= {"systemInstruction", "contents"}
        parts = [*row["contents"], *filter(None, [row.get("systemInstruction")])]
        assert all(part.text for one in parts for part in Content.model_validate(one).parts or [])

    return _each(files, check, "typed contents")


def bedrock(files: dict[str, list[str]]) -> dict[str, Any]:
    from botocore.session import Session
    from botocore.validate import ParamValidator

    shape = Session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape

    def check(row: Any) -> None:
        request = {"modelId": "any", "messages": row["messages"], "system": row.get("system", [])}
        report = ParamValidator().validate(request, shape)
        assert not report.has_errors(), report.generate_report()

    return _each(files, check, "Converse request model")


if __name__ == "__main__":
    _runner.main(
        {
            ("openai types", "openai"): (openai, "no last key"),
            ("openai types", "openai_preference"): (openai_preference, "null text"),
            ("google-genai types", "gemini"): (gemini, "null text"),
            ("botocore model", "bedrock"): (bedrock, "null text"),
        }
    )
