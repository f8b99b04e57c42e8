"""Text and label, for sources that are labelled and have no answers; kept apart from chat. Read by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.formats import JsonLines, Row
from stages.params import Export

KIND = "classification"
OUTS = ("classification",)


def convert(row: Row, settings: Export) -> dict[str, Any]:
    return {"text": row.input, "label": settings.labels.index(row.response), "label_text": row.response}


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert)
