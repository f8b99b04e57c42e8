"""Unpaired preferences as strings: both sides of each pair. Read by TRL (KTO), LLaMA-Factory, Axolotl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row
from stages.params import Export

KIND = "kto"
OUTS = ("kto_text",)


def convert(row: Row, settings: Export) -> list[dict[str, Any]]:
    return [
        {"prompt": row.input, "completion": row.response, "label": True},
        {"prompt": row.input, "completion": row.rejected_response, "label": False},
    ]


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert, each=2)
