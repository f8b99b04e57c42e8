"""The core job, stage by stage: `python -m benchmarks.core ROWS [FOLDER]`"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import Usage
from benchmarks.project import SOURCES, Project
from stages import params


def job(project: Project) -> dict[str, Usage]:
    """normalize, screen (all off), merge, split and one JSON Lines export, each as a process of its own."""
    found = {f"normalize {source}": project.stage("normalize", source) for source in SOURCES}
    found |= {f"screen {source}": project.stage("screen", source) for source in (*SOURCES, *params.MADE)}
    for words in (("merge",), ("split",), ("export", "openai")):
        found[" ".join(words)] = project.stage(*words)
    return found


def main() -> None:
    rows, folder = int(sys.argv[1]), Path(sys.argv[2])
    project = Project(folder, workers=int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    if not (folder / "data/raw").exists():
        project.fill(rows)
    found = job(project)
    for name, usage in found.items():
        print(f"{name:32} cpu {usage.cpu:7.2f} wall {usage.wall:7.2f} peak {usage.peak:7.0f} MB")
    total = sum(found.values(), Usage(0, 0, 0, 0))
    print(f"{'all':32} cpu {total.cpu:7.2f} wall {total.wall:7.2f} peak {total.peak:7.0f} MB")


if __name__ == "__main__":
    main()
