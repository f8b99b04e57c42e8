"""The merged table for programs: selected by side and source, memory-mapped, so size is no matter."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mhdata.statistics import stamped
from mhdata.workspace import Workspace
from stages import params
from stages.errors import ParamsError, PipelineError

SIDES = ("train", "validation", "test", "held_out")


def load(workspace: Workspace, split: str | None, sources: Sequence[str] | None) -> Path:
    """An Arrow file with the selected rows; made by streaming on first use, kept until the table changes.

    Raises NotBuiltError without a merged table, ParamsError for an unknown split or source.
    """
    _check(workspace, split, sources)
    stamp = hashlib.sha256(json.dumps(stamped(workspace)).encode()).hexdigest()[:16]
    selection = "-".join([split or "all", *sorted(sources or [])])
    folder = workspace.state / "arrow"
    path = folder / f"{stamp}-{selection}.arrow"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.arrow"):
            if not old.name.startswith(stamp):
                old.unlink(missing_ok=True)  # readers that map it keep it until they end
        _write(workspace, path, split, sources)
    return path


def _check(workspace: Workspace, split: str | None, sources: Sequence[str] | None) -> None:
    if split is not None and split not in SIDES:
        raise ParamsError(f"there is no split {split!r}: choose of {', '.join(SIDES)}")
    known = params.load(path=workspace.path("params.yaml")).sources
    for key in sources or []:
        if key not in known:
            raise ParamsError(f"there is no source {key!r}: choose of {', '.join(known)}")


def _write(workspace: Workspace, path: Path, split: str | None, sources: Sequence[str] | None) -> None:
    import pyarrow as pa

    from stages.storage import ParquetReader

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with ParquetReader(workspace.merged) as file:
        schema = file.schema.remove_metadata().append(pa.field("split", pa.string()))
    try:
        with pa.OSFile(str(part), "wb") as out, pa.ipc.new_stream(out, schema) as writer:
            for batch in rows(workspace, split, sources):
                writer.write_batch(batch.cast(schema))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def rows(workspace: Workspace, split: str | None, sources: Sequence[str] | None) -> Iterator[Any]:
    """Record batches of the selected rows, with the column `split`; null before the split has run."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from stages.storage import aligned, read_batches

    if not workspace.split.exists():
        if split is not None:
            raise PipelineError("the rows are on no side yet: run `mhdata build`, which splits them")
        for batch in read_batches(workspace.merged):
            yield _selected(batch.append_column("split", pa.nulls(len(batch), pa.string())), sources)
        return
    for table, sides in aligned(read_batches(workspace.merged), read_batches(workspace.split)):
        batch = table.append_column("split", sides["side"])
        if split is not None:
            batch = batch.filter(pc.equal(batch["split"], split))
        yield _selected(batch, sources)


def _selected(batch: Any, sources: Sequence[str] | None) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return batch if sources is None else batch.filter(pc.is_in(batch["source"], value_set=pa.array(list(sources))))
