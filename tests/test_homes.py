"""A user's own files on shared storage: a mounted folder, and a real S3 server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.download_project import Project
from tests.remotes import servers

FILES = {"a/rows.jsonl": b'{"text": "one"}\n' * 200_000, "rows.csv": "text\nzwölf\n".encode()}  # some chunks, and one
SUMS = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in FILES.items()).encode()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Remote]:
    with servers.s3(tmp_path_factory.mktemp("s3")) as remote:
        for name, data in {**FILES, "SHA256SUMS": SUMS}.items():
            remote.put(f"own/{name}", data)
        remote.put("wrong/SHA256SUMS", SUMS)
        for name in FILES:
            remote.put(f"wrong/{name}", b"other\n")
        yield remote


def environment(remote: servers.Remote, **other: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": remote.settings["endpointurl"],
        "AWS_DEFAULT_REGION": remote.settings["region"],
        "AWS_ACCESS_KEY_ID": remote.secret["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": remote.secret["secret_access_key"],
        **other,
    }


def project(folder: Path, at: str | None) -> Project:
    block = {"files": {name: {} for name in FILES}} | ({"at": at} if at else {})
    return Project(folder, "local", {"mine": block})


def raw(made: Project) -> dict[str, bytes]:
    home = made.folder / "data/raw/mine"
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_the_same_files_come_from_a_bucket_a_shared_folder_and_this_one(tmp_path: Path, bucket: servers.Remote) -> None:
    shared = tmp_path / "mounted"
    here, mounted, far = (
        project(tmp_path / name, at)
        for name, at in (("here", None), ("there", str(shared)), ("far", "s3://corpus/own"))
    )
    for name, data in {**FILES, "SHA256SUMS": SUMS}.items():
        here.put(f"data/local/mine/{name}", data)
        target = shared / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    for made in (here, mounted, far):
        code, said = made.run("mine", **environment(bucket))
        assert code == 0, said
    assert raw(here) == raw(mounted) == raw(far)
    assert {name: raw(far)[name] for name in FILES} == FILES
    assert str(tmp_path).encode() not in raw(mounted)["receipt.json"]


@pytest.mark.parametrize(
    ("at", "env", "said"),
    [
        ("s3://corpus/wrong", {}, "sha256"),
        ("s3://corpus/none", {}, "no file is there"),
        ("s3://corpus/own", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "AWS_SECRET_ACCESS_KEY"),
        ("s3://corpus/own", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "its server answers"),
        ("nosuch://corpus/own", {}, "write a folder, or an address like s3://bucket/folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, bucket: servers.Remote, at: str, env: dict[str, str], said: str
) -> None:
    made = project(tmp_path, at)
    code, stderr = made.run("mine", **environment(bucket, **env))
    assert code in (1, 2)
    assert stderr.count("\n") == 1
    assert stderr.startswith("error: ")
    assert said in stderr
    assert "mine" in stderr
    assert not (made.folder / "data/raw/mine").exists()
