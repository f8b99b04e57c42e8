"""Two at once: two `dvc repro`, one beside a door's build, a build while another process reads what it writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.builds import digests
from tests.e2e.faults.outcome import Log, Outcome
from tests.e2e.faults.sample import Sample

KIND = "together"
FEW = ("normalize@trace", "screen@trace", "merge", "split")
ROUNDS = 3


def run(log: Log, built: Path, folder: Path) -> Iterator[Outcome]:
    """Each pair some times; `built` has its DVC cache beside it."""
    for number in range(ROUNDS):
        for group, words in (
            ("two `dvc repro`", ["-m", "dvc", "repro", "-f", "-s", *FEW]),
            ("`dvc repro` beside `mhdata build`", ["-m", "mhdata", "build", "--yes"]),
        ):
            if f"{group} {number}" not in log:
                yield log.add(_pair(built, folder, group, words, f"{group} {number}"))
    for name in ("merge", "split", "export_openai", "export@huggingface", "report"):
        if f"reading {name}" not in log:
            yield log.add(_reading(built, folder.with_name(folder.name + "-read"), name))


def _pair(built: Path, folder: Path, group: str, words: list[str], case: str) -> Outcome:
    """Start both; whoever is refused says so in words, and afterwards all is as it was."""
    if not folder.exists():
        shutil.copytree(built, folder, symlinks=True)
    whole = digests(built)
    first = [sys.executable, "-m", "dvc", "repro", "-f", "-s", *FEW]
    running = [
        subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for command in (first, [sys.executable, *words])
    ]
    said = [process.communicate(timeout=600)[0] for process in running]
    codes = [process.returncode for process in running]
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
