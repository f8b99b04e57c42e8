"""Exact duplicates on folded text: input, response and rejected_response together, across sources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import text
from stages.engine.keys import hash128, run_starts

COMPARED = ("input", "response", "rejected_response")

# Types whose rows are compared as they stand: in a transcript, punctuation and choice marks carry meaning.
VERBATIM = "behavioral-experiment"

# One record per row: the hash of its text, who stays first (priority, then id), and its place among all rows.
KEY = np.dtype(
    [("hi", "u8"), ("lo", "u8"), ("priority", "u4"), ("id_hi", "u8"), ("id_lo", "u8"), ("keep", "?"), ("place", "i8")]
)


class Removed(NamedTuple):
    """Records (dtype KEY) of rows that leave, and of the rows that stand for them: same length, same order."""

    removed: np.ndarray
    kept: np.ndarray


def keys(batch: pa.RecordBatch, priority: int, keep: bool, places: np.ndarray) -> np.ndarray:
    """The dedup key of each record; `keep` marks rows that never leave as duplicates. Dtype KEY, shape (n,)."""
    verbatim = pc.equal(batch["type"], VERBATIM)
    columns = [_compared(batch[name], verbatim) for name in COMPARED]
    hashes = hash128(pc.binary_join_element_wise(*columns, "\0", null_handling="replace", null_replacement="\0"))
    result = np.empty(len(batch), KEY)
    result["hi"], result["lo"] = hashes["hi"], hashes["lo"]
    result["id_hi"], result["id_lo"] = id_parts(batch["id"])
    result["priority"], result["keep"], result["place"] = priority, keep, places
    return result


def _compared(texts: pa.Array, verbatim: pa.Array) -> pa.Array:
    if pc.all(verbatim).as_py():
        return texts
    folded = pc.if_else(pc.is_null(texts), None, text.fold_or_nfkc(texts))
    return pc.if_else(verbatim, texts, folded) if pc.any(verbatim).as_py() else folded


def id_parts(ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Record ids (32 hex digits) as two uint64 arrays, in the order of the text."""
    parts = np.frombuffer(bytes.fromhex("".join(ids.to_pylist())), ">u8").reshape(-1, 2)
    return parts[:, 0].astype("u8"), parts[:, 1].astype("u8")


def duplicates(partitions: Iterator[np.ndarray]) -> Iterator[Removed]:
    """From key partitions sorted by all fields: in each run of equal text, the first stays and the others leave."""
    for part in partitions:
        first = run_starts(part, ("hi", "lo"))
        leaves = (first != np.arange(len(part))) & ~part["keep"]
        yield Removed(part.compress(leaves), part.take(first[leaves]))
