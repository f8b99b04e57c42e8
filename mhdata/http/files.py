"""The files that a build made and that may be fetched, each with the name that stands for it."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mhdata import state
from mhdata.graph import Graph
from mhdata.http.models import Artifact
from mhdata.workspace import Workspace

GROUPS = ("merged", "split", "exports", "quarantine", "reports", "ledger")
TYPES = {".jsonl": "application/jsonl", ".parquet": "application/vnd.apache.parquet", ".csv": "text/csv; charset=utf-8",
         ".json": "application/json", ".md": "text/markdown; charset=utf-8"}  # fmt: skip


class File(NamedTuple):
    """One file that may be fetched."""

    path: Path
    shown: Artifact


def made(workspace: Workspace, graph: Graph) -> dict[str, File]:
    """All files that may be fetched, by name: what stages wrote, in the order of the graph."""
    return {file.shown.name: file for file in _made(workspace, graph)}


def _made(workspace: Workspace, graph: Graph) -> Iterator[File]:
    outs = [out for stage in graph.stages.values() for out in stage.outs]
    for out in dict.fromkeys(outs):
        group = out.split("/")[1] if out.startswith("data/") else ""
        if group not in GROUPS:
            continue
        for path in _under(workspace.path(out)):
            name = name_of(workspace, path)
            try:
                size, when = path.stat().st_size, state.when(path)
            except OSError:
                continue  # a build replaces it just now
            yield File(path, Artifact(
                name=name, group=group, bytes=size, when=when, type=type_of(path), url=f"/api/artifacts/{name}"
            ))  # fmt: skip


def _under(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith("."))
    elif path.is_file():
        yield path


def name_of(workspace: Workspace, path: Path | str) -> str:
    """The name of a file that stands under data/."""
    return str(Path(path).relative_to(workspace.path("data"))).replace(os.sep, "~")


def addresses(workspace: Workspace, paths: Iterable[Path | str]) -> list[str]:
    """Where files may be fetched."""
    return [f"/api/artifacts/{name_of(workspace, path)}" for path in paths]


def type_of(path: Path) -> str:
    """The media type of a file."""
    return TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
