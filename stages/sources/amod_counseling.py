"""Amod counseling conversations: people's questions and counsellors' answers, under RAIL-D.

The licence forbids editing a row: the text goes through byte-equal, or the row is absent.
"""

from __future__ import annotations

import pyarrow as pa

from stages.params import Source
from stages.sources import columns, drafts

GROUP = "input"
REPAIRS: tuple[str, ...] = ()
CHOICES = ()


def raw(params: Source) -> pa.Schema:
    return columns("Context", "Response")


def draft(batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch:
    return drafts(
        len(batch),
        input=batch["Context"],
        response=batch["Response"],
        type="counseling",
        tags=["human", "no-edit"],
        group=batch["Context"],
    )
