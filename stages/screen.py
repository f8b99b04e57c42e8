"""screen: attributes beside the records of one source. `python -m stages.screen <source>`

Writes one row a record, in the records' order: its id, one struct column for each screen that is on, and the
version of the screens. No text is copied and none is changed.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages import engine, errors, ledger, params, screens
from stages.errors import LawError, SourceError
from stages.files import atomic
from stages.layout import LEDGER, NORMALIZED, SCREENED
from stages.ledger import Ledger
from stages.params import Params, Screens
from stages.storage import ParquetReader, ParquetSink, byte_size, group_rows, row_count

ROWS = 1024  # screened at once: bounds memory, changes no output


def main(key: str) -> None:
    settings = params.load("screens")
    path = NORMALIZED / f"{key}.parquet"
    if not path.exists():
        raise SourceError(f"{path} is missing: name a source of params.yaml, or let `dvc repro` make it")
    on = screens.enabled(settings.screens)
    for name, screen in on.items():
        screens.ready(name, screen)
    account = Ledger("screen", key, rows_in=row_count(path))
    counts: dict[str, Counter[str]] = {name: Counter() for name in on}
    with atomic(SCREENED / f"{key}.parquet") as out:
        sink = ParquetSink(out, _schema(on))
        for batch in _attributes(path, settings):
            sink.write(batch)
            for name in on:
                counts[name].update(tally(batch[name]))
            account.rows_out += len(batch)
        sink.close()
    account.details = {name: dict(sorted(found.items())) for name, found in counts.items()}
    ledger.write(LEDGER / "screen" / f"{key}.json", account)


def _schema(on: Iterable[str]) -> pa.Schema:
    """The columns of a screened table."""
    columns = [pa.field(name, screens.load(name).TYPE) for name in on]
    identity, version = (pa.field(name, pa.string(), nullable=False) for name in ("id", "screen_version"))
    return pa.schema([identity, *columns, version])


def _attributes(path: Path, settings: Params) -> Iterator[pa.RecordBatch]:
    """Attributes of all records, in their order."""
    columns = None if screens.enabled(settings.screens) else ["id"]
    work = functools.partial(_screen_group, path=path, columns=columns, settings=settings.screens)
    with engine.started(settings.engine, byte_size(path) if columns is None else 0) as each:
        for batches in each(work, range(len(group_rows(path)))):
            yield from batches


def _screen_group(group: int, path: Path, columns: list[str] | None, settings: Screens) -> list[pa.RecordBatch]:
    """Attributes of one row group of the records."""
    with ParquetReader(path, groups=[group]) as file:
        table = file.read(0, columns)
    return [attributes(batch, settings) for batch in table.to_batches(max_chunksize=ROWS)]


def attributes(batch: pa.RecordBatch, settings: Screens) -> pa.RecordBatch:
    """Attributes of one batch of records.

    Raises LawError where a screen does not give one value of its type for each record.
    """
    on = screens.enabled(settings)
    schema = _schema(on)
    columns = [batch["id"]]
    for name, screen in on.items():
        column = screens.load(name).screen(batch, screen)
        if len(column) != len(batch) or column.type != schema.field(name).type:
            raise LawError(
                f"screen {name} gave {len(column)} values of {column.type} for {len(batch)} records: "
                "this is a bug of the pipeline, please report it"
            )
        columns.append(column)
    columns.append(pa.repeat(screens.version(settings), len(batch)))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


# --- the ledger's figures -------------------------------------------------------------------------------

# Fields of a finding that say of what kind it is; its place and its evidence are no kind.
_KIND = ("tier", "type", "topic")


def tally(column: pa.StructArray) -> Counter[str]:
    """Rows by what a screen found: `field=value` for labels and lists of labels, `field` for flags.

    >>> column = pa.array([{"tags": ["url", "url"], "flag": True}, {"tags": [], "flag": False}])
    >>> sorted(tally(column).items())
    [('flag', 1), ('tags=url', 1)]
    """
    found: Counter[str] = Counter()
    for place, entry in enumerate(column.type):
        values = column.field(place).filter(pc.is_valid(column)) if column.null_count else column.field(place)
        if pa.types.is_boolean(entry.type):
            found[entry.name] = pc.sum(values).as_py() or 0
        elif pa.types.is_string(entry.type):
            found.update(_by_value(entry.name, pa.array(range(len(values)), pa.int64()), values))
        elif pa.types.is_list(entry.type):
            labels = _labels(values.flatten())
            if labels is not None:
                found.update(_by_value(entry.name, pc.list_parent_indices(values), labels))
    return +found


def _labels(items: pa.Array) -> pa.StringArray | None:
    """The label of each finding, or None where findings have none."""
    if pa.types.is_string(items.type):
        return items
    if not pa.types.is_struct(items.type):
        return None
    parts = [pc.struct_field(items, name) for name in _KIND if items.type.get_field_index(name) >= 0]
    return pc.binary_join_element_wise(*parts, ":") if parts else None


def _by_value(name: str, rows: pa.Array, labels: pa.StringArray) -> dict[str, int]:
    pairs = pa.table({"row": rows, "label": labels}).group_by(["row", "label"]).aggregate([])
    counted = pc.value_counts(pairs["label"].combine_chunks().drop_null())
    return {f"{name}={item['values']}": item["counts"] for item in counted.to_pylist()}


if __name__ == "__main__":
    errors.run(main)
