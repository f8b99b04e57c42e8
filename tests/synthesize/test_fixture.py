"""The stored answers in git: a clean clone replays them with the params as they are, without a network."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.llm_project import PARAPHRASE, ROOT, STAGES, Project
from tests.record_fixture import TOTAL


@pytest.fixture
def clone(tmp_path: Path) -> Project:
    """A folder with params.yaml and data/sample as they stand in git, both sources in replay."""
    project = Project(tmp_path)
    project.tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    project.tree["judge"]["mode"] = "off"
    project.set({"mode": "replay", "total": TOTAL})
    project.set({"mode": "replay"}, "paraphrase")
    for source in ("synthesize", "paraphrase"):
        shutil.copytree(ROOT / "data/sample" / source, tmp_path / "data/sample" / source)
    return project


def test_a_clean_clone_replays_the_fixture_without_a_socket(clone: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.delenv("MHDATA_SPOOL", raising=False)
    clone.run(monkeypatch, *STAGES, *PARAPHRASE)
    assert clone.report()["rows"] == TOTAL
    assert clone.report("paraphrase")["rows"] == 3
    for source in ("synthesize", "paraphrase"):
        assert clone.report(source)["merged"] == 0
        assert clone.report(source)["answers"]["unused"] == 0
        assert set(clone.report(source)["models"]["reported"]) == {"scripted"}
    assert not (clone.folder / "data/.spool").exists()


def test_the_fixture_comes_from_the_scripted_server_only() -> None:
    for source in ("synthesize", "paraphrase"):
        stored = (ROOT / f"data/sample/{source}/responses.jsonl").read_text(encoding="utf-8").splitlines()
        assert stored
        assert all('"provider":"scripted","model":"scripted","reported":"scripted"' in line for line in stored)
