"""Runs builds: DVC in a child process, what happens as events, one build at a time, stopped without a trace.

    outcome = run(find(), Request("build"), listener)

DVC is never imported here: it prints, and we read. A build can be stopped from another thread through `cancel`, or
by Ctrl-C in the main one. Doors share this module; it knows nothing of terminals or HTTP.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

from mhdata import clean as cleaning
from mhdata import dvc, events, formats, graph, locks
from mhdata.events import Listener
from mhdata.failures import CancelledError, Told, clean, explain
from mhdata.progress import Progress
from mhdata.workspace import Workspace
from stages import params
from stages.errors import RefusedError

TICK = 0.5  # seconds between two looks at a running stage
Kind = Literal["build", "merge", "prepare"]


@dataclass(frozen=True)
class Request:
    """What is asked for: the whole pipeline, the merged table, or formats.

    `force` runs the target's stages also when nothing changed; what comes before them runs only if stale.
    """

    kind: Kind
    formats: tuple[str, ...] = ()
    force: bool = False

    def __str__(self) -> str:
        return " ".join([self.kind, *self.formats])


@dataclass(frozen=True)
class Outcome:
    """A build that reached its end."""

    target: str
    ran: tuple[str, ...]  # stages, in the order they ran
    restored: tuple[str, ...]  # stages whose outputs came out of DVC's cache
    skipped: int
    seconds: float

    @property
    def up_to_date(self) -> bool:
        """Whether nothing had to be done."""
        return not self.ran and not self.restored


@dataclass(frozen=True)
class Plan:
    """What a request would do now. Stages downstream of a stale one run only if bytes change: `may_run` is a bound."""

    target: str
    stale: dict[str, list[str]]  # stage -> why
    may_run: tuple[str, ...]
    replaces: tuple[str, ...]  # results that exist and may be written anew, relative to the root

    @property
    def up_to_date(self) -> bool:
        return not self.may_run


RESULTS = ("data/merged/", "data/split/", "data/exports/")


def targets(workspace: Workspace, request: Request) -> list[str]:
    """The stages that a request names; an empty list means all. Raises ParamsError for an unknown format."""
    if request.kind == "build":
        return []
    if request.kind == "merge":
        return ["merge", "datapackage"]
    stages = graph.load(workspace)
    exports = [stages.export(formats.known(stages, name)) for name in request.formats]
    exports += ["card"] if "hub" in request.formats else []
    # All formats: then the manifest that lists them is due as well.
    return [*exports, "report"] if set(request.formats) >= set(formats.selected(workspace)) else exports


def plan(workspace: Workspace, request: Request) -> Plan:
    """What a request would do now. A second or two, since DVC compares hashes. Raises BuildError."""
    check(workspace)
    locks.mend(workspace)
    stages, named = graph.load(workspace), targets(workspace, request)
    wanted = stages.upstream(named)
    files = {stages.stages[stage].file for stage in wanted}
    stale = {stage: why for stage, why in dvc.status(workspace, files).items() if stage in wanted}
    forced = set(named or wanted) if request.force else set()
    may = stages.downstream(set(stale) | forced)
    runs = tuple(stage for stage in wanted if stage in may)
    outs = [out for stage in runs for out in stages.stages[stage].outs]
    replaces = tuple(out for out in outs if out.startswith(RESULTS) and workspace.path(out).exists())
    return Plan(str(request), stale, runs, replaces)


def check(workspace: Workspace) -> None:
    """Read params.yaml whole, so that its mistakes are told before DVC starts. Raises ParamsError."""
    params.load(path=workspace.path("params.yaml"))


def refuse_unselected(workspace: Workspace, request: Request) -> None:
    """Raises RefusedError for a format that params.yaml does not list: its export stage would write nothing."""
    chosen = formats.selected(workspace) if request.formats else []
    if missing := [name for name in request.formats if name not in chosen]:
        raise RefusedError(
            f"{', '.join(missing)} is not among `formats` in params.yaml: add it there, or let "
            "`mhdata prepare` add it (--yes)"
        )


def run(
    workspace: Workspace,
    request: Request,
    listener: Listener = events.nothing,
    *,
    wait: bool = False,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Bring what is asked for up to date; call `listener` with each event, in this thread.

    Raises BusyError if another build works here and `wait` is false, BuildError with one sentence and the failed
    stage's exit code, CancelledError (130) after `cancel` is set or Ctrl-C, ParamsError for params.yaml.
    """
    build = _Build(workspace, request, listener, cancel or threading.Event())
    return build.run(wait)


class _Build:
    def __init__(self, workspace: Workspace, request: Request, listener: Listener, cancel: threading.Event) -> None:
        self._workspace, self._request, self._listener, self._cancel = workspace, request, listener, cancel
        self._begin = time.monotonic()

    def run(self, wait: bool) -> Outcome:
        check(self._workspace)
        named = targets(self._workspace, self._request)
        refuse_unselected(self._workspace, self._request)
        try:
            with locks.held(
                self._workspace, str(self._request), wait,
                waiting=lambda holder: self._listener(events.Waiting(holder)), cancelled=self._cancel.is_set,
            ) as lock:  # fmt: skip
                if note := locks.mend(self._workspace):
                    self._listener(events.Said(None, note))
                if count := cleaning.sweep(self._workspace):
                    self._listener(events.Said(None, f"removed {count} half-written paths that a killed build left"))
                outcome = self._build(named, lock)
                if not named:  # all downloads stand: what an earlier one got before it was killed is of no use
                    cleaning.forget_downloads(self._workspace)
                return outcome
        except locks.BusyError:
            if self._cancel.is_set():
                raise CancelledError from None
            raise
        except KeyboardInterrupt:
            raise CancelledError from None

    def _build(self, named: list[str], lock: int) -> Outcome:
        stages = graph.load(self._workspace)
        progress = Progress(self._workspace, stages, stages.upstream(named), self._listener)
        self._listener(events.Started(str(self._request), progress.total))
        first = ["repro", *(stages.stages[stage].address for stage in named)]
        if self._request.force and not named:
            first = ["repro", "--force"]
        self._dvc(first, progress, lock)
        again = [stage for stage in named if stage not in progress.ran] if self._request.force else []
        if again:
            addresses = [stages.stages[stage].address for stage in again]
            self._dvc(["repro", "--force", "--single-item", *addresses], progress.again(), lock)
        return Outcome(
            str(self._request), tuple(progress.ran), tuple(progress.restored), progress.skipped,
            time.monotonic() - self._begin,
        )  # fmt: skip

    def _dvc(self, words: list[str], progress: Progress, lock: int) -> None:
        told = Told()
        process = dvc.start(self._workspace, words, keep=(lock,))
        assert process.stdout is not None
        try:
            with self._workspace.log.open("a" if progress.repeated else "w", encoding="utf-8") as log:
                for line in _lines(process.stdout):
                    if self._cancel.is_set():
                        raise CancelledError(progress.stage)
                    if line is None:
                        progress.tick()
                        continue
                    log.write(line + "\n")
                    progress.read(line, told)
            code = process.wait()
        except BaseException:
            dvc.stop(process)
            locks.mend(self._workspace)
            raise
        finally:
            process.stdout.close()
        progress.end(finished=code == 0)
        if code:
            raise explain(told, code)


def _lines(stream: IO[bytes]) -> Iterator[str | None]:
    """The lines of a pipe as they come; None after each TICK without one."""
    came: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for line in stream:
                came.put(line)
        except ValueError:
            return  # closed under us: the build was stopped
        finally:
            came.put(None)

    threading.Thread(target=read, daemon=True, name="mhdata-dvc-output").start()
    while True:
        try:
            line = came.get(timeout=TICK)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield clean(line.decode("utf-8", "replace"))
