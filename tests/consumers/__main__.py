"""`python -m tests.consumers PROJECT`: see the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.consumers import page
from tests.consumers.environments import ENVIRONMENTS
from tests.consumers.run import run, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.consumers", description="Load every export with real tools.")
    parser.add_argument(
        "project", nargs="?", default=".", help="a built project: its data/exports and ledgers are read"
    )
    parser.add_argument("--heavy", action="store_true", help="the training frameworks too (tens of GB to install)")
    parser.add_argument("--only", nargs="+", choices=sorted(ENVIRONMENTS), help="these environments")
    parser.add_argument("--into", type=Path, metavar="FILE", help="a Markdown page that this run's lines go into")
    words = parser.parse_args()
    names = words.only or [name for name, one in ENVIRONMENTS.items() if words.heavy or not one.heavy]
    results = run(Path(words.project).resolve(), names)
    print(table(results))
    if words.into:
        page.write(words.into, Path(words.project).resolve(), table(results))
    return int(any(result["verdict"] != "ok" for result in results))


if __name__ == "__main__":
    sys.exit(main())
