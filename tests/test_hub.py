"""The download stage against a Hub that speaks the real protocol and misbehaves on demand."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import hub as client
from stages import resume
from stages.errors import SourceError
from tests import hub_server
from tests.download_project import COMMIT, PATIENCE, ROOT, Project
from tests.hub_server import Fault, File, Hub, Repo

REAL = os.environ.get("MHDATA_REAL")
TOKEN = "hf_plantedTokenThatMustNotShow"
SIZE = 300_000
PLAIN, LARGE = (random.Random(seed).randbytes(SIZE) for seed in (1, 2))  # more than one read of the client
FILES = {"plain.csv": File(PLAIN), "data/large.jsonl": File(LARGE, lfs=True), "LICENSE": File(b"be kind\n")}
WANTED = {"plain.csv": PLAIN, "data/large.jsonl": LARGE, "LICENSE": b"be kind\n"}
BLOCK = {
    "revision": COMMIT,
    "files": {
        "plain.csv": {"bytes": SIZE, "blob": hub_server.blob(PLAIN)},
        "data/large.jsonl": {"sha256": hashlib.sha256(LARGE).hexdigest()},
    },
    "license_files": {"LICENSE": {"blob": hub_server.blob(b"be kind\n")}},
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub({"owner/name": Repo(dict(FILES), COMMIT)}) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, hub: Hub) -> Project:
    return Project(tmp_path / "project", "hub", {"src": BLOCK}, HF_ENDPOINT=hub.endpoint)


def files(project: Project) -> dict[str, bytes]:
    return {path: data for path, data in project.raw("src").items() if path != "receipt.json"}


def test_takes_the_pinned_files_and_says_so(project: Project, hub: Hub) -> None:
    said = project.succeeds("src")
    assert files(project) == WANTED
    receipt = project.receipt("src")
    assert (receipt["origin"], receipt["state"], receipt["revision"]) == ("hub", "complete", COMMIT)
    assert [entry["file"] for entry in receipt["files"]] == ["plain.csv", "data/large.jsonl"]
    assert {entry["pin"] for entry in [*receipt["files"], *receipt["license_files"]]} == {"matches"}
    assert receipt["files"][0]["sha256"] == hashlib.sha256(PLAIN).hexdigest()
    assert receipt["files"][0]["blob"] == hub_server.blob(PLAIN)
    for file in WANTED:
        assert said.count(f"{file}: ") == 2, "a line at its start and one at its end"
    assert "verified" in said
    assert str(project.folder) not in project.raw("src")["receipt.json"].decode()
    assert hub.endpoint not in project.raw("src")["receipt.json"].decode()


# What recovers

ONCE = {
    "server errors": [
        Fault("status", route="api", status=502), Fault("status", route="resolve", status=504),
        Fault("status", status=500), Fault("status", status=503, times=2), Fault("status", status=408),
    ],
    "429": [
        Fault("status", status=429, headers={"Retry-After": "1"}),
        Fault("status", status=429, headers={"Retry-After": formatdate(0, usegmt=True)}),
        Fault("status", status=429, headers={"RateLimit": '"resolve";r=0;t=0'}),
        Fault("status", status=429, headers={"Retry-After": "soon"}),
    ],
    "cuts": [Fault("cut", at=at) for at in (0, 1, 70_000, 140_000, 299_999)],
    "resets": [Fault("reset", at=150_000), Fault("reset", at=0)],
    "stalls": [Fault("stall", at=150_000), Fault("stall", at=0)],
    "flipped byte": [Fault("flip", at=200_000)],
    "wrong bytes": [Fault("garbage")],
    "wrong bytes, then a cut": [Fault("garbage"), Fault("cut", at=150_000)],
    "short": [Fault("short", at=150_000)],
    "long": [Fault("long")],
    "pointer": [Fault("pointer")],
    "web page": [Fault("page")],
    "no length": [Fault("unsized")],
    "other range after a cut": [Fault("cut", at=150_000), Fault("other_range")],
    "wrong bytes in the right range": [Fault("cut", at=150_000), Fault("shifted")],
    "range refused after a cut": [Fault("cut", at=150_000), Fault("no_range")],
    "range ignored after a cut": [Fault("cut", at=150_000), Fault("ignore_range")],
    "another ETag after a cut": [Fault("cut", at=150_000), Fault("none", headers={"ETag": '"new"'})],
    "no ETag": [Fault("cut", at=150_000, headers={"ETag": ""}), Fault("none", headers={"ETag": ""})],
    "weak ETag": [Fault("cut", at=150_000, headers={"ETag": 'W/"x"'}), Fault("none", headers={"ETag": 'W/"x"'})],
}  # fmt: skip

NOT_THE_FILE = {  # what only the hash or the size can see: start from zero, once
    "flipped byte", "wrong bytes", "wrong bytes, then a cut", "short", "long", "pointer", "web page",
    "wrong bytes in the right range",
}  # fmt: skip


@pytest.mark.parametrize("name", ONCE)
def test_recovers_with_the_same_bytes(project: Project, hub: Hub, name: str) -> None:
    for file in ("plain.csv", "data/large.jsonl"):
        for fault in ONCE[name]:
            where = file if fault.route != "api" else ""
            hub.faults.append(Fault(fault.kind, fault.at, fault.times, where, fault.route, fault.status, fault.headers))
    said = project.succeeds("src", **({"HF_HUB_DOWNLOAD_TIMEOUT": "2"} if name == "stalls" else {}))
    assert files(project) == WANTED
    assert not any(fault.times for fault in hub.faults), "each fault was met"
    assert said.count("starting again from zero") == (2 if name in NOT_THE_FILE else 0)
    assert {entry["pin"] for entry in project.receipt("src")["files"]} == {"matches"}, said


def test_a_cut_goes_on_where_it_stopped(project: Project, hub: Hub) -> None:
    hub.faults = [Fault("cut", at=150_000, file="data/large.jsonl")]
    project.succeeds("src")
    first, second = (seen for seen in hub.asked("/cdn/") if seen.method == "GET")
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=150000-"
    assert second.headers["if-range"] == f'"{FILES["data/large.jsonl"].sha256[:32]}"'
    assert {seen.headers["accept-encoding"] for seen in hub.seen} == {"identity"}


def test_many_cuts_with_progress_are_more_than_the_tries_in_a_row(project: Project, hub: Hub) -> None:
    cuts = range(20_000, SIZE, 20_000)
    assert len(cuts) > resume.TRIES
    hub.faults = [Fault("cut", at=at, file="data/large.jsonl") for at in cuts]
    project.succeeds("src")
    assert files(project) == WANTED


def test_waits_as_long_as_the_server_asks_but_not_longer_than_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    patience = resume.Patience("here", "mend")
    patience.wait(resume.Later("HTTP 429", 7.0))
    patience.wait(resume.Later("HTTP 429", 10.0**6))
    patience.wait(resume.Later("HTTP 503"))
    assert waits[:2] == [7.0, resume.CAP]
    assert 2.0 * resume.BASE <= waits[2] <= 4.0 * resume.BASE, "the third wait: twice doubled, with jitter"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, -3480.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00"}, None),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api";r=3;t=55'}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_what_the_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert client.asked_wait(headers, datetime(1970, 1, 1, 1, tzinfo=UTC)) == seconds


def test_a_trickle_is_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    assert list(resume.lively(iter(range(0, 10_000_000, 10_000)))), "10 kB in 7 s is slow, and well"
    with pytest.raises(resume.Later, match="fewer than"):
        list(resume.lively(iter(range(1000))))


def test_relative_redirects_and_pages_of_the_file_list(project: Project, hub: Hub) -> None:
    hub.relative, hub.page, hub.foreign_links = True, 1, True
    project.succeeds("src")
    assert files(project) == WANTED
    assert len(hub.asked("/tree/")) > 2
    assert {seen.host for seen in hub.seen} == {"hub"}


def test_a_renamed_dataset_is_told(project: Project, hub: Hub) -> None:
    hub.repos["owner/name"].renamed = "owner/other"
    assert "owner/other" in project.succeeds("src")


# What stops, with one sentence

LASTING: dict[str, tuple[Fault, list[str]]] = {
    "flipped byte": (Fault("flip", at=200_000), ["300,000 bytes", "sha256", "twice", "data/local/src"]),
    "wrong bytes": (Fault("garbage"), ["300,000 bytes", "sha256", "twice"]),
    "short": (Fault("short", at=150_000), ["300,000 bytes", "150,000 bytes came"]),
    "long": (Fault("long"), ["300,000 bytes", "300,100 bytes came"]),
    "pointer": (Fault("pointer"), ["a Git-LFS pointer of 1"]),
    "web page": (Fault("page"), ["a web page of"]),
    "status 503": (Fault("status"), ["HTTP 503", "6 times in a row", "dvc repro"]),
    "status 503 at resolve": (Fault("status", route="resolve"), ["HTTP 503", "6 times in a row"]),
    "status 429": (Fault("status", status=429, headers={"Retry-After": "0"}), ["HTTP 429", "6 times in a row"]),
    "status 403 at the data": (Fault("status", status=403), ["HTTP 403", "refused"]),
    "status 404 at the data": (Fault("status", status=404), ["HTTP 404"]),
    "status 410": (Fault("status", status=410), ["HTTP 410"]),
    "compressed": (Fault("gzip"), ["encoded", "proxy"]),
    "redirect loop": (Fault("loop", route="resolve"), ["redirects"]),
    "redirect to a file": (
        Fault("redirect", route="resolve", headers={"Location": "file:///etc/passwd"}), ["a redirect to https"],
    ),
    "redirect to nowhere": (Fault("redirect", route="resolve", headers={"Location": "http://[x"}), ["redirect"]),
    "redirect without an address": (Fault("redirect", route="resolve"), ["a redirect to https"]),
    "reset each time": (Fault("reset", at=0), ["failed", "6 times in a row"]),
    "gone entry": (
        Fault("status", route="resolve", status=404, headers={"X-Error-Code": "EntryNotFound"}), ["404 EntryNotFound"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("number", "name"), list(enumerate(LASTING)))
def test_stops_with_one_sentence(project: Project, hub: Hub, number: int, name: str) -> None:
    fault, words = LASTING[name]
    file = ("plain.csv", "data/large.jsonl")[number % 2]
    hub.faults = [Fault(fault.kind, fault.at, -1, file, fault.route, fault.status, fault.headers)]
    sentence = project.fails("src")
    hashes = {"plain.csv": "git-blob", "data/large.jsonl": "sha256"}
    for word in [f"source src, file {file}: expected ", ", but ", "; ", *words]:
        assert word.replace("sha256", hashes[file]) in sentence


def test_a_stopped_run_leaves_the_old_folder_and_hinders_no_later_one(project: Project, hub: Hub) -> None:
    project.succeeds("src")
    hub.faults = [Fault("flip", at=5, times=2)]
    code, _ = project.run("src")
    assert code == 1
    assert files(project) == WANTED
    project.succeeds("src")
    assert files(project) == WANTED


Change = Callable[[Hub], None]


def _set(**changes: Any) -> Change:
    return lambda hub: hub.repos["owner/name"].__dict__.update(changes)


def _fault(kind: str, **more: Any) -> Change:
    return lambda hub: hub.faults.append(Fault(kind, times=-1, **more))


REFUSED: dict[str, tuple[Change, list[str]]] = {
    "gated, 401": (_set(gated=401), ["GatedRepo", "accept them at http", "HF_TOKEN"]),
    "gated, 403": (_set(gated=403), ["GatedRepo", "accept them at http", "HF_TOKEN"]),
    "no such dataset": (lambda hub: hub.repos.clear(), ["RepoNotFound", "sources.src.dataset"]),
    "revision gone": (_set(commit="9" * 40), [f"revision {COMMIT}", "RevisionNotFound", "sources.src.revision"]),
    "another revision": (_fault("moved", route="api"), ["'ffffffffff", COMMIT, "sources.src.revision"]),
    "another revision at resolve": (
        _fault("status", route="resolve", status=200, headers={"X-Repo-Commit": "e" * 40}), ["'eeeeeeeeee", COMMIT],
    ),
    "a web page for the API": (_fault("not_json", route="api"), ["a web page", "HF_ENDPOINT"]),
    "a refused token": (_fault("status", route="api", status=401), ["401", "HF_TOKEN"]),
    "an API that stays down": (_fault("status", route="api"), ["HTTP 503", "later"]),
    "a broken list": (_fault("status", route="api", status=200), ["the Hub's answer"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_stop_with_one_sentence(project: Project, hub: Hub, name: str) -> None:
    change, words = REFUSED[name]
    change(hub)
    sentence = project.fails("src")
    for word in ["source src, ", ": expected ", ", but ", "; ", *words]:
        assert word in sentence


EARLY: dict[str, tuple[dict[str, Any], list[str]]] = {
    "another blob": (
        {"files": {"plain.csv": {"blob": "a" * 40}}},
        ["file plain.csv", "a" * 40, hub_server.blob(PLAIN)],
    ),
    "another sha256": (
        {"files": {"data/large.jsonl": {"sha256": "a" * 64}}},
        ["large.jsonl", "a" * 64, "sources.src.files"],
    ),
    "another size": ({"files": {"plain.csv": {"bytes": 7}}}, ["7 bytes", "300,000 bytes"]),
    "another licence": (
        {"license_files": {"LICENSE": {"blob": "b" * 40}}, "files": {"plain.csv": {"blob": "a" * 40}}},
        ["licence LICENSE", "its licence has changed, so read it before anything else", "sources.src.license_files"],
    ),
    "a missing file": ({"files": {"plane.csv": {}}}, ["plane.csv", "no such file", "did you mean 'plain.csv'?"]),
    "no commit": ({"revision": "main"}, ["a full commit id", "'main'", "commits/main"]),
    "no dataset id": ({"dataset": "a/b/c"}, ["a Hub id", "'a/b/c'"]),
}


@pytest.mark.parametrize("name", EARLY)
def test_stops_before_the_first_byte(tmp_path: Path, hub: Hub, name: str) -> None:
    changes, words = EARLY[name]
    sentence = Project(tmp_path, "hub", {"src": BLOCK | changes}, HF_ENDPOINT=hub.endpoint).fails("src")
    for word in words:
        assert word in sentence
    assert not hub.asked("/resolve/")


def test_a_pin_that_the_file_list_cannot_check_is_checked_by_the_bytes(tmp_path: Path, hub: Hub) -> None:
    block = BLOCK | {"files": {"plain.csv": {"sha256": "a" * 64}}, "license_files": {}}
    sentence = Project(tmp_path, "hub", {"src": block}, HF_ENDPOINT=hub.endpoint).fails("src")
    assert "a" * 64 in sentence
    assert hashlib.sha256(PLAIN).hexdigest() in sentence
    assert len(hub.asked("/resolve/")) == 1, "upstream vouches for these bytes: to fetch them again would not help"


def test_a_disk_too_small_stops_before_the_first_byte(tmp_path: Path, hub: Hub) -> None:
    hub.repos["owner/name"].files["huge.bin"] = File(b"x", lfs=True, claims=10**18)
    project = Project(tmp_path, "hub", {"src": BLOCK | {"files": {"huge.bin": {}}}}, HF_ENDPOINT=hub.endpoint)
    assert "free some space" in project.fails("src")
    assert not hub.asked("/resolve/")


def test_no_hash_known_is_recorded_and_told(tmp_path: Path, hub: Hub) -> None:
    block = BLOCK | {"files": {"data/large.jsonl": {}}, "license_files": {}}
    project = Project(tmp_path, "hub", {"src": block}, HF_ENDPOINT=hub.endpoint)
    sha256 = hashlib.sha256(LARGE).hexdigest()
    assert sha256 in project.succeeds("src")
    (entry,) = project.receipt("src")["files"]
    assert (entry["pin"], entry["verified"], entry["sha256"]) == ("unknown", "upstream", sha256)
    assert sha256 in project.receipt("src")["notes"][0]
    hub.faults = [Fault("flip", at=9, times=-1)]
    assert project.run("src")[0] == 1, "what upstream vouches for is asked for all the same"


def test_an_empty_file_needs_no_transfer(tmp_path: Path, hub: Hub) -> None:
    hub.repos["owner/name"].files["empty.txt"] = File(b"")
    project = Project(tmp_path, "hub", {"src": BLOCK | {"files": {"empty.txt": {}}}}, HF_ENDPOINT=hub.endpoint)
    project.succeeds("src")
    assert project.raw("src")["empty.txt"] == b""


# Killed, and run again


def kill_in_the_middle(project: Project, hub: Hub, at: int = 150_000) -> None:
    """SIGKILL the stage when `at` bytes of the large file have come."""
    hub.faults = [Fault("stall", at=at, file="data/large.jsonl")]
    process = project.start("src", HF_HUB_DOWNLOAD_TIMEOUT=str(PATIENCE))
    part = project.folder / f"data/.parts/src/{COMMIT}/data/large.jsonl.part"
    deadline = time.monotonic() + PATIENCE
    while not part.exists() or part.stat().st_size < at // 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_goes_on_after_kill_9(project: Project, hub: Hub) -> None:
    kill_in_the_middle(project, hub)
    assert not (project.folder / "data/raw/src").exists()
    here = (project.folder / f"data/.parts/src/{COMMIT}/data/large.jsonl.part").stat().st_size
    hub.seen.clear()
    said = project.succeeds("src")
    (asked,) = hub.asked("/cdn/")
    assert asked.headers["range"] == f"bytes={here}-"
    assert not hub.asked("plain.csv"), "a whole part is not asked for again"
    assert f"{here:,} bytes from a former run" in said
    killed = project.raw("src")
    project.succeeds("src")
    assert project.raw("src") == killed
    assert files(project) == WANTED


@pytest.mark.parametrize("spoil", [lambda data: bytes(len(data)), lambda data: data + b"x" * SIZE, lambda data: b""])
def test_what_a_former_run_left_is_not_trusted(project: Project, hub: Hub, spoil: Callable[[bytes], bytes]) -> None:
    kill_in_the_middle(project, hub)
    part = project.folder / f"data/.parts/src/{COMMIT}/data/large.jsonl.part"
    part.write_bytes(spoil(part.read_bytes()))
    project.succeeds("src")
    assert files(project) == WANTED


def test_a_part_that_a_killed_run_handed_on_is_never_written_to(project: Project, tmp_path: Path) -> None:
    part = project.put(f"data/.parts/src/{COMMIT}/plain.csv.part", PLAIN[:1000])
    os.link(part, tmp_path / "handed-on")
    project.succeeds("src")
    assert (tmp_path / "handed-on").read_bytes() == PLAIN[:1000]
    assert files(project) == WANTED


def test_two_runs_at_once_both_end_well(project: Project, hub: Hub) -> None:
    hub.faults = [Fault("pause", at=150_000, file="data/large.jsonl")]
    first = project.start("src")
    while not hub.asked("/cdn/"):
        assert first.poll() is None
        time.sleep(0.01)
    second = project.start("src")
    assert second.stderr is not None
    told = second.stderr.readline()
    hub.resumed.set()
    said = [process.communicate(timeout=PATIENCE)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert "waiting" in told
    assert files(project) == WANTED


def test_a_full_disk_is_one_sentence_and_keeps_what_came(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: resume.Part, data: Iterator[bytes], etag: str) -> Iterator[int]:
        raise OSError(28, "No space left on device")
        yield 0

    monkeypatch.setattr(resume.Part, "append", full)
    with repo(project, monkeypatch) as running, pytest.raises(SourceError, match="the disk was full after 0 bytes"):
        running.fetch(
            "plain.csv", running.tree(["plain.csv"])[0]["plain.csv"], project.folder / "p.part", lambda _: None
        )


def repo(project: Project, monkeypatch: pytest.MonkeyPatch) -> client.Repo:
    """The client itself, in this process, on the project's Hub."""
    from huggingface_hub import constants

    endpoint = project.environment()["HF_ENDPOINT"]
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + template)
    return client.Repo("src", "owner/name", COMMIT)


def test_https_is_never_left_for_http(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with repo(project, monkeypatch) as running:
        running.endpoint = "https://hub.example"
        assert running._target("https://hub.example/a/b", "../c", "here") == "https://hub.example/c"
        with pytest.raises(SourceError, match="a redirect to https"):
            running._target("https://hub.example/a", "http://hub.example/a", "here")


# Token, offline, endpoint


def test_the_token_goes_to_the_hub_only_and_shows_nowhere(project: Project, hub: Hub) -> None:
    hub.faults = [Fault("status", times=1), Fault("cut", at=100_000), Fault("garbage")]
    said = project.succeeds("src", HF_TOKEN=TOKEN)
    hub.repos["owner/name"].gated = 403
    said += project.run("src", HF_TOKEN=TOKEN)[1]
    sent = {host: {s.headers.get("authorization") for s in hub.seen if s.host == host} for host in ("hub", "cdn")}
    assert sent == {"hub": {f"Bearer {TOKEN}"}, "cdn": {None}}
    written = b"".join(path.read_bytes() for path in project.folder.rglob("*") if path.is_file())
    assert TOKEN not in said
    assert TOKEN.encode() not in written
    assert "signature=secret" not in said
    assert b"signature=secret" not in written


@pytest.mark.parametrize("token", [f"{TOKEN}\x01x", f"{TOKEN}\u20ac"])
def test_a_token_that_is_none_is_refused_unseen(project: Project, token: str) -> None:
    code, said = project.run("src", HF_TOKEN=token)
    assert code == 1
    assert "error: HF_TOKEN: expected printable ASCII" in said
    assert TOKEN not in said


@pytest.mark.parametrize("endpoint", ["ftp://hub.example", "hub.example", "https://"])
def test_an_endpoint_that_is_none_is_refused(project: Project, endpoint: str) -> None:
    assert "HF_ENDPOINT: expected an address" in project.fails("src", HF_ENDPOINT=endpoint)


def test_a_password_in_the_endpoint_shows_nowhere(project: Project, hub: Hub) -> None:
    hub.faults = [Fault("status", route="resolve", status=403, times=-1)]
    assert "planted" not in project.fails("src", HF_ENDPOINT=hub.endpoint.replace("//", "//user:planted@"))


def test_nobody_at_the_endpoint(project: Project) -> None:
    sentence = project.fails("src", HF_ENDPOINT="http://127.0.0.1:9")
    assert "the connection to 127.0.0.1 failed" in sentence
    assert "origin: local" in sentence


def test_offline_takes_what_the_hubs_own_client_has_cached(project: Project, hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    assert "unset HF_HUB_OFFLINE" in project.fails("src", **offline)
    for file in WANTED:
        where = {"cache_dir": tmp_path / "hf/hub", "endpoint": hub.endpoint, "revision": COMMIT}
        path = hf_hub_download("owner/name", file, repo_type="dataset", **where)
        assert Path(path).read_bytes() == WANTED[file], "the Hub's own client reads this server"
    hub.seen.clear()
    project.succeeds("src", **offline)
    assert not hub.seen
    taken = project.raw("src")
    project.succeeds("src")
    assert project.raw("src") == taken, "online and offline give the same bytes, the receipt too"
    blob = next((tmp_path / "hf/hub/datasets--owner--name/blobs").glob("*"))
    blob.write_bytes(b"rotten")
    code, said = project.run("src", **offline)
    assert code == 1
    assert "is in the Hub's cache" in said


def test_the_server_speaks_as_the_hubs_own_client_expects(hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    api, kind = HfApi(endpoint=hub.endpoint, token=False), {"repo_type": "dataset"}
    hub.page = 2
    listed = {node.path: node for node in api.list_repo_tree("owner/name", revision=COMMIT, recursive=True, **kind)}
    assert {path for path in listed if hasattr(listed[path], "size")} == set(WANTED)
    assert listed["plain.csv"].blob_id == hub_server.blob(PLAIN)
    assert listed["data/large.jsonl"].lfs.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert api.dataset_info("owner/name", revision=COMMIT).sha == COMMIT
    ask = {"filename": "plain.csv", "revision": COMMIT, "cache_dir": tmp_path, **kind}
    with pytest.raises(RevisionNotFoundError):
        api.dataset_info("owner/name", revision="9" * 40)
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("owner/none", revision=COMMIT)
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("owner/name", **ask | {"filename": "none.csv"})
    hub.repos["owner/name"].gated = 403
    with pytest.raises(GatedRepoError):
        api.hf_hub_download("owner/name", **ask)


# The shipped pins, and the real files

SHIPPED: dict[str, dict[str, Any]] = {
    key: block
    for key, block in yaml.safe_load((ROOT / "params.yaml").read_text())["sources"].items()
    if block.get("enabled", True)
}
PINNED = [
    (key, file)
    for key, block in SHIPPED.items()
    for file, pin in {**block["files"], **block.get("license_files", {})}.items()
    if block.get("revision") and (pin.get("sha256") or pin.get("blob"))
]


@pytest.mark.parametrize("lfs", [False, True])
@pytest.mark.parametrize(("key", "file"), PINNED)
def test_the_shipped_pins_refuse_other_bytes(tmp_path: Path, key: str, file: str, lfs: bool) -> None:
    block = SHIPPED[key]
    repo = Repo({file: File(b"not what was pinned\n", lfs)}, block["revision"])
    alone = {file: {**block["files"], **block.get("license_files", {})}[file]}
    with Hub({block["dataset"]: repo}) as hub:
        project = Project(
            tmp_path, "hub", {key: block | {"files": alone, "license_files": {}}}, HF_ENDPOINT=hub.endpoint
        )
        assert f"source {key}, file {file}: expected" in project.fails(key)


@pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")
def test_all_seven_sources_from_the_real_files(tmp_path: Path) -> None:
    root, shipped = Path(REAL or ""), ROOT / "params.yaml"
    with Hub(hub_server.repos(shipped, root, lfs=2 << 20)) as hub:
        project = Project(tmp_path, "hub", {}, HF_ENDPOINT=hub.endpoint)
        project.params(hub_server.repinned(shipped, root))
        for key in SHIPPED:
            project.succeeds(key)
            receipt = project.receipt(key)
            for entry in receipt["files"] + receipt["license_files"]:
                assert entry["pin"] == "matches"
                assert project.raw(key)[entry["file"]] == (root / key / entry["file"]).read_bytes()
            assert receipt["state"] == ("complete" if SHIPPED[key].get("revision") else "absent")


@pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")
def test_the_shipped_pins_know_the_real_files(tmp_path: Path) -> None:
    """Three sources are byte-exact, of two the folder holds a part only, and of psych_101 no hash is known."""
    root, shipped = Path(REAL or ""), ROOT / "params.yaml"
    with Hub(hub_server.repos(shipped, root)) as hub:
        project = Project(tmp_path, "hub", SHIPPED, HF_ENDPOINT=hub.endpoint)
        for key in ("amod_counseling", "trace", "depression_reddit"):
            project.succeeds(key)
            assert {entry["pin"] for entry in project.receipt(key)["files"]} == {"matches"}
        for key in ("human_like_dpo", "mentalchat16k"):
            assert SHIPPED[key]["files"][next(iter(SHIPPED[key]["files"]))]["blob"] in project.fails(key)
        assert "no pinned hash" in project.succeeds("psych_101")
