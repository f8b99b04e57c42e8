"""The whole pipeline on files of yours: `python -m benchmarks.pipeline FOLDER OUT.md [--hub]`

FOLDER is laid out as data/local; with --hub, a server of the Hub's protocol on the loopback serves it, under its own
pins. Builds in a clone, then prints: rows by source from the ledgers; wall seconds, CPU seconds and peak memory of each
stage; the time of a `dvc repro` with nothing to do; and the stages that run after an edit.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from benchmarks.measure import Usage, run
from mhdata import graph
from mhdata.workspace import Workspace
from tests.builds import clone
from tests.hub_server import Hub, repinned, repos

RUNS = re.compile(r"Running stage '([^']+)'")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hub", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        where = Workspace(clone(Path(name) / "clone"))
        with _origin(where, options.folder, options.hub) as env:
            lines = [*_costs(where, env), "", *_rows(where), ""]
        lines += [*_edits(where, env), ""]
    options.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


@contextlib.contextmanager
def _origin(where: Workspace, folder: Path, hub: bool) -> Iterator[dict[str, str]]:
    """Set params.yaml to the user's files, on disk or behind a Hub; the environment that a build needs."""
    settings = where.path("params.yaml")
    if hub:
        shipped = where.root / "shipped.yaml"
        settings.replace(shipped)
        settings.write_text(repinned(shipped, folder), encoding="utf-8")
        with Hub(repos(shipped, folder)) as server:
            yield {"HF_ENDPOINT": server.endpoint, "HF_HUB_DISABLE_TELEMETRY": "1"}
        return
    for source in where.path("data/local").iterdir():
        if (folder / source.name).is_dir():
            subprocess.run(["cp", "-r", f"{folder / source.name}/.", source], check=True)
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("origin: sample", "origin: local", 1), encoding="utf-8")
    yield {}


def _costs(where: Workspace, env: dict[str, str]) -> Iterator[str]:
    yield "| stage | wall s | CPU s | peak MB |\n|---|---|---|---|"
    stages = graph.load(where)
    total = Usage(0, 0, 0, 0)
    for name in stages.upstream([]):
        words = [sys.executable, *shlex.split(stages.stages[name].command)[1:]]
        usage = run(words, where.root, where.root / "log.txt", **env)
        total += usage
        yield f"| {name} | {usage.wall:.2f} | {usage.cpu:.2f} | {usage.peak:.0f} |"
    yield f"| all stages, one after another | {total.wall:.1f} | {total.cpu:.1f} | {total.peak:.0f} |"


def _rows(where: Workspace) -> Iterator[str]:
    ledger = orjson.loads(where.path("data/reports/ledger.json").read_bytes())
    yield (
        "| source | rows in | rejected in normalize | out | dropped in merge | duplicates | merged | held out | train | validation |"
        "\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for source, first in ledger["normalize"].items():
        merged, split = ledger["merge"][source], ledger["split"][source]["details"]
        said = [
            source, first["in"], _reasons(first["rejected"]), first["out"], _reasons(merged["rejected"]),
            merged["duplicates"], merged["out"], *(split.get(side, 0) for side in ("held_out", "train", "validation")),
        ]  # fmt: skip
        yield f"| {' | '.join(map(str, said))} |"


def _reasons(rejected: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in rejected.items()) or "0"


def _edits(where: Workspace, env: dict[str, str]) -> Iterator[str]:
    _repro(where, env)
    start = time.perf_counter()
    assert not _repro(where, env)
    yield f"`dvc repro` with nothing to do: {time.perf_counter() - start:.1f} s wall.\n"
    yield "| edit | stages that run |\n|---|---|"
    for name, path, change in EDITS:
        before = where.path(path).read_text(encoding="utf-8")
        after = change(before)
        assert after != before, name
        where.path(path).write_text(after, encoding="utf-8")
        ran = _repro(where, env)
        yield f"| {name} | {len(ran)}: {', '.join(ran)} |"
        where.path(path).write_text(before, encoding="utf-8")
        _repro(where, env)


EDITS: list[tuple[str, str, Callable[[str], str]]] = [
    ("one source's param (`sources.trace.max_chars: 5000`)", "params.yaml",
     lambda text: re.sub(r"(?m)^(  trace:\n)", r"\1    max_chars: 5000\n", text)),
    ("one source's module (a comment in `sources/trace.py`)", "stages/sources/trace.py", lambda text: text + "# edited\n"),
    ("`split.seed`", "params.yaml", lambda text: re.sub(r"(?m)^(split:\n  seed: )\d+", r"\g<1>7", text)),
    ("`record.py`, a comment", "stages/record.py", lambda text: text + "# edited\n"),
]  # fmt: skip


def _repro(where: Workspace, env: dict[str, str]) -> list[str]:
    words = [sys.executable, "-m", "dvc", "repro"]
    done = subprocess.run(words, cwd=where.root, env={**os.environ, **env}, capture_output=True, text=True, check=True)
    return [graph.name_of(address) for address in RUNS.findall(done.stdout)]


if __name__ == "__main__":
    main()
