"""Preference pairs with an implicit prompt: two conversations of the same prefix.

Read by torchtune and TRL (DPO, Reward).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, assistant, opening, user
from stages.params import Export

KIND = "pairs"
OUTS = ("preference",)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    prefix = [*opening(row, settings), user(row)]
    return {
        "chosen": [*prefix, assistant(row.response)],
        "rejected": [*prefix, assistant(row.rejected_response)],
    }


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
