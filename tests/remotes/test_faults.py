"""What goes wrong between a clone and a remote: found, named in one sentence, mended by the sentence's command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stages import recorded
from tests.builds import digests, dvc
from tests.mhdata.conftest import Doors, quiet
from tests.remotes import servers
from tests.remotes.conftest import clone, need_sshd, spoil, use
from tests.remotes.servers import PASSWORD, Remote

SPLIT = "data/split/split.parquet"
RAW = "data/raw/trace"

pytestmark = pytest.mark.slow


@pytest.fixture
def other(maker: Doors, tmp_path: Path) -> Doors:
    """A clone without data."""
    return clone(maker, tmp_path / "other")


def place(doors: Doors, path: str) -> str:
    """Where a store keeps an out."""
    md5 = recorded.load(doors.root).outs[path].md5
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def commands(said: str) -> list[str]:
    """The commands that a sentence gives."""
    return re.findall(r"`([^`]*)`", said)


def whole(doors: Doors, maker: Doors) -> bool:
    return digests(doors.root) == digests(maker.root)


def test_a_file_that_a_remote_lacks_is_named_and_built(maker: Doors, other: Doors, mine: Path) -> None:
    (mine / place(other, SPLIT)).unlink()
    with servers.http(mine) as remote:
        use(other, "web", remote)
        said = other.refused("pull", code=1)
    assert f"lacks {SPLIT}" in said and commands(said)[0] == "mhdata build"
    other("build", "--yes")
    assert whole(other, maker)


def test_what_a_remote_lost_or_holds_damaged_is_mended_by_the_one_who_has_it(
    maker: Doors, other: Doors, mine: Path
) -> None:
    listed = json.loads((mine / place(other, RAW)).read_text(encoding="utf-8"))
    inner = listed[0]["md5"]
    (mine / f"files/md5/{inner[:2]}/{inner[2:]}").unlink()
    spoil(mine / place(other, SPLIT))
    use(maker, "spoilt", Remote(str(mine)))
    with servers.http(mine) as remote:
        use(other, "spoilt", remote)
        said = other.refused("pull", code=1)
        assert f"lacks {RAW}/{listed[0]['relpath']}" in said and f"holds a damaged copy of {SPLIT}" in said
        mend = commands(said)[1]
        assert mend == "mhdata push --mend -r spoilt"
        assert "files sent to spoilt" in maker(*shlex.split(mend)[1:]).stdout
        other("pull")
    assert whole(other, maker)


def test_a_damaged_file_in_the_cache_here_is_fetched_again(maker: Doors, other: Doors, store: Path) -> None:
    use(other, "store", Remote(str(store)))
    other("pull")
    spoil(other.root / ".dvc/cache" / place(other, SPLIT))
    (other.root / SPLIT).unlink()
    other("pull")
    assert whole(other, maker)


def test_a_transfer_that_breaks_off_leaves_nothing_and_goes_on(maker: Doors, other: Doors, store: Path) -> None:
    torn = place(other, SPLIT)
    with servers.http(store, tear=torn) as remote:
        use(other, "web", remote)
        said = other.refused("pull", code=4)
        assert "broke off" in said and commands(said) == ["mhdata pull"]
        assert not list((other.root / ".dvc/cache").rglob(f"*{Path(torn).name}*"))
        assert not (other.root / SPLIT).exists()
    with servers.http(store) as remote:
        use(other, "web", remote)
        assert "1 files fetched" in other("pull").stdout
    assert whole(other, maker)


@pytest.mark.parametrize(("status", "says"), [(403, "refused our credentials (403)"), (503, "is failing (503")])
def test_a_server_that_refuses_or_fails_is_not_taken_for_missing_files(
    other: Doors, store: Path, status: int, says: str
) -> None:
    with servers.http(store, status=status) as remote:
        use(other, "web", remote)
        assert says in other.refused("pull", code=4)


@pytest.mark.parametrize("kind", ["webdav", "ssh", "s3"])
def test_wrong_credentials(kind: str, maker: Doors, other: Doors, tmp_path: Path) -> None:
    if kind == "ssh":
        need_sshd()
    made = {"webdav": servers.webdav, "ssh": servers.ssh, "s3": servers.s3}[kind]
    wrong, right = {
        "webdav": ("wrong", PASSWORD), "s3": ("wrong", ""),
        "ssh": (str(tmp_path / "server/stranger"), str(tmp_path / "server/key")),
    }[kind]  # fmt: skip
    with made(tmp_path / "server") as remote:
        name = {"webdav": "password", "ssh": "keyfile", "s3": "secret_access_key"}[kind]
        right = right or remote.secret[name]
        use(other, "far", Remote(remote.url, remote.settings, {**remote.secret, name: wrong}))
        said = other.refused("pull", code=4)
        assert "refused our credentials" in said and PASSWORD not in said and right not in said
        command = shlex.split(commands(said)[0])
        assert command[:5] == ["dvc", "remote", "modify", "--local", "far"] and command[5] == name
        dvc(other.root, *command[1:6], right)
        assert "lacks" in other.refused("pull", code=1)  # it lets us in, and is empty


@pytest.mark.parametrize("url", ["http://", "webdav://", "ssh://", "s3://"])
def test_a_host_that_does_not_answer(url: str, other: Doors) -> None:
    host = f"127.0.0.1:{servers.free_port()}"
    more = {"endpointurl": f"http://{host}"} if url == "s3://" else {}
    use(other, "dead", Remote(f"s3://corpus/{host}" if more else f"{url}{host}/data", more))
    setting = "endpointurl" if more else "url"
    for word in ("pull", "push"):
        said = other.refused(word, code=4)
        assert "does not answer" in said and commands(said) == [f"dvc remote modify dead {setting} URL"]


def test_a_read_only_server_takes_no_push(maker: Doors, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with servers.http(tmp_path / "empty") as remote:
        use(maker, "readonly", remote)
        said = maker.refused("push", "-r", "readonly", code=4)
    assert "is read-only" in said and commands(said) == ["mhdata push -r NAME"]


def test_no_space_leaves_nothing_half_written(maker: Doors, other: Doors, store: Path, tmp_path: Path) -> None:
    use(other, "store", Remote(str(store)))
    full = tmp_path / "full"
    full.mkdir()
    pull = f"{shlex.quote(sys.executable)} -m mhdata pull"
    mounted = f"mount -t tmpfs -o size=600k none {full} && cp -r .dvc/. {full} && mount --bind {full} .dvc && {pull}"
    words = ["unshare", "-rm", "sh", "-c", f"{mounted}; code=$?; ls -R {full}/cache; exit $code"]
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(full)], capture_output=True).returncode:
        words = ["sh", "-c", f"ulimit -f 400; {pull}"]  # no mounting here: a limit on files instead, of 200 kB
    done = subprocess.run(words, cwd=other.root, env=quiet(), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr + done.stdout
    assert re.search(r"error: (the disk is full|a file would pass)", done.stderr) and "Traceback" not in done.stderr
    other("pull")
    assert whole(other, maker)


def test_data_that_is_not_here_is_not_said_to_be_pushed(maker: Doors, other: Doors, tmp_path: Path) -> None:
    use(other, "new", Remote(str(tmp_path / "new")))
    assert "some are not in the cache here: run `mhdata build`" in other.refused("push", code=1)
