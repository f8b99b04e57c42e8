"""One row with all that is known of it: where it came from, what was found in it, why it is where it is.

A row is named by its id (32 hex digits, or the first six and more), or by its place upstream:
`source:row` or `source:file:row`, which also finds rows that never became a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mhdata import formats
from mhdata.workspace import Workspace
from stages import params
from stages.errors import PipelineError
from stages.files import read_lines

LAST = 2**63 - 1  # the highest number that a row can have
MOST = 12  # rows that a prefix may match before we ask for more of it


class NoRowError(PipelineError):
    """Nothing has that name."""


def show(workspace: Workspace, name: str) -> dict[str, Any]:
    """The row and its lineage as a JSON object; `state` is merged, duplicate, dropped, normalized or quarantined.

    Raises NoRowError.
    """
    if place := re.fullmatch(r"(?P<source>[a-z][a-z0-9_]*):(?:(?P<file>.+):)?(?P<row>\d{1,19})", name):
        return _by_place(workspace, place["source"], place["file"], int(place["row"]))
    if not re.fullmatch(r"[0-9a-f]{6,32}", name):
        raise NoRowError(
            f"{name!r} names no row: give an id (32 hex digits, or the first six and more) or source:file:row"
        )
    found = list(_records(workspace, lambda batch: _starts(batch["id"], name)))
    if not found:
        raise NoRowError(
            f"no row has an id that starts with {name}: see `mhdata stats`, or look it up by source:file:row"
        )
    if len(found) > 1:
        ids = ", ".join(record["id"] for record in found[:MOST])
        raise NoRowError(f"{name} is the start of several ids ({ids}): give more digits")
    return _lineage(workspace, found[0])


def _by_place(workspace: Workspace, source: str, file: str | None, row: int) -> dict[str, Any]:
    known = _source(workspace, source).files
    if file is None and len(known) > 1:
        raise NoRowError(f"{source} has several files: write {source}:{next(iter(known))}:{row}")
    wanted = file or next(iter(known))
    if row > LAST:
        raise NoRowError(f"{source}:{wanted} has no row {row} in this build")
    if rejected := _rejected(workspace, source, wanted, row):
        return {
            "state": "quarantined",
            "id": None,
            "source": source,
            "reason": rejected["reason"],
            "message": rejected["message"],
            "origin": {"file": wanted, "row": row},
            "raw": rejected["raw"],
        }
    found = list(_records(workspace, lambda batch: _at(batch, wanted, row), only=source))
    if not found:
        raise NoRowError(f"{source}:{wanted} has no row {row} in this build")
    return _lineage(workspace, found[0])


def _source(workspace: Workspace, key: str) -> params.Source:
    settings = params.load(path=workspace.path("params.yaml"))
    if key not in settings.sources:
        raise NoRowError(f"there is no source {key!r}: choose of {', '.join(settings.sources)}")
    return settings.sources[key]


def _rejected(workspace: Workspace, source: str, file: str, row: int) -> dict[str, Any] | None:
    path = workspace.path(f"data/quarantine/{source}.jsonl")
    if path.exists():
        entry: dict[str, Any]
        for entry in read_lines(path, "file", "row", "reason", "message", "raw"):
            if entry["row"] == row and entry["file"] == file:
                return entry
    return None


def _lineage(workspace: Workspace, record: dict[str, Any]) -> dict[str, Any]:
    """All that the outputs say of a normalized record."""
    id, source = record["id"], record["source"]
    merged = _row(workspace.merged, id)
    duplicate = _row(workspace.path("data/merged/duplicates.parquet"), id)
    dropped = _row(workspace.path("data/merged/dropped.parquet"), id)
    split = _row(workspace.split, id) if merged else None
    found = {
        "state": "merged" if merged else "duplicate" if duplicate else "dropped" if dropped else "normalized",
        "id": id,
        "source": source,
        "reason": dropped["reason"] if dropped else duplicate["method"] if duplicate else None,
        "record": merged or record,
        "origin": record["origin"],
        "raw": _raw(workspace, source, record["origin"]),
        "attributes": _attributes(workspace, source, id),
        "kept": {"id": duplicate["kept"], "source": duplicate["kept_source"], "score": duplicate["score"] / 1000,
                 "differing_words": duplicate["differing_words"]} if duplicate else None,
        "duplicates": _duplicates_of(workspace, id) if merged else [],
        "cluster": _cluster(workspace, merged) if merged else None,
        "side": split["side"] if split else None,
        "group": split["group"] if split else record["group"],
        "exports": _exports(workspace, id, split["side"]) if split else {},
    }  # fmt: skip
    return found


def _attributes(workspace: Workspace, source: str, id: str) -> dict[str, Any] | None:
    return _row(workspace.path(f"data/screened/{source}.parquet"), id)


def _duplicates_of(workspace: Workspace, id: str) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    path = workspace.path("data/merged/duplicates.parquet")
    return list(_matching(path, lambda batch: pc.equal(batch["kept"], id), ["kept"]))


def _cluster(workspace: Workspace, merged: dict[str, Any]) -> dict[str, Any] | None:
    """The near-duplicates that stayed beside the row, on its side."""
    import pyarrow.compute as pc

    if merged["cluster"] is None:
        return None
    rows = _matching(workspace.merged, lambda batch: pc.equal(batch["cluster"], merged["cluster"]), ["cluster"])
    return {"id": merged["cluster"], "rows": [{"id": row["id"], "source": row["source"]} for row in rows]}


# --- exports --------------------------------------------------------------------------------------------------


def _exports(workspace: Workspace, id: str, side: str) -> dict[str, Any]:
    """For each selected format: whether the row enters, and if not, why."""
    settings = params.load(path=workspace.path("params.yaml"))
    batch = next(_batches(workspace.merged, lambda batch: _starts(batch["id"], id), ["id"]))
    return {name: _enters(name, batch, side, settings.export) for name in formats.selected(workspace)}


def _enters(name: str, row: Any, side: str, settings: params.Export) -> dict[str, Any]:
    """By the rules of `stages.entering`; a mixture may still leave the row out or repeat it."""
    from stages import entering
    from stages import formats as modules

    module = modules.load(name)
    if module.KIND == "register":
        return {"enters": False, "reason": "made of other formats"}
    opens = entering.OPENS[module.KIND]
    held = set(row["enters"][0].as_py())
    if settings.sources and row["source"][0].as_py() not in settings.sources:
        return {"enters": False, "reason": "source_not_selected"}
    if opens is not None and not held & set(opens):
        return {"enters": False, "reason": f"not_{'chat' if module.KIND == 'single' else module.KIND}"}
    if side not in getattr(module, "SIDES", modules.SIDES):
        return {"enters": False, "reason": f"on_{side}"}
    reasons = [reason for reason, holds in entering.CHECKS[module.KIND](row, settings) if holds[0]]
    refuse = getattr(module, "refuse", None)
    if not reasons and refuse and (own := refuse(row, settings)[0].as_py()):
        reasons = [own]
    return {"enters": not reasons, "reason": reasons[0] if reasons else None}


# --- the raw row ----------------------------------------------------------------------------------------------


def _raw(workspace: Workspace, source: str, origin: dict[str, Any]) -> str | None:
    """The upstream row as JSON text, without columns that name people; None where it is not there any more."""
    from stages import readers, sources

    path = workspace.path(f"data/raw/{source}/{origin['file']}")
    if not path.exists():
        return None
    module = sources.load(source)
    schema = module.raw(_source(workspace, source))
    private = getattr(module, "PRIVATE", ())
    for unit in readers.units(path):
        for batch in readers.read(unit, schema, source):
            if origin["row"] in batch.numbers:
                place = list(batch.numbers).index(origin["row"])
                row = batch.columns.slice(place, 1).to_pylist()[0]
                return json.dumps({name: row[name] for name in row if name not in private}, ensure_ascii=False)
    return None


# --- tables ---------------------------------------------------------------------------------------------------


def _records(workspace: Workspace, wanted: Any, only: str | None = None) -> Iterator[dict[str, Any]]:
    """Normalized records of all sources, or of one; no more than a question needs."""
    found = 0
    for path in sorted(workspace.path("data/normalized").glob(f"{only or '*'}.parquet")):
        for row in _matching(path, wanted, ["id", "origin"] if only else ["id"]):
            yield row
            found += 1
            if found > MOST:
                return


def _starts(ids: Any, prefix: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(ids, prefix) if len(prefix) == 32 else pc.starts_with(ids, prefix)


def _at(batch: Any, file: str, row: int) -> Any:
    import pyarrow.compute as pc

    origin = batch["origin"]
    return pc.and_(pc.equal(pc.struct_field(origin, "file"), file), pc.equal(pc.struct_field(origin, "row"), row))


def _row(path: Path, id: str) -> dict[str, Any] | None:
    return next(_matching(path, lambda batch: _starts(batch["id"], id), ["id"]), None) if path.exists() else None


def _matching(path: Path, wanted: Any, keys: list[str]) -> Iterator[dict[str, Any]]:
    for batch in _batches(path, wanted, keys):
        yield from batch.to_pylist()


def _batches(path: Path, wanted: Any, keys: list[str]) -> Iterator[Any]:
    """The rows that `wanted` marks by the columns `keys`; texts are read only where a row group has one."""
    import pyarrow.compute as pc

    from stages.storage import ParquetReader

    with ParquetReader(path) as file:
        for group in range(file.metadata.num_row_groups):
            head = _one(file.read(group, keys))
            if head is None:
                continue
            marks = wanted(head)
            if pc.any(marks).as_py():
                rows = file.read(group).filter(marks).combine_chunks()
                yield from rows.to_batches()


def _one(table: Any) -> Any:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else None
