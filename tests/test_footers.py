"""Footers cut by row group: what is read by a part of a footer is what the whole one gives."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.errors import DamagedError
from stages.storage import ParquetReader, group_rows, read_batches, read_rows, read_stretch, row_count, stretches

ROWS = 500
TABLE = pa.table(
    {
        "id": [f"{n:04d}" for n in range(ROWS)],
        "tags": pa.array([["a"] * (n % 3) for n in range(ROWS)], pa.list_(pa.string())),
        "origin": [{"row": n, "key": None if n % 2 else str(n)} for n in range(ROWS)],
    }
)


def written(path: Path, rows: pa.Table, size: int) -> Path:
    pq.write_table(rows, path, row_group_size=size, write_page_index=True)
    return path


@pytest.mark.parametrize("size", [7, 64, ROWS])  # 7: more row groups than the short form of a list counts
def test_a_part_of_the_row_groups_reads_as_in_the_whole(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "table.parquet", TABLE, size)
    with ParquetReader(path) as whole:
        counts = whole.groups()
        assert group_rows(path) == counts and row_count(path) == ROWS
        for group in range(len(counts)):
            with ParquetReader(path, groups=[group]) as part:
                assert part.groups() == [counts[group]] and part.schema == whole.schema
                assert part.read(0).equals(whole.read(group))
                assert part.read(0, ["origin"]).equals(whole.read(group, ["origin"]))
    assert pa.Table.from_batches(read_batches(path)).equals(TABLE)
    assert pa.Table.from_batches(read_rows(path, 30, 99)).equals(TABLE.slice(30, 69))
    batches = [batch for stretch in stretches(path) for batch in read_stretch(path, stretch)]
    assert pa.Table.from_batches(batches).equals(TABLE)


def test_what_is_kept_of_a_row_group_does_not_grow_with_its_columns(tmp_path: Path) -> None:
    wide = pa.table({f"column {n}": ["text"] * 100 for n in range(60)})
    path = written(tmp_path / "wide.parquet", wide, 1)
    assert row_count(written(tmp_path / "table.parquet", TABLE, 64)) == ROWS  # what is made once is there
    tracemalloc.start()
    assert row_count(path) == 100
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < pq.read_metadata(path).serialized_size / 2
    assert ParquetReader(path, groups=[99]).read(0).num_columns == 60


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "table.parquet", TABLE, 64)
    assert row_count(path) == ROWS
    written(path, TABLE.slice(0, 5), 64)
    assert row_count(path) == 5
    assert pa.Table.from_batches(read_batches(path)).equals(TABLE.slice(0, 5))


@pytest.mark.parametrize("keep", [0, 3, 11, 200, -5])
def test_a_torn_file_is_one_sentence(tmp_path: Path, keep: int) -> None:
    path = written(tmp_path / "table.parquet", TABLE, 64)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedError, match=r"table\.parquet is damaged"):
        row_count(path)


def test_a_footer_of_noughts_is_no_empty_table(tmp_path: Path) -> None:
    path = written(tmp_path / "table.parquet", TABLE, 7)
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes(len(data) - 300) + data[-200:])
    with pytest.raises(DamagedError):
        row_count(path)
