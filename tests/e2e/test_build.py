"""The whole build, as a user runs it: `dvc repro` in a clone."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import yaml

from stages import sources

ROOT = Path(__file__).parents[2]
OUTS = ("raw", "normalized", "quarantine", "screened", "merged", "split", "exports", "ledger", "reports")


def clone(folder: Path) -> Path:
    """A copy of the working tree's tracked files as a repository of its own, with an empty DVC cache."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, target, follow_symlinks=False)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command], cwd=folder, check=True)
    return folder


def dvc(folder: Path, *words: str, **env: str) -> str:
    """Run dvc; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, capture_output=True, text=True, env={**os.environ, **env},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"dvc {words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every output file, by path."""
    files = (path for out in OUTS for path in sorted((folder / "data" / out).rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("first"))
    dvc(folder, "repro")
    return folder


@pytest.mark.slow
def test_a_build_leaves_git_and_dvc_clean_and_a_second_runs_nothing(built: Path) -> None:
    status = subprocess.run(["git", "status", "--porcelain"], cwd=built, capture_output=True, text=True, check=True)
    assert status.stdout == "", "the committed dvc.lock is not the one that a build makes"
    assert "up to date" in dvc(built, "status")
    assert "Running stage" not in dvc(built, "repro")


@pytest.mark.slow
def test_another_folder_clock_locale_hash_seed_and_worker_count_give_the_same_bytes(
    built: Path, tmp_path: Path
) -> None:
    other = clone(tmp_path / "another folder")
    text = (other / "params.yaml").read_text(encoding="utf-8")
    (other / "params.yaml").write_text(text.replace("workers: 2", "workers: 1"), encoding="utf-8")
    for path in (other / "data/sample").rglob("*"):
        os.utime(path, (1, 1))
    dvc(other, "repro", PYTHONHASHSEED="4711", TZ="Pacific/Kiritimati", LANG="C", LC_ALL="C")
    assert digests(other) == digests(built)


@pytest.mark.slow
def test_every_stage_accounts_for_its_rows(built: Path) -> None:
    ledger = orjson.loads((built / "data/reports/ledger.json").read_bytes())
    accounts = [(stage, source, figures) for stage, sources in ledger.items() for source, figures in sources.items()]
    assert len(accounts) > 20
    for stage, source, figures in accounts:
        out = figures["out"] + sum(figures["rejected"].values()) + figures["duplicates"]
        assert figures["in"] == out, f"{stage} of {source}"


@pytest.mark.slow
def test_the_planted_traps_of_the_sample_are_found(built: Path) -> None:
    traps = yaml.safe_load((ROOT / "tests/data/sample_traps.yaml").read_text(encoding="utf-8"))
    ledger = orjson.loads((built / "data/reports/ledger.json").read_bytes())["normalize"]
    for source, figures in ledger.items():
        planted = {reason: count for reason, count in traps[source]["rejected"].items() if count}
        faults = {reason: n for reason, n in figures["rejected"].items() if reason not in sources.load(source).CHOICES}
        assert (figures["in"], faults) == (traps[source]["rows"], planted), source
