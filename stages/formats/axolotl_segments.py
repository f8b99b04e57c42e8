"""Axolotl `input_output`: transcripts in segments, of which the participant's choices alone are trained on.

The marks << and >> stand in the segments around a choice, as upstream has them and as models trained on
Psych-101 expect; all segments of a row, joined, are the upstream transcript byte for byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row
from stages.params import Export

KIND = "segments"
OUTS = ("axolotl_segments",)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    segments: list[dict[str, Any]] = []
    text = ""
    for turn in row.turns or []:
        if turn["role"] == "user":
            text += turn["content"]
        else:
            segments += [{"label": False, "text": text + "<<"}, {"label": True, "text": turn["content"]}]
            text = ">>"
    return {"segments": [*segments, {"label": False, "text": text}]}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
