"""What the doctor finds, and that each finding has a mend."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mhdata import doctor, remotes
from mhdata.workspace import Workspace
from tests.mhdata.conftest import Doors
from tests.remotes import servers


def finding(where: Workspace, check: str) -> doctor.Finding:
    found = [one for one in doctor.examine(where) if one.check == check]
    return next((one for one in found if one.state != "ok"), found[0])


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine's servers may take their time."""
    monkeypatch.setattr(remotes, "PATIENCE", 300.0)


@pytest.fixture(scope="module")
def ill(mine: Doors) -> Workspace:
    return Workspace(mine.root)


def test_a_built_workspace_is_well(doors: Doors) -> None:
    found = doors.json("doctor", code=0)
    assert {one["check"] for one in found} >= {
        "python",
        "install",
        "git",
        "disk",
        "permissions",
        "locks",
        "network",
        "remotes",
    }
    assert [one for one in found if one["state"] == "problem"] == []


def test_a_wrong_pin_is_named(mine: Doors, ill: Workspace) -> None:
    mine.edit("requirements.txt", "msgspec==", "msgspec==9.")
    found = finding(ill, "install")
    mine.git("checkout", "-q", "requirements.txt")
    assert found.state == "problem" and "msgspec is" in found.says and "pip install" in str(found.mend)


def test_a_wrong_pin_of_an_extra_is_named(mine: Doors, ill: Workspace) -> None:
    mine.edit("requirements-serve.txt", "uvicorn==", "uvicorn==9.")
    found = finding(ill, "install")
    mine.git("checkout", "-q", "requirements-serve.txt")
    assert found.state == "warning" and "requirements-serve.txt: uvicorn is" in found.says
    assert str(found.mend) == "run `pip install -r requirements-serve.txt`"
    assert finding(ill, "install").state == "ok"


def test_conflict_marks_and_a_missing_lock(mine: Doors, ill: Workspace) -> None:
    lock = mine.root / "dvc.lock"
    lock.write_text("a\n<<<<<<< HEAD\n", encoding="utf-8")
    assert "--ours" in str(finding(ill, "dvc.lock").mend)
    lock.unlink()
    assert finding(ill, "dvc.lock").state == "warning"
    mine.git("checkout", "-q", "dvc.lock")
    assert finding(ill, "dvc.lock").state == "ok"


def test_a_lock_left_behind(mine: Doors, ill: Workspace) -> None:
    rwlock = mine.root / ".dvc/tmp/rwlock"
    rwlock.write_text("{torn")
    found = finding(ill, "locks")
    rwlock.unlink()
    assert found.state == "warning" and "is torn" in found.says


def test_all_local_files_that_miss_are_listed_at_once(mine: Doors, ill: Workspace) -> None:
    assert not [one for one in doctor.examine(ill) if one.check == "files"], "origin sample has none"
    mine.edit("params.yaml", "origin: sample", "origin: local")
    found = finding(ill, "files")
    assert found.state == "problem" and "enabled: false" in str(found.mend)
    for path in ("trace/data/splits/train.jsonl", "amod_counseling/LICENSE-RAIL-D.txt", "psych_101/"):
        assert f"data/local/{path}" in found.says
    assert "reddit_ess" not in found.says and "counsel_chat" not in found.says
    mine.git("checkout", "-q", "params.yaml")


def test_a_mistake_in_params(mine: Doors, ill: Workspace) -> None:
    mine.edit("params.yaml", "origin: sample", "orign: sample")
    assert finding(ill, "params").state == "problem"
    assert "did you mean `origin`" in finding(ill, "params").says
    mine.git("checkout", "-q", "params.yaml")


def remote(where: Workspace, url: str) -> doctor.Finding:
    config = where.root / ".dvc/config"
    kept = config.read_text(encoding="utf-8")
    config.write_text(f"{kept}['remote \"here\"']\n    url = {url}\n    verify = true\n", encoding="utf-8")
    try:
        return finding(where, "remotes")
    finally:
        config.write_text(kept, encoding="utf-8")


def test_remotes_are_asked(ill: Workspace, tmp_path: Path) -> None:
    with servers.http(tmp_path) as server:
        url = f"http://me:secret@{server.url.removeprefix('http://')}/dvc"
        assert remote(ill, url).state == "ok"
    found = remote(ill, url)
    assert found.state == "problem" and "does not answer" in found.says and "secret" not in found.says
    assert remote(ill, f"ssh://127.0.0.1:{servers.free_port()}/x").state == "problem"
    assert "relative" in remote(ill, "../remote").says
    assert remote(ill, str(tmp_path)).state == "ok"
    assert remote(ill, str(tmp_path / "to/be/made")).state == "ok"


def test_the_hub_is_asked_only_when_a_build_would_go_there(
    mine: Doors, ill: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as silent:  # bound, so that nobody else gets the port, and not listening
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        assert finding(ill, "network").state == "ok"
        mine.edit("params.yaml", "origin: sample", "origin: hub")
        found = finding(ill, "network")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = finding(ill, "network")
    mine.git("checkout", "-q", "params.yaml")
    assert found.state == "problem" and "HF_ENDPOINT" in str(found.mend)
    assert "HF_HUB_OFFLINE" in offline.says


def test_what_killed_builds_left_is_told_and_goes(mine: Doors, ill: Workspace) -> None:
    left = mine.root / "data/normalized/.trace.parquet.999999.part"
    left.write_bytes(b"half")
    part = mine.root / "data/.parts/trace/rev/x.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    found = finding(ill, "leftovers")
    assert found.state == "warning" and "(8 bytes)" in found.says and "clean --parts" in str(found.mend)
    merged = ill.merged.stat().st_mtime_ns
    mine("clean", "--parts", "--yes")
    assert not left.exists() and not part.exists() and ill.merged.stat().st_mtime_ns == merged
