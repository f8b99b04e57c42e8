"""Builds of the sample in clones of the working tree, as a user makes them.

`python -m tests.builds` keeps the build that stands in the current folder for the tests (MHDATA_KEEP_BUILT).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from stages.files import sha256

ROOT = Path(__file__).parents[1]
KEPT = (".dvc", "data", "pipelines", "dvc.lock")  # what a build writes to
OUTS = ("raw", "normalized", "quarantine", "screened", "merged", "split", "exports", "ledger", "reports")


def clone(folder: Path) -> Path:
    """A copy of the working tree, ignored files left out, as a repository of its own, with an empty DVC cache."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, target, follow_symlinks=False)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command], cwd=folder, check=True)
    return folder


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, made one time for all workers of pytest-xdist. Read only: tests share it."""
    base = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    folder, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


def build(folder: Path) -> None:
    """A clone that `dvc repro` has built.

    MHDATA_KEEP_BUILT may name a folder that keeps builds: a build is taken from it if everything that a stage may read
    is the same. CI keeps the one that it makes by the README's words; who works on other things than stages keeps one
    between runs of the tests.
    """
    clone(folder)
    kept = _kept(folder)
    if kept and kept.exists():
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        return
    dvc(folder, "repro")
    keep(folder)


def keep(folder: Path) -> None:
    """Keep a build, if MHDATA_KEEP_BUILT says where."""
    kept = _kept(folder)
    if kept is None or kept.exists():
        return
    part = kept.with_name(f"{kept.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    for path in (folder / name for name in KEPT):
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, part / path.name)
    part.rename(kept)


def _kept(folder: Path) -> Path | None:
    place = os.environ.get("MHDATA_KEEP_BUILT")
    return Path(place) / _inputs(folder) if place else None


def _inputs(folder: Path) -> str:
    """A hash of what git holds of the code of stages, the params and the inputs."""
    names = ["stages", "pipelines", "data", "dvc.yaml", "dvc.lock", "params.yaml", "requirements.txt"]
    words = ["git", "ls-files", "-s", *names]
    listed = subprocess.run(words, cwd=folder, capture_output=True, check=True).stdout
    return hashlib.sha256(listed).hexdigest()[:20]


def dvc(folder: Path, *words: str, **env: str) -> str:
    """Run dvc; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, capture_output=True, text=True, env={**os.environ, **env},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"dvc {words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def digests(folder: Path, outs: Sequence[str] = OUTS) -> dict[str, str]:
    """sha256 of every file of these folders of data/, by path."""
    files = (path for out in outs for path in sorted((folder / "data" / out).rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): sha256(path) for path in files}


if __name__ == "__main__":
    keep(Path.cwd())
