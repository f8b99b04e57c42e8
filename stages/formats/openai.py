"""OpenAI fine-tuning (SFT): {"messages": [...]}, no other key. Read by Together, Mistral, TRL, Axolotl and more too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, chat
from stages.params import Export

KIND = "chat"
OUTS = ("mental_health_openai.jsonl", "mental_health_openai_train.jsonl", "mental_health_openai_validation.jsonl")


def convert(row: Row, settings: Export) -> dict[str, Any]:
    return {"messages": chat(row, settings)}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder, settings, convert, dict(zip(("train", "validation"), OUTS[1:], strict=True)), OUTS[0])
