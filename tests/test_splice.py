"""Parquet files spliced: the bytes that one writer makes of the same row groups."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import DamagedError, LawError
from stages.splice import Splice
from stages.storage import ParquetSink

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCHEMA = pa.schema(
    [
        pa.field("text", pa.string()),
        pa.field("number", pa.int64()),
        pa.field("share", pa.float64()),
        pa.field("flag", pa.bool_()),
        pa.field("names", pa.list_(pa.string()), nullable=False),
        pa.field("turn", pa.struct([pa.field("role", pa.string()), pa.field("at", pa.int32())])),
        *(pa.field(f"more{place}", pa.int8()) for place in range(12)),  # a list of 15 and more has another head
    ]
)
ROW = st.fixed_dictionaries(
    {
        "text": st.none() | TEXT | TEXT.map(lambda some: some * 5000),
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "share": st.none() | st.floats(allow_nan=False),
        "flag": st.none() | st.booleans(),
        "names": st.lists(TEXT, max_size=3),
        "turn": st.none() | st.fixed_dictionaries({"role": st.none() | TEXT, "at": st.none() | st.integers(0, 9)}),
    }
)


def write(path: Path, groups: list[list[dict[str, object]]], published: bool) -> None:
    sink = ParquetSink(path, SCHEMA, published=published)
    for rows in groups:
        sink.write(pa.RecordBatch.from_pylist(rows, SCHEMA))
        sink.cut()
    sink.close()


def spliced(out: Path, *parts: Path) -> Path:
    splice = Splice(out, SCHEMA)
    for part in parts:
        splice.add(part)
    splice.close()
    return out


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(st.lists(st.lists(ROW, min_size=1, max_size=5), max_size=3), max_size=4),
    published=st.booleans(),
)
def test_a_splice_is_what_one_writer_makes(
    parts: list[list[list[dict[str, object]]]], published: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("splice")
    write(folder / "whole", [rows for groups in parts for rows in groups], published)
    for number, groups in enumerate(parts):
        write(folder / str(number), groups, published)
    spliced(folder / "spliced", *(folder / str(number) for number in range(len(parts))))
    assert (folder / "spliced").read_bytes() == (folder / "whole").read_bytes()


def test_long_parts_are_read_by_their_pages(tmp_path: Path) -> None:
    """Pages cut by content begin anew in each part, so here one writer's bytes are others; the rows are the same."""
    rows = [{"text": f"row {place} " * 800, "number": place, "names": ["a"] * (place % 4)} for place in range(6000)]
    table = pa.Table.from_pylist(rows, SCHEMA)
    for number in range(3):
        sink = ParquetSink(tmp_path / str(number), SCHEMA, published=True)
        for batch in table.slice(number * 2000, 2000).to_batches():
            sink.write(batch)
        sink.close()
    out = spliced(tmp_path / "out.parquet", *(tmp_path / str(number) for number in range(3)))
    assert pq.read_table(out).equals(table)
    found = ds.dataset(out).to_table(filter=ds.field("number") == 4321)
    assert found["text"].to_pylist() == [rows[4321]["text"]]
    column = pq.ParquetFile(out).metadata.row_group(2).column(1)
    assert column.has_offset_index
    assert column.has_column_index


def test_what_is_no_part_of_this_table_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "part", [[{"names": []}]], published=True)
    whole = (tmp_path / "part").read_bytes()
    for number, bad in enumerate(
        (b"", b"PAR1", whole[:-1], whole[:-9] + whole[-8:], whole[: len(whole) // 2] + whole[-8:])
    ):
        (tmp_path / str(number)).write_bytes(bad)
        with pytest.raises(DamagedError, match="no Parquet"):
            Splice(tmp_path / "out", SCHEMA).add(tmp_path / str(number))
    pq.write_table(pa.table({"text": ["another"]}), tmp_path / "other")
    splice = Splice(tmp_path / "out", SCHEMA)
    splice.add(tmp_path / "part")
    with pytest.raises(LawError, match="another schema"):
        splice.add(tmp_path / "other")
