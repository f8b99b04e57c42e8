"""OpenAI fine-tuning (SFT): {"messages": [...]}, no other key. Read by Together, Mistral, TRL, Axolotl and more too.

Rows of the test side are in no file of this format; mlx/test.jsonl holds their lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row, chat
from stages.params import Export

KIND = "chat"
SIDES = ("train", "validation")
NAME = "mental_health_openai"
FILES = {side: f"{NAME}_{side}.jsonl" for side in SIDES}
# DVC wants an out's name before it is known whether one file is enough: several go into a folder.
SHARDS, TERMS = f"{NAME}_shards", f"{NAME}_licenses"
OUTS = (f"{NAME}.jsonl", *FILES.values(), SHARDS, TERMS)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    return {"messages": chat(row, settings)}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder, settings, convert, files=FILES, both=OUTS[0], spill=folder / SHARDS)
