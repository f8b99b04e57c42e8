"""Faults while a stage runs: it is killed, or the disk is full. A rerun gives the same bytes, with nothing to clean."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builds import digests

STAGES = (("normalize", "trace"), ("screen", "trace"), ("merge",), ("split",), ("export", "openai"))

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of the built sample that a test may spoil."""
    folder = tmp_path / "copy"
    shutil.copytree(built, folder, symlinks=True, ignore=shutil.ignore_patterns(".git", "cache", "tmp"))
    return folder


def command(words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", f"stages.{words[0]}", *words[1:]]


@pytest.mark.parametrize("words", STAGES, ids="-".join)
def test_a_killed_stage_leaves_nothing_half_written(copy: Path, words: tuple[str, ...]) -> None:
    whole = digests(copy)
    for delay in (0.25, 0.4, 0.55, 0.7):
        running = subprocess.Popen(command(words), cwd=copy, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        found = digests(copy)
        assert {path: found[path] for path in whole if path in found} == {
            path: digest for path, digest in whole.items() if path in found
        }, "a file under its final name is not whole"
    subprocess.run(command(words), cwd=copy, check=True, capture_output=True)
    assert digests(copy) == whole


@pytest.mark.parametrize("words", STAGES, ids="-".join)
def test_a_full_disk_is_one_sentence_and_keeps_what_was_there(copy: Path, words: tuple[str, ...]) -> None:
    whole = digests(copy)
    done = subprocess.run(
        command(words), cwd=copy, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
    assert "Traceback" not in done.stderr
    assert digests(copy) == whole
