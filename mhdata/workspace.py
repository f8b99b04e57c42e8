"""The project folder that a door works in: where it is, and which files of it the doors read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stages import layout
from stages.errors import PipelineError

VARIABLE = "MHDATA_ROOT"  # names the project folder for those who do not stand in it
MARKS = ("dvc.yaml", "params.yaml", "stages")


class NoWorkspaceError(PipelineError):
    """No project folder is here."""


@dataclass(frozen=True)
class Workspace:
    """A project folder: absolute paths of what stands in it."""

    root: Path

    def path(self, relative: str | os.PathLike[str]) -> Path:
        return self.root / relative

    @property
    def state(self) -> Path:
        """Where the doors keep what is no output: lock, log, times, memory-mapped copies. Git ignores it."""
        return self.root / ".dvc" / "tmp" / "mhdata"

    @property
    def log(self) -> Path:
        """What DVC and the stages said in the last build."""
        return self.state / "build.log"

    @property
    def merged(self) -> Path:
        return self.root / layout.MERGED_TABLE

    @property
    def split(self) -> Path:
        return self.root / layout.SPLIT_TABLE

    @property
    def exports(self) -> Path:
        return self.root / layout.EXPORTS


def find(start: str | os.PathLike[str] | None = None) -> Workspace:
    """The workspace of a folder: itself or the nearest one above it.

    Without `start`: $MHDATA_ROOT, else the current folder, else the folder this package was installed from
    (`pip install -e .`). Raises NoWorkspaceError if none of them is a project.
    """
    named = start or os.environ.get(VARIABLE)
    tried = [Path(named).absolute()] if named else [Path.cwd(), Path(__file__).absolute().parents[1]]
    for folder in tried:
        for above in (folder, *folder.parents):
            if all((above / mark).exists() for mark in MARKS):
                return Workspace(above)
    raise NoWorkspaceError(
        f"{tried[0]} holds no dvc.yaml and params.yaml of this project: go to the clone's folder, "
        f"or name it with --root or ${VARIABLE}"
    )
