"""Inspect: samples for evaluation, read by `json_dataset`. Never rows of the training side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, chat
from stages.params import Export

KIND = "chat"
OUTS = ("inspect_ai",)

SIDES = ("validation", "test")
FILES = {side: f"{side}.jsonl" for side in SIDES}


def convert(row: Row, settings: Export) -> dict[str, Any]:
    *messages, last = chat(row, settings)
    metadata = {"source": row.source, "license": row.license}
    return {"id": row.id, "input": messages, "target": last["content"], "metadata": metadata}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert, files=FILES)
