"""Human-Like-DPO: a casual answer preferred over a stiff one. General chat, not mental health."""

from __future__ import annotations

import pyarrow as pa

from stages import text
from stages.params import Source
from stages.sources import columns, drafts

GROUP = "input"
REPAIRS = text.REPAIRS
CHOICES = ()


def raw(params: Source) -> pa.Schema:
    return columns("prompt", "chosen", "rejected")


def draft(batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch:
    return drafts(
        len(batch),
        input=batch["prompt"],
        response=batch["chosen"],
        rejected_response=batch["rejected"],
        type="preference",
        tags=["general-chat", "synthetic"],
        group=batch["prompt"],
    )
