"""What could keep a build from working here, each with the mend. Nothing is changed, and nothing is installed."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mhdata import clean, graph, locks, remotes
from mhdata.workspace import Workspace
from stages import params
from stages.errors import PipelineError

NEEDED = {"sample": 2 << 30, "local": 6 << 30, "hub": 8 << 30}  # bytes of free disk
EXTRAS = ("requirements-serve.txt", "requirements-remotes.txt")  # for those who have installed a part of them
HUB = "https://huggingface.co"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;#]+)")


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    state: Literal["ok", "warning", "problem"]
    says: str
    mend: str | None = None


def examine(workspace: Workspace) -> Iterator[Finding]:
    """All checks, in the order a build would meet them."""
    for check in CHECKS:
        yield from check(workspace)


def _python(workspace: Workspace) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield Finding("python", "ok", f"Python {version}")
    else:
        yield Finding(
            "python", "problem", f"Python {version} runs, the pinned wheels exist for 3.11 to 3.13",
            "make the environment anew: python3.12 -m venv .venv",
        )  # fmt: skip


def _install(workspace: Workspace) -> Iterator[Finding]:
    """The pins of requirements.txt against what is installed, and those of extras of which a part is."""
    pins, there = _pinned(workspace, "requirements.txt")
    if differ := _differing(pins, there):
        yield Finding(
            "install", "problem", "; ".join(differ) + ": outputs may differ in their bytes",
            "run `pip install -r requirements.txt`",
        )  # fmt: skip
    else:
        yield Finding("install", "ok", f"{len(pins)} pinned libraries are installed")
    for name in EXTRAS:
        pins, there = _pinned(workspace, name)
        if there and (differ := _differing(pins, there)):
            yield Finding("install", "warning", f"{name}: {'; '.join(differ)}", f"run `pip install -r {name}`")
    yield from _compiled()


def _pinned(workspace: Workspace, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """The versions that a file of requirements pins, and those of them that are installed, by name."""
    text = workspace.path(name).read_text(encoding="utf-8") if workspace.path(name).exists() else ""
    pins = {found["name"]: found["version"] for line in text.splitlines() if (found := _PIN.match(line))}
    return pins, {pin: importlib.metadata.version(pin) for pin in pins if _installed(pin)}


def _differing(pins: dict[str, str], there: dict[str, str]) -> list[str]:
    return [
        f"{name} is {there.get(name, 'not there')}, pinned is {version}"
        for name, version in pins.items()
        if there.get(name) != version
    ]


def _compiled() -> Iterator[Finding]:
    """DVC takes twice as long where its modules are not compiled."""
    found = importlib.metadata.distribution("dvc") if _installed("dvc") else None
    if found is None:
        return
    folder = Path(str(found.locate_file("dvc")))
    if os.environ.get("PYTHONPYCACHEPREFIX") or any(folder.glob("__pycache__/*.pyc")):
        return
    yield Finding("install", "warning", "DVC's modules are not compiled, so every command takes twice as long",
                  f"run `python -m compileall -q {folder.parent.name}` in {folder.parent.parent}")  # fmt: skip


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _git(workspace: Workspace) -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield Finding("git", "problem", "git is not there, and DVC needs it", "install git")
    elif not workspace.path(".git").exists():
        yield Finding(
            "git", "problem", f"{workspace.root} is no clone", "clone the project with git: an archive lacks .git"
        )
    else:
        yield Finding("git", "ok", "git and the clone are there")


def _params(workspace: Workspace) -> Iterator[Finding]:
    try:
        settings = params.load(path=workspace.path("params.yaml"))
    except PipelineError as error:
        yield Finding("params", "problem", str(error), "mend that line of params.yaml")
        return
    yield Finding("params", "ok", f"params.yaml is valid: origin {settings.origin}, {len(settings.formats)} formats")


def _lock_files(workspace: Workspace) -> Iterator[Finding]:
    locks = [file.replace("dvc.yaml", "dvc.lock") for file in graph.files(workspace)]
    for name in (name for name in locks if not workspace.path(name).exists()):
        yield Finding("dvc.lock", "warning", f"{name} is missing, so all its stages will run",
                      f"restore it with `git checkout {name}`")  # fmt: skip
    whole = True
    for name in (name for name in locks if workspace.path(name).exists()):
        if graph.CONFLICT.search(workspace.path(name).read_bytes()):
            whole = False
            yield Finding("dvc.lock", "problem", f"{name} holds conflict marks of a git merge",
                          f"run `git checkout --ours {name}`, then `mhdata build`")  # fmt: skip
    if whole and all(workspace.path(name).exists() for name in locks):
        yield Finding("dvc.lock", "ok", f"{len(locks)} locks are whole")


def _disk(workspace: Workspace) -> Iterator[Finding]:
    free = shutil.disk_usage(workspace.root).free
    origin = _origin(workspace)
    needed = NEEDED[origin]
    said = f"{free / 2**30:.1f} GB are free, a build of origin {origin} takes about {needed / 2**30:.0f}"
    if free < needed:
        yield Finding("disk", "warning", said, "free some space, or clone to a larger disk")
    else:
        yield Finding("disk", "ok", said)


def _leftovers(workspace: Workspace) -> Iterator[Finding]:
    left = [] if locks.holder(workspace) or locks.dvc_processes(workspace) else clean.half_written(workspace)
    if left:
        size = sum(one.bytes for one in left)
        yield Finding(
            "leftovers", "warning", f"{len(left)} paths are half-written ({size:,} bytes), and nobody works on them",
            "run `mhdata build`, which goes on with them, or `mhdata clean --parts`",
        )  # fmt: skip


def _settings(workspace: Workspace) -> params.Params | None:
    """What params.yaml says; None where `_params` has said what is wrong with it."""
    try:
        return params.load(path=workspace.path("params.yaml"))
    except PipelineError:
        return None


def _origin(workspace: Workspace) -> str:
    settings = _settings(workspace)
    return settings.origin if settings else "sample"


def _files(workspace: Workspace) -> Iterator[Finding]:
    """Every file that a build of `origin: local` would look for in its folder."""
    settings = _settings(workspace)
    if settings is None or settings.origin != "local":
        return
    wanted = {
        f"data/local/{key}/{file}": key
        for key, source in settings.sources.items()
        if source.enabled and not source.optional and not source.at
        for file in source.declared
    }
    missing = [path for path in wanted if not workspace.path(path).is_file()]
    if missing:
        keys = ", ".join(dict.fromkeys(wanted[path] for path in missing))
        yield Finding(
            "files", "problem", f"origin local misses {', '.join(missing)}",
            f"put them there, or set `enabled: false` in params.yaml for what you leave out of {keys}",
        )  # fmt: skip
    else:
        yield Finding("files", "ok", f"the {len(wanted)} files that origin local reads are there")


def _permissions(workspace: Workspace) -> Iterator[Finding]:
    """Folders that a build writes to."""
    folders = [workspace.root, *(workspace.path(name) for name in (".dvc", ".dvc/tmp", ".dvc/cache", "data"))]
    data = workspace.path("data")
    folders += [path for path in sorted(data.glob("*")) if path.is_dir()] if data.exists() else []
    closed = [
        str(path.relative_to(workspace.root)) for path in folders if path.exists() and not os.access(path, os.W_OK)
    ]
    if closed:
        yield Finding("permissions", "problem", f"not writable: {', '.join(closed)}",
                      f"run `chmod -R u+w {' '.join(closed)}`, or take ownership of the folder")  # fmt: skip
    else:
        yield Finding("permissions", "ok", "every folder of a build is writable")


def _locks(workspace: Workspace) -> Iterator[Finding]:
    running = [one for one in locks.dvc_processes(workspace) if one.pid != os.getpid()]
    holder = locks.holder(workspace)
    if holder:
        yield Finding(
            "locks", "warning", f"a build works here: {holder}", "wait for it, or stop it where it was started"
        )
    elif running:
        who = ", ".join(f"{one.pid} ({one.command})" for one in running)
        yield Finding("locks", "warning", f"DVC works here: process {who}", "wait for it")
    elif found := locks.trouble(workspace):
        yield Finding("locks", "warning", f".dvc/tmp/rwlock {found}",
                      "the next `mhdata` build removes it; by hand: rm .dvc/tmp/rwlock")  # fmt: skip
    else:
        yield Finding("locks", "ok", "no build runs and no lock is left behind")


def _network(workspace: Workspace) -> Iterator[Finding]:
    """The way to the Hub, only where a build would go there."""
    origin = _origin(workspace)
    if origin != "hub":
        yield Finding("network", "ok", f"origin {origin} needs no network")
        return
    endpoint = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        yield Finding(
            "network", "problem", "HF_HUB_OFFLINE is set, so nothing can be downloaded", "unset HF_HUB_OFFLINE"
        )
        return
    trouble = reach(endpoint)
    if trouble:
        yield Finding("network", "problem", f"{endpoint} does not answer: {trouble}",
                      "check the network and proxy, set HF_ENDPOINT to a mirror, or use origin: local")  # fmt: skip
    else:
        yield Finding("network", "ok", f"{endpoint} answers")


def reach(url: str) -> str | None:
    """Ask an http address for anything; what went wrong, or None. Any answer, an error page too, is an answer."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 http and https alone come here
    try:
        with urllib.request.urlopen(request, timeout=remotes.PATIENCE):  # noqa: S310
            return None
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def _remotes(workspace: Workspace) -> Iterator[Finding]:
    """Each DVC remote: is its library there, does it verify, does it answer?"""
    found = remotes.configured(workspace)
    if not found:
        yield Finding("remotes", "ok", "no remote is configured, and a build needs none")
    for remote in found:
        trouble = remotes.trouble(remote)
        if trouble:
            yield Finding("remotes", "problem", f"{remote} {trouble.says}", f"run `{trouble.mend}`")
        else:
            yield Finding("remotes", "ok", f"{remote} answers")


CHECKS: tuple[Callable[[Workspace], Iterator[Finding]], ...] = (
    _python,
    _install,
    _git,
    _params,
    _lock_files,
    _files,
    _disk,
    _leftovers,
    _permissions,
    _locks,
    _network,
    _remotes,
)
