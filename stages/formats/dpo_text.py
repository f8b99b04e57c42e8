"""Preference pairs as strings; `system` is empty where there is none. Read by LLaMA-Factory (ranking), Oumi, TRL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, system_message
from stages.params import Export

KIND = "pairs"
OUTS = ("dpo_text",)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    return {
        "prompt": row.input,
        "chosen": row.response,
        "rejected": row.rejected_response,
        "system": system_message(row, settings) or "",
    }


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
