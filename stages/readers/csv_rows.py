"""CSV."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from stages.errors import SourceError
from stages.readers.rows import BYTES, CHUNK, CSV_CHUNK, LONGEST, ROWS, Fault, Read, Unit, check_columns, shown

SWALLOWED = 3  # lines inside a cell that look like rows, from which they are taken for rows


def cuts(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Places where a row starts, and its number; none at all for a CSV whose quotes do not all stand where they should.

    A quote opens a cell at its start and closes it at its end, or is doubled. Where that holds from the first byte to
    the last, a line feed after an even number of quotes ends a row.
    """
    file.seek(0)
    found: list[tuple[int, int]] = []
    base = quotes = row = 0
    before = b"\n"
    while chunk := file.read(CSV_CHUNK):
        while chunk.endswith((b'"', b"\r")) and (more := file.read(1)):
            chunk += more
        data = np.frombuffer(before + chunk + b"\n", np.uint8)
        places = np.flatnonzero(data[1:-1] == 34) + 1
        opening = (np.arange(len(places)) + quotes) % 2 == 0
        outside = np.flatnonzero((data[1:-1] == 10) | (data[1:-1] == 13)) + 1
        outside = outside[(np.searchsorted(places, outside) + quotes) % 2 == 0]
        strange = _strange(data, places, opening) or (data[outside[data[outside] == 13] + 1] != 10).any()
        if strange:
            return
        ends = outside[data[outside] == 10]
        while len(ends) and base + ends[-1] >= size * (len(found) + 1):
            first = int(np.searchsorted(ends, size * (len(found) + 1) - base))
            found.append((base + int(ends[first]), row + first))  # the header is a row that is not counted
        base, quotes, row, before = base + len(chunk), quotes + len(places), row + len(ends), chunk[-1:]
    yield from found if quotes % 2 == 0 else []


def _strange(data: np.ndarray, places: np.ndarray, opening: np.ndarray) -> bool:
    """Whether a quote opens where no cell starts, or closes where none ends."""
    starts, ends = np.array([10, 13, 34, 44], np.uint8), np.array([10, 13, 34, 44], np.uint8)
    before, after = data[places[opening] - 1], data[places[~opening] + 1]
    return not (np.isin(before, starts).all() and np.isin(after, ends).all())


def read(unit: Unit, schema: pa.Schema, label: str) -> Iterator[Read]:
    rows = _csv_rows(unit, schema, label)
    while True:
        numbers: list[int] = []
        values: list[Any] = []
        faults: list[Fault] = []
        size = 0
        for row in rows:
            if isinstance(row, Fault):
                faults.append(row)
                size += len(row.raw)
            else:
                number, value, weight = row
                numbers.append(number)
                values.append(value)
                size += weight
            if len(numbers) + len(faults) >= ROWS or size >= BYTES:
                break
        if not numbers and not faults:
            return
        columns = zip(*values, strict=True) if values else ([] for _ in schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        yield Read(numbers, pa.RecordBatch.from_arrays(arrays, schema=schema), faults)


def _csv_rows(unit: Unit, schema: pa.Schema, label: str) -> Iterator[Any]:
    csv.field_size_limit(LONGEST)
    # surrogateescape carries bytes that are no UTF-8 through the parser, to the row that they spoil
    with unit.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            header = next(csv.reader(file))
        except StopIteration:
            raise SourceError(f"{label} is empty: expected a CSV with the columns {', '.join(schema.names)}") from None
        except csv.Error as error:
            raise SourceError(f"{label} is no CSV ({error}): download the file again") from None
    if unit.start == 0:
        check_columns(header, schema, label)
        if twice := [name for name in schema.names if header.count(name) > 1]:
            raise SourceError(f"{label} names the column {twice[0]!r} twice: rename the one that is not meant")
    picks = [header.index(field.name) if field.name in header else None for field in schema]
    with unit.path.open("rb") as binary:
        part = io.BufferedReader(Part(binary, unit), CHUNK)
        encoding = "utf-8" if unit.start else "utf-8-sig"
        rows = csv.reader(io.TextIOWrapper(part, encoding, "surrogateescape", newline=""))
        if unit.start == 0:
            next(rows)
        began = rows.line_num
        for number in itertools.count(unit.row):
            before, began = began, rows.line_num
            try:
                row = next(rows)
            except StopIteration:
                whole = unit.start == 0 and unit.stop is None  # only a file whose quotes are even is cut
                if whole and began - before > 1 and _odd_quotes(unit.path):  # the parser gives what it holds, silently
                    raise SourceError(
                        f"{label}: row {number - 1} opens a quote that nothing closes, and swallows {began - before} "
                        "lines to the end of the file: expected a closing quote: mend the file, or download it again"
                    ) from None
                return
            except csv.Error as error:
                yield Fault(number, "too_long", f"{error} (an unclosed quote?)", "")
                continue
            yield _csv_row(number, row, len(header), picks)


def _odd_quotes(path: Path) -> bool:
    with path.open("rb") as file:
        return sum(chunk.count(b'"') for chunk in iter(lambda: file.read(CHUNK), b"")) % 2 == 1


class Part(io.RawIOBase):
    """The bytes of one unit of an open file."""

    def __init__(self, file: BinaryIO, unit: Unit) -> None:
        self._file, self._stop = file, unit.stop
        self._at = file.seek(unit.start)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        most = len(target) if self._stop is None else min(len(target), self._stop - self._at)
        got = self._file.read(most)
        target[: len(got)] = got
        self._at += len(got)
        return len(got)


def _csv_row(number: int, row: list[str], width: int, picks: list[int | None]) -> Any:
    text = "".join(row)
    if not text.isascii() and not _encodable(text):
        raw = ",".join(row).encode("utf-8", "surrogateescape")
        return Fault(number, "invalid_utf8", "the row holds bytes that are no UTF-8", shown(raw))
    if len(row) != width:
        return Fault(number, "wrong_columns", f"{len(row)} cells, expected {width}", shown(",".join(row).encode()))
    if lines := swallowed(row):
        message = f"a quote closes far below where it opens, so that one cell swallows {lines} lines that are rows"
        return Fault(number, "swallowed_rows", message, shown(",".join(row).encode()))
    return number, [None if pick is None else row[pick] for pick in picks], len(text)


def swallowed(row: list[str]) -> int:
    """Lines inside one cell that are whole rows of the file, if no other lines stand between them and they are many.

    Rows that hold a quote end such a cell, so what it swallows has none: plain cells, and no blank after a comma,
    by which a row is told from a line of prose.

    >>> swallowed(["1", "open\\n2,a\\n3,b c\\n4,d\\n5,close"])
    3
    >>> swallowed(["1", "A poem,\\nof a tree, a bird,\\nand, oh, me\\nand, you"])
    0
    """
    commas = len(row) - 1
    for cell in row:
        if commas and cell.count("\n") > SWALLOWED:
            lines = cell.split("\n")[1:-1]
            if all(line.count(",") == commas and ", " not in line and line.strip(", \r") for line in lines):
                return len(lines)
    return 0


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
