"""A clone that holds the built sample, and clones of it that pull."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mhdata.conftest import Doors, copy
from tests.remotes.servers import SSHD, Remote


@pytest.fixture(scope="session")
def maker(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Doors:
    """The clone that pushes. Tests change its remotes and nothing else."""
    doors = copy(built, tmp_path_factory.mktemp("maker") / "work")
    doors.git("config", "user.name", "t")
    doors.git("config", "user.email", "t@example.org")
    return doors


@pytest.fixture(scope="session")
def store(maker: Doors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder remote with the data of the sample. Read only: copy it before you spoil it."""
    folder = tmp_path_factory.mktemp("store") / "store"
    use(maker, "store", Remote(str(folder)))
    maker("push", "-r", "store")
    return folder


@pytest.fixture
def mine(store: Path, tmp_path: Path) -> Path:
    """A copy of the store that a test may spoil."""
    return Path(shutil.copytree(store, tmp_path / "store"))


def use(doors: Doors, name: str, remote: Remote, *, verify: bool = True, **more: str) -> None:
    """Configure a remote as `dvc remote add` and `dvc remote modify` do; secrets stand in config.local."""
    for file, settings in (
        (".dvc/config", {"url": remote.url, **({"verify": "true"} if verify else {}), **remote.settings, **more}),
        (".dvc/config.local", remote.secret),
    ):
        path = doors.root / file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        blocks = [block for block in text.split("['remote ") if block and not block.startswith(f'"{name}"')]
        if settings:
            blocks.append(f'"{name}"\']\n' + "".join(f"    {key} = {value}\n" for key, value in settings.items()))
        kept = [block if block.startswith("[") else f"['remote {block}" for block in blocks]
        path.write_text("".join(kept), encoding="utf-8")


def clone(maker: Doors, folder: Path) -> Doors:
    """Another clone: what git holds, no data, an empty cache, no remote."""
    subprocess.run(["git", "clone", "-q", str(maker.root), str(folder)], check=True)
    return Doors(folder)


def need_sshd() -> None:
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no OpenSSH server: apt-get install openssh-server")


def spoil(path: Path) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    os.chmod(path, 0o644)
    path.write_bytes(content)
