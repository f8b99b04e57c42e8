"""Alpaca: {"instruction", "input", "output", "system"}. Read by LLaMA-Factory, Axolotl, torchtune, Oumi.

The instruction is the constant of params; what the person wrote is the input.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, system_message
from stages.params import Export

KIND = "single"
OUTS = ("alpaca",)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    return {
        "instruction": settings.instruction,
        "input": row.input,
        "output": row.response,
        "system": system_message(row, settings) or "",
    }


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
