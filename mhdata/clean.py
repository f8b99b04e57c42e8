"""Starting fresh: what the build wrote goes; what you wrote, and the cache of other versions, stays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mhdata import graph, locks
from mhdata.workspace import Workspace

# Committed beside the code, so `git checkout` would have to bring them back.
KEPT = ("data/reports/", *(f"data/{name}/report.json" for name in ("synthesize", "paraphrase", "judge")))
# Folders of yours and of git's, where nothing is looked for.
YOURS = ("local", "hub", "sample", "benchmarks", "reports")


@dataclass(frozen=True)
class Removal:
    """One path that a build wrote."""

    path: Path  # relative to the root
    bytes: int
    files: int


def plan(workspace: Workspace) -> list[Removal]:
    """What `clean` would remove: outputs of stages and half-written files. Never data/local, never DVC's cache."""
    outs = [out for stage in graph.load(workspace).stages.values() for out in stage.outs]
    wanted = [out for out in outs if not out.startswith(KEPT)]
    left = [workspace.path("data/.parts"), *_parts(workspace), workspace.state / "arrow", workspace.log]
    wanted += [str(path.relative_to(workspace.root)) for path in left]
    return [_removal(workspace, Path(path)) for path in dict.fromkeys(wanted) if workspace.path(path).exists()]


def _parts(workspace: Workspace) -> Iterator[Path]:
    """What killed stages left half-written."""
    for folder in sorted(workspace.path("data").glob("*/")):
        if folder.name not in YOURS:
            yield from sorted(folder.rglob(".*.part"))


def _removal(workspace: Workspace, relative: Path) -> Removal:
    path = workspace.path(relative)
    if not path.is_dir():
        return Removal(relative, path.stat().st_size, 1)
    files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    return Removal(relative, sum(file.stat().st_size for file in files), len(files))


def remove(workspace: Workspace, removals: list[Removal]) -> None:
    """Remove them. Raises BusyError while a build works here."""
    with locks.held(workspace, "clean", False, waiting=lambda holder: None):
        for removal in removals:
            path = workspace.path(removal.path)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
