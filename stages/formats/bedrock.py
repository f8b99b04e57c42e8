"""Amazon Bedrock fine-tuning, conversation schema bedrock-conversation-2024."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, system_message, turns
from stages.params import Export

KIND = "chat"
OUTS = ("bedrock",)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    system = system_message(row, settings)
    first = {"system": [{"text": system}]} if system else {}
    messages = [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in turns(row)]
    return {"schemaVersion": "bedrock-conversation-2024", **first, "messages": messages}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
