"""The generator beside the original: `python -m benchmarks.synthesize [ROWS] [FOLDER]`

Makes ROWS rows (1,000) against the scripted server, with three kills on the way, and prints the defect table of the
rows beside the original's. FOLDER is that of the original's two output files (MHDATA_REAL/mentalchat16k/generator);
without it its columns show the figures measured on them before. The texts are the scripted server's, so the table
says what the gates let through, and nothing about any model.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import yaml

from stages.params import Synthesize
from stages.synthesize import defects
from stages.synthesize.defects import Pair
from tests.llm_project import DEFAULTS, STAGES, Project
from tests.llm_server import Scripted

KILLS = 3
FILES = {"original A": "instructions.jsonl", "original B": "instructions_with_topics.jsonl"}
GATES = {
    "topic_distance": "rounding only",
    "labels_without_keyword": "<= 0.05",
    "questions_short": "0",
    "duplicates": "0",
    "near_duplicates_rouge_l": "0",
    "near_duplicates_tfidf": "0",
    "questions_sharing_first_5": "<= 0.20",
    "questions_sharing_first_8": "<= 0.05",
    "answers_sharing_first_5": "<= 0.20",
    "answers_sharing_first_8": "<= 0.05",
    "banned_openings": "0",
    "refusals": "0",
    "leftovers": "0",
    "crisis_with_line_or_emergency": "= crisis",
}


def main(rows: int, folder: Path | None) -> None:
    tree = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))["synthesize"]
    settings = msgspec.convert(tree | {"mode": "off"}, Synthesize)
    tables = originals(settings, folder)
    with Scripted(delay=0.002) as server, tempfile.TemporaryDirectory() as name:
        project = Project(Path(name), server.url)
        project.set({"mode": "live", "total": rows, "limits.concurrency": 8, "limits.max_requests": 10 * rows})
        project.set({"limits.price_per_mtok": {"in": 0.15, "out": 0.6}, "limits.max_cost_usd": 10 + rows / 100})
        killed = run(project, server, rows)
        report = project.report()
        print_run(report, server, killed)
        tables["ours"] = report["defects"]
    print_table(tables)


def run(project: Project, server: Scripted, rows: int) -> list[int]:
    """Plan, generate with kills at random points, and build; the number of requests at each kill."""
    command(project, STAGES[0])
    points = sorted(random.Random(1).sample(range(rows // 10, 2 * rows), KILLS))
    killed = []
    for point in points:
        process = project.start(STAGES[1])
        while server.requests < point and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed.append(server.requests)
    for stage in STAGES[1:]:
        command(project, stage)
    return killed


def command(project: Project, stage: str) -> None:
    began = time.perf_counter()
    process = project.start(stage)
    _, said = process.communicate()
    if process.returncode:
        sys.exit(said)
    print(f"{stage:22} {time.perf_counter() - began:7.1f} s")


def print_run(report: dict[str, Any], server: Scripted, killed: list[int]) -> None:
    kept, sold = report["answers"], (server.sold_in * 0.15 + server.sold_out * 0.6) / 1e6
    again = server.statuses[200] - kept["used"]
    print(f"\nrows {report['rows']} of {report['wanted']}; rejected {report['rejected'] or 'none'}")
    print(f"killed at {', '.join(map(str, killed))} requests; sent in all {server.requests}, kept {kept['used']}")
    print(f"paid again after {KILLS} kills: {again} requests (concurrency 8: at most {8 * KILLS})")
    print(f"cost of what is kept {kept['cost_usd']:.4f} dollars, of what the server sold {sold:.4f}")
    exact = sum(topic["rows"] == topic["wanted"] for topic in report["topics"].values())
    print(f"topics filled exactly: {exact} of {len(report['topics'])}\n")


def originals(settings: Synthesize, folder: Path | None) -> dict[str, dict[str, Any]]:
    """The table of the original's two output files, measured now where they are at hand."""
    if folder is None:
        return {name: {k: pair[place] for k, pair in MEASURED.items()} for place, name in enumerate(FILES)}
    found = {}
    for name, file in FILES.items():
        lines = (json.loads(line) for line in (folder / file).read_text(encoding="utf-8").splitlines())
        pairs = [Pair(line["instruction"], line["response"], line.get("topic")) for line in lines]
        found[name] = defects.measure(pairs, settings.topics, settings.filters)
    return found


def print_table(tables: dict[str, dict[str, Any]]) -> None:
    names = list(tables)
    print(f"{'':34}" + "".join(f"{name:>14}" for name in names) + "   gate")
    for measure in tables["ours"]:
        cells = "".join(f"{_cell(tables[name].get(measure)):>14}" for name in names)
        print(f"{measure:34}{cells}   {GATES.get(measure, '')}")


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


# Measured by this script on the two files, in their order.
MEASURED: dict[str, tuple[Any, Any]] = {
    "answer_words_median": (306, 318),
    "answers_sharing_first_5": (0.9348, 0.8986),
    "answers_sharing_first_8": (0.8278, 0.7317),
    "answers_with_any_referral": (1014, 385),
    "banned_openings": (1157, 484),
    "crisis": (29, 1),
    "crisis_with_any_referral": (28, 1),
    "crisis_with_line_or_emergency": (12, 0),
    "duplicates": (0, 0),
    "labels_without_keyword": (None, 0.3594),
    "leftovers": (1, 5),
    "near_duplicates_rouge_l": (38, 10),
    "near_duplicates_tfidf": (21, 14),
    "no_final_punctuation": (0, 5),
    "question_words_median": (46, 63),
    "questions_sharing_first_5": (0.838, 0.7176),
    "questions_sharing_first_8": (0.6424, 0.4775),
    "questions_short": (345, 58),
    "refusals": (119, 7),
    "rows": (1580, 779),
    "topic_distance": (None, 0.2872),
}


if __name__ == "__main__":
    real = os.environ.get("MHDATA_REAL")
    place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(real, "mentalchat16k/generator") if real else None
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, place)
