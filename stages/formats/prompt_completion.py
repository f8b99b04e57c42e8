"""Prompt and completion as strings, without a system message. Read by TRL, mlx-lm, Together, torchtune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row
from stages.params import Export

KIND = "single"
OUTS = ("prompt_completion",)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    return {"prompt": row.input, "completion": row.response}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
