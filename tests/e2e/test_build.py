"""The whole build, as a user runs it: `dvc repro` in a clone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import orjson
import pytest
import yaml

from stages import params, sources
from tests.builds import ROOT, dvc


@pytest.mark.slow
def test_a_build_leaves_git_and_dvc_clean_and_a_second_runs_nothing(built: Path, tmp_path: Path) -> None:
    built = Path(shutil.copytree(built, tmp_path / "copy", symlinks=True))  # DVC locks the folder where it works
    status = subprocess.run(["git", "status", "--porcelain"], cwd=built, capture_output=True, text=True, check=True)
    assert status.stdout == "", "the committed dvc.lock is not the one that a build makes"
    assert "up to date" in dvc(built, "status")
    assert "Running stage" not in dvc(built, "repro")


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
    enabled = {key for key, source in params.load(path=ROOT / "params.yaml").sources.items() if source.enabled}
    for source in enabled:
        figures = ledger[source]
        planted = {reason: count for reason, count in traps[source]["rejected"].items() if count}
        faults = {reason: n for reason, n in figures["rejected"].items() if reason not in sources.load(source).CHOICES}
        assert (figures["in"], faults) == (traps[source]["rows"], planted), source
