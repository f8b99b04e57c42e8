"""The scripts of .ci/, as the jobs of .github/workflows run them. (`.ci/drift`: tests/test_drift.py.)"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.builds import ROOT, clone, digests

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def ci(script: str, *words: object, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a script of the folder's .ci/ with this Python's tools first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(folder / ".ci" / script), *map(str, words)],
        capture_output=True, text=True, check=False, env={**os.environ, "PATH": path},
    )  # fmt: skip


@pytest.mark.slow
def test_another_folder_clock_locale_hash_seed_and_worker_count_give_the_same_bytes(
    built: Path, tmp_path: Path
) -> None:
    other = tmp_path / "another folder"
    done = ci("reproduce", "again", built, other)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(other) == digests(built)
    same = ci("reproduce", "same", built, other)
    assert same.returncode == 0 and "byte for byte" in same.stdout, same.stdout
    page = other / "data/reports/report.html"
    page.unlink()
    page.write_text("another")
    differ = ci("reproduce", "same", built, other)
    assert differ.returncode == 1 and "data/reports/report.html" in differ.stdout and "differ" in differ.stdout


@pytest.mark.slow
def test_a_build_is_what_the_commit_says_and_a_changed_file_is_told(built: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(built, tmp_path / "copy", symlinks=True))  # DVC locks the folder where it works
    done = ci("reproduce", "check", copy)
    assert done.returncode == 0, done.stdout + done.stderr
    other = clone(tmp_path / "clone")
    (other / "data/reports/metrics.json").write_text("{}")
    told = ci("reproduce", "check", other)
    assert told.returncode == 1 and "data/reports/metrics.json" in told.stdout and "dvc repro" in told.stdout


@pytest.mark.slow
def test_what_a_commit_changes_is_told_in_metrics_and_outputs(tmp_path: Path) -> None:
    other = clone(tmp_path / "clone")
    none = ci("difference", "HEAD", folder=other)
    assert none.returncode == 0 and "No metric differs." in none.stdout and "None: every output" in none.stdout
    ledger, lock = other / "data/reports/ledger.json", other / "pipelines/download/dvc.lock"
    text = ledger.read_text(encoding="utf-8")
    number = re.search(r'"in":\s*(\d+)', text)
    assert number is not None
    ledger.write_text(text[: number.start(1)] + "4711" + text[number.end(1) :], encoding="utf-8")
    lock.write_text(lock.read_text().replace("- path: data/raw/trace\n", "- path: data/raw/trace2\n"))
    told = ci("difference", "HEAD", folder=other)
    assert told.returncode == 0, told.stderr
    assert "4711" in told.stdout and "data/raw/trace2" in told.stdout and "1 file changed" in told.stdout
    unknown = ci("difference", "nowhere", folder=other)
    assert unknown.returncode == 2 and "no commit is called nowhere" in unknown.stderr


@pytest.mark.slow
def test_workflows_and_lockfile_are_clean_and_a_workflow_that_is_not_is_found(tmp_path: Path) -> None:
    done = ci("lint", "--offline")
    assert done.returncode == 0, done.stdout + done.stderr
    broken = {
        "action": ("reproduce.yml", lambda text: re.sub(r"checkout@[0-9a-f]{40} # v[0-9.]+", "checkout@v4", text)),
        "schema": ("drift.yml", lambda text: text.replace("runs-on: ubuntu-24.04\n", "\n")),
        "lock": ("../../requirements.lock", lambda text: re.sub(r"--hash=\S+", "", text)),
    }
    for name, (file, spoil) in broken.items():
        folder = tmp_path / name
        for part in (".ci", ".github/workflows"):
            shutil.copytree(ROOT / part, folder / part)
        for path in ROOT.glob("requirements*"):
            shutil.copy(path, folder)
        spoiled = folder / ".github/workflows" / file
        spoiled.write_text(spoil(spoiled.read_text()))
        told = ci("lint", "--offline", folder=folder)
        assert told.returncode != 0, f"{name}: {told.stdout}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_run_scripts_that_run_on_a_laptop_and_actions_are_pinned_by_commit(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] and job["timeout-minutes"]
        for step in job["steps"]:
            assert "uses" not in step or re.search(r"@[0-9a-f]{40}$", step["uses"]), step
            words = shlex.split(step.get("run", ""), comments=True)
            known = [word for word in words if word.startswith(".ci/")]
            assert all((ROOT / word).is_file() for word in known)
            assert known or "uses" in step or words[:2] == ["pip", "install"] or "gh" in " ".join(words), step
