"""Upstream files as batches of typed rows; what cannot be a row becomes a Fault with its reason.

JSON and JSON Lines are told apart by content, not by suffix. Files are streamed: a batch ends after
`ROWS` rows or `BYTES` bytes, and no reader holds more than one batch and one row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from stages.readers import csv_rows, json_rows
from stages.readers.rows import BYTES, LONGEST, RAW_JSON, ROWS, Fault, Read, Unit, shown

__all__ = ["BYTES", "LONGEST", "RAW_JSON", "ROWS", "Fault", "Read", "Unit", "is_csv", "read", "shown", "units"]


def is_csv(file: str) -> bool:
    """Whether an upstream file is read as CSV; anything else is JSON or JSON Lines."""
    return file.lower().endswith(".csv")


def units(path: Path, size: int = 16 << 20) -> Iterator[Unit]:
    """Cut a file between rows near every `size` bytes; one of which that cannot be said for sure is one unit."""
    start = row = 0
    for at, number in _cuts(path, size):
        yield Unit(path, start, at, row)
        start, row = at, number
    yield Unit(path, start, None, row)


def _cuts(path: Path, size: int) -> Iterator[tuple[int, int]]:
    """Places inside a file where a row starts, and its number; a unit is read while the next one is looked for."""
    total = path.stat().st_size
    if total <= size:
        return
    with path.open("rb") as file:
        if is_csv(path.name):
            cuts = csv_rows.cuts(file, size)
        elif json_rows.is_array(file):
            cuts = json_rows.array_cuts(file, size)
        else:
            cuts = json_rows.line_cuts(file, size, total)
        yield from ((at, row) for at, row in cuts if at < total)


def read(unit: Unit, schema: pa.Schema, label: str) -> Iterator[Read]:
    """Stream the rows of a unit as batches in `schema`; `label` names the file in errors.

    Raises SourceError for a file that is no JSON, JSON Lines or CSV of these columns.
    """
    return csv_rows.read(unit, schema, label) if is_csv(unit.path.name) else json_rows.read(unit, schema, label)
