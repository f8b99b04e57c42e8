"""The same bytes from Ray: `python -m benchmarks.cluster FOLDER ROWS [--cap MB] [--kill]` writes benchmarks/cluster.md.

Builds a corpus with the engine of this machine and again on a real Ray cluster of two nodes, one CPU each, started here;
compares every file; counts CPU of the driver and of all that the nodes run. With --kill each stage runs once more for
each of its steps, and the second node is killed (SIGKILL to all of its processes) while it works at that step. ROWS may
be a folder laid out as data/local, such as the real files. --cap bounds the memory of each process of the nodes.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import process, run
from benchmarks.pages import commit, sections
from benchmarks.project import SOURCES, Project
from stages import params
from tests.builds import digests
from tests.ray_nodes import RAYS_OWN, Cluster, begun, descendants, started, struck, title

OUT = Path(__file__).with_name("cluster.md")
KILLED = {  # the stages that are tasks, and their steps
    ("normalize", "mentalchat16k"): ("first_pass", "renumbered"),
    ("normalize", "reddit_ess"): ("pair", "gathered"),
    ("screen", "mentalchat16k"): ("screen_group",),
    ("merge",): ("keys", "sketch", "collapse", "search", "verify", "leave"),
    ("split",): ("look", "put"),
    ("export", "openai"): ("leave",),
}
OUTS = ("normalized", "quarantine", "screened", "merged", "split", "exports", "ledger")


@dataclass
class Watch:
    """CPU of processes and of all below them, and the largest worker, until it is told to stop."""

    roots: list[int]
    cpu: dict[tuple[int, str], float] = field(default_factory=dict)
    worker: float = 0.0  # MB
    done: threading.Event = field(default_factory=threading.Event)

    def loop(self) -> None:
        while not self.done.wait(0.1):
            for pid in [*self.roots, *(pid for root in self.roots for pid in descendants(root))]:
                with contextlib.suppress(OSError):
                    found, name = process(pid), title(pid)
                    self.cpu[found.key] = found.cpu
                    if name.startswith("ray::") and name.partition(" ")[0] not in RAYS_OWN:
                        self.worker = max(self.worker, found.size)


def stages(screens: bool) -> list[tuple[str, ...]]:
    names = [*SOURCES, *params.MADE]
    whole: list[tuple[str, ...]] = [("merge",), ("split",), ("export", "openai")]
    return [*(("normalize", s) for s in SOURCES), *(("screen", s) for s in names if screens), *whole]


def local(folder: Path, rows: int | Path, screens: bool) -> Project:
    """The project, built by the local engine."""
    project = Project(folder, workers=2, core=not screens)
    project.params(lambda tree: tree["merge"].update(near=True))
    if not (folder / "data/merged").exists():
        if isinstance(rows, int):
            project.fill(rows)
        else:
            received(project, rows)
        for words in stages(screens=True):
            project.stage(*words)
    return project


def received(project: Project, files: Path) -> None:
    """Real files, as `download` takes them."""
    project.params(lambda tree: tree.update(origin="local"))
    if not (project.root / "data/local").exists():
        (project.root / "data").mkdir(exist_ok=True)
        (project.root / "data/local").symlink_to(files)
    for source in SOURCES:
        project.stage("download", source)


def ended(process: subprocess.Popen[str]) -> None:
    said = process.communicate()[1]
    if process.returncode:
        sys.exit(said)


def on_ray(project: Project, cluster: Cluster, words: tuple[str, ...]) -> tuple[float, float, float]:
    """CPU s, wall s and MB of the largest worker of one stage."""
    start = time.perf_counter()
    process = begun(project.root, *words)
    watch = Watch([process.pid, cluster.head.session, cluster.second.session])
    before = sum(_spent(root) for root in watch.roots[1:])
    thread = threading.Thread(target=watch.loop, daemon=True)
    thread.start()
    ended(process)
    watch.done.set()
    thread.join()
    return sum(watch.cpu.values()) - before, time.perf_counter() - start, watch.worker


def _spent(root: int) -> float:
    """CPU s so far of a process and of all below it."""
    total = 0.0
    for pid in (root, *descendants(root)):
        with contextlib.suppress(OSError):
            total += process(pid).cpu
    return total


def kills(project: Project, cluster: Cluster, expected: dict[str, str]) -> Iterator[str]:
    for words, steps in KILLED.items():
        for step in steps:
            process = begun(project.root, *words)
            hit = struck(process, cluster.second, step)
            start = time.perf_counter()
            if hit:
                cluster.replace()
            ended(process)
            same = digests(project.root, OUTS) == expected
            yield f"| {' '.join(words)} | {step} | {'killed' if hit else 'ended before'} | {time.perf_counter() - start:.0f} | {'equal' if same else 'DIFFERENT'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=lambda word: int(word) if word.isdigit() else Path(word).resolve())
    parser.add_argument("--cap", type=int, default=0, help="MB")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--no-screens", action="store_true")
    options = parser.parse_args()
    folder = options.folder.resolve()
    project = local(folder, options.rows, not options.no_screens)
    expected = digests(folder, OUTS)
    alone = {words: run([sys.executable, "-m", f"stages.{words[0]}", *words[1:]], folder, folder / "log.txt") for words in stages(not options.no_screens)}  # fmt: skip
    assert digests(folder, OUTS) == expected
    lines = [
        "| stage | local, 2 workers: CPU s | wall s | Ray, 2 nodes: CPU s | wall s | largest worker MB |",
        "|---|---|---|---|---|---|",
    ]
    with started(options.cap << 20 or None) as cluster:
        project.params(lambda tree: tree.update(engine={"kind": "ray", "address": cluster.address, "workers": 2}))
        for name in OUTS[:-1]:
            for path in (folder / "data" / name).glob("*"):
                if (
                    path.is_file()
                    and not any(made in path.name for made in params.MADE)
                    and (name != "screened" or not options.no_screens)
                ):
                    path.unlink()
        for words in stages(not options.no_screens):
            cpu, wall, worker = on_ray(project, cluster, words)
            here = alone[words]
            lines.append(
                f"| {' '.join(words)} | {here.cpu:.1f} | {here.wall:.1f} | {cpu:.1f} | {wall:.1f} | {worker:.0f} |"
            )
            print(lines[-1], flush=True)
        same = digests(folder, OUTS) == expected
        lines += ["", f"{len(expected)} files: {'all equal' if same else 'DIFFERENT'}.", ""]
        if options.kill:
            lines += [
                "| stage | step at which the second node was killed | | wall s after it | outputs |",
                "|---|---|---|---|---|",
            ]
            for line in kills(project, cluster, expected):
                lines.append(line)
                print(line, flush=True)
    project.params(lambda tree: tree.update(engine={"kind": "local", "workers": 2}))
    _write(options, lines)


def _write(options: argparse.Namespace, lines: list[str]) -> None:
    """Put what was measured into the page, in the place of what it says of the same rows."""
    what = f"{options.rows:,} rows" if isinstance(options.rows, int) else "The real files"
    cap = f", each process of the nodes held to {options.cap} MB of data" if options.cap else ""
    kept = sections(OUT)
    head = f"{datetime.date.today().isoformat()}, commit {commit()}, {os.cpu_count()} cores for both nodes; load {os.getloadavg()[1]:.0f}."
    kept[f"{what}{cap}"] = "\n".join([head, "", *lines]).strip()
    page = [
        "# On a Ray cluster",
        "Made by `python -m benchmarks.cluster`. Both nodes, one CPU each, are real Ray nodes on one machine: no network lies between them.",
        *(f"## {title}\n\n{text}" for title, text in kept.items()),
    ]
    OUT.write_text("\n\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
