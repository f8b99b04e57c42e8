"""promptfoo: test cases for evaluation, for `tests: file://validation.jsonl`. Never rows of the training side.

promptfoo renders variables as templates and opens those that begin with file://: such rows are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.formats import JsonLines, Row, system_message
from stages.params import Export

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "single"
OUTS = ("promptfoo",)

SIDES = ("validation", "test")
FILES = {side: f"{side}.jsonl" for side in SIDES}


def convert(row: Row, settings: Export) -> dict[str, Any]:
    return {
        "vars": {"system": system_message(row, settings) or "", "input": row.input, "reference": row.response},
        "metadata": {"id": row.id, "source": row.source, "license": row.license},
    }


def refuse(rows: pa.RecordBatch, settings: Export) -> pa.Array:
    import pyarrow.compute as pc

    rendered = [
        pc.match_substring_regex(rows[name], r"\{\{|\{%|\{#|^(file|package)://") for name in ("input", "response")
    ]
    return pc.if_else(pc.or_(*rendered), "template", None).cast("string")


def writer(folder: Path, settings: Export) -> JsonLines:
    return JsonLines(folder / OUTS[0], settings, convert, files=FILES)
