"""Starting fresh: what the build wrote goes; what you wrote, and the cache of other versions, stays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mhdata import graph, locks
from mhdata.workspace import Workspace
from stages.files import left_behind

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
    wanted += [str(path.relative_to(workspace.root)) for path in (workspace.state / "arrow", workspace.log)]
    found = [_removal(workspace, Path(path)) for path in dict.fromkeys(wanted) if workspace.path(path).exists()]
    return [*found, *half_written(workspace)]


def half_written(workspace: Workspace) -> list[Removal]:
    """What killed builds left, and downloads that did not end. Of no use once a build has ended well."""
    left = [workspace.path("data/.parts"), *_parts(workspace)]
    return [_removal(workspace, path.relative_to(workspace.root)) for path in left if path.exists()]


def sweep(workspace: Workspace) -> int:
    """Remove what killed stages left half-written; how many paths. A stage that runs again does so itself, one that
    DVC restores does not. What a download got stays: the next one goes on there."""
    stale = [path for path in _parts(workspace) if left_behind(path)]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return len(stale)


def forget_downloads(workspace: Workspace) -> None:
    """Remove what downloads got that did not end, once all have."""
    shutil.rmtree(workspace.path("data/.parts"), ignore_errors=True)


def _parts(workspace: Workspace) -> Iterator[Path]:
    """Paths that have no final name yet."""
    for folder in sorted(workspace.path("data").glob("*/")):
        if folder.name not in YOURS:
            yield from sorted(folder.rglob(".*.part"))
    yield from sorted(workspace.path("data/reports").glob(".*.part"))


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
