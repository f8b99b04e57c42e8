"""publish: one commit on a Hub, what it refuses, and what it says when the Hub does not play along."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, Project
from tests.hub_server import Fault, File, Hub, Repo

REPO = "me/mental-health"


@pytest.fixture(scope="module")
def noncommercial(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The sample under the profile whose rows may be passed on, with its Hub folder and the dpo files."""
    root = tmp_path_factory.mktemp("publish") / "project"
    project = Project(built).part(root, "benchmarks", "normalized", "screened", "ledger", "reports")
    shutil.copy(built / "data/deny.txt", root / "data/deny.txt")
    project.params(lambda tree: tree.update(profile="noncommercial"))
    for words in (["merge"], ["split"], ["export", "hub"], ["export", "dpo"], ["export", "kto"], ["card"]):
        project.run(*words)
    return project


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub({}) as server:
        server.writer = "hf_writer"
        yield server


def publish(
    project: Project, hub: Hub | None, *words: str, code: int = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    endpoint = {"HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9", "HF_TOKEN": "hf_writer"}
    home = {"HF_HOME": str(project.root / ".hf"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "mhdata", "publish", *words], cwd=project.root, capture_output=True, text=True,
        env={**os.environ, **home, **endpoint, **env}, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr and "hf_writer" not in done.stdout + done.stderr
    return done


def local(project: Project) -> dict[str, bytes]:
    folder = project.root / "data/exports/hub"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(hub: Hub, repo: str = REPO) -> dict[str, bytes]:
    return {path: file.data for path, file in hub.repos[repo].files.items()}


@pytest.mark.slow
def test_a_whole_export_arrives_in_one_commit_and_a_second_time_nothing_is_sent(
    noncommercial: Project, hub: Hub
) -> None:
    done = publish(noncommercial, hub, REPO, "--yes")
    assert stored(hub) == local(noncommercial)
    assert {"README.md", "LICENSES.md", "croissant.json", "OBLIGATIONS.json", "ATTRIBUTION.md",
            "LICENSES/LicenseRef-RAIL-D.txt", "LICENSES/NOTICE"} < set(stored(hub))  # fmt: skip
    assert hub.repos[REPO].private and len(hub.repos[REPO].log) == 1
    assert hub.repos[REPO].commit in done.stderr
    assert "sha256:" in hub.repos[REPO].log[0]["description"]
    assert all(file.lfs for path, file in hub.repos[REPO].files.items() if path.endswith(".parquet"))
    again = publish(noncommercial, hub, REPO, "--yes")
    assert "Up to date" in again.stderr and len(hub.repos[REPO].log) == 1


@pytest.mark.slow
def test_what_was_published_loads_with_the_rows_that_the_card_says(
    noncommercial: Project, hub: Hub, tmp_path: Path
) -> None:
    publish(noncommercial, hub, REPO, "--yes")
    for path, data in stored(hub).items():
        (tmp_path / "repo" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repo" / path).write_bytes(data)
    from datasets import load_dataset

    loaded = load_dataset(str(tmp_path / "repo"), cache_dir=str(tmp_path / "cache"))
    rows = noncommercial.json("data/ledger/export/hub.json")["rows"]
    assert {side: len(split) for side, split in loaded.items()} == {side: n for side, n in rows.items() if n}


@pytest.mark.slow
def test_a_dry_run_shows_the_difference_and_sends_nothing(noncommercial: Project, hub: Hub) -> None:
    new = json.loads(publish(noncommercial, hub, REPO, "--dry-run", "--json").stdout)
    assert not new["exists"] and new["private"] and set(new["add"]) == set(local(noncommercial))
    mine = local(noncommercial)
    train = next(path for path in mine if "train" in path)
    hub.repos[REPO] = Repo(
        {
            "README.md": File(b"other"), "LICENSES.md": File(mine["LICENSES.md"]), train: File(mine[train], lfs=True),
            "data/train-00001-of-00002.parquet": File(b"old", lfs=True), ".gitattributes": File(b"*.parquet"),
        },
        "a" * 40,
    )  # fmt: skip
    found = json.loads(publish(noncommercial, hub, REPO, "--dry-run", "--json").stdout)
    assert found["change"] == ["README.md"] and found["remove"] == ["data/train-00001-of-00002.parquet"]
    assert found["same"] == sorted(["LICENSES.md", train])
    assert hub.repos[REPO].commit == "a" * 40 and not hub.uploads
    lines = publish(noncommercial, hub, REPO, "--dry-run").stdout.splitlines()
    assert "~ README.md" in lines and "- data/train-00001-of-00002.parquet" in lines
    publish(noncommercial, hub, REPO, "--yes")
    assert stored(hub) == mine | {".gitattributes": b"*.parquet"}


@pytest.mark.slow
def test_another_format_takes_its_own_card_and_licences(noncommercial: Project, hub: Hub) -> None:
    publish(noncommercial, hub, "me/pairs", "--format", "dpo", "--yes", "--public")
    files = stored(hub, "me/pairs")
    assert {"README.md", "LICENSES.md", "train.jsonl", "OBLIGATIONS.json", "LICENSES/LicenseRef-llama3.txt"} < set(
        files
    )
    assert not hub.repos["me/pairs"].private
    assert "LICENSES/LicenseRef-RAIL-D.txt" not in files, "no row of it is a pair"
    head = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert head["configs"][0]["data_files"][0] == {"split": "train", "path": ["train.jsonl"]}


@pytest.mark.slow
def test_what_the_licences_forbid_is_refused_before_anything_is_asked(built: Path, hub: Hub) -> None:
    done = publish(Project(built), hub, REPO, "--yes", code=3)
    assert "the profile `research` is for private use" in done.stderr
    assert not hub.seen


@pytest.mark.slow
def test_nobody_to_ask_is_a_refusal(noncommercial: Project, hub: Hub) -> None:
    assert "add --yes" in publish(noncommercial, hub, REPO, code=3).stderr
    assert REPO not in hub.repos


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["me/x", "--format", "kto"], 1, "kto has no rows to publish: Not built"),
        (["me/x", "--format", "hubb"], 2, "there is no format 'hubb'"),
        (["me/x", "--format", "sharegpt"], 1, "sharegpt"),
        (["no name", "--yes"], 2, "is no name on the Hub"),
        ([], 2, "missing argument"),
    ],
)
def test_words_that_mean_nothing_are_one_sentence(
    noncommercial: Project, hub: Hub, words: list[str], code: int, said: str
) -> None:
    assert said in publish(noncommercial, hub, *words, code=code).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "env", "code", "said"),
    [
        (None, {"HF_TOKEN": "hf_reader"}, 4, "set HF_TOKEN to a token that may write"),
        (Fault("status", route="commit", status=500, times=99), {}, 4, "nothing was published"),
        (Fault("status", route="commit", status=412), {}, 1, "changed meanwhile"),
        (Fault("status", route="preupload", status=500, times=99), {}, 4, "HTTP 500"),
    ],
)
def test_a_hub_that_does_not_play_along_is_one_sentence_and_no_commit(
    noncommercial: Project, hub: Hub, fault: Fault | None, env: dict[str, str], code: int, said: str
) -> None:
    hub.repos[REPO] = Repo({"README.md": File(b"before")}, "b" * 40)
    hub.faults += [fault] if fault else []
    done = publish(noncommercial, hub, REPO, "--yes", code=code, **env)
    assert said in done.stderr
    assert stored(hub) == {"README.md": b"before"} and hub.repos[REPO].commit == "b" * 40


@pytest.mark.slow
def test_no_hub_at_all_is_one_sentence(noncommercial: Project) -> None:
    assert "could not be reached" in publish(noncommercial, None, REPO, "--yes", code=4).stderr


@pytest.mark.slow
def test_a_file_that_was_changed_since_is_not_published(noncommercial: Project, hub: Hub, tmp_path: Path) -> None:
    shutil.copytree(noncommercial.root, tmp_path / "changed", symlinks=True)
    changed = Project(tmp_path / "changed")
    path = next((changed.root / "data/exports/hub/data").glob("train*"))
    path.write_bytes(path.read_bytes() + b"x")
    assert "is not the file that was built" in publish(changed, hub, REPO, "--yes", code=1).stderr
    shutil.copy(noncommercial.root / path.relative_to(changed.root), path)
    (changed.root / "data/exports/hub/README.md").write_text("mine\n")
    assert "is not of these rows" in publish(changed, hub, REPO, "--yes", code=1).stderr
    assert not hub.seen
