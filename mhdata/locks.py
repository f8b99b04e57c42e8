"""One build at a time in a workspace, and DVC's own locks after a crash.

Our lock is an flock on a file: the system frees it however its holder ends. The DVC that a build starts holds it
too, so a door that is killed does not leave the workspace open to a second build beside a living one.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mhdata import graph
from mhdata.workspace import Workspace
from stages.errors import RefusedError
from stages.files import atomic

if TYPE_CHECKING:
    import psutil

POLL = 0.2  # seconds


@dataclass(frozen=True)
class Holder:
    """Who builds: the process that asked for it, and what it asked for."""

    pid: int
    target: str
    since: str  # local time, ISO 8601

    @property
    def alive(self) -> bool:
        """Whether the process that asked still lives; if not, its DVC still works."""
        return alive(self.pid)

    @property
    def who(self) -> str:
        who = f"process {self.pid}" if self.alive else f"started by process {self.pid}, which has ended"
        return f"{who}, since {self.since.replace('T', ' ')}"

    def __str__(self) -> str:
        return f"{self.target} ({self.who})"


class BusyError(RefusedError):
    """Another build works in the workspace; `holder` says which, where that is known."""

    def __init__(self, holder: Holder | None) -> None:
        what = f"`mhdata {holder.target}` ({holder.who})" if holder else "another build"
        super().__init__(f"{what} works in this folder: wait for it (--wait), or stop it where it was started")
        self.holder = holder


def lock_file(workspace: Workspace) -> Path:
    return workspace.state / "build.lock"


def holder(workspace: Workspace) -> Holder | None:
    """Who builds now, or None. Takes and frees the lock for an instant, so only what holds it counts."""
    try:
        file = os.open(lock_file(workspace), os.O_RDWR)
    except FileNotFoundError:
        return None
    except PermissionError:
        return _read(lock_file(workspace))
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(lock_file(workspace)) or Holder(0, "unknown", "unknown")
    finally:
        os.close(file)
    return None


@contextlib.contextmanager
def held(
    workspace: Workspace,
    target: str,
    wait: bool,
    *,
    waiting: Callable[[str], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """Hold the workspace; give the lock's file descriptor, for a child to hold as well.

    Raises BusyError if another build works here and `wait` is false, or if `cancelled` turns true while waiting.
    """
    path = lock_file(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        told = False
        while not _taken(file):
            found = _read(path)
            if not wait or cancelled():
                raise BusyError(found)
            if not told:
                waiting(str(found or "unknown"))
                told = True
            time.sleep(POLL)
        since = time.strftime("%Y-%m-%dT%H:%M:%S")
        _write(file, {"pid": os.getpid(), "target": target, "since": since})
        yield file
    finally:
        os.close(file)


def _taken(file: int) -> bool:
    """Take the lock; a reader may hold it for an instant, so ask a few times."""
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


def _write(file: int, what: dict[str, int | str]) -> None:
    text = json.dumps(what).encode()
    os.ftruncate(file, 0)
    os.pwrite(file, text, 0)


def _read(path: Path) -> Holder | None:
    try:
        found = json.loads(path.read_bytes())
        return Holder(int(found["pid"]), str(found["target"]), str(found["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # just being written


def alive(pid: int) -> bool:
    """Whether a process of that number exists."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# --- DVC's own ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Running:
    """A DVC process that works in the workspace."""

    pid: int
    command: str


def dvc_processes(workspace: Workspace) -> list[Running]:
    """All DVC processes that work in the workspace, ours and others'."""
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if not any(Path(word).name == "dvc" for word in words[:4]):
            continue
        cwd = process.info["cwd"]
        if cwd is None and _ended(process):
            continue  # since its words were read
        # One whose folder we may not see could be ours: better to leave its locks alone.
        if cwd is None or Path(cwd).is_relative_to(workspace.root.resolve()):
            found.append(Running(process.info["pid"], " ".join(Path(word).name for word in words)))
    return found


def _ended(process: psutil.Process) -> bool:
    import psutil

    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def trouble(workspace: Workspace) -> str | None:
    """What is wrong with DVC's rwlock: torn, or held by processes that are no DVC of this folder; None if nothing."""
    path = _rwlock(workspace)
    try:
        pids = _pids(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is torn"
    if not pids:
        return None
    return f"names process {', '.join(map(str, pids))}, which is no DVC of this folder"


def _pids(entries: Any) -> list[int]:
    """{"read": {path: [{"pid", "cmd"}]}, "write": {path: {"pid", "cmd"}}}"""
    groups = [group for kind in ("read", "write") for group in entries.get(kind, {}).values() if group]
    infos = [info for group in groups for info in (group if isinstance(group, list) else [group])]
    return sorted({int(info["pid"]) for info in infos})


def mend(workspace: Workspace) -> str | None:
    """Put right what a killed DVC left behind, if no DVC process lives in the workspace; say what was done.

    DVC writes its rwlock in place and checks only whether a number of a process is in use, so a torn file stops every
    command, and a number that the system gave again blocks for ever. It writes dvc.lock in place too, after each
    stage: git's last one takes the place of a torn one, and the run cache remembers what was built since.
    """
    found, torn = trouble(workspace), list(_torn(workspace))
    if not (found or torn) or dvc_processes(workspace):
        return None
    notes = []
    if found:
        _rwlock(workspace).unlink(missing_ok=True)
        notes.append(f".dvc/tmp/rwlock {found}: removed, since no DVC works here")
    notes += [_restored(workspace, name) for name in torn]
    return "; ".join(notes)


def _torn(workspace: Workspace) -> Iterator[str]:
    """The locks that DVC cannot read and that hold no conflict marks: those are somebody's work."""
    for file in graph.files(workspace):
        path = workspace.path(file.replace("dvc.yaml", "dvc.lock"))
        if path.exists() and not _stands(path, (path.stat().st_mtime_ns, path.stat().st_size)):
            yield path.relative_to(workspace.root).as_posix()


@functools.lru_cache(maxsize=64)
def _stands(path: Path, stamp: tuple[int, int]) -> bool:
    """Whether a lock may stay as it is; parsed once for each state of the file, since every status asks (0.07 s)."""
    text = path.read_bytes()
    return _is_lock(text) or graph.CONFLICT.search(text) is not None


def _restored(workspace: Workspace, name: str) -> str:
    words = ["git", "show", f"HEAD:./{name}"]
    kept = subprocess.run(words, cwd=workspace.root, capture_output=True, check=False).stdout  # noqa: S603 our own words
    if not _is_lock(kept):
        workspace.path(name).unlink()
        return f"{name} is torn and git has none: removed"
    with atomic(workspace.path(name)) as part:
        part.write_bytes(kept)
    return f"{name} is torn: git's last one is in its place"


def _is_lock(text: bytes) -> bool:
    """Whether DVC takes it: a schema, stages, and for each a command and lists of paths. Empty is no lock."""
    try:
        found = yaml.load(text, Loader=graph.LOADER)  # noqa: S506 it is a safe loader
        return isinstance(found["schema"], str) and all(
            "cmd" in entry
            and all(isinstance(one["path"], str) for kind in ("deps", "outs") for one in entry.get(kind, ()))
            for entry in found["stages"].values()
        )
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError):
        return False


def _rwlock(workspace: Workspace) -> Path:
    return workspace.path(".dvc/tmp/rwlock")
