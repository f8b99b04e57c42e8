"""The least that the core job costs: the same reads, parses, hashes and writes, and nothing between them.

`python -m benchmarks.floor FOLDER` reads FOLDER/data/raw and writes to FOLDER/floor what the core job writes: a table
of records for each source, the merged table as Parquet, JSON and CSV, the table of sides, one JSON Lines export. It
folds, repairs, checks, compares and counts nothing. Its parsers are the fastest that read these files without an
error or a lost byte (msgspec; csv of the standard library, see benchmarks/README.md), its Parquet settings are ours,
and each text is hashed as often as the job hashes it: for the id, the group, the duplicate, and the side.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import xxhash

from stages.storage import json_rows

ROWS = 4096
FIELDS = {
    "human_like_dpo": ("prompt", "chosen", "rejected"),
    "amod_counseling": ("Context", "Response", None),
    "mentalchat16k": ("input", "output", "instruction"),
    "trace": ("messages", "meta", None),
    "psych_101": ("text", "experiment", "participant"),
    "reddit_ess": ("post", "comment", "subreddit"),
    "depression_reddit": ("clean_text", "is_depression", None),
}
SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "group", "input", "response", "rejected_response")])
Row = tuple[str | None, str | None, str | None]


def parsed(source: str, path: Path) -> Iterator[Row]:
    """The three texts of each row of an upstream file; rows that are none are left out."""
    names = FIELDS[source]
    if path.suffix == ".csv":
        csv.field_size_limit(1 << 30)
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file)
            picks = [-1 if name is None else at for name, at in zip(names, _places(next(rows), names), strict=True)]
            for row in rows:
                if len(row) > max(picks):
                    yield tuple(None if at < 0 else row[at] for at in picks)  # type: ignore[misc]
        return
    kinds: dict[str, Any] = {"messages": list[dict[str, str]], "meta": msgspec.Raw}
    fields: list[Any] = [(name, kinds[name]) if name in kinds else (name, str | None, None) for name in names if name]
    row_type = msgspec.defstruct("Row", fields, gc=False)
    with path.open("rb") as file:
        if source == "human_like_dpo":
            for row in msgspec.json.decode(file.read(), type=list[row_type]):  # type: ignore[valid-type]
                yield row.prompt, row.chosen, row.rejected
            return
        decode = msgspec.json.Decoder(row_type).decode
        get = [name for name in names if name]
        for line in file:
            try:
                row = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            values = [getattr(row, name) for name in get] + [None] * (3 - len(get))
            if source == "trace":
                values = [message["content"] for message in values[0]]
            yield values[0], values[1], values[2]


def _places(header: list[str], names: tuple[str | None, ...]) -> list[int]:
    return [header.index(name) if name else -1 for name in names]


def batches(source: str, path: Path) -> Iterator[pa.RecordBatch]:
    waiting: list[Row] = []
    for row in parsed(source, path):
        waiting.append(row)
        if len(waiting) == ROWS:
            yield _batch(waiting)
            waiting = []
    if waiting:
        yield _batch(waiting)


def _batch(rows: list[Row]) -> pa.RecordBatch:
    texts: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
    try:
        columns = [pa.array(column, pa.string()) for column in texts]
    except UnicodeEncodeError:
        columns = [
            pa.array([v and v.encode("utf-8", "replace").decode() for v in column], pa.string()) for column in texts
        ]
    digest = xxhash.xxh3_128_hexdigest
    ids = [digest("\0".join(value or "" for value in row).encode("utf-8", "replace")) for row in rows]
    groups = [digest((row[0] or "").encode("utf-8", "replace")) for row in rows]
    return pa.RecordBatch.from_arrays([pa.array(ids), pa.array(groups), *columns], schema=SCHEMA)


def read(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, columns=columns, use_threads=False).to_batches()


def writer(path: Path, schema: pa.Schema, *, published: bool = False) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, write_page_index=published,
        use_content_defined_chunking=published,
    )  # fmt: skip


def hashed(batch: pa.RecordBatch, *names: str) -> None:
    for values in zip(*(batch[name].cast(pa.binary()).to_pylist() for name in names), strict=True):
        xxhash.xxh3_128_digest(b"\0".join(value or b"" for value in values))


def main() -> None:
    root = Path(sys.argv[1])
    out = root / "floor"
    out.mkdir(exist_ok=True)
    tables = []
    for source in FIELDS:
        with writer(out / f"{source}.parquet", SCHEMA) as table:
            for path in sorted(path for path in (root / "data/raw" / source).rglob("*") if path.is_file()):
                if path.name != "receipt.json":
                    for batch in batches(source, path):
                        table.write_batch(batch)
        tables.append(out / f"{source}.parquet")
    merged(out, tables)
    sides(out)
    export(out)


def merged(out: Path, tables: list[Path]) -> None:
    """Each table is read for its keys, and again for what is written."""
    for table in tables:
        for batch in read(table, ["input", "response", "rejected_response"]):
            hashed(batch, "input", "response", "rejected_response")
    options = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid")
    with writer(out / "merged.parquet", SCHEMA, published=True) as parquet, (out / "merged.json").open("wb") as json:
        with pa_csv.CSVWriter(out / "merged.csv", SCHEMA, write_options=options) as cells:
            for table in tables:
                for batch in read(table):
                    parquet.write_batch(batch)
                    json.write(json_rows(batch))
                    cells.write_batch(batch)


def sides(out: Path) -> None:
    schema = pa.schema([("id", pa.string()), ("side", pa.string()), ("group", pa.string())])
    with writer(out / "split.parquet", schema, published=True) as table:
        for batch in read(out / "merged.parquet", ["id", "input", "group"]):
            hashed(batch, "input")
            hashed(batch, "group")
            table.write_batch(pa.RecordBatch.from_arrays([batch["id"], pa.repeat("train", len(batch)), batch["group"]], schema=schema))  # fmt: skip


def export(out: Path) -> None:
    with (out / "export.jsonl").open("wb") as lines:
        for batch in read(out / "merged.parquet", ["input", "response"]):
            lines.write(json_rows(batch))


if __name__ == "__main__":
    main()
