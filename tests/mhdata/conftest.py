"""Workspaces to run doors in: copies of the built sample."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from mhdata import locks
from mhdata.workspace import Workspace

ROOT = Path(__file__).parents[2]
PATIENCE = 900.0  # seconds: a loaded machine fails no test
MAIN = "def main() -> None:\n"
SLEEP = f"""{MAIN}    import pathlib, time
    asleep = pathlib.Path("asleep")
    asleep.touch()
    while asleep.exists():
        time.sleep(0.05)
"""


@dataclass(frozen=True)
class Doors:
    """A built workspace and its command line, as processes of their own."""

    root: Path

    def __call__(self, *words: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "mhdata", *words], cwd=self.root, env={**quiet(), **env}, text=True,
            capture_output=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"mhdata {words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return orjson.loads(self(*words, "--json", code=code).stdout)

    def refused(self, *words: str, code: int = 3, **env: str) -> str:
        """Run words that must fail; the one sentence that says why."""
        lines = self(*words, code=code, **env).stderr.splitlines()
        said = [line for line in lines if line.startswith("error: ")]
        assert len(said) == 1 and lines[-1] == said[0], lines
        return said[0]

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.root, capture_output=True, text=True, check=True).stdout

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} holds no {old!r}"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")


def quiet() -> dict[str, str]:
    """The environment without what a terminal or a CI would add."""
    dropped = ("CI", "NO_COLOR", "MHDATA_ROOT", "FORCE_COLOR")
    return {name: value for name, value in os.environ.items() if name not in dropped} | {"TERM": "xterm"}


def copy(built: Path, folder: Path) -> Doors:
    """A copy of the built sample, with what its build left uncommitted committed."""
    shutil.copytree(built, folder, symlinks=True)
    doors = Doors(folder)
    doors.git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "built", "--allow-empty")
    return doors


def until(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def occupied(root: Path) -> Iterator[None]:
    """Hold the workspace as another build does: what is asked for meanwhile waits."""
    with locks.held(Workspace(root), "test", True, waiting=print):
        yield


@contextlib.contextmanager
def sleeping(doors: Doors) -> Iterator[Path]:
    """merge makes a file, given here, and sleeps while it is there; afterwards its code is as it was."""
    asleep = doors.root / "asleep"
    doors.edit("stages/merge.py", MAIN, SLEEP)
    try:
        yield asleep
    finally:
        doors.git("checkout", "-q", "stages/merge.py")
        asleep.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def doors(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Doors:
    """A built workspace that tests only read."""
    return copy(built, tmp_path_factory.mktemp("doors") / "read")


@pytest.fixture(scope="module")
def mine(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Doors:
    """A built workspace that the tests of a module change, each leaving it built."""
    return copy(built, tmp_path_factory.mktemp("mine") / "work")
