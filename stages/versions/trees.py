"""Where the files of a version are: a folder, or a git revision whose outs the DVC cache or a remote holds."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import yaml

from stages.errors import PipelineError
from stages.files import read_json
from stages.layout import DATA, MERGED_TABLE


class NoVersionError(PipelineError):
    """A version is not there, or not whole."""


class Version(Protocol):
    """The files of one version, by their path in the project."""

    name: str

    def fetch(self, paths: Iterable[str]) -> None:
        """Bring files near, all at once; one that the version does not have is passed over."""

    def find(self, path: str) -> Path | None:
        """Where a file stands on this machine, or None where the version has none of it."""


def need(version: Version, path: Path) -> Path:
    """A file without which a version is none. Raises NoVersionError."""
    found = version.find(path.as_posix())
    if found is None:
        raise NoVersionError(f"{version.name} holds no {path}: it was never built whole (`dvc repro` builds it)")
    return found


def open_version(name: str | None, root: Path) -> Version:
    """A version by its name: a folder that holds one, a git revision, or None for the working folder.

    Raises NoVersionError.
    """
    if name is None:
        return Folder("the working folder", root)
    if not name.strip():
        raise NoVersionError("a version's name is empty (a variable that is not set?): name a git revision or a folder")
    folder = Path(name)
    if folder.is_dir():
        for home in (folder, *([folder.parent] if folder.name == DATA.name else [])):
            if (home / MERGED_TABLE).exists():
                return Folder(name, home)
        raise NoVersionError(f"{name} is a folder without {MERGED_TABLE}: name a built project folder")
    return Revision(name, root)


class Folder:
    """A project folder with a build in it."""

    def __init__(self, name: str, root: Path) -> None:
        self.name, self._root = name, root

    def fetch(self, paths: Iterable[str]) -> None:
        pass

    def find(self, path: str) -> Path | None:
        found = self._root / path
        return found if found.exists() else None


class Revision:
    """A git revision; its files are opened where they lie in the DVC cache, so nothing is copied or checked out."""

    def __init__(self, name: str, root: Path) -> None:
        self.name, self._root = name, root
        self._commit = _git(root, name, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        listed = _git(root, name, "ls-tree", "-r", "--name-only", self._commit).splitlines()
        self._outs: dict[str, str] = {}  # paths in every lock are the root's
        for lock in (path for path in listed if path.rpartition("/")[2] == "dvc.lock"):
            self._outs |= _outs(_git(root, name, "show", f"{self._commit}:./{lock}"))
        self._cache: Any = None

    def fetch(self, paths: Iterable[str]) -> None:
        missing = [path for path in paths if self._out(path) and self.find(path) is None]
        if missing:
            self._fetch(missing)

    def find(self, path: str) -> Path | None:
        out = self._out(path)
        if out is None:
            return None
        md5 = self._outs[out]
        if path != out:
            listed = self._cached(md5)
            if listed is None:
                return None
            inside = {one["relpath"]: one["md5"] for one in read_json(listed)}
            if path[len(out) + 1 :] not in inside:
                return None
            md5 = inside[path[len(out) + 1 :]]
        return self._cached(md5)

    def _out(self, path: str) -> str | None:
        """The out that is the path, or a folder above it."""
        return next((out for out in (path, *map(str, Path(path).parents)) if out in self._outs), None)

    def _cached(self, md5: str) -> Path | None:
        found = Path(self._repo().cache.local.oid_to_path(md5))
        return found if found.exists() else None

    def _repo(self) -> Any:
        if self._cache is None:
            from dvc.repo import Repo

            self._cache = Repo(str(self._root))
        return self._cache

    def _fetch(self, paths: list[str]) -> None:
        from dvc.exceptions import DvcException

        config = self._repo().config
        ours = {"core": {k: v for k, v in config["core"].items() if k == "remote"}, "remote": dict(config["remote"])}
        said = "no remote has it"
        logging.getLogger("dvc").setLevel(logging.ERROR)  # what is missing is said below
        try:  # the remotes of today: those that an old commit names may be gone
            self._repo().fetch(targets=sorted(paths), revs=[self._commit], workspace=False, config=ours)
        except (DvcException, OSError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        lost = [path for path in paths if self.find(path) is None and path in self._outs]
        if lost:
            raise NoVersionError(
                f"{lost[0]} of {self.name} is not in the DVC cache, and fetching it failed ({said}): "
                "set a remote that has it (`dvc remote add -d NAME URL`), or give a folder that holds it"
            )


def _git(root: Path, name: str, *words: str) -> str:
    done = subprocess.run(  # noqa: S603 our own words
        ["git", *words], cwd=root, capture_output=True, text=True, check=False,  # noqa: S607 the user's git
    )  # fmt: skip
    if done.returncode:
        raise NoVersionError(
            f"{name!r} is neither a folder nor a revision that git knows here (a fresh clone: `git fetch --tags`)"
        )
    return done.stdout.strip()


def _outs(lock: str) -> dict[str, str]:
    """Path -> md5 of all outs in a dvc.lock."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    stages = yaml.load(lock, Loader=loader)["stages"]  # noqa: S506 a safe loader
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", []) if "md5" in out}
