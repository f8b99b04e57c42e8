"""What the pages that benchmarks write have in common: sections that stay until they are made anew, tables, and where."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

from benchmarks.project import ROOT


def sections(page: Path) -> dict[str, str]:
    """The text of each section of a page (`## title`), by title; none where there is no page yet."""
    old = page.read_text(encoding="utf-8").split("\n## ")[1:] if page.exists() else []
    return {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in old}


def table(head: str, rows: Iterable[str]) -> list[str]:
    """Lines of a table, and a blank one; cells are parted by `|`."""
    return [f"| {head} |", f"|{'---|' * (head.count('|') + 1)}", *(f"| {row} |" for row in rows), ""]


def commit() -> str:
    """The short hash of the commit that is checked out."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def where(loads: list[float]) -> str:
    """The line that says where and when something was measured."""
    return (
        f"{datetime.date.today().isoformat()}, commit {commit()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}; load {min(loads):.0f} to {max(loads):.0f}."
    )
