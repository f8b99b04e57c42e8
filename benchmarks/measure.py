"""CPU seconds, wall seconds and peak memory of a command and of all processes that it starts.

Processes are found by walking /proc every 50 ms, so that daemons which leave the tree of RUSAGE_CHILDREN count while
they live under the command's session; what ended between two looks is in the kernel's account of reaped children.
"""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LOOK = 0.05  # seconds


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    cpu: float  # seconds, user and system
    wall: float
    peak: float  # MB, all processes of the tree together
    largest: float  # MB, the largest single process
    own: float = 0.0  # CPU seconds of the command's own process, without those that it starts

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.wall + other.wall, max(self.peak, other.peak), max(self.largest, other.largest), self.own + other.own)  # fmt: skip


def run(command: Sequence[str], cwd: Path | None = None, log: Path | None = None, **env: str) -> Usage:
    """Run a command to its end; raise CalledProcessError if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with (log or Path(os.devnull)).open("ab") as out:
        child = subprocess.Popen(command, cwd=cwd, env={**os.environ, **env}, stdout=out, stderr=out, start_new_session=True)  # fmt: skip
        watch = Watch(child.pid)
        code = child.wait()
    wall = time.perf_counter() - start
    watch.stop()
    if code:
        raise subprocess.CalledProcessError(code, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    reaped = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Usage(max(reaped, watch.cpu), wall, watch.peak, watch.largest, watch.own)


class Process(NamedTuple):
    """A process as /proc tells of it; `key` is its alone, also where its number is given again."""

    key: tuple[int, str]
    session: int
    cpu: float  # seconds so far
    size: float  # MB in memory


def process(pid: int) -> Process:
    """Raises OSError where there is none."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    spent = (int(fields[11]) + int(fields[12])) / _TICK
    return Process((pid, fields[19]), int(fields[3]), spent, int(fields[21]) * _PAGE / 1e6)


class Watch(threading.Thread):
    """Samples a session's processes until told to stop."""

    def __init__(self, *sessions: int) -> None:
        super().__init__(daemon=True)
        self._sessions, self._done = set(sessions), threading.Event()
        self._seen: dict[tuple[int, str], float] = {}  # pid, start time -> CPU seconds
        self.peak = self.largest = self.own = 0.0
        self.start()

    @property
    def cpu(self) -> float:
        return sum(self._seen.values())

    def run(self) -> None:
        while not self._done.is_set():
            self._look()
            self._done.wait(_LOOK)

    def stop(self) -> None:
        self._look()
        self._done.set()
        self.join()

    def _look(self) -> None:
        sizes = [0.0]
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                found = process(pid)
            except OSError:
                continue  # ended meanwhile
            if found.session in self._sessions:
                self._seen[found.key] = found.cpu
                if pid in self._sessions:
                    self.own = found.cpu
                sizes.append(found.size)
        self.peak, self.largest = max(self.peak, sum(sizes)), max(self.largest, *sizes)
