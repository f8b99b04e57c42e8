"""Psych-101: transcripts of psychological experiments; the person's choices stand between << and >>.

The marks are no HTML, and all choices count: the text between them is the user's turn, each choice the
assistant's. The flat record holds the transcript up to the last choice, and that choice.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stages.params import Source
from stages.record import TURN
from stages.sources import columns, drafts

GROUP = "participant"
REPAIRS = ("newlines", "controls", "nfc")  # white space at the edges of a transcript is part of it
CHOICES = ()

CHOICE = re.compile(rb"<<(.*?)>>", re.S)
ROLES = ("user", "assistant")  # of even and odd pieces


def raw(params: Source) -> pa.Schema:
    return columns("text", "experiment", "participant")


def draft(batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch:
    # Rows have thousands of turns: those of one row at a time are objects of Python.
    rows = [_transcript(text.as_py()) for text in batch["text"].cast(pa.binary())]
    none = pa.array([row.turns is None for row in rows], pa.bool_())
    # A participant's number means something only inside its experiment. Experiment names may look like paths:
    # never use them as one.
    person = pc.binary_join_element_wise(batch["experiment"], batch["participant"], " participant ")
    return drafts(
        len(batch),
        input=pa.array([row.input for row in rows], pa.string()),
        response=pa.array([row.response for row in rows], pa.string()),
        reject=pc.if_else(none, "no_choice", None),
        message=pc.if_else(none, "the transcript has no choice between << and >>", None),
        type="behavioral-experiment",
        tags=["experiment"],
        turns=_lists([row.turns for row in rows], none),
        group=person,
        meta=_meta(batch),
    )


class Transcript(NamedTuple):
    """One row; all None where it has no choice."""

    input: bytes | None = None
    response: bytes | None = None
    turns: pa.StructArray | None = None


def _transcript(text: bytes) -> Transcript:
    pieces = CHOICE.split(text)
    if len(pieces) == 1:
        return Transcript()
    last = len(text) - len(pieces[-1]) - len(pieces[-2]) - len("<<>>")
    places = [place for place, piece in enumerate(pieces) if piece or place % 2]
    roles = [ROLES[place % 2] for place in places]
    turns = [pa.array(roles, pa.string()), pa.array([pieces[place] for place in places], pa.string())]
    return Transcript(text[:last], pieces[-2], pa.StructArray.from_arrays(turns, fields=list(TURN)))


def _lists(turns: list[pa.StructArray | None], none: pa.Array) -> pa.ListArray:
    ends = np.cumsum([0, *(0 if some is None else len(some) for some in turns)], dtype=np.int32)
    flat = pa.concat_arrays([pa.array([], TURN), *(some for some in turns if some is not None)])
    return pa.ListArray.from_arrays(pa.array(ends), flat, type=pa.list_(TURN), mask=none)


def _meta(batch: pa.RecordBatch) -> pa.Array:
    rows = zip(batch["experiment"].to_pylist(), batch["participant"].to_pylist(), strict=True)
    return pa.array([orjson.dumps({"experiment": e, "participant": p}).decode() for e, p in rows], pa.string())
