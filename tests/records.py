"""Records for tests: a batch of the schema from the few fields that matter."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from stages.record import SCHEMA

_ORIGIN = {
    "dataset": "d", "revision": None, "file": "f", "sha256": "0" * 64, "row": 0, "key": None, "meta": None, "edits": [],
}  # fmt: skip
_BLANK = {
    "input": "", "response": "", "rejected_response": None, "source": "s", "type": "counseling", "tags": [],
    "system": None, "turns": None, "license": "CC0-1.0", "group": "g", "origin": _ORIGIN,
}  # fmt: skip


def batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    """One record a row, blank but for the given fields; ids count up."""
    full = [{"id": f"{i:032x}", **_BLANK, **row} for i, row in enumerate(rows)]
    return pa.RecordBatch.from_pylist(full, schema=SCHEMA)
