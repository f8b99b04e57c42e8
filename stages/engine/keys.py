"""Global steps over keys: small fixed-width records, partitioned by hash on disk and sorted one part at a time.

Text never moves for a global step, and a partition stays small, however many keys there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

PARTITION_BITS = 6
PARTITIONS = 1 << PARTITION_BITS  # files that keys are cut into at once
PART = 1 << 20  # bytes of one; a larger one is cut again, where its hashes differ
IN_MEMORY = 1 << 18  # keys; so many need no file


class KeySpill:
    """Collects records with a uint64 field `hi`, and gives them back one hash partition at a time.

    `dtype` is a numpy structured type. Records of one hash are always in one partition, and partitions
    come in the order of their hashes; how many there are depends on the records.
    """

    def __init__(self, folder: Path, dtype: np.dtype) -> None:
        self._folder, self.dtype = folder, dtype
        self._pending: list[np.ndarray] = []
        self._count = 0
        self._spilled = False

    def add(self, records: np.ndarray) -> None:
        self._pending.append(records)
        self._count += len(records)
        if self._count >= IN_MEMORY:
            self._spill()

    def partitions(self) -> Iterator[np.ndarray]:
        """The records of each partition, sorted by all fields in their order."""
        if not self._spilled:
            yield self._sorted(self._drain())
            return
        self._spill()
        yield from self._parts(self._folder / "keys")

    def _parts(self, name: Path) -> Iterator[np.ndarray]:
        """The partitions in the files of a name; what is too large for one is cut into files of its own name."""
        for path in filter(Path.exists, (_file(name, part) for part in range(PARTITIONS))):
            size = path.stat().st_size
            if size > PART and (differing := self._differing(path)):
                shift = differing - min((size // PART).bit_length(), PARTITION_BITS, differing)
                for records in self._chunks(path):
                    _scatter(records, path.with_suffix(""), shift)
                path.unlink()
                yield from self._parts(path.with_suffix(""))
            else:
                yield self._sorted(np.fromfile(path, self.dtype))
                path.unlink()

    def _differing(self, path: Path) -> int:
        """How many of the last bits of `hi` are not the same in all records of a file."""
        some = [bound for part in self._chunks(path) for bound in (part["hi"].min(), part["hi"].max())]
        return (int(min(some)) ^ int(max(some))).bit_length()

    def _chunks(self, path: Path) -> Iterator[np.ndarray]:
        with path.open("rb") as file:
            while len(records := np.fromfile(file, self.dtype, PART // self.dtype.itemsize)):
                yield records

    def _sorted(self, records: np.ndarray) -> np.ndarray:
        """By `hi`, which most records have for themselves; the others among their like by all fields."""
        records = records.take(np.argsort(np.ascontiguousarray(records["hi"])))
        again = records["hi"][1:] == records["hi"][:-1]
        like = np.flatnonzero(np.append(again, [False]) | np.append([False], again))
        some = records.take(like)
        records[like] = some.take(np.lexsort([some[name] for name in reversed(self.dtype.names or ())]))
        return records

    def _drain(self) -> np.ndarray:
        records = np.concatenate(self._pending) if self._pending else np.empty(0, self.dtype)
        self._pending, self._count = [], 0
        return records

    def _spill(self) -> None:
        records = self._drain()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._spilled = True
        _scatter(records, self._folder / "keys", 64 - PARTITION_BITS)


def _scatter(records: np.ndarray, name: Path, shift: int) -> None:
    """Append records to the files of a name by the bits of `hi` above the last `shift`."""
    part = ((records["hi"] >> np.uint64(shift)) & np.uint64(PARTITIONS - 1)).astype(np.uint8)
    records = records.take(np.argsort(part, kind="stable"))  # `take` is ten times faster than [] for structs
    bounds = np.append([0], np.cumsum(np.bincount(part, minlength=PARTITIONS)))
    for number in np.flatnonzero(np.diff(bounds)):
        with _file(name, int(number)).open("ab") as file:
            records[bounds[number] : bounds[number + 1]].tofile(file)


def _file(name: Path, part: int) -> Path:
    return name.with_name(f"{name.name}-{part:02d}.bin")


def hash128(texts: pa.Array) -> np.ndarray:
    """xxh3-128 of each value (string or binary; null as empty): shape (n,), fields hi and lo, uint64."""
    digest = xxhash.xxh3_128_digest
    joined = b"".join([digest(value) for value in texts.cast(pa.binary()).fill_null(b"").to_pylist()])
    return np.frombuffer(joined, np.dtype([("hi", ">u8"), ("lo", ">u8")])).astype([("hi", "u8"), ("lo", "u8")])


def hexes(hashes: np.ndarray) -> list[str]:
    """32 hex digits for each hash of `hash128`."""
    return [f"{hi:016x}{lo:016x}" for hi, lo in zip(hashes["hi"].tolist(), hashes["lo"].tolist(), strict=True)]


def run_starts(records: np.ndarray, fields: tuple[str, ...]) -> np.ndarray:
    """For records sorted by `fields`: the place where each record's run of equal ones starts (int64, shape (n,))."""
    if len(records) == 0:
        return np.empty(0, np.int64)
    new = np.ones(len(records), bool)
    new[1:] = False
    for name in fields:
        new[1:] |= records[name][1:] != records[name][:-1]
    return np.maximum.accumulate(np.where(new, np.arange(len(records)), 0))


class PlaceSpill:
    """Collects records with an int64 field `place` (a row's number among `total` rows); gives them back by place.

    `take` is called with consecutive ranges; it holds one partition at a time.
    """

    def __init__(self, folder: Path, dtype: np.dtype, total: int) -> None:
        self._spill = KeySpill(folder, np.dtype([("hi", "u8"), *dtype.descr]))
        self._scale = np.uint64((1 << 64) // (max(total, 1) + 1))
        self._parts: Iterator[np.ndarray] | None = None
        self._pending = np.empty(0, self._spill.dtype)

    def add(self, records: np.ndarray) -> None:
        scaled = np.empty(len(records), self._spill.dtype)
        for name in records.dtype.names or ():
            scaled[name] = records[name]
        scaled["hi"] = records["place"].astype(np.uint64) * self._scale
        self._spill.add(scaled)

    def take(self, stop: int) -> np.ndarray:
        """The records whose place lies before `stop` and was not taken yet, sorted by place, then the other fields."""
        if self._parts is None:
            self._parts = self._spill.partitions()
        taken = []
        while True:
            cut = int(np.searchsorted(self._pending["place"], stop))
            taken.append(self._pending[:cut])
            self._pending = self._pending[cut:]
            if len(self._pending):
                break
            fresh = next(self._parts, None)
            if fresh is None:
                break
            self._pending = fresh
        return np.concatenate(taken)
