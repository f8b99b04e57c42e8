"""A function in a forked process of its own, under limits: what it said, how it ended, what it took."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MEMORY = 1 << 30  # the promised bound of one process, in bytes
HANG = 10  # CPU seconds
PATIENCE = 600  # seconds by the clock, since the machine may be busy


@dataclass(frozen=True)
class Ended:
    """The end of a child: exit code (negative: the signal), stderr, and its peak memory in bytes."""

    code: int
    said: str
    peak: int

    @property
    def sentences(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("error: ")]

    def trouble(self) -> str:
        """What is wrong with this end whatever was asked: a traceback, a hang, too much memory, no sentence."""
        if self.code in (-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL):
            return f"a hang: it took over {HANG} s"
        if self.code < 0:
            return f"it was ended by signal {-self.code}: {self.said[-300:]}"
        if "Traceback" in self.said:
            return f"a traceback: {self.said.strip().splitlines()[-1][:300]}"
        if self.peak > MEMORY:
            return f"{self.peak >> 20} MiB of memory, promised {MEMORY >> 20}"
        if self.code and len(self.sentences) != 1:
            return f"code {self.code} with {len(self.sentences)} sentences: {self.said[-300:]}"
        return ""


def forked(function: Callable[[], object], folder: Path) -> Ended:
    """Run `function` in a fork whose current folder is `folder`; it may end by SystemExit."""
    said = folder / "stderr.txt"
    sys.stdout.flush()
    sys.stderr.flush()
    if (pid := os.fork()) == 0:
        os._exit(_child(function, folder, said))
    code, peak = _wait(pid)
    return Ended(code, said.read_text(encoding="utf-8", errors="replace"), peak)


def _child(function: Callable[[], object], folder: Path, said: Path) -> int:
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(out, number)
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)  # pytest's own may stand there
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CPU, (HANG, HANG + 1))
    code = 70
    try:
        function()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _wait(pid: int) -> tuple[int, int]:
    deadline = time.monotonic() + PATIENCE
    pause = 0.002
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


@contextlib.contextmanager
def words(*argv: str) -> Iterator[None]:
    """The command line of a stage that runs in this process."""
    before = sys.argv
    sys.argv = ["stage", *argv]
    try:
        yield
    finally:
        sys.argv = before


def stage(main: Callable[..., None], *argv: str) -> None:
    """Run a stage as `python -m` would; returns only when it ended well."""
    from stages import errors

    with words(*argv):
        try:
            errors.run(main)
        except SystemExit as end:
            if end.code:
                raise
