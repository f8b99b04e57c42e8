"""What the dvc.lock files record of a build: its stages, the params they read, and every out with its hash.

These files stand in git, so they tell of data that is not here, and of data as it was built, whatever params.yaml
says by now.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.errors import PipelineError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Out:
    """One output of a stage. `md5` is DVC's hash; a folder's ends in .dir."""

    path: str
    stage: str
    md5: str
    size: int  # bytes
    files: int
    in_git: bool  # `cache: false`: git keeps it, not DVC

    @property
    def empty(self) -> bool:
        """Whether it holds nothing: an empty table of lines is one line feed, since DVC warns of files of no byte."""
        return self.size <= 1


class Recorded:
    """All stages of the dvc.lock files."""

    def __init__(self, stages: dict[str, Any], in_git: frozenset[str] = frozenset()) -> None:
        self._stages = stages
        self.outs = {out.path: out for name, entry in stages.items() for out in _outs(name, entry, in_git)}

    def params(self, stage: str) -> dict[str, Any]:
        """The params that a stage read, by name ("sources.trace", "profile"). Raises PipelineError if it never ran."""
        if stage not in self._stages:
            raise PipelineError(f"dvc.lock knows no {stage}: build first (`mhdata build`)")
        read: dict[str, Any] = self._stages[stage].get("params", {}).get("params.yaml", {})
        return read

    def torn(self) -> str | None:
        """A stage that read another version of an out than the one recorded, as a clause; None if all fits."""
        for name, entry in self._stages.items():
            for dep in entry.get("deps", []):
                made = self.outs.get(dep["path"])
                if made and made.md5 != dep.get("md5"):
                    return f"{name} was built of another {made.path} than the one that {made.stage} made last"
        return None


def _outs(stage: str, entry: dict[str, Any], in_git: frozenset[str]) -> list[Out]:
    return [
        Out(out["path"], stage, out["md5"], out.get("size", 0), out.get("nfiles", 1), out["path"] in in_git)
        for out in entry.get("outs", [])
    ]


def _in_git(root: Path) -> frozenset[str]:
    """Paths of outs that the dvc.yaml files declare with `cache: false`; none of them is made of a variable."""
    found = set()
    for path in [root / "dvc.yaml", *sorted((root / "pipelines").glob("*/dvc.yaml"))]:
        for entry in _read(path, root).values():
            for kind in ("outs", "metrics", "plots"):
                for out in entry.get("do", entry).get(kind, []):
                    if isinstance(out, dict):
                        found |= {name for name, flags in out.items() if flags and flags.get("cache") is False}
    return frozenset(found)


def load(root: Path, names: set[str] | None = None) -> Recorded:
    """Read the root's dvc.lock and those of pipelines/; `names` leaves out entries of stages that are no more.

    Raises PipelineError for a file that is missing or no YAML.
    """
    stages: dict[str, Any] = {}
    for path in [root / "dvc.lock", *sorted((root / "pipelines").glob("*/dvc.lock"))]:
        stages |= _read(path, root)
    kept = {name: entry for name, entry in stages.items() if names is None or name in names}
    return Recorded(kept, _in_git(root))


def _read(path: Path, root: Path) -> dict[str, Any]:
    where = path.relative_to(root)
    try:
        tree = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506 it is a safe loader
        stages: dict[str, Any] = tree["stages"]
    except FileNotFoundError:
        raise PipelineError(f"{where} is missing: restore it with `git checkout {where}`") from None
    except (yaml.YAMLError, TypeError, KeyError):
        raise PipelineError(
            f"{where} is not valid, perhaps by conflict marks of a git merge: run `git checkout --ours {where}`, "
            "then `mhdata build`"
        ) from None
    return stages


def md5(path: Path) -> str:
    """The hash that DVC gives a file, streamed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
