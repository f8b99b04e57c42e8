"""A page that runs add to: the lines of a consumer that ran again take the place of its old ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.consumers.run import exports

HEAD = """# Exports and their consumers

Made by `python -m tests.consumers PROJECT --heavy --into FILE`: each export loaded whole by the tools that it is for,
on a CPU, at pinned versions. Rows are train + validation and equal the ledger's; a verdict other than ok says what is
wrong. The last column is a copy of a few rows with one flaw, and what the tool made of it: it must notice.

## Consumers

"""
KEYS = 2  # columns that say which line it is: format and consumer


def write(path: Path, project: Path, lines: str) -> None:
    """Put the lines of a table (its head in the first two) into the page, and what the project's exports hold."""
    head, rule, *new = lines.splitlines()
    old = path.read_text(encoding="utf-8").split("## What the exports hold")[0] if path.exists() else ""
    found = {_key(line): line for line in old.splitlines() if line.startswith("| ") and not line.startswith(head[:8])}
    found.pop(_key(rule), None)
    found |= {_key(line): _public(line) for line in new}
    table = "\n".join([head, rule, *(found[key] for key in sorted(found))])
    path.write_text(f"{HEAD}{table}\n\n## What the exports hold\n\n{_sizes(project)}\n", encoding="utf-8")


def _key(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip("|").split("|")[:KEYS])


def _public(line: str) -> str:
    """No path of the machine and no text of a row: of a path the last name stays, of what a parser quotes nothing."""
    line = re.sub(r"(could not parse) .*(?= \|$)", r"\1 ...", line)
    return re.sub(r"(?<![\w<])/(?:[\w.-]+/)+", "", line)


def _sizes(project: Path) -> str:
    lines = ["| format | files | train | validation | MB | length of its texts |", "|---|---|---|---|---|---|"]
    lines += (
        f"| {name} | {files} | {train:,} | {validation:,} | {size / 1e6:.1f} | {length} |"
        for name, files, train, validation, size, length in _formats(project)
    )
    return "\n".join(lines)


def _formats(project: Path) -> Iterable[tuple[str, int, int, int, int, str]]:
    for name, export in sorted(exports(project).items()):
        if name.startswith(("merged", "llama_factory", "huggingface csv")):
            continue
        files = [file for file in export["all"] if file["rows"] is not None]
        unit = "tokens" if any(file["tokens"] for file in files) else "characters"
        length = sum(file[unit] or 0 for file in files if file["split"])
        rows, size = export["rows"], sum(file["bytes"] for file in files)
        yield name, len(files), rows.get("train", 0), rows.get("validation", 0), size, f"{length:,} {unit}"
