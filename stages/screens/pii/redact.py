"""Typed placeholders in place of spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.screens.pii.spans import PERSONAL, Span
from stages.screens.pii.units import FIELDS, TURNS


def placeholder(kind: str) -> str:
    """
    >>> placeholder("birth_date")
    '<BIRTH_DATE>'
    """
    return f"<{kind.upper()}>"


def replace(text: str, spans: Sequence[Span]) -> str:
    """The text with sorted, disjoint spans replaced; nothing outside them changes."""
    parts, last = [], 0
    for span in spans:
        parts += [text[last : span.start], placeholder(span.type)]
        last = span.end
    return "".join([*parts, text[last:]])


def redact(texts: pa.StringArray, spans: pa.ListArray) -> pa.StringArray:
    """Texts with their spans replaced by typed placeholders.

    `spans` has a list a text, of structs with at least start, end and type; null counts as none, a null text stays.

    >>> found = pa.array([[{"start": 5, "end": 13, "type": "phone"}]])
    >>> redact(pa.array(["call 555-0199."]), found)[0].as_py()
    'call <PHONE>.'
    """
    changed = pc.fill_null(pc.greater(pc.list_value_length(spans), 0), False)
    if not pc.any(changed).as_py():
        return texts
    pairs = zip(texts.filter(changed).to_pylist(), spans.filter(changed).to_pylist(), strict=True)
    mended = [None if text is None else replace(text, _ordered(items)) for text, items in pairs]
    return cast(pa.StringArray, pc.replace_with_mask(texts, changed, pa.array(mended, texts.type)))


def _ordered(items: Iterable[dict[str, Any]]) -> list[Span]:
    return sorted(Span(item["start"], item["end"], item["type"], "", "", 0) for item in items)


def spans_of(column: pa.StructArray, field: str, tiers: Sequence[str] = (PERSONAL,)) -> pa.ListArray:
    """The spans of one field, a list a record, of the given tiers; for `turns` they keep their turn's number."""
    lists = column.field("spans")
    items = lists.flatten()
    wanted = pc.and_(pc.equal(items.field("field"), field), pc.is_in(items.field("tier"), pa.array(list(tiers))))
    parents = pc.list_parent_indices(lists).filter(wanted).to_numpy(zero_copy_only=False)
    ends = np.cumsum(np.bincount(parents.astype(np.int64), minlength=len(column)))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, items.filter(wanted), type=lists.type)


def redact_batch(
    batch: pa.RecordBatch, column: pa.StructArray, tiers: Sequence[str] = (PERSONAL,)
) -> tuple[pa.RecordBatch, pa.BooleanArray]:
    """The batch with the spans of `tiers` replaced in all four fields, and which rows changed."""
    changed = pa.array(np.zeros(len(batch), np.bool_))
    for name in (*FIELDS, TURNS):
        spans = spans_of(column, name, tiers)
        here = pc.greater(pc.list_value_length(spans), 0)
        if not pc.any(here).as_py():
            continue
        changed = pc.or_(changed, here)
        old = batch.column(name)
        new = _redact_turns(old, spans) if name == TURNS else redact(old, spans)
        batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), new)
    return batch, changed


def _redact_turns(turns: pa.ListArray, spans: pa.ListArray) -> pa.ListArray:
    rows = turns.to_pylist()
    for row, items in enumerate(spans.to_pylist()):
        for number in sorted({item["turn"] for item in items}):
            content = rows[row][number]["content"]
            rows[row][number]["content"] = replace(content, _ordered(i for i in items if i["turn"] == number))
    return pa.array(rows, turns.type)
