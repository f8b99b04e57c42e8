"""What the pipeline costs: `python -m benchmarks.report FOLDER [SECTION...]` writes benchmarks/README.md.

Without names all sections are made anew; the others stay as they are. FOLDER holds the corpora and what was measured
on them (measured.json): sections share runs, and a run is made again after `rm FOLDER/measured.json`. The text of the
method and of what was tried stands in notes.md.
"""

from __future__ import annotations

import cProfile
import hashlib
import os
import pstats
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks.measure import Usage, run
from benchmarks.pages import sections, table, where
from benchmarks.project import ROOT, SOURCES, Project
from stages import params

OUT, NOTES = (Path(__file__).with_name(name) for name in ("README.md", "notes.md"))
LARGEST, LARGE, SMALL, SCREENED = 10_000_000, 1_000_000, 100_000, 20_000  # rows
OUTS = ("normalized", "quarantine", "merged", "split", "exports")
STEPS = {  # the words of a stage -> the name of its row in a table
    **{("normalize", source): "normalize" for source in SOURCES},
    **{("screen", source): "screen, nothing on" for source in (*SOURCES, *params.MADE)},
    ("merge",): "merge, exact",
    ("near",): "merge, near-duplicates too",
    ("split",): "split",
    ("export", "openai"): "export openai",
}
NONE = Usage(0, 0, 0, 0)


class Bench:
    """Runs of stages on corpora in one folder; each is made once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._file = folder, folder / "measured.json"
        folder.mkdir(parents=True, exist_ok=True)
        self._known = orjson.loads(self._file.read_bytes()) if self._file.exists() else {}

    def project(self, rows: int, workers: int = 1, near: bool = False, core: bool = True) -> Project:
        project = Project(self.folder / str(rows), workers=workers, core=core, lean=rows == LARGEST)
        if core:
            project.params(lambda tree: tree["merge"].update(near=near))
        if not (project.root / "data/raw").exists():
            project.fill(rows)
        return project

    def size(self, rows: int) -> float:
        """MB of the raw files."""
        raw = self.project(rows).root / "data/raw"
        files = (path for path in raw.rglob("*") if path.is_file())
        return float(self._kept(f"{rows} rows: MB", lambda: sum(path.stat().st_size for path in files) / 1e6))

    def once(self, name: str, measure: Callable[[], Usage]) -> Usage:
        """What was measured under a name; measured now if it was not yet."""

        def made() -> list[float]:
            use = measure()
            return [use.cpu, use.wall, use.peak, use.largest, use.own]

        return Usage(*self._kept(name, made))

    def _kept(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._known:
            self._known[name] = make()
            self._file.write_bytes(orjson.dumps(self._known, option=orjson.OPT_INDENT_2))
        return self._known[name]

    def steps(self, rows: int, workers: int) -> dict[str, Usage]:
        """The core job and, after it, merge with near-duplicates: usage by row of the table."""
        found: dict[str, Usage] = {}
        for words, name in STEPS.items():
            if words == ("near",) and workers > 1:
                continue
            usage = self.once(f"{rows} rows, {workers} workers: {' '.join(words)}", lambda: self._step(rows, workers, words))  # fmt: skip # noqa: B023
            found[name] = found.get(name, NONE) + usage
        self._digest(rows, workers)
        return found

    def whole(self, rows: int) -> dict[str, Usage]:
        """The job with near-duplicates, by one worker: usage by row of the table."""
        found: dict[str, Usage] = {}
        self.size(rows)
        for words, name in STEPS.items():
            if words == ("merge",):
                continue
            what = "1 workers" if words[0] in ("normalize", "screen") else "near-duplicates too"
            stage = ("merge",) if words == ("near",) else words
            usage = self.once(f"{rows} rows, {what}: {' '.join(stage)}", lambda: self.project(rows, near=True).stage(*stage))  # fmt: skip # noqa: B023
            found[name] = found.get(name, NONE) + usage
        return found

    def _step(self, rows: int, workers: int, words: tuple[str, ...]) -> Usage:
        if words == ("near",):
            usage = self.project(rows, workers, near=True).stage("merge")
            self.project(rows, workers).stage("merge")  # split and the export are of the core job
            return usage
        return self.project(rows, workers).stage(*words)

    def alone(self, rows: int) -> dict[str, float]:
        """CPU seconds of each row of the table that one process does alone, after `steps`."""
        found: dict[str, float] = {}
        for words, name in STEPS.items():
            stage = ("merge",) if words == ("near",) else words
            project = self.project(rows, near=words == ("near",))
            found[name] = found.get(name, 0.0) + self._kept(f"{rows} rows, alone: {' '.join(words)}", lambda: _alone(project, stage))  # fmt: skip # noqa: B023
        return found

    def floor(self, rows: int) -> Usage:
        root = self.project(rows).root
        return self.once(
            f"{rows} rows: floor", lambda: run([sys.executable, "-m", "benchmarks.floor", str(root)], ROOT)
        )

    def equal(self, rows: int) -> bool:
        """Whether one worker and two made the same bytes."""
        return self._digest(rows, 1) == self._digest(rows, 2)

    def _digest(self, rows: int, workers: int) -> str:
        """Of what the last steps made."""
        return str(self._kept(f"{rows} rows, {workers} workers: digest", lambda: self._hashed(rows)))

    def _hashed(self, rows: int) -> str:
        whole = hashlib.sha256()
        for name in OUTS:
            for path in sorted((self.folder / str(rows) / "data" / name).rglob("*")):
                if path.is_file():
                    with path.open("rb") as file:
                        whole.update(f"{path}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return whole.hexdigest()


def _core_of(found: dict[str, Usage]) -> Usage:
    return sum((use for name, use in found.items() if name != STEPS["near",]), NONE)


def _alone(project: Project, words: tuple[str, ...]) -> float:
    command = [sys.executable, "-m", "benchmarks.alone", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return float(subprocess.run(command, cwd=project.root, env=env, capture_output=True, text=True, check=True).stdout.split()[-1])  # fmt: skip


# --- sections --------------------------------------------------------------------------------------------------


def core(bench: Bench) -> Iterator[str]:
    rows = LARGE
    floor, one, two = bench.floor(rows), bench.steps(rows, 1), bench.steps(rows, 2)
    same = bench.equal(rows)
    alone, pair = _core_of(one), _core_of(two)
    yield f"{rows:,} rows, {bench.size(rows):,.0f} MB of upstream files; normalize, screens off, exact duplicates, merge"
    yield "(Parquet, JSON, CSV), split, one JSON Lines export; each stage a process of its own."
    yield ""
    yield from table(
        "| CPU s | to the floor | wall s | peak MB, all processes | largest process",
        [
            f"{name} | {use.cpu:.1f} | {use.cpu / floor.cpu:.2f} | {use.wall:.1f} | {use.peak:.0f} | {use.largest:.0f}"
            for name, use in (("floor", floor), ("1 worker", alone), ("2 workers", pair))
        ],
    )
    yield f"Two workers take {pair.wall / alone.wall:.2f} of the wall of one; outputs {'equal' if same else 'DIFFER'}."
    yield ""
    yield from table(
        "stage | CPU s, 1 worker | wall s | peak MB | CPU s, 2 workers | wall s | peak MB, all processes",
        [
            f"{name} | {use.cpu:.1f} | {use.wall:.1f} | {use.peak:.0f} | "
            + (f"{two[name].cpu:.1f} | {two[name].wall:.1f} | {two[name].peak:.0f}" if name in two else "| |")
            for name, use in one.items()
        ],
    )


def near(bench: Bench) -> Iterator[str]:
    lines = []
    for rows in (SMALL, LARGE):
        found = bench.steps(rows, 1)
        exact, both = (_best(bench, rows, name, found[STEPS[name,]]) for name in ("merge", "near"))
        more = both.cpu - exact.cpu
        pair = bench.once(f"{rows} rows, 2 workers: near", lambda: bench.project(rows, 2, near=True).stage("merge"))  # noqa: B023
        lines.append(
            f"{rows:,} | {exact.cpu:.1f} | {both.cpu:.1f} | {more / rows * 1e5:.2f} | {both.peak:.0f} | {pair.peak:.0f} | {pair.largest:.0f}"
        )
    yield f"CPU s of merge, the best of {REPEATED} at {SMALL:,} rows."
    yield ""
    yield from table(
        "rows | exact alone | near-duplicates too | more, per 100k rows | peak MB, 1 worker | 2 workers, all processes | largest of them",
        lines,
    )


REPEATED = 4


def _best(bench: Bench, rows: int, name: str, first: Usage) -> Usage:
    """The cheapest of some runs of merge where the corpus is small: others use this machine too."""
    runs = [first]
    for number in range(REPEATED - 1 if rows == SMALL else 0):
        runs.append(
            bench.once(
                f"{rows} rows, 1 workers: {name}, again {number}",
                lambda: bench.project(rows, 1, near=name == "near").stage("merge"),
            )
        )
    return min(runs, key=lambda use: use.cpu)


def scale(bench: Bench) -> Iterator[str]:
    runs = {rows: bench.whole(rows) for rows in (SMALL, LARGE, LARGEST)}
    yield f"{LARGEST:,} rows are {bench.size(LARGEST):,.0f} MB of upstream files. One worker, near-duplicates in all runs; of the"
    yield "largest corpus, what no later stage reads is removed after each stage."
    yield ""
    heads = " | ".join(f"{rows:,}" for rows in runs) + f" | {LARGEST:,} to {LARGE:,}"
    names = list(runs[LARGEST])
    per = {rows: {name: use.cpu / rows * 1e5 for name, use in found.items()} for rows, found in runs.items()}
    peaks = {rows: {name: use.peak for name, use in found.items()} for rows, found in runs.items()}
    for what, figures, digits in (("CPU s per 100k rows at", per, 2), ("peak MB at", peaks, 0)):
        yield from table(
            f"{what} | {heads}",
            [
                f"{name} | "
                + " | ".join(f"{of[name]:.{digits}f}" for of in figures.values())
                + f" | {figures[LARGEST][name] / figures[LARGE][name]:.2f}"
                for name in names
            ],
        )
        yield ""


def screens(bench: Bench) -> Iterator[str]:
    off, on = NONE, NONE
    for source in SOURCES:
        for core in (True, False):
            project = bench.project(SCREENED, core=core)
            bench.once(f"{SCREENED} rows: normalize {source}", lambda: project.stage("normalize", source))  # noqa: B023
            use = bench.once(f"{SCREENED} rows, screens {'off' if core else 'on'}: {source}", lambda: project.stage("screen", source))  # fmt: skip # noqa: B023
            off, on = (off + use, on) if core else (off, on + use)
    size = bench.size(SCREENED)
    yield (
        f"{SCREENED:,} rows, {size:.1f} MB: all default screens {on.cpu:.1f} CPU s, none {off.cpu:.1f}: "
        f"{(on.cpu - off.cpu) / size:.2f} CPU s per MB more, at most {on.peak:.0f} MB of memory."
    )
    yield ""


def profile(bench: Bench) -> Iterator[str]:
    """CPU by function, with the profiler's own cost in it, of the stages that cost most."""
    for words, near_too in ((("normalize", "mentalchat16k"), False), (("merge",), True), (("split",), False), (("export", "openai"), False)):  # fmt: skip
        project = bench.project(SMALL, near=near_too)
        bench.steps(SMALL, 1)
        code = f"import importlib, sys\nfrom benchmarks import report\nreport.profiled({words!r})"
        env = {**os.environ, "PYTHONPATH": f"{project.root}{os.pathsep}{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=project.root, env=env, capture_output=True, text=True, check=True
        )
        yield f"### {' '.join(words)}{', near-duplicates too' if near_too else ''}, {SMALL:,} rows"
        yield ""
        yield from done.stdout.splitlines()[done.stdout.splitlines().index("<<<") + 1 :]
        yield ""


def profiled(words: tuple[str, ...]) -> None:
    """Run a stage under the profiler and print its table; called in a process of its own."""
    import importlib

    from stages import errors

    errors.without_pandas()
    stage = importlib.import_module(f"stages.{words[0]}")
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(stage.main, *words[1:])
    stats = pstats.Stats(profiler)
    total = stats.total_tt  # type: ignore[attr-defined]
    rows = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:12]  # type: ignore[attr-defined]
    print("<<<")
    print("\n".join(table("function | calls | share of CPU in itself | with what it calls", [
        f"`{_place(place)}` | {calls} | {own / total:.0%} | {whole / total:.0%}" for place, (_, calls, own, whole, _) in rows
    ])))  # fmt: skip


def _place(place: tuple[str, int, str]) -> str:
    path, _, name = place
    return f"{Path(path).parent.name}/{Path(path).name} {name}" if path != "~" else name.strip("<>")


def start(bench: Bench) -> Iterator[str]:
    """No-op of DVC beside as many empty stages, and the stages of the sample."""
    from mhdata import graph
    from mhdata.workspace import Workspace
    from tests.builds import clone

    where = bench.folder / "sample"
    if not where.exists():
        clone(where)
    _dvc(where, "repro", "-q", "-P")
    stages = graph.load(Workspace(where)).stages
    folders = {"ours": where, "empty stages": bench.folder / "empty", "empty stages with params": bench.folder / "params"}  # fmt: skip
    for name, folder in folders.items():
        if not folder.exists():
            _empty(folder, [stage.address for stage in stages.values()], where if "params" in name else None)
        _dvc(folder, "repro", "-q", "-P")
    lines = []
    for words in (("repro", "-P"), ("status",)):
        used = [min((_dvc(folder, *words) for _ in range(3)), key=lambda use: use.cpu) for folder in folders.values()]
        figures = [f"{use.cpu:.2f} | {use.wall:.2f}" for use in used]
        ratios = [f"{used[0].cpu / use.cpu:.2f}" for use in used[1:]]
        lines.append(" | ".join([f"`dvc {' '.join(words)}`", *figures, *ratios]))
    yield f"Nothing to do, {len(stages)} stages, best of 3. DVC reads params.yaml anew for each stage that names one of"
    yield "its params: the third column's stages name one of the same file, and do nothing else."
    yield ""
    yield from table(
        "| CPU s | wall s | as many empty stages | wall s | empty stages with params | wall s | ratio | with params",
        lines,
    )
    found: dict[str, list[float]] = {}
    for stage in stages.values():
        words = stage.command.split()[1:]
        use = min(
            (run([sys.executable, *words], where, bench.folder / "log.txt") for _ in range(2)), key=lambda use: use.cpu
        )
        found.setdefault(words[1], []).append(use.cpu)
    yield "CPU s of a stage's process: until it has its modules and params, and whole, on the sample (a few dozen rows a source)."
    yield ""
    ready = {name: min(run([sys.executable, "-c", READY.format(name)], where).cpu for _ in range(3)) for name in found}
    yield from table(
        "stage | ready | whole, least | whole, most | processes",
        [f"{name} | {ready[name]:.2f} | {min(cpu):.2f} | {max(cpu):.2f} | {len(cpu)}" for name, cpu in found.items()],
    )


READY = "from stages import errors\nerrors.without_pandas()\nimport {}\nfrom stages import params\nparams.load()"


def _dvc(folder: Path, *words: str) -> Usage:
    return run([sys.executable, "-m", "dvc", *words], folder, folder.parent / "log.txt")


def _empty(folder: Path, addresses: list[str], params_of: Path | None = None) -> None:
    """A repository of as many stages in as many files, each of which copies one small file, and may name a param."""
    files: dict[str, list[str]] = {}
    for number, address in enumerate(addresses):
        files.setdefault(address.rpartition(":")[0] or "dvc.yaml", []).append(f"s{number}")
    for name, stages in files.items():
        home = (folder / name).parent
        home.mkdir(parents=True, exist_ok=True)
        if params_of:
            shutil.copy(params_of / "params.yaml", folder)
        named = [f"    params: [{os.path.relpath(folder / 'params.yaml', home)}: [origin]]"] if params_of else []
        lines = ["stages:"]
        for stage in stages:
            (home / f"{stage}.in").write_text(stage)
            lines += [f"  {stage}:", f"    cmd: cp {stage}.in {stage}.out", "    deps:", f"      - {stage}.in", "    outs:", f"      - {stage}.out", *named]  # fmt: skip
        (folder / name).write_text("\n".join(lines) + "\n")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=folder, check=True)


SECTIONS: dict[str, tuple[str, Callable[[Bench], Iterator[str]]]] = {
    "core": ("The core job and its floor", core),
    "near": ("Near-duplicates", near),
    "screens": ("Screens", screens),
    "scale": ("Cost per row and memory as the corpus grows", scale),
    "start": ("Start-up and nothing to do", start),
    "profile": ("Where the time goes", profile),
}


def page(bench: Bench, wanted: list[str]) -> str:
    kept = sections(OUT)
    parts = ["# Benchmarks", "Made by `python -m benchmarks.report`; the text at the end stands in notes.md."]
    for name, (title, make) in SECTIONS.items():
        text = f"Not made yet: `python -m benchmarks.report FOLDER {name}`."
        if name in wanted:
            loads = [os.getloadavg()[1]]
            lines = list(make(bench))
            loads.append(os.getloadavg()[1])
            text = "\n".join([where(loads), "", *lines]).strip()
        parts += [f"## {title}", text if name in wanted else kept.get(title, text)]
    return "\n\n".join(parts) + "\n\n" + NOTES.read_text(encoding="utf-8")


def main() -> None:
    wanted = sys.argv[2:] or list(SECTIONS)
    unknown = set(wanted) - set(SECTIONS)
    if unknown:
        sys.exit(f"no section {', '.join(sorted(unknown))}: there are {', '.join(SECTIONS)}")
    OUT.write_text(page(Bench(Path(sys.argv[1]).resolve()), wanted), encoding="utf-8")


if __name__ == "__main__":
    main()
