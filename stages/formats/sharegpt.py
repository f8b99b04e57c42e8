"""ShareGPT: {"conversations": [{"from": system, human or gpt, "value": ...}]}.

Read by Axolotl, LLaMA-Factory and torchtune.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, chat
from stages.params import Export

KIND = "chat"
OUTS = ("sharegpt",)

FROM = {"system": "system", "user": "human", "assistant": "gpt"}


def convert(row: Row, settings: Export) -> dict[str, Any]:
    messages = chat(row, settings)
    return {"conversations": [{"from": FROM[one["role"]], "value": one["content"]} for one in messages]}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
