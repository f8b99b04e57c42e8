"""DVC as a child process: how it is started, and what its failures mean in one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mhdata import graph
from mhdata.failures import BuildError, Told, explain
from mhdata.workspace import Workspace

GRACE = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))  # what a group gets, and seconds to end


def environment() -> dict[str, str]:
    """The environment of DVC and its stages: the python that runs us comes first, whatever is activated."""
    home = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != home:
        path = home + os.pathsep + path
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}


def command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "dvc", *words]


def start(workspace: Workspace, words: Sequence[str], keep: Iterable[int] = ()) -> subprocess.Popen[bytes]:
    """Start DVC in a session of its own, so that a signal reaches it and its stages when we say so, and only then."""
    return subprocess.Popen(  # noqa: S603 our own words
        command(words), cwd=workspace.root, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, pass_fds=tuple(keep),
    )  # fmt: skip


def stop(process: subprocess.Popen[bytes]) -> None:
    """End DVC and its stages: ask, then insist. Returns when none of the group is left."""
    for sign, seconds in GRACE:
        if not _send(process.pid, sign):
            break
        until = time.monotonic() + seconds
        while time.monotonic() < until and (process.poll() is None or _send(process.pid, 0)):
            time.sleep(0.05)
    process.wait()


def _send(group: int, sign: int) -> bool:
    """Signal a process group; False when it is no more."""
    try:
        os.killpg(group, sign)
    except (ProcessLookupError, PermissionError):  # macOS refuses for a group of zombies
        return False
    return True


def run(workspace: Workspace, *words: str, inside: str = ".") -> subprocess.CompletedProcess[str]:
    """Run a DVC command in the root, or in a folder inside it, to its end, whatever that is."""
    return subprocess.run(  # noqa: S603 our own words
        command(words), cwd=workspace.path(inside), env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def git(workspace: Workspace, *words: str) -> str:
    """Run git; give what it prints, without the final newline. Raises BuildError with git's own words."""
    done = subprocess.run(  # noqa: S603 our own words
        ["git", *words],  # noqa: S607
        cwd=workspace.root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise BuildError(f"git {words[0]} failed: {said}")
    return done.stdout.rstrip("\n")


def ask(workspace: Workspace, *words: str, timeout: float = 600.0) -> str:
    """Run a DVC command that changes nothing; give what it prints. Raises BuildError."""
    try:
        done = subprocess.run(  # noqa: S603 our own words
            command(words), cwd=workspace.root, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BuildError(
            f"dvc {words[0]} gave no answer in {timeout:.0f} seconds: try again, or see `mhdata doctor`"
        ) from None
    if done.returncode:
        raise explain(Told.of((done.stderr + done.stdout).splitlines()), done.returncode)
    return done.stdout


Reasons = dict[str, list[str]]


def status(workspace: Workspace, files: Iterable[str] = ()) -> Reasons:
    """The stages that are not up to date by themselves, each with why: `{"split": ["params.yaml split modified"]}`.

    What lies downstream of one is not listed: it runs only if bytes change. `files`: only the stages of these dvc.yaml
    (the 7 of the root's take 0.9 s, all 59 take 2.3). Raises BuildError.
    """
    found = json.loads(ask(workspace, "status", "--json", *sorted(files)))
    return {graph.name_of(address): _reasons(changes) for address, changes in found.items()}


def _reasons(changes: list[Any]) -> list[str]:
    """DVC nests them: [{"changed deps": {"params.yaml": {"split": "modified"}}}, "changed command"]."""
    found = []
    for change in changes:
        if isinstance(change, str):
            found.append(change)
            continue
        for kind in change.values():
            found += list(_flat(kind)) if isinstance(kind, dict) else [str(kind)]
    return found


def _flat(tree: dict[str, Any]) -> Iterable[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from (f"{name} {inner}" for inner in _flat(value))
        else:
            yield f"{name} {value}"
