"""Preference pairs with an explicit prompt, as messages. Read by TRL (DPO) and Axolotl (chat_template.default)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, assistant, opening, user
from stages.params import Export

KIND = "pairs"
OUTS = ("dpo",)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    return {
        "prompt": [*opening(row, settings), user(row)],
        "chosen": [assistant(row.response)],
        "rejected": [assistant(row.rejected_response)],
    }


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
