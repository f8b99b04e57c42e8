"""What readers of all formats share: units, batches, faults, and the check of the columns."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from stages.errors import SourceError

ROWS, BYTES = 2048, 8 << 20
LONGEST = 64 << 20  # bytes of one row; a longer one is a fault, and is never held whole
CHUNK = 1 << 20
CSV_CHUNK = 8 << 20
RAW_SHOWN = 1 << 20  # bytes of an unreadable row that the quarantine keeps

RAW_JSON = pa.field("raw", pa.string(), metadata={"json": "raw"})  # a column that keeps its JSON text as it stands


class Fault(NamedTuple):
    """A row that cannot be read: its number in the file, a reason code, a sentence, and the row as text."""

    row: int
    reason: str
    message: str
    raw: str


@dataclass(frozen=True)
class Unit:
    """A part of a file that is read on its own: cut by data, never by worker count."""

    path: Path
    start: int = 0
    stop: int | None = None
    row: int = 0  # number of the first row


class Read(NamedTuple):
    """One batch: the rows' numbers in the file (JSON Lines: of the line), their columns, and the faults among them."""

    numbers: list[int]
    columns: pa.RecordBatch
    faults: list[Fault]


def shown(text: bytes, further: int = 0) -> str:
    """An unreadable row as text: bytes that are no UTF-8 as \\xNN; a row that is cut says so, and its length.

    `further`: bytes of the row that are not in `text`.
    """
    cut = f"… [cut: the row has {len(text) + further:,} bytes]" if len(text) > RAW_SHOWN else ""
    return text[:RAW_SHOWN].decode("utf-8", "backslashreplace") + cut


def check_columns(found: Iterable[str], schema: pa.Schema, label: str) -> None:
    found = set(found)
    missing = [field.name for field in schema if field.name not in found and not field.nullable]
    extra = sorted(found - set(schema.names))
    if missing:
        has = ", ".join(repr(name[:40]) for name in sorted(found)[:20]) + (", ..." if len(found) > 20 else "")
        raise SourceError(
            f"{label} has no column {', '.join(map(repr, missing))} (it has {has or 'none'}): "
            "upstream's schema changed or the file is another one; check it, or declare its columns in params.yaml"
        )
    if extra:
        names = ", ".join(name[:40] for name in extra[:20]) + (", ..." if len(extra) > 20 else "")
        print(f"note: {label} has further columns, which are left out: {names}", file=sys.stderr)
