"""Commands that change files, each on one copy of the built sample that it leaves built."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mhdata import events, locks, runner, workspace
from mhdata.failures import CancelledError
from mhdata.runner import Request
from stages.errors import PipelineError
from tests.builds import digests
from tests.mhdata.conftest import PATIENCE, Doors, quiet, sleeping, until


class Terminal:
    """mhdata on a pseudo-terminal."""

    def __init__(self, root: Path, *words: str, **env: str) -> None:
        self.master, slave = pty.openpty()
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mhdata", *words], cwd=root, stdin=slave, stdout=slave, stderr=slave,
            env={**quiet(), "COLUMNS": "120", "LINES": "40", **env}, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def _read(self, seconds: float) -> bool:
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            came = os.read(self.master, 65536)
        except OSError:  # Linux: nobody holds the other end
            return False
        self.said += came.decode("utf-8", "replace")
        return bool(came)

    def expect(self, text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text not in self.said:
            assert self._read(0.5) and time.monotonic() < end, f"no {text!r} in:\n{self.said}"

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        while self._read(0.5):
            pass
        os.close(self.master)
        return self.process.wait(PATIENCE)


@pytest.fixture
def slow(mine: Doors) -> Iterator[Path]:
    """merge sleeps after it has said so by a file; afterwards it is as it was, and the test builds the workspace."""
    with sleeping(mine) as asleep:
        yield asleep


def test_up_to_date_is_said_and_nothing_runs(mine: Doors) -> None:
    before = digests(mine.root)
    done = mine("build")
    assert "up to date" in done.stderr and "depression_reddit" in done.stdout
    assert digests(mine.root) == before


def test_stale_results_are_replaced_only_with_a_yes(mine: Doors) -> None:
    mine.edit("params.yaml", "  short: 20 ", "  short: 21 ")
    before = digests(mine.root)
    sentence = mine.refused("merge")
    assert "merged_mental_health_dataset.parquet" in sentence and "--yes" in sentence

    asked = Terminal(mine.root, "merge")
    asked.expect("Go on? [y/N]")
    asked.type("n\n")
    assert asked.end() == 3 and "nothing was changed" in asked.said
    assert digests(mine.root) == before

    asked = Terminal(mine.root, "merge")
    asked.expect("Go on? [y/N]")
    assert (
        "merge: params.yaml merge.short modified" in re.sub(r"\s+", " ", asked.said)
        or "params.yaml merge modified" in asked.said
    )
    asked.type("y\n")
    assert asked.end() == 0
    assert "merge: " in asked.said and "rows" in asked.said and re.search(r"[kM]B", asked.said)
    assert "rows by source" in asked.said and "█" in asked.said and "\x1b[" in asked.said

    mine.git("checkout", "-q", "params.yaml")
    done = mine("merge", "--yes")  # DVC has the former outputs in its cache
    assert "taken from the cache" in done.stderr
    assert digests(mine.root) == before


def test_no_colour_and_no_redrawing_where_it_is_not_wanted(mine: Doors) -> None:
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = Terminal(mine.root, "stats", **env)
        assert shown.end() == 0
        assert "\x1b[3" not in shown.said and "rows by source" in shown.said
        if "TERM" in env:
            assert "\x1b" not in shown.said


def test_prepare_adds_a_format_to_params_after_a_question(mine: Doors) -> None:
    params, text = mine.root / "params.yaml", (mine.root / "params.yaml").read_text(encoding="utf-8")
    assert "--yes" in mine.refused("prepare", "sharegpt")
    assert "did you mean sharegpt" in mine.refused("prepare", "sharegtp", code=2)
    assert params.read_text(encoding="utf-8") == text
    made = mine.json("prepare", "sharegpt", "--yes")
    assert made["rebuilt"] is True
    files = made["formats"]["sharegpt"]["files"]
    assert sum(file["rows"] or 0 for file in files) == sum(made["formats"]["sharegpt"]["rows"].values()) > 0
    for file in files:
        if file["rows"] is not None:  # else a licence text or what else travels with the rows
            assert len(Path(file["path"]).read_bytes().splitlines()) == file["rows"]
    changed = [
        pair
        for pair in zip(text.splitlines(), params.read_text(encoding="utf-8").splitlines(), strict=True)
        if pair[0] != pair[1]
    ]
    assert [new for _, new in changed] == [changed[0][0].replace("]", ", sharegpt]", 1)]
    mine.git("checkout", "-q", "params.yaml")
    mine("build", "--yes")
    assert mine.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written_and_the_same_command_goes_on(mine: Doors, slow: Path) -> None:
    before = digests(mine.root)
    built = Terminal(mine.root, "merge", "--yes")
    until(slow.exists, "the slow stage")
    built.expect("merge")
    busy = mine.json("status")
    assert busy["building"]["target"] == "merge" and busy["up_to_date"] is None
    assert str(busy["building"]["pid"]) in mine.refused("merge") and busy["building"]["pid"] == built.process.pid
    built.process.send_signal(signal.SIGINT)
    assert built.end() == 130
    assert "interrupted" in built.said and "goes on where it stopped" in re.sub(r"\s+", " ", built.said)
    where = workspace.Workspace(mine.root)
    assert locks.dvc_processes(where) == [] and locks.holder(where) is None and locks.trouble(where) is None
    assert not list((mine.root / "data").rglob("*.part"))
    mine.git("checkout", "-q", "stages/merge.py")
    mine("merge", "--yes")
    assert digests(mine.root) == before


@pytest.mark.slow
def test_a_killed_door_does_not_open_the_workspace_to_a_second_build(mine: Doors, slow: Path) -> None:
    door = subprocess.Popen(
        [sys.executable, "-m", "mhdata", "merge", "--yes"], cwd=mine.root, env=quiet(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(slow.exists, "the slow stage")
    where = workspace.Workspace(mine.root)
    running = locks.dvc_processes(where)
    door.kill()
    door.wait()
    holder = locks.holder(where)
    assert holder is not None and not holder.alive
    assert "which has ended" in mine.refused("merge")
    (dvc,) = running
    os.killpg(dvc.pid, signal.SIGKILL)
    until(lambda: locks.holder(where) is None, "the lock")
    (mine.root / ".dvc/tmp/rwlock").write_text('{"read": {"/x": [{"pi')
    mine.git("checkout", "-q", "stages/merge.py")
    assert ".dvc/tmp/rwlock is torn: removed" in mine("merge", "--yes", "--force").stderr


def test_cancel_and_events_of_a_build(mine: Doors, slow: Path) -> None:
    import threading

    cancel, heard = threading.Event(), []

    def listen(event: events.Event) -> None:
        heard.append(event)
        if isinstance(event, events.StageProgress):
            cancel.set()

    where = workspace.Workspace(mine.root)
    with pytest.raises(CancelledError) as stopped:
        runner.run(where, Request("merge"), listen, cancel=cancel)
    assert stopped.value.code == 130 and stopped.value.stage == "merge"
    assert isinstance(heard[0], events.Started) and heard[0].target == "merge"
    skipped = [event for event in heard if isinstance(event, events.StageSkipped)]
    (started,) = [event for event in heard if isinstance(event, events.StageStarted)]
    assert len(skipped) + 1 == started.position == started.total - 1  # the data package comes after the merge
    assert started.total == heard[0].total
    assert all(json.loads(json.dumps(events.as_dict(event)))["event"] for event in heard)
    assert locks.holder(where) is None and locks.dvc_processes(where) == []
    mine.git("checkout", "-q", "stages/merge.py")
    mine("merge", "--yes")


def test_a_stage_that_fails_gives_its_own_sentence_and_code(mine: Doors) -> None:
    sample = mine.root / "data/sample/trace/data/splits/valid.jsonl"
    kept = sample.read_bytes()
    sample.unlink()
    try:
        sentence = mine.refused("merge", "--yes", code=1)
        assert sentence.startswith("error: download@trace: ") and "valid.jsonl" in sentence
    finally:
        sample.write_bytes(kept)
    mine("build", "--yes")


def test_a_mistake_in_params_is_told_before_dvc_starts(mine: Doors) -> None:
    mine.edit("params.yaml", "  validation: 0.2", "  validaton: 0.2")
    assert "did you mean `validation`" in mine.refused("build", code=2)
    mine.git("checkout", "-q", "params.yaml")


def test_conflict_marks_in_dvc_lock_are_one_sentence(mine: Doors) -> None:
    lock = mine.root / "dvc.lock"
    lock.write_text("<<<<<<< HEAD\n" + lock.read_text(encoding="utf-8"), encoding="utf-8")
    assert "git checkout --ours dvc.lock" in mine.refused("build", code=1)
    mine.git("checkout", "-q", "dvc.lock")


def test_clean_removes_what_builds_wrote_and_nothing_else(mine: Doors) -> None:
    before = digests(mine.root)
    own = mine.root / "data/local/trace/.mine.1.part"
    own.write_text("mine")
    cached = sorted(path for path in (mine.root / ".dvc/cache").rglob("*"))
    planned = mine.json("clean", "--dry-run")
    assert planned["bytes"] > 0 and digests(mine.root) == before
    assert "--yes" in mine.refused("clean")
    assert digests(mine.root) == before
    mine("clean", "--yes")
    assert set(digests(mine.root)) == {name for name in before if name.startswith("data/reports/")}
    assert own.read_text() == "mine" and sorted((mine.root / ".dvc/cache").rglob("*")) == cached
    assert mine.git("status", "--porcelain") == ""
    assert "no merged table yet" in mine.refused("stats", code=1)
    assert mine.json("status")["merged"]["exists"] is False
    mine("build")  # nothing is left that a build would replace: no question
    assert digests(mine.root) == before
    own.unlink()


def test_a_bug_in_a_stage_names_it_and_the_log(mine: Doors) -> None:
    mine.edit(
        "stages/merge.py", "def main() -> None:\n", "def main() -> None:\n    raise ZeroDivisionError('of ours')\n"
    )
    sentence = mine.refused("merge", "--yes", code=1)
    assert "merge: stopped by a bug (ZeroDivisionError: of ours)" in sentence and "build.log" in sentence
    mine.git("checkout", "-q", "stages/merge.py")
    mine("merge", "--yes")


def test_requests_that_cannot_be_are_pipeline_errors(mine: Doors) -> None:
    where = workspace.Workspace(mine.root)
    with pytest.raises(PipelineError, match="no format 'nothing'"):
        runner.run(where, Request("prepare", ("nothing",)))
    with pytest.raises(PipelineError, match="is not among `formats`"):
        runner.run(where, Request("prepare", ("kto",)))
