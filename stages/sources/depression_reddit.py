"""Depression-Reddit-Cleaned: posts with a binary label. The label is a source artefact, never a reply.

A one-line rule scores 0.96 on it (see the label audit); label 0 is largely tweets.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from stages import text
from stages.errors import ParamsError
from stages.params import Source
from stages.sources import columns, drafts

GROUP = "input"
REPAIRS = text.REPAIRS
CHOICES = ()


def raw(params: Source) -> pa.Schema:
    return columns("clean_text", "is_depression")


def draft(batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch:
    if not params.labels:
        raise ParamsError("params.yaml: sources.depression_reddit.labels is missing: map 0 and 1 to label names")
    place = pc.index_in(batch["is_depression"], pa.array(list(params.labels)))
    unknown = pc.is_null(place)
    expected = " or ".join(params.labels)
    return drafts(
        len(batch),
        input=batch["clean_text"],
        response=pa.array(list(params.labels.values())).take(place),
        type="classification",
        tags=["weak-label"],
        group=batch["clean_text"],
        reject=pc.if_else(unknown, "unknown_label", None).cast(pa.string()),
        message=pc.if_else(unknown, f"is_depression is no label of params.yaml, expected {expected}", None).cast(
            pa.string()
        ),
    )
