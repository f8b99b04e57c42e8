"""What each source is: its upstream files and columns, and how one of its rows becomes a record.

A source is a module `stages/sources/<key>.py` with

- `raw(params)`: the upstream columns as a pyarrow schema; a non-nullable one must be there in every row;
- `GROUP`: what the `group` of its drafts is: rows of one group stand on one side of the split;
- `REPAIRS`: which repairs of `stages.text` its text gets; none where the licence forbids edits;
- `CHOICES`: reject reasons that are a rule of ours and no fault of the row (they never fail a build);
- `draft(batch, file, params)`: rows in the upstream columns to drafts, as many as came;
- `PRIVATE`, optional: upstream columns that name people; they do not reach the quarantine, nor does any row
  of the source that cannot be read;
- optional, where one record needs several rows: `INDEX`, a numpy dtype with the fields `place` (of a row among all)
  and `unit`; `index(drafts, texts)`, that of a batch, which leaves the texts that other rows may need in a file;
  `gather(index, total, folder, params, each)`, from those of all units to what becomes of each row, by place; and
  `render(drafts, first, fates, texts)`, the final drafts of a batch, with the files of all units at hand.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import numpy as np
import pyarrow as pa

from stages.errors import ParamsError
from stages.params import Source
from stages.record import TURN

if TYPE_CHECKING:
    from stages.engine import Each
    from stages.engine.keys import PlaceSpill

# What a source module makes of its rows; `normalize` adds the rest of the record.
DRAFT = pa.schema(
    [
        pa.field("input", pa.string()),
        pa.field("response", pa.string()),
        pa.field("rejected_response", pa.string()),
        pa.field("type", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("system", pa.string()),
        pa.field("turns", pa.list_(TURN)),
        pa.field("group", pa.string()),  # text that is folded before it is compared
        pa.field("key", pa.string()),  # the source's own key for the row
        pa.field("meta", pa.string()),  # further upstream fields, as JSON text
        pa.field("edits", pa.list_(pa.string())),  # edits that the source made itself
        pa.field("reject", pa.string()),  # a reason code, or null
        pa.field("message", pa.string()),  # the sentence for it
    ]
)


class Module(Protocol):
    """The shape of a source module."""

    GROUP: str
    REPAIRS: tuple[str, ...]
    CHOICES: tuple[str, ...]
    INDEX: np.dtype
    index: Callable[[pa.RecordBatch, BinaryIO], np.ndarray]
    gather: Callable[[Iterable[np.ndarray], int, Path, Source, Each], PlaceSpill]
    render: Callable[[pa.RecordBatch, int, np.ndarray, Callable[[int], Path]], pa.RecordBatch]

    def raw(self, params: Source) -> pa.Schema: ...
    def draft(self, batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch: ...


def load(key: str) -> Module:
    """The module of a source. Raises ParamsError if there is none of that name."""
    name = f"{__name__}.{key}"
    try:
        return cast(Module, importlib.import_module(name))
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    raise ParamsError(
        f"params.yaml: sources.{key} has no module stages/sources/{key}.py: write it, or take the block out"
    )


def columns(*names: str) -> pa.Schema:
    """Upstream columns that hold text in every row."""
    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in names])


def drafts(count: int, **fields: Any) -> pa.RecordBatch:
    """A batch of `count` drafts: an array per field, a str or list for a constant one, null where nothing is given."""
    return pa.RecordBatch.from_arrays([_column(count, fields.get(f.name), f.type) for f in DRAFT], schema=DRAFT)


def _column(count: int, value: Any, kind: pa.DataType) -> pa.Array:
    if value is None or count == 0:
        return pa.nulls(count, kind)
    if isinstance(value, pa.Array):
        return value
    if isinstance(value, list) and pa.types.is_list(kind):
        return pa.repeat(pa.scalar(sorted(value), kind), count)
    return pa.repeat(pa.scalar(value, kind), count)


def marks(flags: Iterable[bool], name: str) -> pa.Array:
    """A list column that holds `name` where the flag is set."""
    return pa.array([[name] if flag else [] for flag in flags], pa.list_(pa.string()))
