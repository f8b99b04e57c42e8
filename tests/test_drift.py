"""`mhdata drift` against a Hub where upstream moved on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import Project
from tests.hub_server import Fault, File, Hub, Repo, repinned, repos

SOURCES = ("amod_counseling", "depression_reddit")
ROOT = Path(__file__).parents[1]
NEW = "f" * 40
TOKEN = "hf_plantedTokenThatMustNotShow"


@pytest.fixture
def hub(project: Project) -> Iterator[Hub]:
    params = project.root / "params.yaml"
    params.write_text(repinned(params, ROOT / "data/sample"))
    with Hub(repos(params, ROOT / "data/sample")) as running:
        yield running


def drift(project: Project, hub: Hub, *words: str, code: int = 0) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mhdata", "--root", str(project.root), "drift", *words], capture_output=True, text=True,
        check=False, cwd=project.root,
        env={
            **os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "MHDATA_RETRY_BASE": "0.01",
            "HF_HUB_DOWNLOAD_TIMEOUT": "120",
        },
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and TOKEN not in done.stdout + done.stderr
    return done.stdout, done.stderr


def moved(hub: Hub, dataset: str, files: dict[str, bytes | None], **more: Any) -> None:
    """Put a new commit on top, with these files in the place of what was there."""
    old = hub.repos[dataset]
    now = {**old.files, **{path: File(data) for path, data in files.items() if data is not None}}
    for path, data in files.items():
        if data is None:
            del now[path]
    hub.repos[dataset] = Repo(now, NEW, tags=more.pop("tags", old.tags), before=old, **more)


@pytest.fixture(autouse=True)
def marks(project: Project) -> None:
    (project.root / "dvc.yaml").write_text("stages: {}\n")


AMOD, REDDIT = "Amod/mental_health_counseling_conversations", "hugginglearners/reddit-depression-cleaned"


def test_nothing_moved(project: Project, hub: Hub) -> None:
    said, told = drift(project, hub, *SOURCES)
    assert said == "as pinned: amod_counseling, depression_reddit\n"
    assert "0 of 2" in told


def test_new_rows_a_new_file_and_another_licence_are_told_apart(project: Project, hub: Hub, tmp_path: Path) -> None:
    rows = [orjson.loads(line) for line in hub.repos[AMOD].files["combined_dataset.json"].data.splitlines()]
    hub.repos[AMOD].tags = ("license:openrail", "language:en")
    rows[3]["Response"] += " And one more thing."
    rows = [*rows[1:], {"Context": "new", "Response": "row"}, {"Context": "b", "Response": "c"}]
    more = b"\n".join(map(orjson.dumps, rows))
    moved(hub, AMOD, {"combined_dataset.json": more, "README.md": b"hello"}, tags=("license:mit",))
    (found,) = json.loads(drift(project, hub, "amod_counseling", "--json")[0])
    assert found["newest"] == NEW and found["moved"] and found["license_changed"]
    assert (found["license_before"], found["license_after"]) == ("openrail", "mit")
    files = {file["path"]: file for file in found["files"]}
    assert (files["combined_dataset.json"]["rows_new"], files["combined_dataset.json"]["rows_gone"]) == (3, 2)
    assert files["README.md"]["before"] is None and not files["README.md"]["declared"]
    page = drift(project, hub, *SOURCES)[0]
    assert "**the licence changed**: `openrail` → `mit`" in page
    assert "3 rows are new, 2 are gone" in page
    assert "As pinned: depression_reddit." in page


def test_a_licence_file_with_other_bytes_is_a_changed_licence(project: Project, hub: Hub) -> None:
    moved(hub, REDDIT, {"LICENSE": b"all rights reserved"})
    (found,) = json.loads(drift(project, hub, "depression_reddit", "--json")[0])
    assert found["license_changed"]
    assert "new file: licence file `LICENSE`" in drift(project, hub, "depression_reddit")[0]


def test_a_file_that_is_gone_and_a_name(project: Project, hub: Hub) -> None:
    file = "depression_dataset_reddit_cleaned.csv"
    moved(hub, REDDIT, {file: None, "x`y\n# <b>.csv": b"1"}, renamed="other/name")
    page = drift(project, hub, "depression_reddit")[0]
    assert f"file gone: `{file}`" in page and "it is now called `other/name`" in page
    assert "`x'y # <b>.csv`" in page  # no mark of Markdown leaves its backticks


def test_a_pinned_commit_that_is_gone_is_told_and_the_others_are_asked(project: Project, hub: Hub) -> None:
    hub.repos[AMOD].commit = NEW
    said, told = drift(project, hub, *SOURCES, code=4)
    assert "upstream's history moved" in said and "As pinned: depression_reddit." in said
    assert told.splitlines()[-1].startswith("error: source amod_counseling")


def test_an_endpoint_that_fails_is_no_drift_to_be_silent_about(project: Project, hub: Hub) -> None:
    hub.faults = [Fault("status", route="api", times=-1)]
    said, told = drift(project, hub, "amod_counseling", code=4)
    assert said == "as pinned: none that could be asked\n"
    assert "0 of 1 sources have drifted, 1 could not be asked" in told
    assert "HTTP 503" in told and "run `mhdata drift` again" in told and "dvc repro" not in told


def test_an_unknown_source_is_named(project: Project, hub: Hub) -> None:
    assert "choose of amod_counseling" in drift(project, hub, "amod", code=2)[1]


def test_the_job_writes_its_page_only_when_something_moved(project: Project, hub: Hub, tmp_path: Path) -> None:
    """What the scheduled job runs."""
    page = tmp_path / "drift.md"
    env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "MHDATA_RETRY_BASE": "0.01", "MHDATA_ROOT": str(project.root)}
    job = [ROOT / ".ci/drift", page, *SOURCES]
    subprocess.run(job, check=True, env=env, capture_output=True)
    assert not page.exists()
    moved(hub, REDDIT, {"LICENSE": b"all rights reserved"})
    subprocess.run(job, check=True, env=env, capture_output=True)
    assert "licence changed" in page.read_text()
