"""How the workspace stands, looked up once for each state of its files.

DVC needs two seconds to say what is stale, and 50 clients may ask at once. So answers are kept until a file that a
stage reads or writes has another size, time or number (what DVC itself goes by), and then DVC looks only at the
dvc.yaml files of such stages.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mhdata import dvc, graph, locks, state, statistics
from mhdata.graph import Graph
from mhdata.http import files
from mhdata.http.files import File
from mhdata.results import Statistics
from mhdata.workspace import Workspace
from stages import params

FRESH = 0.5  # seconds in which files are not looked at again
OLD = 30.0  # seconds that a view may be old while a build changes files anyway: then nobody waits for the next look


@dataclass(frozen=True)
class View:
    """The workspace at one moment."""

    status: dict[str, Any]  # see state.status
    statistics: Statistics | None
    sources: list[dict[str, Any]]  # see state.sources
    files: dict[str, File]  # what may be fetched, by name


class Watch:
    """Keeps the last view, and of which dvc.yaml DVC found no stage stale."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = asyncio.Lock()
        self._view: View | None = None
        self._print: object = None
        self._graph: tuple[object, Graph, dict[str, Any]] | None = None
        self._behind: asyncio.Task[View] | None = None
        self._looked, self._changes, self._seen = 0.0, 0, -1
        self._built: dict[str, list[object]] = {}  # dvc.yaml without a stale stage -> what its stages went by

    def changed(self) -> None:
        """Look again at the next question."""
        self._changes += 1

    async def view(self) -> View:
        """The workspace now, or FRESH seconds ago. One looks, and all who ask meanwhile get the same."""
        if (view := self._fresh()) is not None:
            return view
        if self._view is not None and self._view.status["building"] and self._age < OLD and self._unchanged:
            if self._behind is None or self._behind.done():
                self._behind = asyncio.create_task(self._again())
                self._behind.add_done_callback(lambda task: task.cancelled() or task.exception())
            return self._view
        return await self._again()

    async def _again(self) -> View:
        async with self._lock:
            if (view := self._fresh()) is not None:
                return view
            began, changes = time.monotonic(), self._changes
            view = await asyncio.to_thread(self._look)
            self._view, self._looked, self._seen = view, began, changes
            return view

    def _fresh(self) -> View | None:
        return self._view if self._unchanged and self._age < FRESH else None

    @property
    def _unchanged(self) -> bool:
        """Whether no job has changed since the view."""
        return self._seen == self._changes

    @property
    def _age(self) -> float:
        return time.monotonic() - self._looked

    def _look(self) -> View:
        where = self._workspace
        now, settings = self._graph_now()
        looks = _files(where, now)
        seen = (locks.holder(where), looks)
        if self._view is not None and seen == self._print:
            return self._view
        ask: Callable[[Workspace], dvc.Reasons | None] = lambda _: self._stale(_stamps(now, settings, looks), now)  # noqa: E731
        found = View(state.status(where, ask), _statistics(where), state.sources(where), files.made(where, now))
        self._print = seen
        return found

    def _graph_now(self) -> tuple[Graph, dict[str, Any]]:
        """The graph and the params, read anew when a file of them has changed."""
        names = ["params.yaml", *graph.files(self._workspace)]
        seen = tuple(found for name in names for found in _walk(str(self._workspace.path(name))))
        if self._graph is None or self._graph[0] != seen:
            self._graph = (seen, graph.load(self._workspace), params.tree(self._workspace.path("params.yaml")))
        return self._graph[1:]

    def _stale(self, stamps: dict[str, list[object]], now: Graph) -> dvc.Reasons | None:
        due = [file for file, stamp in stamps.items() if self._built.get(file) != stamp]
        found = state.stale_stages(self._workspace, due) if due else {}
        if found is not None:
            stale = {stage.file for stage in now.stages.values() if stage.name in found}
            self._built = {file: stamp for file, stamp in stamps.items() if file not in stale}
        return found


def _statistics(workspace: Workspace) -> Statistics | None:
    try:
        return statistics.of(workspace)
    except statistics.NotBuiltError:
        return None


Look = tuple[str, int, int, int] | tuple[str]  # name, time, size and number of a file; its name where there is none


def _files(workspace: Workspace, now: Graph) -> dict[str, tuple[Look, ...]]:
    """A look at each file or folder that a stage reads or writes, and that says so."""
    paths = {"params.yaml", *graph.files(workspace)}
    for stage in now.stages.values():
        paths |= {*stage.deps, *stage.outs, stage.file, _lock(stage.file)}
    return {path: tuple(_walk(str(workspace.path(path)))) for path in sorted(paths)}


def _lock(file: str) -> str:
    return file.replace("dvc.yaml", "dvc.lock")


def _stamps(now: Graph, settings: dict[str, Any], looks: dict[str, tuple[Look, ...]]) -> dict[str, list[object]]:
    """For each dvc.yaml what DVC goes by: it and its lock, and of its stages the words, files and params."""
    found: dict[str, list[object]] = {}
    for stage in now.stages.values():
        stamp = found.setdefault(stage.file, [looks[stage.file], looks[_lock(stage.file)]])
        values = [graph.value(name, settings) for name in stage.params]
        stamp.append((stage, values, [looks[path] for path in (*stage.deps, *stage.outs)]))
    return found


def _walk(path: str) -> Iterator[Look]:
    try:
        found = os.stat(path)
        if not os.path.isdir(path):
            yield path, found.st_mtime_ns, found.st_size, found.st_ino
            return
        names = sorted(name for name in os.listdir(path) if name != "__pycache__")
    except OSError:
        yield (path,)  # not there, or gone meanwhile
        return
    for name in names:
        yield from _walk(os.path.join(path, name))
