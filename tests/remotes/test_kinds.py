"""Each kind of remote, on a real server: push from one clone, pull in another, and nothing is left to run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import recorded
from tests.builds import digests, dvc
from tests.mhdata.conftest import Doors
from tests.remotes import servers
from tests.remotes.conftest import clone, need_sshd, spoil, use
from tests.remotes.servers import Remote

SPLIT = "data/split/split.parquet"

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def serving(kind: str, work: Path, store: Path) -> Iterator[Remote]:
    if kind == "folder":
        yield Remote(str(work / "folder remote"), folder=work / "folder remote")
    elif kind == "http":  # read-only: somebody put the files there
        with servers.http(Path(shutil.copytree(store, work / "static"))) as remote:
            yield remote
    else:
        if kind == "ssh":
            need_sshd()
        with {"ssh": servers.ssh, "webdav": servers.webdav, "s3": servers.s3}[kind](work / kind) as remote:
            yield remote


@pytest.mark.parametrize("kind", ["folder", "ssh", "webdav", "s3", "http"])
def test_push_here_pull_there_and_nothing_is_left_to_run(kind: str, maker: Doors, store: Path, tmp_path: Path) -> None:
    with serving(kind, tmp_path, store) as remote:
        if kind != "http":
            use(maker, kind, remote)
            said = maker("push", "-r", kind).stdout
            assert f"files sent to {kind}" in said
        other = clone(maker, tmp_path / "other")
        use(other, kind, remote)
        assert f"files fetched from {kind}" in other("pull", "-r", kind).stdout
        assert "Running stage" not in dvc(other.root, "repro")
        assert digests(other.root) == digests(maker.root)
        assert other.git("status", "--porcelain", "data", "dvc.lock", "pipelines") == ""
        wrong_bytes_are_found(other, remote, kind)


def wrong_bytes_are_found(other: Doors, remote: Remote, kind: str) -> None:
    md5 = recorded.load(other.root).outs[SPLIT].md5
    change(remote, f"{md5[:2]}/{md5[2:]}")
    (other.root / SPLIT).unlink()
    (other.root / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}").unlink()
    said = other.refused("pull", "-r", kind, code=1)
    # DVC takes the damaged object of a folder away; on other remotes it stays
    assert f"remote {kind} " in said and ("lacks" if kind == "folder" else "holds a damaged copy of") in said
    assert SPLIT in said and "`mhdata build` makes them here" in said
    assert not (other.root / SPLIT).exists()


def change(remote: Remote, name: str) -> None:
    """Change one bit of an object on the remote."""
    if remote.put is not None:
        key, content = next((k, v) for k, v in remote.everything().items() if k.endswith(name))
        remote.put(key, bytes([content[0] ^ 1]) + content[1:])
        return
    assert remote.folder is not None
    spoil(next(path for path in remote.folder.rglob("*") if path.as_posix().endswith(name)))


def test_every_remote_must_verify(maker: Doors, store: Path, tmp_path: Path) -> None:
    other = clone(maker, tmp_path / "other")
    use(other, "loose", Remote(str(store)), verify=False)
    command = "dvc remote modify loose verify true"
    for words in (["pull"], ["push"]):
        assert f"run `{command}`" in other.refused(*words, code=4)
    found = [one for one in other.json("doctor", code=1) if one["state"] == "problem"]
    assert [one["mend"] for one in found] == [f"run `{command}`"]
    dvc(other.root, *command.split()[1:])
    other("pull")
    assert digests(other.root) == digests(maker.root)
