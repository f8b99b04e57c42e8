"""DVC's words, as it wrote them in trials, to one sentence and an exit code."""

from __future__ import annotations

import pytest

from mhdata.failures import CancelledError, Told, clean, explain

RAN = "ERROR: failed to reproduce 'merge': failed to run: python -m stages.merge, exited with "


@pytest.mark.parametrize(
    ("lines", "code", "says"),
    [
        (["error: the disk is full", RAN + "1"], 1, "merge: the disk is full"),
        (["error: params.yaml: unknown key", RAN + "2"], 2, "unknown key"),
        (["error: a licence forbids it", RAN + "3"], 3, "forbids"),
        (["error: the endpoint said no", RAN + "4"], 4, "said no"),
        (["error: 3 rows are missing", RAN + "5"], 5, "missing"),
        ([RAN + "130"], 130, "interrupted in merge"),
        ([RAN + "-9"], 1, "ended by SIGKILL: perhaps memory ran out"),
        ([RAN + "137"], 1, "ended by SIGKILL"),
        ([RAN + "17"], 1, "ended with code 17"),
        (["Traceback (most recent call last):", "KeyError: 'id'", RAN + "1"], 1, "a bug (KeyError: 'id')"),
        (["ERROR: Unable to read RWLock-file '.dvc/tmp/rwlock'. JSON structure is corrupted"], 3, "rwlock is torn"),
        (["ERROR: 'data/x' is busy, it is being blocked by:", "  (PID 12): dvc repro"], 3, "process 12: dvc repro"),
        (["ERROR: Unable to acquire lock. Most likely another DVC process is running"], 3, "another DVC works"),
        (["ERROR: failed to reproduce 'split': [Errno 1] Operation not permitted: '/x/y'"], 1, "'/x/y'"),
        (["OSError: [Errno 28] No space left on device"], 1, "the disk is full"),
        (["ERROR: unexpected error - received 401 (Unauthorized)"], 4, "refused our credentials"),
        (["ERROR: unexpected error - Permission denied for user me on host h"], 4, "refused our credentials"),
        (["ERROR: unexpected error - Unable to locate credentials"], 4, "refused our credentials"),
        (["ERROR: The specified bucket does not exist"], 4, "dvc remote modify NAME url URL"),
        (["ERROR: unexpected error - [Errno 111] Connect call failed ('127.0.0.1', 22)"], 4, "does not answer"),
        (["ERROR: unexpected error - Could not connect to the endpoint URL"], 4, "does not answer"),
        (["/usr/bin/python: No module named dvc"], 1, "pip install -r requirements.txt"),
        (["ERROR: something new happened"], 1, "dvc failed: something new happened"),
        (["just a line"], 1, "dvc failed: just a line"),
        ([], 1, "dvc failed"),
    ],
)  # fmt: skip
def test_each_failure_is_one_sentence(lines: list[str], code: int, says: str) -> None:
    found = explain(Told.of(lines), 255)
    assert found.code == code
    assert says in str(found) and "\n" not in str(found)
    assert isinstance(found, CancelledError) == (code == 130)


def test_the_stage_that_failed_is_named() -> None:
    assert explain(Told.of([RAN + "1"]), 255).stage == "merge"


def test_a_dvc_that_was_killed() -> None:
    assert "SIGTERM" in str(explain(Told(), -15))


def test_colours_are_taken_off() -> None:
    assert clean("\x1b[31mERROR\x1b[39m: x\r\n") == "ERROR: x"
