"""Why a row is in one version and not in the other.

A merge says it of the rows it took out. The others never reached it: upstream has them no more, the source is off,
or normalize rejected them; a reject is known by its place in an upstream file with the same bytes, or, where the file
changed, by the id that its content gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stages import ledger
from stages.dedup.exact import id_parts
from stages.engine.keys import hash128, hexes
from stages.files import read_json, read_lines
from stages.versions.compare import Names
from stages.versions.trees import NoVersionError, Version

GONE, OFF, UNKNOWN = "gone_upstream", "source_off", "unknown"  # unknown: the files that say it are nowhere
_ROW = 40  # bits of a row's number in the key of its place
_LINES = 4096  # of the quarantine, at a time


def paths(source: str) -> list[str]:
    """The files that say what never reached the merge."""
    return [
        f"data/quarantine/{source}.jsonl",
        f"data/raw/{source}/receipt.json",
        f"data/ledger/normalize/{source}.json",
        f"data/ledger/{source}/{source}.json",
    ]


@dataclass
class Absence:
    """Reasons for rows of one source that a version's merge never saw."""

    version: Version
    source: str
    _loaded: bool = False
    _all: str = ""  # one reason for all rows
    _shas: dict[str, str] = field(default_factory=dict)
    _files: Names = field(default_factory=Names)
    _reasons: Names = field(default_factory=Names)
    _places: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # sorted
    _at_place: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    _ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))  # their first halves, sorted
    _at_id: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def of(self, rows: pa.RecordBatch) -> list[str]:
        """The reason for each row, by its `id` and `origin`: source_off, gone_upstream, rejected:REASON or unknown."""
        self._load()
        if self._all:
            return [self._all] * len(rows)
        found = self._by_place(rows["origin"])
        ids = id_parts(rows["id"])[0]
        found = np.where(found < 0, _look(self._ids, self._at_id, ids), found)
        names = self._reasons.list()
        return [GONE if number < 0 else f"rejected:{names[number]}" for number in found.tolist()]

    def _by_place(self, origin: pa.StructArray) -> np.ndarray:
        files, shas = pc.struct_field(origin, "file").to_pylist(), pc.struct_field(origin, "sha256").to_pylist()
        same = np.array([self._shas.get(file) == sha for file, sha in zip(files, shas, strict=True)], bool)
        numbers = np.array([self._files.known.get(file, -1) for file in files], np.int64)
        keys = (numbers << _ROW) + pc.struct_field(origin, "row").to_numpy(zero_copy_only=False)
        return np.where(same & (numbers >= 0), _look(self._places, self._at_place, keys), -1)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        wanted = paths(self.source)
        try:
            self.version.fetch(wanted)
        except NoVersionError:
            self._all = UNKNOWN
            return
        quarantine, receipt, *ledgers = (self.version.find(path) for path in wanted)
        accounts = [ledger.read(path) for path in ledgers if path]
        self._all = "" if any(account["in"] for account in accounts) else OFF
        if self._all or quarantine is None or receipt is None:
            return
        self._shas = {entry["file"]: entry["sha256"] for entry in read_json(receipt, "files")["files"]}
        places, reasons, ids = [], [], [np.empty(0, np.uint64)]
        lines = read_lines(quarantine, "file", "row", "reason", "raw")
        while entries := list(islice(lines, _LINES)):
            places += [(self._files.number(entry["file"]) << _ROW) + entry["row"] for entry in entries]
            reasons += [self._reasons.number(entry["reason"]) for entry in entries]
            ids.append(self._first_ids([_content(entry["raw"]) for entry in entries]))
        at = np.array(reasons, np.int64)
        self._places, self._at_place = _sorted(np.array(places, np.int64), at)
        self._ids, self._at_id = _sorted(np.concatenate(ids), at)

    def _first_ids(self, contents: list[bytes]) -> np.ndarray:
        """The first half of the id that each content gives, were it the first such row."""
        names = hexes(hash128(pa.array(contents, pa.binary())))
        return hash128(pa.array([f"{self.source}/{name}/0" for name in names], pa.string()))["hi"].astype(np.uint64)


def _content(raw: str) -> bytes:
    """What normalize hashes of a row without a key; of a line that is no JSON object, the line."""
    try:
        row = orjson.loads(raw)
        values = row.values()
    except (orjson.JSONDecodeError, AttributeError):
        return raw.encode()
    texts = ("\0" if v is None else v if isinstance(v, str) else orjson.dumps(v).decode() for v in values)
    return "\0".join(texts).encode()


def _sorted(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys, kind="stable")
    return keys[order], values[order]


def _look(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, or -1."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], -1)
