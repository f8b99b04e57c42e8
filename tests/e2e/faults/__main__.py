"""The command line of the harness: see the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.builds import clone, dvc
from tests.e2e.faults import hub, kills, limits, mutants, table, together
from tests.e2e.faults.outcome import ROOT, Log, Outcome, state

PAGE = ROOT / "benchmarks/faults.md"


def main() -> int:
    """Try what has not been tried; write the page when nothing was left out. Returns 1 if a case is lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.faults", description=__doc__)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(table.TITLES)}; all if none is named")
    parser.add_argument("--most", type=int, help="of kills and of the hub's cases, a few")
    parser.add_argument("--each", type=int, default=500, help="mutated files of each source (500)")
    parser.add_argument("--every", type=int, default=1, help="limits: one stage of so many")
    parser.add_argument("--source", help="mutants: one source")
    parser.add_argument("--built", type=Path, help="a clone in which the sample is built, else one is made")
    parser.add_argument("--page", action="store_true", help=f"write {PAGE.relative_to(ROOT)} of what was tried so far")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(table.TITLES):
        parser.error(f"no fault is called {', '.join(sorted(unknown))}: choose of {', '.join(table.TITLES)}")
    home = state()
    logs = {kind: Log(home, kind) for kind in table.TITLES}
    for kind in [] if options.page else options.kinds or table.TITLES:
        tried = list(_runs(kind, options, logs[kind], home)())
        print(f"{kind}: {len(tried)} tried now, {sum(not o.survived for o in logs[kind].outcomes)} lost", flush=True)
    outcomes = [outcome for log in logs.values() for outcome in log.outcomes]
    whole = not (options.kinds or options.most or options.source or options.each < 500 or options.every > 1)
    if whole or options.page:
        PAGE.write_text(table.written(outcomes), encoding="utf-8")
    return int(any(not outcome.survived for outcome in outcomes))


def _runs(kind: str, options: argparse.Namespace, log: Log, home: Path) -> Callable[[], Iterator[Outcome]]:
    if kind == "mutants":
        return lambda: mutants.run(log, options.each, options.source)
    if kind == "hub":
        return lambda: hub.run(log, options.most)
    built = options.built or _built(home)
    if kind == "limits":
        return lambda: limits.run(log, built, home / "limits-copy", options.every)
    if kind == "together":
        return lambda: together.run(log, built, home / "together-copy")
    return lambda: _kills(options, log, built, home)


def _kills(options: argparse.Namespace, log: Log, built: Path, home: Path) -> Iterator[Outcome]:
    yield from kills.run(log, built, home / "kills-copy", options.most)
    if options.most is None:
        yield from kills.run_builds(log, built, home / "kills-build")


def _built(home: Path) -> Path:
    """A clone of the working tree with the sample built in it; `dvc repro` finishes one that was stopped."""
    folder = home / "built"
    if not (folder / "dvc.yaml").exists():
        clone(folder)
    dvc(folder, "repro")
    return folder


if __name__ == "__main__":
    sys.exit(main())
