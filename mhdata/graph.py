"""The stages of dvc.yaml and pipelines/*/dvc.yaml with what they read and write, without importing DVC (0.2 s).

Only what these files use is understood: `foreach` over a mapping, and `${key}`, `${item}` and names of
params in strings. A test compares the result with the locks, which DVC wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from mhdata.workspace import Workspace
from stages import params
from stages.errors import PipelineError

CONFLICT = re.compile(rb"^(?:<<<<<<<|>>>>>>>) ", re.M)  # marks of a git merge
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NAME = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Stage:
    """One stage: paths are relative to the root. `address` is what DVC calls it, with its file if not the root's."""

    name: str
    address: str
    description: str
    command: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]  # names in params.yaml, dotted

    @property
    def file(self) -> str:
        """The dvc.yaml that it stands in, relative to the root."""
        return self.address.rpartition(":")[0] or "dvc.yaml"


class Graph:
    """All stages by name, in the order of the files."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.stages = {stage.name: stage for stage in stages}

    @cached_property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """For each stage the stages whose outputs it reads."""
        makers = {out: stage.name for stage in self.stages.values() for out in stage.outs}
        return {
            stage.name: tuple(dict.fromkeys(maker for dep in stage.deps for maker in _makers(dep, makers)))
            for stage in self.stages.values()
        }

    def upstream(self, names: Iterable[str]) -> list[str]:
        """The stages and all that they need, each after what it reads. No names: all stages."""
        order: dict[str, None] = {}
        pending = [(name, False) for name in reversed(list(names) or list(self.stages))]
        while pending:
            name, ready = pending.pop()
            if ready:
                order[name] = None
            elif name not in order:
                pending.append((name, True))
                pending += [(parent, False) for parent in reversed(self.parents[name]) if parent not in order]
        return list(order)

    def downstream(self, names: Iterable[str]) -> set[str]:
        """The stages and all that read their outputs, however far."""
        found = set(names)
        for name in self.upstream([]):
            if any(parent in found for parent in self.parents[name]):
                found.add(name)
        return found

    def export(self, name: str) -> str:
        """The stage that makes a format. Raises KeyError if there is none."""
        for stage in (f"export@{name}", f"export_{name}"):
            if stage in self.stages:
                return stage
        raise KeyError(name)

    @property
    def formats(self) -> list[str]:
        """All formats that have a stage."""
        return sorted(match[1] for name in self.stages if (match := re.fullmatch(r"export[@_](\w+)", name)))


def _makers(dep: str, makers: dict[str, str]) -> Iterator[str]:
    if dep in makers:
        yield makers[dep]
        return
    for out, maker in makers.items():
        if dep.startswith(f"{out}/") or out.startswith(f"{dep}/"):
            yield maker


def name_of(address: str) -> str:
    """A stage's name, of what DVC calls it.

    >>> name_of("pipelines/export_trainers/dvc.yaml:export@dpo"), name_of("merge")
    ('export@dpo', 'merge')
    """
    return address.rpartition("dvc.yaml:")[2]


def files(workspace: Workspace) -> list[str]:
    """The root's dvc.yaml and those of pipelines/, relative to the root."""
    found = sorted(workspace.path("pipelines").glob("*/dvc.yaml"))
    return ["dvc.yaml", *(path.relative_to(workspace.root).as_posix() for path in found)]


def load(workspace: Workspace) -> Graph:
    """Read every dvc.yaml, and params.yaml, which must be valid. Raises ParamsError, PipelineError."""
    path = workspace.path("params.yaml")
    settings = params.tree(path)
    params.checked(settings, path)
    return Graph(
        stage
        for file in files(workspace)
        for name, entry in _read(workspace, file).get("stages", {}).items()
        for stage in _expand(name, entry, settings, "" if file == "dvc.yaml" else f"{file}:")
    )


def _read(workspace: Workspace, name: str) -> Any:
    try:
        return yaml.load(workspace.path(name).read_bytes(), Loader=LOADER)  # noqa: S506 it is a safe loader
    except FileNotFoundError:
        raise PipelineError(f"{name} is missing: restore it with `git checkout {name}`") from None
    except yaml.YAMLError as error:
        raise PipelineError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from None


def _expand(name: str, entry: dict[str, Any], settings: dict[str, Any], file: str) -> Iterator[Stage]:
    if "foreach" not in entry:
        yield _stage(name, entry, settings, file)
        return
    over = entry["foreach"]
    if isinstance(over, str):
        over = _lookup(over.removeprefix("${").removesuffix("}"), settings)
    items = over.items() if isinstance(over, dict) else ((str(item), item) for item in over)
    for key, item in items:
        yield _stage(f"{name}@{key}", entry["do"], {**settings, "key": key, "item": item}, file)


def _stage(name: str, entry: dict[str, Any], values: dict[str, Any], file: str) -> Stage:
    def fill(text: str) -> str:
        return _NAME.sub(lambda match: str(_lookup(match[1], values)), text)

    def paths(key: str) -> list[str]:
        return [fill(next(iter(path)) if isinstance(path, dict) else path) for path in entry.get(key, [])]

    command = entry["cmd"] if isinstance(entry["cmd"], str) else " && ".join(entry["cmd"])
    outs = paths("outs") + paths("metrics") + paths("plots")
    return Stage(
        name, file + name, fill(entry.get("desc", name)), fill(command), tuple(paths("deps")), tuple(outs),
        tuple(map(fill, entry.get("params", []))),
    )  # fmt: skip


def _lookup(dotted: str, values: dict[str, Any]) -> Any:
    found: Any = values
    for part in dotted.strip().split("."):
        found = found[part]
    return found


def value(name: str, settings: dict[str, Any]) -> Any:
    """What params.yaml says under a dotted name; None where it says nothing."""
    try:
        return _lookup(name, settings)
    except (LookupError, TypeError):
        return None
