"""Two at once: two `dvc repro`, one beside a door's build, a build while another process reads what it writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from mhdata import graph
from mhdata.workspace import Workspace
from tests.builds import digests
from tests.e2e.faults.outcome import Log, Outcome
from tests.e2e.faults.sample import Sample
from tests.mhdata.http_server import Server

KIND = "together"
FEW = ("normalize@trace", "screen@trace", "merge", "split")
ROUNDS = 3


def run(log: Log, built: Path, folder: Path) -> Iterator[Outcome]:
    """Each pair some times; `built` has its DVC cache beside it."""
    stages = graph.load(Workspace(built)).stages
    repro = ["-m", "dvc", "repro", "-f", "-s", *(stages[name].address for name in FEW)]
    others: dict[str, Callable[[], list[tuple[int, str]]]] = {
        "two `dvc repro`": lambda: _ran(folder, repro, repro),
        "`dvc repro` beside `mhdata build`": lambda: _ran(folder, repro, ["-m", "mhdata", "build", "--yes", "--force"]),
        "`dvc repro` beside the server's build": lambda: _served(folder, repro),
    }
    for number in range(ROUNDS):
        for group, ran in others.items():
            if f"{group} {number}" not in log:
                yield log.add(_pair(built, folder, group, ran, f"{group} {number}"))
    for name in ("merge", "split", "export_openai", "export@huggingface", "report"):
        if f"reading {name}" not in log:
            yield log.add(_reading(built, folder.with_name(folder.name + "-read"), name))


def _started(folder: Path, words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, *words]
    return subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _ran(folder: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """All at once, each to its end: exit codes and what they said."""
    running = [_started(folder, words) for words in commands]
    said = [process.communicate(timeout=900)[0] for process in running]
    return [(process.returncode, text) for process, text in zip(running, said, strict=True)]


def _served(folder: Path, words: list[str]) -> list[tuple[int, str]]:
    """A command at once with a forced build that a server's client asked for."""
    with Server(folder, log=folder.with_name("server.log")) as server:
        running = _started(folder, words)
        name = server.post("merge", {"force": True})["id"]
        said = running.communicate(timeout=900)[0]
        job = server.until(name, "succeeded", "failed", "cancelled")
        return [(running.returncode, said), (int(job["state"] != "succeeded"), f"{job} {server.said}")]


def _pair(built: Path, folder: Path, group: str, ran: Callable[[], list[tuple[int, str]]], case: str) -> Outcome:
    """Start both; whoever is refused says so in words, and afterwards all is as it was."""
    if not folder.exists():
        shutil.copytree(built, folder, symlinks=True)
    whole = digests(built)
    codes, said = zip(*ran(), strict=True)
    why = ""
    for code, text in zip(codes, said, strict=True):
        if code and not any(word in text for word in ("is busy", "Unable to acquire lock", "another DVC works")):
            why = f"one ended with {code}: {text[-300:]}"
        if "Traceback" in text:
            why = f"a traceback: {text[-300:]}"
    if all(codes):
        why = why or "neither got through"
    again = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=folder, capture_output=True, text=True, check=False
    )
    if again.returncode:
        why = why or f"dvc repro afterwards ended with {again.returncode}: {again.stderr[-300:]}"
    why = why or ("other bytes afterwards" if digests(folder) != whole else "")
    return Outcome(KIND, group, case, "both built" if not any(codes) else "one refused", why)


READER = """
    import hashlib, pathlib, sys
    seen = set()
    print("reading", flush=True)
    while not pathlib.Path("stop").exists():
        for path in sys.argv[1:]:
            try:
                data = pathlib.Path(path).read_bytes()
            except FileNotFoundError:
                continue
            seen.add(path + " " + hashlib.sha256(data).hexdigest())
    print("\\n".join(sorted(seen)))
"""


def _reading(built: Path, folder: Path, name: str) -> Outcome:
    """Another process reads a stage's outs all the time that the stage writes them: whole, whatever the moment."""
    sample = Sample(built, folder)
    stage = sample.stages[name]
    paths = [path for path in sample.whole if any(path == out or path.startswith(f"{out}/") for out in stage.outs)]
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    reader = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(READER), *paths], cwd=folder, text=True, stdout=subprocess.PIPE
    )
    assert reader.stdout is not None
    reader.stdout.readline()
    codes = [sample.run(stage)[0] for _ in range(ROUNDS)]
    stop.touch()
    seen = dict(line.split(" ") for line in reader.communicate()[0].split("\n") if line)
    stop.unlink()
    torn = sorted(path for path, digest in seen.items() if sample.whole[path] != digest)
    why = f"read while not whole: {', '.join(torn)}" if torn else ""
    why = why or (f"the stage ended with {codes}" if any(codes) else "") or ("" if seen else "nothing was read")
    return Outcome(KIND, "a reader beside a stage", f"reading {name}", "read whole", why)
