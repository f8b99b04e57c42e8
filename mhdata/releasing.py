"""Releases: git and DVC around what `stages.versions.release` checks and describes.

`prepare` changes nothing. `publish` pushes the data first, so a release whose data is nowhere is never tagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from mhdata import dvc, transfer
from mhdata.transfer import Moved
from mhdata.workspace import Workspace
from stages.errors import PipelineError, RefusedError
from stages.files import atomic
from stages.versions import release
from stages.versions.release import Commit


@dataclass(frozen=True)
class Prepared:
    """A release that passed all checks: its tag, its description, and the files to commit (path below the root)."""

    tag: str
    description: dict[str, Any]
    files: dict[str, bytes]

    @property
    def paths(self) -> list[str]:
        return list(self.files)


def prepare(workspace: Workspace, version: str) -> Prepared:
    """Check that a release can be made of this folder, and describe it.

    Raises ParamsError, RefusedError (a licence, the profile, a taken tag, uncommitted files), LawError or BuildError.
    """
    tag = release.tag(version)
    tags = dvc.git(workspace, "tag", "--list").split()
    if tag in tags:
        raise RefusedError(f"{tag} exists already: releases do not change, so take the next version")
    if changes := dvc.git(workspace, "status", "--porcelain", "--untracked-files=no"):
        raise RefusedError(f"git has changes that are not committed ({changes.split()[1]}): commit them first")
    if stale := dvc.status(workspace):
        name, why = next(iter(stale.items()))
        raise RefusedError(f"dvc.lock is not that of this folder ({name}: {'; '.join(why[:2])}): run `mhdata build`")
    build, locked = release.load(workspace.root)
    release.check(workspace.root, build)
    change = _change(workspace, release.last(tags), locked)
    description = release.describe(workspace.root, version, _commit(workspace), build, locked, change)
    content = orjson.dumps(description, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    files = {
        f"{release.FOLDER.as_posix()}/{version}.json": content,
        release.CITATION.as_posix(): release.citation(description, _repository(workspace)),
    }
    return Prepared(tag, description, files)


def _commit(workspace: Workspace) -> Commit:
    id, date = dvc.git(workspace, "show", "-s", "--format=%H %cs", "HEAD").split()
    return Commit(id, date)


def _repository(workspace: Workspace) -> str | None:
    """The web address of origin, where it has one; never one with a user or a token in it."""
    try:
        url = dvc.git(workspace, "remote", "get-url", "origin")
    except PipelineError:
        return None
    return url.removesuffix(".git") if url.startswith("https://") and "@" not in url else None


def _change(workspace: Workspace, since: str | None, locked: Any) -> dict[str, Any] | None:
    """What changed since the last release; its data is fetched where rows are compared."""
    if since is None:
        return None
    path = f"{release.FOLDER.as_posix()}/{since.removeprefix('data-v')}.json"
    before = orjson.loads(dvc.git(workspace, "show", f"{since}:{path}"))
    return release.changed(since, before, locked, _rows(workspace, since))


def _rows(workspace: Workspace, since: str) -> dict[str, Any]:
    from stages.versions import diff

    with diff.between(since, None, workspace.root) as difference:
        summary = diff.Summary(difference)
        for row in difference.rows():
            summary.add(row)
        found = summary.document()
    return {name: found[name] for name in ("equal", "total", "sources")}


def publish(workspace: Workspace, prepared: Prepared, remote: str | None = None) -> Moved:
    """Push the data, write and commit the description, and tag the commit. Raises as `transfer.push`, or BuildError."""
    moved = transfer.push(workspace, remote)
    for path, content in prepared.files.items():
        with atomic(workspace.path(path)) as part:
            part.write_bytes(content)
    dvc.git(workspace, "add", "--", *prepared.paths)
    dvc.git(workspace, "commit", "-q", "-m", f"Release {prepared.tag}", "--", *prepared.paths)
    dvc.git(workspace, "tag", "-a", prepared.tag, "-m", f"Data of {prepared.tag}")
    return moved


def summary(description: dict[str, Any]) -> list[list[Any]]:
    """Rows for people: output, size, and what became of it since the last release."""
    change = description["change"]
    became = {path: what for what, paths in (change["outputs"] if change else {}).items() for path in paths}
    kept = "same" if change else "new"
    return [[a["path"], a["bytes"], became.get(a["path"], kept)] for a in description["artifacts"]]
