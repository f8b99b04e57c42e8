"""Psych-101: transcripts of psychological experiments; the person's choices stand between << and >>.

The marks are no HTML, and all choices count: the text between them is the user's turn, each choice the
assistant's. The flat record holds the transcript up to the last choice, and that choice.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stages.params import Source
from stages.record import TURN
from stages.sources import columns, drafts

GROUP = "participant"
REPAIRS = ("newlines", "controls", "nfc")  # white space at the edges of a transcript is part of it
CHOICES = ()

CHOICE = re.compile(r"<<(.*?)>>", re.S)


def raw(params: Source) -> pa.Schema:
    return columns("text", "experiment", "participant")


def draft(batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch:
    rows = [_transcript(text) for text in batch["text"].to_pylist()]
    fields = {
        name: pa.array([row[name] for row in rows], pa.string()) for name in ("input", "response", "reject", "message")
    }
    # A participant's number means something only inside its experiment. Experiment names may look like paths:
    # never use them as one.
    person = pc.binary_join_element_wise(batch["experiment"], batch["participant"], " participant ")
    return drafts(
        len(batch),
        **fields,
        type="behavioral-experiment",
        tags=["experiment"],
        turns=pa.array([row["turns"] for row in rows], pa.list_(TURN)),
        group=person,
        meta=_meta(batch),
    )


def _transcript(text: str) -> dict[str, Any]:
    pieces = CHOICE.split(text)
    if len(pieces) == 1:
        reason = {"reject": "no_choice", "message": "the transcript has no choice between << and >>"}
        return {"input": None, "response": None, "turns": None} | reason
    turns = [
        {"role": "assistant" if place % 2 else "user", "content": piece}
        for place, piece in enumerate(pieces)
        if piece or place % 2
    ]
    last = len(text) - len(pieces[-1]) - len(f"<<{pieces[-2]}>>")
    return {"input": text[:last], "response": pieces[-2], "turns": turns, "reject": None, "message": None}


def _meta(batch: pa.RecordBatch) -> pa.Array:
    rows = zip(batch["experiment"].to_pylist(), batch["participant"].to_pylist(), strict=True)
    return pa.array([orjson.dumps({"experiment": e, "participant": p}).decode() for e, p in rows], pa.string())
