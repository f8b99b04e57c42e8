"""Tables and bars on stdout: coloured on a terminal, the same text without colour elsewhere."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

import click

from mhdata.results import Statistics

WIDE = 110  # columns where there is no terminal to ask
BAR = 30  # characters of the longest bar
MOST_TAGS = 20

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Text without what could move a cursor, colour a terminal or turn its direction: rows hold anything.

    >>> plain("a\\x1b[31mb\\x07")
    'a\\ufffd[31mb\\ufffd'
    """
    return _CONTROL.sub("\ufffd", text)


def size(count: float) -> str:
    """Bytes for people.

    >>> size(512), size(47_815), size(1_234_567_890)
    ('512 B', '47.8 kB', '1.2 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def console() -> Any:
    """Where tables go."""
    from rich.console import Console

    color = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, no_color=not color)


def title(text: str) -> None:
    console().print(f"\n{text}", style="bold", markup=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; numbers to the right with thousands separated."""
    from rich.table import Table
    from rich.text import Text

    listed = [list(row) for row in rows]
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        numbers = any(isinstance(row[place], int) for row in listed)
        made.add_column(head, justify="right" if numbers else "left", overflow="fold")
    for row in listed:
        made.add_row(*(Text(_cell(value)) for value in row))
    out = console()
    with out.capture() as captured:
        out.print(made)
    click.echo(re.sub(r" +$", "", captured.get(), flags=re.M), nl=False, color=True)  # rich pads the last column


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain(str(value))


def bars(heads: Sequence[str], counts: dict[str, int], total: int) -> None:
    """A table of counts with shares of `total` and bars."""
    full, blank = ("█", "") if _unicode() else ("#", "")
    longest = max(counts.values(), default=0) or 1
    table(
        [*heads, "share", ""],
        [
            [name, rows, f"{rows / total:6.1%}" if total else "", full * _length(rows, longest) or blank]
            for name, rows in counts.items()
        ],
    )


def _length(rows: int, longest: int) -> int:
    return max(round(BAR * rows / longest), 1) if rows else 0


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def statistics(found: Statistics) -> None:
    """What the merged table holds."""
    title(f"{found.rows:,} rows by source")
    bars(["source", "rows"], found.sources, found.rows)
    title("Tags (a row may have several)")
    tags = dict(list(found.tags.items())[:MOST_TAGS])
    bars(["tag", "rows"], tags, found.rows)
    if len(found.tags) > MOST_TAGS:
        table([""], [[f"and {len(found.tags) - MOST_TAGS} more tags: see `mhdata stats --json`"]])


def further(found: Statistics) -> None:
    """The rest of the statistics: types, sides, lengths, and where rows went."""
    title("Types")
    bars(["type", "rows"], found.types, found.rows)
    if found.sides:
        title("Sides of the split")
        bars(["side", "rows"], found.sides, found.rows)
    title("Characters")
    table(
        ["text", "half up to", "90 % up to", "99 % up to", "longest"],
        [[name, one.p50, one.p90, one.p99, one.longest] for name, one in found.lengths.items()],
    )
    title("Where rows went")
    table(
        ["source", "upstream", "rejected", "dropped", "duplicates", "merged", "most common reasons"],
        [
            [
                one.source, one.upstream, sum(one.rejected.values()), sum(one.dropped.values()), one.duplicates,
                one.merged, _reasons(Counter(one.rejected) + Counter(one.dropped)),
            ]
            for one in found.accounts
        ],
    )  # fmt: skip


def _reasons(counts: Counter[str]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {rows:,}" for reason, rows in ranked[:3])


def grouped(paths: Iterable[tuple[str, int, int]]) -> list[list[Any]]:
    """Paths with bytes and files, summed by their folder under data/."""
    folders: dict[str, list[int]] = {}
    for path, count, files in paths:
        found = folders.setdefault("/".join(PurePath(path).parts[:2]), [0, 0, 0])
        for place, more in enumerate((1, files, count)):
            found[place] += more
    return [[folder, paths_, files, size(count)] for folder, (paths_, files, count) in sorted(folders.items())]
