"""OpenAI preference fine-tuning (DPO). Together reads it too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, assistant, opening, user
from stages.params import Export

KIND = "pairs"
OUTS = ("openai_preference",)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    messages = [*opening(row, settings), user(row)]
    return {
        "input": {"messages": messages, "tools": [], "parallel_tool_calls": True},
        "preferred_output": [assistant(row.response)],
        "non_preferred_output": [assistant(row.rejected_response)],
    }


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
