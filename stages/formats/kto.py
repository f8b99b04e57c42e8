"""Unpaired preferences as messages: both sides of each pair, the better one labelled true. Read by TRL (KTO)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, assistant, opening, user
from stages.params import Export

KIND = "kto"
OUTS = ("kto",)


def convert(row: Row, settings: Export) -> list[dict[str, Any]]:
    prompt = [*opening(row, settings), user(row)]
    return [
        {"prompt": prompt, "completion": [assistant(row.response)], "label": True},
        {"prompt": prompt, "completion": [assistant(row.rejected_response)], "label": False},
    ]


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert, each=2)
