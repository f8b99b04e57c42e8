"""A disk that is full, folders that are read-only, few descriptors, little memory: built, or one sentence."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mhdata.graph import Stage
from tests.e2e.faults.outcome import Log, Outcome
from tests.e2e.faults.sample import Sample, broken

KIND = "limits"
RESERVES = "report"  # its charts' engine reserves addresses that it never uses: one sentence is enough there
WRITE_NOTHING = ("synthesize_generate", "paraphrase_generate")  # with mode off: their stored answers stay as they are
DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER = 1, 2, 3  # what lets the superuser write anywhere
CAPBSET_DROP = 24  # of prctl


class Limit(NamedTuple):
    """One limit: the row of the table, the case's name, how it is set, and whether a stage must build under it."""

    group: str
    name: str
    preexec: Callable[[], None]
    promised: bool = False


def _capped(what: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (most, most))


LIMITS = (
    Limit("file size (RLIMIT_FSIZE)", "0 bytes", _capped(resource.RLIMIT_FSIZE, 0)),
    Limit("file size (RLIMIT_FSIZE)", "4 KiB", _capped(resource.RLIMIT_FSIZE, 4096)),
    Limit("file size (RLIMIT_FSIZE)", "20 KiB", _capped(resource.RLIMIT_FSIZE, 20_000)),
    Limit("descriptors (RLIMIT_NOFILE)", "256", _capped(resource.RLIMIT_NOFILE, 256), promised=True),
    Limit("descriptors (RLIMIT_NOFILE)", "64", _capped(resource.RLIMIT_NOFILE, 64)),
    Limit("descriptors (RLIMIT_NOFILE)", "10", _capped(resource.RLIMIT_NOFILE, 10)),
    Limit("memory (RLIMIT_DATA)", "1 GiB", _capped(resource.RLIMIT_DATA, 1 << 30), promised=True),
    Limit("addresses (RLIMIT_AS)", "1 GiB", _capped(resource.RLIMIT_AS, 1 << 30), promised=True),
)


def run(log: Log, built: Path, folder: Path, every: int = 1) -> Iterator[Outcome]:
    """Run each stage (or every so many) under each limit."""
    sample = Sample(built, folder)
    stages = list(sample.stages.values())[::every]
    for stage in stages:
        for limit in LIMITS:
            case = f"{stage.name} {limit.group} {limit.name}"
            if case not in log:
                yield log.add(_limited(sample, stage, limit, case))
    yield from _full_disk(log, built, folder.with_name(folder.name + "-disk"), stages)
    yield from _read_only(log, sample, stages)


def _limited(sample: Sample, stage: Stage, limit: Limit, case: str) -> Outcome:
    code, said = sample.run(stage, limit.preexec)
    why = broken(code, said)
    if limit.promised and code and (stage.name, limit.group) != (RESERVES, "addresses (RLIMIT_AS)"):
        why = f"it does not build under the promised bound: {said.strip()[-300:]}"
    return _judged(sample, stage, limit.group, case, code, why)


def _judged(sample: Sample, stage: Stage, group: str, case: str, code: int, why: str) -> Outcome:
    if torn := sample.not_whole():
        why = why or f"not whole under its final name: {', '.join(torn)}"
    if code:
        healed = sample.heal(stage)
        why = why or healed
    return Outcome(KIND, group, case, "one sentence" if code else "built", why)


# --- a full disk: a small tmpfs, where mounting is allowed ------------------------------------------------------


@contextlib.contextmanager
def _tmpfs(folder: Path, size: int) -> Iterator[bool]:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, check=False
    )
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True)


def _full_disk(log: Log, built: Path, folder: Path, stages: list[Stage]) -> Iterator[Outcome]:
    group = "full disk (tmpfs)"
    if all(f"{stage.name} {group} {left}" in log for stage in stages for left in (0, 8192)):
        return
    shutil.rmtree(folder, ignore_errors=True)
    with _tmpfs(folder, 200 << 20) as mounted:
        if not mounted:
            yield log.add(Outcome(KIND, group, "not tried: mounting is not allowed here", "not tried"))
            return
        sample = Sample(built, folder / "copy")
        for stage in stages:
            for left in (0, 8192):
                case = f"{stage.name} {group} {left}"
                if case not in log:
                    with _filled(folder, left):
                        code, said = sample.run(stage)
                        torn = sample.not_whole()
                    why = broken(code, said) or (f"not whole: {', '.join(torn)}" if torn else "")
                    yield log.add(_judged(sample, stage, group, case, code, why))


@contextlib.contextmanager
def _filled(folder: Path, left: int) -> Iterator[None]:
    """Fill the disk but for `left` bytes."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(folder).free - left, 1))
        yield
    finally:
        filler.unlink()


# --- read-only folders ------------------------------------------------------------------------------------------


def _read_only(log: Log, sample: Sample, stages: list[Stage]) -> Iterator[Outcome]:
    group = "read-only folders"
    folders = [sample.folder / "data", *(path for path in (sample.folder / "data").rglob("*") if path.is_dir())]
    for stage in stages:
        case = f"{stage.name} {group}"
        if case in log:
            continue
        modes = {path: path.stat().st_mode for path in folders if path.exists()}
        try:
            for path in modes:
                path.chmod(0o555)
            code, said = sample.run(stage, _without_power if os.geteuid() == 0 else None)
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        why = broken(code, said) or (
            "" if code or stage.name in WRITE_NOTHING else "it built where nothing may be written"
        )
        yield log.add(_judged(sample, stage, group, case, code, why))


def _without_power() -> None:
    """Modes mean nothing to the superuser: give up what makes it so."""
    for capability in (DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER):
        ctypes.CDLL(None).prctl(CAPBSET_DROP, capability, 0, 0, 0)
