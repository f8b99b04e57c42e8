"""DVC's lines as events, with the time that the last build took to tell the rest."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import orjson

from mhdata import events
from mhdata.events import Listener
from mhdata.failures import Told
from mhdata.graph import Graph, name_of
from mhdata.workspace import Workspace

_RUNS = re.compile(r"Running stage '([^']+)':$")
_SAME = re.compile(r"(?:Stage )?'([^']+)' didn't change, skipping$")
_CACHED = re.compile(r"Stage '([^']+)' is cached - skipping run, checking out outputs$")
_CALLED = re.compile(r"> ")
# What DVC says in every build, and what its own error lines repeat.
_IDLE = re.compile(
    r"Updating lock file|Generating lock file|To track the changes|\s*git add|To enable auto staging|\s*dvc config"
    r"|Use `dvc push`|Data and pipelines are up to date|WARNING: '[^']+' is empty|ERROR: |error: "
)


class Progress:
    """Follows one build: reads lines, looks at the running stage's files, and calls the listener."""

    def __init__(self, workspace: Workspace, graph: Graph, order: list[str], listener: Listener) -> None:
        self._workspace, self._graph, self._listener = workspace, graph, listener
        self._left = dict.fromkeys(order)
        self._times = Times(workspace)
        self.total = len(order)
        self.ran: list[str] = []
        self.restored: list[str] = []
        self.skipped = 0
        self.stage: str | None = None
        self.repeated = False

    @property
    def position(self) -> int:
        return self.total - len(self._left)

    def again(self) -> Progress:
        """The same build goes on with another call of DVC."""
        self.repeated = True
        return self

    def read(self, line: str, told: Told) -> None:
        """One line of DVC or of the running stage."""
        if found := _RUNS.match(line):
            self.end(finished=True)
            told.enter(name_of(found[1]))
            self._start(name_of(found[1]))
        elif found := _SAME.match(line):
            self._skip(name_of(found[1]), "unchanged")
        elif found := _CACHED.match(line):
            self._skip(name_of(found[1]), "cached")
        else:
            told.add(line)
            if line.strip() and not _IDLE.match(line) and not _CALLED.match(line):
                self._listener(events.Said(self.stage, line))

    def _start(self, stage: str) -> None:
        self._left.pop(stage, None)
        self.stage, self._since = stage, time.monotonic()
        self._reads = self._sizes(self._graph.stages[stage].deps) if stage in self._graph.stages else 0
        self._expected = self._times.expected(stage, self._reads)
        self._listener(
            events.StageStarted(stage, self.position, self.total, self._expected, self._eta(self._expected or 0.0))
        )

    def _skip(self, stage: str, why: Literal["unchanged", "cached"]) -> None:
        self.end(finished=True)
        if self.repeated:
            return
        self._left.pop(stage, None)
        self.skipped += 1
        if why == "cached":
            self.restored.append(stage)
        self._listener(events.StageSkipped(stage, self.position, self.total, why))

    def tick(self) -> None:
        """Look at the running stage's output."""
        if self.stage is None:
            return
        seconds = time.monotonic() - self._since
        written = sum(_size(part) for part in self._parts(self.stage))
        left = max((self._expected or 0.0) - seconds, 0.0)
        self._listener(
            events.StageProgress(self.stage, written, _rate(written, seconds), seconds, self._expected, self._eta(left))
        )

    def end(self, *, finished: bool) -> None:
        """The running stage is over. DVC says so only by going on."""
        stage, self.stage = self.stage, None
        if stage is None or not finished:
            return
        seconds = time.monotonic() - self._since
        outs = self._graph.stages[stage].outs if stage in self._graph.stages else ()
        written = self._sizes(outs)
        self.ran.append(stage)
        self._times.learn(stage, seconds, self._reads)
        self._listener(
            events.StageFinished(stage, seconds, self._rows(outs), written, _rate(max(written, self._reads), seconds))
        )

    def _eta(self, current: float) -> float | None:
        """Seconds until the end if all that is left runs; None where an earlier build does not tell."""
        known = [self._times.last(stage) for stage in self._left]
        if self._expected is None or any(seconds is None for seconds in known):
            return None
        return current + sum(seconds for seconds in known if seconds is not None)

    def _sizes(self, paths: tuple[str, ...]) -> int:
        return sum(_size(self._workspace.path(path)) for path in paths if path.startswith("data/"))

    def _rows(self, outs: tuple[str, ...]) -> int | None:
        """Rows that went out, by the stage's ledger: a file, or a folder with a file per source."""
        accounts = [out for out in outs if out.startswith("data/ledger/")]
        files = [file for out in accounts for file in _files(self._workspace.path(out)) if file.suffix == ".json"]
        try:
            found = [orjson.loads(file.read_bytes()) for file in files]
        except (OSError, ValueError):
            return None
        return sum(_out(account) for account in found) if found else None

    def _parts(self, stage: str) -> Iterator[Path]:
        """What the running stage has on disk without its final name, see stages/files.py and stages/download.py."""
        if stage.startswith("download@"):
            yield self._workspace.path(f"data/.parts/{stage.removeprefix('download@')}")
        for out in self._graph.stages[stage].outs if stage in self._graph.stages else ():
            path = self._workspace.path(out)
            yield from path.parent.glob(f".{path.name}.*.part")


def _out(account: dict[str, object]) -> int:
    """Rows out, of an account; a format's has rows by side."""
    if isinstance(rows := account.get("rows"), dict):
        return sum(rows.values())
    return int(str(account.get("out", 0)))


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if file.is_file())
    elif path.exists():
        yield path


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder; what vanishes meanwhile counts nothing."""
    if not path.is_dir():
        return _bytes(path)
    return sum(_bytes(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _rate(count: int, seconds: float) -> float:
    return count / 1e6 / seconds if seconds > 0 else 0.0


class Times:
    """How long each stage took when it last ran here, and how many bytes of data it read then."""

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.state / "times.json"
        try:
            self._known: dict[str, dict[str, float]] = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            self._known = {}

    def last(self, stage: str) -> float | None:
        found = self._known.get(stage)
        return found["seconds"] if found else None

    def expected(self, stage: str, reads: int) -> float | None:
        """Seconds for so many bytes, in proportion to the last time; never under that time's floor of a second."""
        found = self._known.get(stage)
        if not found:
            return None
        more = reads / found["bytes"] if found["bytes"] else 1.0
        return found["seconds"] if more <= 1 else 1 + max(found["seconds"] - 1, 0.0) * more

    def learn(self, stage: str, seconds: float, reads: int) -> None:
        self._known[stage] = {"seconds": round(seconds, 3), "bytes": reads}
        part = self._path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        part.replace(self._path)
