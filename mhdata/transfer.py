"""Push and pull: what may leave this machine goes to a remote, and what a remote lacks or holds damaged is named.

`stages.sharing` says which outs may go; DVC moves them. Nothing that is held is ever given to `dvc push`.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mhdata import dvc, failures, graph, locks, remotes
from mhdata.failures import BuildError, Told
from mhdata.remotes import Remote
from mhdata.workspace import Workspace
from stages import recorded, sharing
from stages.errors import RefusedError

Verb = Literal["push", "pull"]


@dataclass(frozen=True)
class Moved:
    """A transfer that reached its end. `files` went over the line; `bytes` is the size of all outs that may go."""

    remote: str
    files: int
    outs: int
    bytes: int
    seconds: float
    held: dict[str, str]  # out -> why it is not there


@dataclass(frozen=True)
class Freight:
    """The outs of the recorded build: those that may go, and why the others may not."""

    outs: dict[str, recorded.Out]
    held: dict[str, str]
    refusal: str | None
    sample: bool  # rows of data/sample are among them

    @property
    def targets(self) -> list[str]:
        """What DVC is told, relative to data/: nothing means all."""
        return sorted(path.removeprefix("data/") for path in self.outs) if self.held else []

    @property
    def bytes(self) -> int:
        return sum(out.size for out in self.outs.values())


def freight(workspace: Workspace) -> Freight:
    """Read the dvc.lock files. Raises PipelineError where they are not of one build."""
    names = set(graph.load(workspace).stages)
    build = sharing.of(workspace.root, names)
    held = build.held()
    outs = {path: out for path, out in build.outs.items() if path not in held}
    return Freight(outs, held, build.refusal(), build.sample)


def push(workspace: Workspace, name: str | None = None, *, partial: bool = False, mend: bool = False) -> Moved:
    """Send the data of the recorded build to a remote.

    Raises RefusedError if the merged table and the exports may not be passed on; `partial` then sends the rest. `mend`
    first reads back every object of the remote and removes those that are damaged. Raises RemoteError or BuildError
    with the mend.
    """
    load = freight(workspace)
    if load.refusal and not partial:
        raise RefusedError(
            f"nothing was pushed, since the merged table and the exports hold rows that may not be passed on: "
            f"{load.refusal} (`mhdata push --partial` sends what may go)"
        )
    if load.sample and (changed := dvc.git(workspace, "status", "--porcelain", "--", "data/sample")):
        raise RefusedError(
            f"nothing was pushed, since data/sample is not as git has it ({changed.split()[-1]}): commit it if the "
            "rows are yours to publish, or restore it with `git checkout -- data/sample`"
        )
    remote = remotes.ready(workspace, name)
    with _alone(workspace, "push"):
        if mend:
            objects(workspace, remote, load.outs, "mend")
        return _move(workspace, "push", remote, load)


def pull(workspace: Workspace, name: str | None = None) -> Moved:
    """Fetch the data of the recorded build from a remote, all that may be there.

    Raises RemoteError or BuildError, which names what is missing or damaged and the mend.
    """
    load = freight(workspace)
    remote = remotes.ready(workspace, name)
    with _alone(workspace, "pull"):
        return _move(workspace, "pull", remote, load)


@contextlib.contextmanager
def _alone(workspace: Workspace, verb: Verb) -> Iterator[None]:
    """No build beside a transfer."""
    with locks.held(workspace, verb, False, waiting=lambda _: None):
        locks.mend(workspace)
        yield


_MOVED = re.compile(r"(\d+) files? (?:pushed|fetched)")


def _move(workspace: Workspace, verb: Verb, remote: Remote, load: Freight) -> Moved:
    begin = time.monotonic()
    # Where a dvc.yaml stands DVC reads all of it again for each target (112 targets: 18 s, in data/ 1.7 s).
    done = dvc.run(workspace, verb, "-r", remote.name, *load.targets, inside="data")
    if done.returncode:
        raise _explain(workspace, verb, remote, load, done)
    if verb == "push" and failures.LACKING.search(done.stdout + done.stderr):  # for DVC a warning
        raise BuildError(f"{remote} did not get all files, since some are not in the cache here: run `mhdata build`")
    moved = _MOVED.search(done.stdout + done.stderr)
    files = int(moved[1]) if moved else 0
    return Moved(remote.name, files, len(load.outs), load.bytes, time.monotonic() - begin, load.held)


def _explain(
    workspace: Workspace, verb: Verb, remote: Remote, load: Freight, done: subprocess.CompletedProcess[str]
) -> BuildError:
    told = Told.of((done.stderr + done.stdout).splitlines())
    if known := failures.transfer(told, str(remote), remote.credentials, remote.name, verb):
        return known
    if verb == "pull" and failures.LACKING.search(told.text):
        absent = {path: out for path, out in load.outs.items() if not workspace.path(path).exists()}
        return _lacking(remote, objects(workspace, remote, absent or load.outs, "look"))
    return failures.explain(told, done.returncode)


def _lacking(remote: Remote, found: dict[str, list[str]]) -> BuildError:
    said = " and ".join(
        f"{'lacks' if state == 'missing' else 'holds a damaged copy of'} {paths[0]}"
        + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
        for state, paths in found.items()
        if paths
    )
    return BuildError(
        f"{remote} {said or 'did not give all files'}: `mhdata build` makes them here, and "
        f"`mhdata push --mend -r {remote.name}` where they are whole mends the remote"
    )


def objects(
    workspace: Workspace, remote: Remote, paths: Iterable[str], action: Literal["look", "mend"]
) -> dict[str, list[str]]:
    """Read a remote's objects of some outs; {"missing": [...], "damaged": [...]}. See mhdata/objects.py."""
    done = subprocess.run(  # noqa: S603 our own words
        [sys.executable, "-m", "mhdata.objects", action, remote.name], cwd=workspace.root, env=dvc.environment(),
        input="\n".join(paths), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        told = Told.of(done.stderr.splitlines())
        raise failures.transfer(
            told, str(remote), remote.credentials, remote.name, "push --mend" if action == "mend" else "pull"
        ) or failures.explain(told, done.returncode)
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found
