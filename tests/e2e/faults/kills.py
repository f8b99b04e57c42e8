"""SIGKILL to the running stage's process group, spread by time and by write, and to whole builds by DVC."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from mhdata.graph import Stage
from tests.builds import clone, digests
from tests.e2e.faults.outcome import Log, Outcome
from tests.e2e.faults.sample import HOOK, Sample

KIND = "kills"
WRITES, TIMES = 2, 2  # kills of each stage: before one of its writes, and after a share of its CPU time
BUILDS = 24  # kills of `dvc repro` in one build from nothing


def points(sample: Sample) -> Iterator[tuple[Stage, str, int]]:
    """All points in a mixed order, so that the first ten are spread too."""
    found = [
        (stage, how, number)
        for stage in sample.stages.values()
        for how, count in (("write", WRITES), ("time", TIMES))
        for number in range(count)
    ]
    Random("kills").shuffle(found)
    yield from found


def run(log: Log, built: Path, folder: Path, most: int | None = None) -> Iterator[Outcome]:
    """Kill stages of a copy of a built clone; `most` is how many."""
    sample = Sample(built, folder)
    for place, (stage, how, number) in enumerate(points(sample)):
        if place == most:
            return
        case = f"{stage.name} {how} {number}"
        if case not in log:
            yield log.add(_case(sample, stage, how, number, case))


def _case(sample: Sample, stage: Stage, how: str, number: int, case: str) -> Outcome:
    writes, seconds = _measure(sample, stage)
    sample.remove_outs(stage)
    if how == "write":
        at = 1 + (writes - 1) * (2 * number + 1) // (2 * WRITES)
        killed = _by_write(sample, stage, at)
    else:
        killed = _by_time(sample, stage, seconds * (number + 1) / (TIMES + 1))
    why = ""
    if torn := sample.not_whole():
        why = f"not whole under its final name after the kill: {', '.join(torn)}"
    healed = sample.heal(stage)
    why = why or healed
    return Outcome(KIND, f"a stage, by {how}", case, "killed" if killed else "ended before the kill", why)


def _measure(sample: Sample, stage: Stage) -> tuple[int, float]:
    """Writes and CPU seconds of a whole run."""
    log = sample.folder.parent / "writes"
    log.unlink(missing_ok=True)
    before = sum(os.times()[2:4])  # CPU seconds of ended children
    code, said = sample.run(stage, PYTHONPATH=str(HOOK), MHDATA_WRITES=str(log))
    assert code == 0, said
    return log.stat().st_size, sum(os.times()[2:4]) - before


def _by_write(sample: Sample, stage: Stage, at: int) -> bool:
    log = sample.folder.parent / "writes"
    code, _ = sample.run(stage, PYTHONPATH=str(HOOK), MHDATA_WRITES=str(log), MHDATA_KILL_AT=str(at))
    return code == -signal.SIGKILL


def _by_time(sample: Sample, stage: Stage, seconds: float) -> bool:
    """Kill after so much CPU time of the stage, so that a busy machine moves no point."""
    running = sample.start(stage)
    tick = os.sysconf("SC_CLK_TCK")
    while running.poll() is None:
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
            if (int(fields[11]) + int(fields[12])) / tick >= seconds:
                os.killpg(running.pid, signal.SIGKILL)
                break
        time.sleep(0.005)
    running.communicate()
    return running.returncode == -signal.SIGKILL


# --- whole builds ------------------------------------------------------------------------------------------


def run_builds(log: Log, built: Path, folder: Path) -> Iterator[Outcome]:
    """`dvc repro` from nothing, its process group killed again and again until it gets through."""
    whole = digests(built)
    if not (folder / "dvc.yaml").exists():
        clone(folder)
    random = Random("builds")
    for number in range(BUILDS):
        seconds = random.uniform(2, 9)
        if f"build {number}" not in log:
            yield log.add(_killed_build(folder, whole, number, seconds))
    if "build end" not in log:
        code, said = _repro(folder)
        same = digests(folder) == whole
        why = f"dvc repro ended with {code}: {said[-300:]}" if code else "" if same else "other bytes at the end"
        yield log.add(Outcome(KIND, "`dvc repro`", "build end", "built", why))


def _killed_build(folder: Path, whole: dict[str, str], number: int, seconds: float) -> Outcome:
    code, said = _repro(folder, seconds)
    how, why = ("killed" if code == -signal.SIGKILL else "ended before the kill"), ""
    torn_lock = next((name for name in ("rwlock", "dvc.lock") if name in said.lower()), None)
    if code > 0 and torn_lock:  # DVC writes both in place: our door puts them right (README)
        healed = subprocess.run(
            [sys.executable, "-m", "mhdata", "build", "--yes"], cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        how = f"torn {torn_lock}, mended by `mhdata build`"
        why = healed.stderr[-300:] if healed.returncode else ""
    elif code > 0:
        why = f"dvc repro ended with {code}: {said[-300:]}"
    if torn := [path for path, digest in digests(folder).items() if whole.get(path) != digest and ".part" not in path]:
        why = f"not whole under its final name after the kill: {', '.join(torn)}"
    return Outcome(KIND, "`dvc repro`", f"build {number}", how, why)


def _repro(folder: Path, seconds: float | None = None) -> tuple[int, str]:
    running = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"], cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = running.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        said, _ = running.communicate()
    return running.returncode, said
