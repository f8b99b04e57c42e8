"""Pages of what builds wrote: merged rows, duplicates, quarantine, and the figures that a page draws.

A page is found by reading row group after row group (4,096 rows at most) from where the last page ended: columns that
a filter asks for first, texts only where a row fits. So memory is that of one row group however long the table is,
and no page takes much longer than SECONDS: a search that has found too little by then says how far it came.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhdata import statistics
from mhdata.results import as_json
from mhdata.statistics import NotBuiltError
from mhdata.workspace import Workspace
from stages import errors, ledger, params
from stages.errors import PipelineError
from stages.files import read_line

if TYPE_CHECKING:
    import numpy as np

SECONDS = 1.5  # after which a page ends with what it has
SHOWN = 280  # characters of a text in a list
RAW = 2000  # characters of a quarantined row
TEXTS = ("input", "response", "rejected_response")
LISTED = ("id", "source", "type", "tags", "license", "duplicates", "cluster", *TEXTS)
DELICATE = ("crisis", "pii")  # findings for which a text is not shown unasked


class ChangedError(PipelineError):
    """What a cursor points into has been written anew."""

    code = errors.USAGE


@dataclass(frozen=True)
class Wanted:
    """Which rows to show: all conditions hold. `text` is looked for in every text and in the start of the id."""

    text: str = ""
    source: str | None = None
    type: str | None = None
    tag: str | None = None
    side: str | None = None
    cluster: str | None = None  # the id of a near-duplicate cluster
    repeated: bool = False  # only rows that stand for others, or have near-duplicates beside them


@dataclass(frozen=True)
class Page:
    """Rows of a table, the cursor of the next page, and how many of the table's rows have been looked at."""

    rows: list[dict[str, Any]]
    next: str | None
    scanned: int
    total: int


# --- merged rows ------------------------------------------------------------------------------------------------


def rows(workspace: Workspace, wanted: Wanted, after: str | None = None, limit: int = 50) -> Page:
    """A page of the merged table, with side and findings.

    Raises NotBuiltError without a merged table, ChangedError where `after` is of an older one.
    """
    table = _Table(workspace.merged)
    start = table.position(after)
    found: list[dict[str, Any]] = []
    until = time.monotonic() + SECONDS
    for group, first, count in table.groups():
        if first + count <= start or not table.may_hold(group, "source", wanted.source):
            continue
        fits = _fitting(workspace, table, group, first, count, wanted)
        fits = fits[fits >= start - first][: limit - len(found)]
        found += _listed(workspace, table, group, first, fits, wanted.text)
        if len(found) == limit:
            end = first + int(fits[-1]) + 1
        elif time.monotonic() > until:
            end = first + count
        else:
            continue
        return Page(found, table.cursor(end) if end < table.total else None, end, table.total)
    return Page(found, None, table.total, table.total)


def _fitting(
    workspace: Workspace, table: _Table, group: int, first: int, count: int, wanted: Wanted
) -> np.ndarray[Any, Any]:
    """Numbers, inside the row group, of the rows that fit."""
    import numpy as np
    import pyarrow.compute as pc

    marks = np.ones(count, bool)
    for name in ("source", "type", "cluster"):
        if (value := getattr(wanted, name)) is not None and marks.any():
            column = table.read(group, [name])[name]
            marks &= pc.fill_null(pc.equal(column, value), False).to_numpy(zero_copy_only=False)
    if wanted.tag is not None and marks.any():
        marks &= _holds(table.read(group, ["tags"])["tags"], wanted.tag)
    if wanted.repeated and marks.any():
        batch = table.read(group, ["duplicates", "cluster"])
        several = pc.greater(pc.list_value_length(batch["duplicates"]), 0)
        marks &= pc.or_(several, pc.is_valid(batch["cluster"])).to_numpy(zero_copy_only=False)
    if wanted.side is not None and marks.any():
        marks &= np.array([side == wanted.side for side in _sides(workspace, first, count)], bool)
    if wanted.text and marks.any():
        marks &= _mentions(table.read(group, ["id", *TEXTS, "turns"]), wanted.text)
    return np.flatnonzero(marks)


def _holds(lists: Any, value: str) -> np.ndarray[Any, Any]:
    """Which lists of a column hold the value."""
    import numpy as np
    import pyarrow.compute as pc

    marks = np.zeros(len(lists), bool)
    marks[pc.list_parent_indices(lists).filter(pc.equal(lists.flatten(), value)).to_numpy()] = True
    return marks


def _mentions(batch: Any, text: str) -> np.ndarray[Any, Any]:
    """Which rows have the text, in any case of letters, or an id that starts with it."""
    import numpy as np
    import pyarrow.compute as pc

    marks = pc.starts_with(batch["id"], text.lower()).to_numpy(zero_copy_only=False).copy()
    for name in TEXTS:
        marks |= _matches(batch[name], text)
    turns = batch["turns"]
    spoken = _matches(pc.struct_field(turns.flatten(), "content"), text)
    marks[np.asarray(pc.list_parent_indices(turns))[spoken]] = True
    return np.asarray(marks)


def _matches(column: Any, text: str) -> np.ndarray[Any, Any]:
    import numpy as np
    import pyarrow.compute as pc

    found = pc.fill_null(pc.match_substring(column, text, ignore_case=True), False)
    return np.asarray(found.to_numpy(zero_copy_only=False))


def _listed(
    workspace: Workspace, table: _Table, group: int, first: int, numbers: np.ndarray[Any, Any], text: str
) -> list[dict[str, Any]]:
    """The rows of a group as a list shows them."""
    if not len(numbers):
        return []
    import pyarrow as pa

    batch = table.read(group, list(LISTED)).take(pa.array(numbers))
    sides = _sides(workspace, first, int(numbers[-1]) + 1)
    found = _findings(workspace, batch, first + int(numbers[0]))
    shown = []
    for row, number in zip(batch.to_pylist(), numbers.tolist(), strict=True):
        names = found.get(row["id"])
        texts = {name: excerpt(row[name], text) for name in TEXTS}
        shown.append(
            row
            | texts
            | {
                "number": first + number,
                "side": sides[number],
                "duplicates": len(row["duplicates"]),
                "findings": names,
                "sensitive": delicate(names),
            }
        )
    return shown


def excerpt(text: str | None, around: str = "", most: int = SHOWN) -> str | None:
    """The start of a text, or what stands around its first mention of `around`.

    >>> excerpt("a long story about bread", "BREAD", 10)
    '… bread'
    >>> excerpt("short"), excerpt("one two three", most=7)
    ('short', 'one two…')
    """
    if text is None or len(text) <= most:
        return text
    place = text.lower().find(around.lower()) if around else 0
    start = max(0, place - most // 4) if place + len(around) > most else 0
    cut = text[start : start + most]
    if start:
        cut = "… " + cut[cut.find(" ") + 1 :] if " " in cut[: most // 4] else "…" + cut
    return cut if start + most >= len(text) else cut.rstrip() + "…"


def _sides(workspace: Workspace, first: int, count: int) -> list[str | None]:
    """The sides of so many merged rows; null where the split is missing or of another table."""
    try:
        table = _Table(workspace.split)
    except NotBuiltError:
        return [None] * count
    if table.total != _Table(workspace.merged).total:
        return [None] * count
    found: list[str | None] = []
    for group, start, length in table.groups():
        if start + length > first and start < first + count:
            sides = table.read(group, ["side"])["side"].to_pylist()
            found += sides[max(first - start, 0) : first + count - start]
    return found


# --- what the screens found -------------------------------------------------------------------------------------


def delicate(findings: list[str] | None) -> bool:
    """Whether a text with these findings is shown only when asked for; one that was never screened is.

    >>> delicate(None), delicate(["crisis-review"]), delicate(["pii:public", "quality:url"])
    (True, True, False)
    """
    if findings is None:
        return True
    return any(name.startswith(DELICATE) and name != "pii:public" for name in findings)


def _findings(workspace: Workspace, batch: Any, number: int) -> dict[str, list[str]]:
    """The names of the findings by id. `number` is the place of the first row in the merged table."""
    found: dict[str, list[str]] = {}
    for source in dict.fromkeys(batch["source"].to_pylist()):
        found |= _of_source(workspace, source, batch, number)
    return found


def _of_source(workspace: Workspace, source: str, batch: Any, number: int) -> dict[str, list[str]]:
    """Merge keeps the order and takes rows away, so no row stands earlier in its screened table than here."""
    import pyarrow.compute as pc

    from stages import policy

    try:
        table = _Table(workspace.path(f"data/screened/{source}.parquet"))
    except NotBuiltError:
        return {}
    own = batch.filter(pc.equal(batch["source"], source))
    start = max(number - _first_of(workspace, source), 0)
    found: dict[str, list[str]] = {}
    for group, first, count in table.groups():
        if first + count <= start:
            continue
        here = pc.is_in(table.read(group, ["id"])["id"], value_set=own["id"])
        if pc.any(here).as_py():
            attributes = table.read(group, None).filter(here)
            rows = own.take(pc.index_in(attributes["id"], value_set=own["id"]))
            found |= {id: [] for id in rows["id"].to_pylist()}
            named = policy.findings(rows, attributes)
            for row, name in zip(named.rows.tolist(), named.names, strict=True):
                found[rows["id"][row].as_py()].append(name)
        if len(found) == len(own):
            break
    return found


def _first_of(workspace: Workspace, source: str) -> int:
    """The number of the source's first merged row."""
    before = 0
    for account in statistics.accounts(workspace):
        if account.source == source:
            return before
        before += account.merged
    return 0


def row(workspace: Workspace, name: str) -> dict[str, Any]:
    """A row with its lineage, as `lineage.show` gives it, with its findings. Raises NoRowError."""
    import pyarrow as pa

    from mhdata import lineage

    found = lineage.show(workspace, name)
    names = None
    if found["id"] is not None:
        one = pa.RecordBatch.from_pylist([{key: found["record"][key] for key in ("id", "source", "type")}])
        names = _of_source(workspace, found["source"], one, 0).get(found["id"])
    return {**found, "findings": names, "sensitive": delicate(names)}


# --- duplicates -------------------------------------------------------------------------------------------------


def clusters(workspace: Workspace, source: str | None, after: str | None = None, limit: int = 25) -> Page:
    """Merged rows that stand for others or have near-duplicates beside them, each with the rows it stands for."""
    page = rows(workspace, Wanted(source=source, repeated=True), after, limit)
    removed = _removed(workspace, [row["id"] for row in page.rows])
    return Page(
        [row | {"removed": removed.get(row["id"], [])} for row in page.rows], page.next, page.scanned, page.total
    )


def _removed(workspace: Workspace, kept: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The removed rows by the id that was kept."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        table = _Table(workspace.path("data/merged/duplicates.parquet"))
    except NotBuiltError:
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    ids = pa.array(kept, pa.string())
    for group, _, _ in table.groups():
        here = pc.is_in(table.read(group, ["kept"])["kept"], value_set=ids)
        if pc.any(here).as_py():
            for row in table.read(group, None).filter(here).to_pylist():
                found.setdefault(row.pop("kept"), []).append(row | {"score": row["score"] / 1000})
    return found


# --- rows that left ---------------------------------------------------------------------------------------------


def dropped(
    workspace: Workspace, source: str | None, reason: str | None, after: str | None = None, limit: int = 50
) -> Page:
    """Records that licence, policy or the deny list kept out of the merged table."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    table = _Table(workspace.path("data/merged/dropped.parquet"))
    start = table.position(after)
    found: list[dict[str, Any]] = []
    for group, first, count in table.groups():
        if first + count <= start:
            continue
        batch = table.read(group, None)
        marks = np.arange(first, first + count) >= start
        for name, value in (("source", source), ("reason", reason)):
            if value is not None:
                marks &= pc.equal(batch[name], value).to_numpy(zero_copy_only=False)
        numbers = np.flatnonzero(marks)[: limit - len(found)]
        found += batch.take(pa.array(numbers)).to_pylist()
        if len(found) == limit:
            end = first + int(numbers[-1]) + 1
            return Page(found, table.cursor(end) if end < table.total else None, end, table.total)
    return Page(found, None, table.total, table.total)


def quarantine(
    workspace: Workspace,
    source: str | None,
    reason: str | None,
    text: str = "",
    after: str | None = None,
    limit: int = 50,
) -> Page:
    """Rows that never became a record, with the reason; `scanned` and `total` count bytes of the files."""
    files = [path for path in _quarantines(workspace) if source is None or path.stem == source]
    stamp, total = _stamp(files), sum(path.stat().st_size for path in files)
    start = _position(after, stamp)
    found: list[dict[str, Any]] = []
    until, before = time.monotonic() + SECONDS, 0
    for path in files:
        size = path.stat().st_size
        if before + size > start:
            for end, line in _lines(path, max(start - before, 0)):
                if (row := _rejected(path, line, reason, text)) is not None:
                    found.append(row)
                place = before + end
                if (len(found) == limit or time.monotonic() > until) and place < total:
                    return Page(found, f"{stamp}-{place}", place, total)
        before += size
    return Page(found, None, total, total)


def _quarantines(workspace: Workspace) -> list[Path]:
    """Files of rejected rows, in the declared order of sources."""
    order = params.ordered(params.load(path=workspace.path("params.yaml")))
    paths = [workspace.path(f"data/quarantine/{key}.jsonl") for key in order]
    return [path for path in paths if path.exists()]


def _lines(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """Each line from a place on, with the place where it ends."""
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            start += len(line)
            yield start, line


def _rejected(path: Path, line: bytes, reason: str | None, text: str) -> dict[str, Any] | None:
    """The row on a line of a quarantine, if it fits."""
    if not line.strip():
        return None
    row: dict[str, Any] = read_line(path, line, "reason", "message", "raw", "file", "row")
    if reason is not None and row["reason"] != reason:
        return None
    raw = row["raw"] or ""
    if text and text.lower() not in raw.lower() and text.lower() not in row["message"].lower():
        return None
    return {**row, "raw": excerpt(raw, text, RAW), "characters": len(raw)}


# --- figures ----------------------------------------------------------------------------------------------------


def flow(workspace: Workspace) -> dict[str, Any]:
    """Where the rows of each source went, from download to the exports, as the last report accounts for them.

    Raises NotBuiltError where no report has been made.
    """
    try:
        stages = ledger.read_joined(workspace.root)
    except FileNotFoundError:
        raise NotBuiltError("there is no report yet: run `mhdata build`") from None
    exports = [name.removeprefix("export ") for name in stages if name.startswith("export ")]
    order = params.ordered(params.load(path=workspace.path("params.yaml")))
    return {
        "exports": exports,
        "sources": [_course(stages, key, exports) for key in order if key in stages["normalize"]],
    }


def _course(stages: dict[str, Any], key: str, exports: list[str]) -> dict[str, Any]:
    normalized, merged, split = (stages[name][key] for name in ("normalize", "merge", "split"))
    methods = merged.get("details", {}).get("duplicates_by_method", {})
    sides = split.get("details", {})
    return {
        "source": key,
        "upstream": normalized["in"],
        "rejected": normalized["rejected"],
        "dropped": merged["rejected"],
        "duplicates": methods or ({"exact": merged["duplicates"]} if merged["duplicates"] else {}),
        "merged": merged["out"],
        "sides": {side: sides[side] for side in ("train", "validation", "test", "held_out") if sides.get(side)},
        "exports": {
            name: {"entered": made["out"], "left": made["rejected"]}
            for name in exports
            if (made := stages[f"export {name}"].get(key))
        },
    }


def distributions(workspace: Workspace) -> dict[str, Any]:
    """What the merged table holds, and what the screens found in the records that they saw.

    Raises NotBuiltError without a merged table.
    """
    found: dict[str, Counter[str]] = {}
    for path in sorted(workspace.path("data/ledger/screen").glob("*.json")):
        for screen, counts in ledger.read(path).get("details", {}).items():
            found.setdefault(screen, Counter()).update(counts)
    screens = {name: dict(counts.most_common()) for name, counts in sorted(found.items())}
    return {**as_json(statistics.of(workspace)), "screens": screens}


# --- tables -----------------------------------------------------------------------------------------------------


class _Table:
    """A Parquet file, read by row group, and the cursors into it."""

    def __init__(self, path: Path) -> None:
        """Raises NotBuiltError where there is none, DamagedError where it is torn."""
        self.path = path
        try:
            self.stamp = _stamp([path])
            self._metadata = _metadata(path, self.stamp)
        except FileNotFoundError:
            raise NotBuiltError(
                f"{path.name} is not there: run `mhdata build`, or wait for the build that writes it anew"
            ) from None
        self.total: int = self._metadata.num_rows

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Each row group with the number of its first row and its length."""
        return iter(_groups(self.path, self.stamp))

    def read(self, group: int, columns: list[str] | None) -> Any:
        """One row group as a record batch."""
        import pyarrow as pa

        from stages.storage import ParquetReader

        try:
            with ParquetReader(self.path, self._metadata) as file:
                table = file.read(group, columns).combine_chunks()
        except FileNotFoundError:
            raise ChangedError(f"{self.path.name} is being written anew: ask again when the build is done") from None
        return table.to_batches()[0] if len(table) else pa.RecordBatch.from_pylist([], table.schema)

    def may_hold(self, group: int, column: str, value: str | None) -> bool:
        """False where the group's statistics say that no row has the value."""
        if value is None:
            return True
        found = self._metadata.row_group(group).column(_leaf(self.path, self.stamp, column)).statistics
        return found is None or not found.has_min_max or bool(found.min <= value <= found.max)

    def cursor(self, row: int) -> str:
        return f"{self.stamp}-{row}"

    def position(self, after: str | None) -> int:
        return _position(after, self.stamp)


def _position(after: str | None, stamp: str) -> int:
    """Where a cursor points. Raises ChangedError where it is of an older file."""
    if after is None:
        return 0
    of, _, place = after.partition("-")
    if of != stamp:
        raise ChangedError("a build has written these rows anew since the last page: begin at the first page")
    return int(place)


def _stamp(paths: list[Path]) -> str:
    """Tells one state of files from another."""
    stats = [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns, stat.st_ino) for path in paths]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:12]


@functools.lru_cache(maxsize=16)
def _metadata(path: Path, stamp: str) -> Any:
    """The footer of a file, which a long table's pages would else read anew each time."""
    from stages.storage import ParquetReader

    with ParquetReader(path) as file:
        return file.metadata


@functools.lru_cache(maxsize=16)
def _leaf(path: Path, stamp: str, column: str) -> int:
    """The number of a flat column among the leaves of the file's schema."""
    schema = _metadata(path, stamp).schema
    return next(place for place in range(len(schema.names)) if schema.column(place).path == column)


@functools.lru_cache(maxsize=16)
def _groups(path: Path, stamp: str) -> tuple[tuple[int, int, int], ...]:
    metadata, first, found = _metadata(path, stamp), 0, []
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        found.append((group, first, count))
        first += count
    return tuple(found)
