"""A part of the fault harness (`python -m tests.e2e.faults`, see benchmarks/faults.md), in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.faults import table
from tests.e2e.faults.children import forked
from tests.e2e.faults.outcome import ROOT, Log, Outcome

pytestmark = pytest.mark.slow


def harness(folder: Path, *words: str) -> str:
    """Run the harness with its outcomes in a folder of the test; it must lose nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.faults", *words], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "MHDATA_FAULTS": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_ten_kills_leave_nothing_half_written_and_no_work_to_do(built: Path, tmp_path: Path) -> None:
    assert "kills: 10 tried now, 0 lost" in harness(tmp_path, "kills", "--most", "10", "--built", str(built))


def test_limits_of_the_machine_are_one_sentence(built: Path, tmp_path: Path) -> None:
    assert " 0 lost" in harness(tmp_path, "limits", "--every", "30", "--built", str(built))


def test_mutated_files_are_refused_or_accounted(tmp_path: Path) -> None:
    assert "mutants: 240 tried now, 0 lost" in harness(tmp_path, "mutants", "--each", "30")


def test_a_hub_that_misbehaves_costs_a_try_or_one_sentence(tmp_path: Path) -> None:
    assert "hub: 45 tried now, 0 lost" in harness(tmp_path, "hub", "--most", "45")


# The harness itself: what it must see, and that it goes on


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    log = Log(tmp_path, "kills")
    log.add(Outcome("kills", "a stage", "one", "killed"))
    with (tmp_path / "kills.jsonl").open("a") as file:
        file.write('{"kind": "kills", "gro')  # killed while it wrote
    again = Log(tmp_path, "kills")
    assert "one" in again and len(again.outcomes) == 1
    again.add(Outcome("kills", "a stage", "two", "killed"))
    assert [outcome.case for outcome in Log(tmp_path, "kills").outcomes] == ["one", "two"]


def test_the_page_counts_what_was_lost_and_says_why() -> None:
    cases = [Outcome("hub", "cut", "a", "built"), Outcome("hub", "cut", "b", "one sentence", "a traceback: KeyError")]
    page = table.written(cases)
    assert "| cut | 2 | 1 | 1 | 1 built, 1 one sentence |" in page
    assert "- hub, b: a traceback: KeyError" in page


def _bug() -> None:
    raise KeyError("x")


def _signal() -> None:
    os.abort()


def _spin() -> None:
    while True:
        pass


def _eat() -> None:
    hold = bytearray(1200 << 20)
    hold[:: 1 << 12] = b"x" * len(hold[:: 1 << 12])


@pytest.mark.parametrize(
    ("function", "word"),
    [(_bug, "traceback"), (_signal, "signal"), (_eat, "MiB"), (_spin, "hang")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_the_harness_sees_what_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function, word) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("tests.e2e.faults.children.HANG", 1 if function is _spin else 10)
    assert word in forked(function, tmp_path).trouble()
