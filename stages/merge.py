"""merge: the records of all sources to one table. `python -m stages.merge`

Two passes over the rows. The first emits small keys, from which duplicates are found; the second writes
the rows that stay, in the declared order of sources, then file, then row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages import errors, ledger, params, record
from stages.dedup import exact
from stages.engine.keys import KeySpill, PlaceSpill
from stages.files import atomic, scratch
from stages.layout import MERGED, MERGED_TABLE, NORMALIZED
from stages.ledger import Ledger
from stages.params import Params
from stages.storage import CsvSink, JsonArraySink, ParquetSink, read_batches

EXCEL_CELL = 32_767  # characters; Excel cuts longer cells

DUPLICATES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # the removed row
        pa.field("kept", pa.string(), nullable=False),  # the row that stands for it
        pa.field("source", pa.string(), nullable=False),
        pa.field("kept_source", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),  # exact
        pa.field("score", pa.int32(), nullable=False),  # similarity, in thousandths
        pa.field("differing_words", pa.int32(), nullable=False),
    ]
)
# A removed row and the row that stands for it, by place and id.
LINK = np.dtype(
    [("place", "i8"), ("id_hi", "u8"), ("id_lo", "u8"), ("kept_place", "i8"), ("kept_hi", "u8"), ("kept_lo", "u8")]
)


def main() -> None:
    settings = params.load("sources")
    order = params.ordered(settings)
    with scratch(MERGED_TABLE) as folder:
        accounts = {key: Ledger("merge", key) for key in order}
        bounds = _count(order, accounts)
        removed, stands_for = _find_duplicates(settings, order, bounds, folder)
        _write(settings, order, bounds, removed, stands_for, accounts)
    ledger.write_folder("merge", accounts)


def _count(order: list[str], accounts: dict[str, Ledger]) -> np.ndarray:
    """Where each source's rows start among all rows; shape (sources + 1,)."""
    for key in order:
        accounts[key].rows_in = pq.read_metadata(_records(key)).num_rows
    return np.concatenate([[0], np.cumsum([accounts[key].rows_in for key in order])])


def _records(key: str) -> Path:
    return NORMALIZED / f"{key}.parquet"


# --- first pass: keys --------------------------------------------------------------------------------------


def _find_duplicates(
    settings: Params, order: list[str], bounds: np.ndarray, folder: Path
) -> tuple[PlaceSpill, PlaceSpill]:
    """Links by the place of the removed row, and the same links by the place of the row that stays."""
    keys = KeySpill(folder / "exact", exact.KEY)
    for key, start in zip(order, bounds, strict=False):
        place = int(start)
        source = settings.sources[key]
        for batch in read_batches(_records(key), ["id", "type", *exact.COMPARED]):
            places = np.arange(place, place + len(batch))
            keys.add(exact.keys(batch, source.priority, source.keep_all, places))
            place += len(batch)
    removed = PlaceSpill(folder / "removed", LINK, int(bounds[-1]))
    stands_for = PlaceSpill(folder / "kept", LINK, int(bounds[-1]))
    for found in exact.duplicates(keys.partitions()):
        links = _links(found)
        removed.add(links)
        stands_for.add(_turned(links))
    return removed, stands_for


def _links(found: exact.Removed) -> np.ndarray:
    links = np.empty(len(found.removed), LINK)
    for prefix, side in (("", found.removed), ("kept_", found.kept)):
        links[f"{prefix}place"] = side["place"]
        links[f"{prefix or 'id_'}hi"], links[f"{prefix or 'id_'}lo"] = side["id_hi"], side["id_lo"]
    return links


def _turned(links: np.ndarray) -> np.ndarray:
    """The same links with the kept row first."""
    names = LINK.names or ()
    turned = np.empty(len(links), LINK)
    for name, other in zip(names, names[3:] + names[:3], strict=True):
        turned[name] = links[other]
    return turned


# --- second pass: rows -------------------------------------------------------------------------------------


def _write(
    settings: Params, order: list[str], bounds: np.ndarray, removed: PlaceSpill, stands_for: PlaceSpill,
    accounts: dict[str, Ledger],
) -> None:  # fmt: skip
    names = np.array(order)
    with (
        atomic(MERGED_TABLE) as parquet,
        atomic(MERGED_TABLE.with_suffix(".json")) as json,
        atomic(MERGED_TABLE.with_suffix(".csv")) as csv,
        atomic(MERGED / "duplicates.parquet") as duplicates,
    ):
        whole = ParquetSink(parquet, record.MERGED, published=True)
        public = JsonArraySink(json)
        cells = CsvSink(csv, record.PUBLIC)
        ledger_of_duplicates = ParquetSink(duplicates, DUPLICATES, published=True)
        for key, start in zip(order, bounds, strict=False):
            place = int(start)
            for batch in read_batches(_records(key)):
                links = removed.take(place + len(batch))
                groups = stands_for.take(place + len(batch))
                kept = _kept(batch, place, links, groups, settings.sources[key].enters)
                ledger_of_duplicates.write(_evidence(links, key, names, bounds))
                whole.write(kept)
                rows = [kept[name].to_pylist() for name in record.PUBLIC]
                public.write(dict(zip(record.PUBLIC, row, strict=True)) for row in zip(*rows, strict=True))
                rows[-1] = [orjson.dumps(tags).decode() for tags in rows[-1]]
                cells.write(zip(*rows, strict=True))
                _account(accounts[key], kept, len(links))
                place += len(batch)
        for sink in (whole, public, cells, ledger_of_duplicates):
            sink.close()


def _kept(
    batch: pa.RecordBatch, place: int, links: np.ndarray, groups: np.ndarray, enters: Sequence[str]
) -> pa.RecordBatch:
    """The rows that stay, with what they may enter and the ids they stand for."""
    stays = np.ones(len(batch), bool)
    stays[links["place"] - place] = False
    ids = pa.array(_ids(groups["kept_hi"], groups["kept_lo"]), pa.string())
    counts = np.bincount(groups["place"] - place, minlength=len(batch))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    names = [list(enters)] * len(batch)
    columns = [*batch.columns, pa.array(names, pa.list_(pa.string())), pa.ListArray.from_arrays(offsets, ids)]
    return pa.RecordBatch.from_arrays(columns, schema=record.MERGED).filter(pa.array(stays))


def _ids(high: np.ndarray, low: np.ndarray) -> list[str]:
    return [f"{hi:016x}{lo:016x}" for hi, lo in zip(high.tolist(), low.tolist(), strict=True)]


def _evidence(links: np.ndarray, key: str, names: np.ndarray, bounds: np.ndarray) -> pa.RecordBatch:
    """Rows of duplicates.parquet for the rows of one batch that left."""
    kept_source = names[np.searchsorted(bounds, links["kept_place"], side="right") - 1]
    columns = [
        pa.array(_ids(links["id_hi"], links["id_lo"]), pa.string()),
        pa.array(_ids(links["kept_hi"], links["kept_lo"]), pa.string()),
        pa.array([key] * len(links), pa.string()),
        pa.array(kept_source.tolist(), pa.string()),
        pa.array(["exact"] * len(links), pa.string()),
        pa.array(np.full(len(links), 1000, np.int32)),
        pa.array(np.zeros(len(links), np.int32)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=DUPLICATES)


FORMULA, LOOKS_NULL = r"^[=+\-@]", r"^(NA|N/A|None|null|nan|NaN|NULL)$"


def _account(account: Ledger, kept: pa.RecordBatch, duplicates: int) -> None:
    account.rows_out += len(kept)
    account.duplicates += duplicates
    cells = [kept[name] for name in ("input", "response", "rejected_response")]
    for name, count in (
        ("cells_cut_by_excel", sum(_count_true(pc.greater(pc.utf8_length(c), EXCEL_CELL)) for c in cells)),
        ("cells_like_formulas", sum(_count_true(pc.match_substring_regex(c, FORMULA)) for c in cells)),
        ("cells_like_null", sum(_count_true(pc.match_substring_regex(c, LOOKS_NULL)) for c in cells)),
    ):
        account.details[name] = account.details.get(name, 0) + count


def _count_true(flags: pa.Array) -> int:
    return pc.sum(flags).as_py() or 0


if __name__ == "__main__":
    errors.run(main)
