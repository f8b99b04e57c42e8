"""mlx-lm: the chat lines under the only names that it reads, train.jsonl, valid.jsonl and test.jsonl.

Never cut into several files, which it would not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, chat
from stages.params import Export

KIND = "chat"
OUTS = ("mlx",)

FILES = {"train": "train.jsonl", "validation": "valid.jsonl", "test": "test.jsonl"}


def convert(row: Row, settings: Export) -> dict[str, Any]:
    return {"messages": chat(row, settings)}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert, files=FILES, cut=False)
