"""Gemini supervised tuning on Vertex AI; its documentation asks for at most 1 GB and a bounded validation file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, system_message, turns
from stages.params import Export

KIND = "chat"
OUTS = ("gemini",)

ROLE = {"user": "user", "assistant": "model"}


def convert(row: Row, settings: Export) -> dict[str, Any]:
    contents = [{"role": ROLE[turn["role"]], "parts": [{"text": turn["content"]}]} for turn in turns(row)]
    system = system_message(row, settings)
    first = {"systemInstruction": {"role": "system", "parts": [{"text": system}]}} if system else {}
    return {**first, "contents": contents}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
