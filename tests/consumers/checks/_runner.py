"""Runs the checks of one environment: each tool on the whole export, then on a broken copy of a few rows.

Called as `python check_x.py JOB.json RESULT.jsonl`. Standard library only: it runs in every environment.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS, FLAWED = 12, 3  # rows of a broken copy, and which of them has the flaw

# (tool, format) -> (check, flaw). A check takes {split: [paths]} and says {"rows": {split: n}, "step": ...}.
Check = Callable[[dict[str, list[str]]], dict[str, Any]]
Checks = dict[tuple[str, str], tuple[Check, str]]


def main(checks: Checks) -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for (tool, format), (check, flaw) in checks.items():
        export = job["formats"].get(format)
        if export is None or not export["files"]:
            continue
        result = {"tool": tool, "version": _version(tool), "format": format, "flaw": flaw, "expected": export["rows"]}
        result["whole"] = _tried(check, export["files"])
        with tempfile.TemporaryDirectory() as folder:
            broken = {split: [_break(Path(paths[0]), Path(folder), flaw)] for split, paths in export["files"].items()}
            result["broken"] = _tried(check, broken)
            result["broken_rows"] = dict.fromkeys(broken, ROWS)
        with Path(sys.argv[2]).open("a", encoding="utf-8") as out:
            out.write(json.dumps(result) + "\n")


def _version(tool: str) -> str:
    name = tool.split()[0]
    if name in ("json", "csv"):
        return f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return importlib.metadata.version(name)


def _tried(check: Check, files: dict[str, list[str]]) -> dict[str, Any]:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return check(files)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # tools end with SystemExit too
        said = f"{type(error).__name__}: {error}"
        return {"error": " ".join(said.split())[:300]}


# --- flaws ------------------------------------------------------------------------------------------------


def _break(path: Path, folder: Path, flaw: str) -> str:
    """A copy with a flaw: a few of the lines, or for other than JSON Lines the file without its end."""
    target = folder / path.parent.name / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    for here, there in ((path.parent, target.parent), (path.parents[1], folder)):
        for name in ("croissant.json", "datapackage.json"):  # what describes the file stays as it is
            if (here / name).exists():
                shutil.copy(here / name, there / name)
    if path.suffix != ".jsonl":
        data = path.read_bytes()
        target.write_bytes(data[: len(data) * 2 // 3])
        return str(target)
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in itertools.islice(file, ROWS)]
    rows = (rows * ROWS)[:ROWS]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    lines[FLAWED] = FLAWS[flaw](rows[FLAWED], lines[FLAWED])
    target.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return str(target)


def _changed(value: Any, new: Any) -> Any:
    """The same row with `new` for its last text."""
    if isinstance(value, str):
        return new
    if isinstance(value, list):
        return [*value[:-1], _changed(value[-1], new)]
    texts = [key for key, inner in value.items() if isinstance(inner, (str, list, dict)) and inner]
    texts = [key for key in texts if key not in ("label_text", "metadata", "system")] or texts
    return {**value, texts[-1]: _changed(value[texts[-1]], new)}


def _twice(row: Any) -> Any:
    """The first list of messages in the row with its last one doubled."""
    key = next(key for key, inner in row.items() if isinstance(inner, list))
    return {**row, key: [*row[key], row[key][-1]]}


FLAWS: dict[str, Callable[[Any, str], str]] = {
    "cut line": lambda row, line: line[: len(line) // 2],
    "null text": lambda row, line: json.dumps(_changed(row, None)),
    "lone surrogate": lambda row, line: json.dumps(_changed(row, "\ud800")),
    "extra key": lambda row, line: json.dumps({**row, "source": "x"}),
    "message twice": lambda row, line: json.dumps(_twice(row)),
    "empty text": lambda row, line: json.dumps(_changed(row, "")),
    "no last key": lambda row, line: json.dumps(dict(list(row.items())[:-1])),
    "blank line": lambda row, line: "",
    "cut file": lambda row, line: line[: len(line) // 2],
}
