"""The texts of a batch as one array, and spans by text back to spans by record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.params import Pii
from stages.screens.pii.spans import Span

FIELDS = ("input", "response", "rejected_response")
TURNS = "turns"


class Units(NamedTuple):
    """Texts with where they come from; parallel arrays."""

    texts: pa.StringArray  # null where a record has no such text
    row: npt.NDArray[np.int64]
    field: npt.NDArray[np.int8]  # index in FIELDS, then TURNS
    turn: npt.NDArray[np.int32]  # -1 unless the field is turns
    links_only: npt.NDArray[np.bool_]


def collect(batch: pa.RecordBatch, params: Pii) -> Units:
    """All texts of a batch, field by field."""
    rows = np.arange(len(batch))
    texts = [batch.column(name).cast(pa.string()) for name in FIELDS]
    row = [rows] * len(FIELDS)
    turn = [np.full(len(batch), -1, np.int32)] * len(FIELDS)
    turns = batch.column(TURNS)
    parents = pc.list_parent_indices(turns).to_numpy(zero_copy_only=False).astype(np.int64)
    texts.append(pc.struct_field(turns.flatten(), "content").cast(pa.string()))
    row.append(parents)
    first = np.searchsorted(parents, parents)  # the first of a record's turns
    turn.append((np.arange(len(parents)) - first).astype(np.int32))
    field = np.repeat(np.arange(len(texts), dtype=np.int8), [len(text) for text in texts])
    limited = pc.is_in(batch.column("type"), pa.array(params.links_only, pa.string())).to_numpy(zero_copy_only=False)
    every_row = np.concatenate(row)
    return Units(pa.concat_arrays(texts), every_row, field, np.concatenate(turn), limited[every_row])


def column(units: Units, found: dict[int, list[Span]], rows: int, kind: pa.DataType) -> pa.StructArray:
    """The screen's column of spans by unit."""
    at = np.array(sorted(found, key=lambda i: (units.row[i], units.field[i], units.turn[i])), np.int64)
    sizes = np.zeros(rows + 1, np.int64)
    np.add.at(sizes, units.row[at] + 1, [len(found[i]) for i in at])
    names = (*FIELDS, TURNS)
    spans = [
        (names[units.field[i]], int(units.turn[i]) if units.turn[i] >= 0 else None, *span[:2], *span[2:])
        for i in at
        for span in found[int(i)]
    ]
    span_type = kind.field("spans").type.value_type
    columns = list(zip(*spans, strict=True)) if spans else [()] * span_type.num_fields
    arrays = [pa.array(values, field.type) for values, field in zip(columns, span_type, strict=True)]
    items = pa.StructArray.from_arrays(arrays, fields=list(span_type))
    lists = pa.ListArray.from_arrays(pa.array(np.cumsum(sizes), pa.int32()), items, type=kind.field("spans").type)
    return pa.StructArray.from_arrays([lists], fields=list(kind))
