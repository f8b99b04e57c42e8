"""The same job by datatrove, by Data-Juicer and by our functions.

`python -m benchmarks.peers ROWS FOLDER NAME=PYTHON... > benchmarks/peers.md`

NAME is datatrove or data_juicer, PYTHON the interpreter of a virtual environment that holds it (datatrove[io,processing]
and spacy, or py-data-juicer); each program stands in benchmarks/peer/. All read one JSON Lines file with a text a row,
made from the corpus, in one process, and write JSON Lines:

exact  NFC and blanks mended, six patterns (e-mail, URL, telephone, IP, SSN, card) looked for, duplicates on the folded
       text out. Data-Juicer has no operator that looks for one: its nearest ones cut out e-mail, links and IP.
near   MinHash of three-word shingles, 128 values, 32 bands of 4, at 0.7. Ours compares each pair that the bands
       propose; datatrove's and Data-Juicer's (which estimates from the signatures) do not.

CPU of the process tree, imports and start included; ours is the best of three.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import orjson

from benchmarks.measure import Usage, run
from benchmarks.pages import where
from benchmarks.project import ROOT, SOURCES, Project
from stages.storage import read_batches

PEER = Path(__file__).with_name("peer")
JOBS = ("exact", "near")


def rows_file(rows: int, folder: Path) -> Path:
    """The corpus as one file; the sources' own files are made beside it."""
    path = folder / f"rows-{rows}.jsonl"
    if not path.exists():
        project = Project(folder / str(rows))
        if not (project.root / "data/raw").exists():
            project.fill(rows)
        with path.open("wb") as out:
            for source in SOURCES:
                project.stage("normalize", source)
                for batch in read_batches(
                    project.root / f"data/normalized/{source}.parquet", ["id", "input", "response"]
                ):
                    for row in batch.to_pylist():
                        line = {"id": row["id"], "text": "\n".join(filter(None, (row["input"], row["response"])))}
                        out.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    return path


def measured(python: str, program: str, job: str, rows: Path, folder: Path) -> Usage:
    out = folder / f"{program}-{job}"
    return run([python, str(PEER / f"{program}.py"), job, str(rows), str(out)], ROOT, folder / "log.txt", PYTHONPATH=str(ROOT))  # fmt: skip


def table(rows: int, folder: Path, others: dict[str, str]) -> list[str]:
    path = rows_file(rows, folder)
    lines = ["| job | by | CPU s | to ours | wall s | peak MB | rows left |", "|---|---|---|---|---|---|---|"]
    for job in JOBS:
        ours = min((measured(sys.executable, "ours", job, path, folder) for _ in range(3)), key=lambda use: use.cpu)
        found = {"ours": ours} | {name: measured(python, name, job, path, folder) for name, python in others.items()}
        for name, use in found.items():
            left = sum(_lines(part) for part in (folder / f"{name}-{job}").rglob("*.jsonl"))
            lines.append(
                f"| {job} | {name} | {use.cpu:.1f} | {use.cpu / ours.cpu:.1f} | {use.wall:.1f} | {use.peak:.0f} | {left:,} |"
            )
    return lines


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def main() -> None:
    rows, folder = int(sys.argv[1]), Path(sys.argv[2]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = rows_file(rows, folder)
    print(
        "# Beside datatrove and Data-Juicer\n\nMade by `python -m benchmarks.peers`, whose head says what each job is.\n"
    )
    print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB of JSON Lines. {where([os.getloadavg()[1]])}\n")
    print("\n".join(table(rows, folder, dict(word.split("=", 1) for word in sys.argv[3:]))))


if __name__ == "__main__":
    main()
