"""diff: rows that differ between two versions of the dataset, each with its reason. `mhdata diff OLD [NEW]`"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import click
import numpy as np

from stages import errors
from stages.files import atomic
from stages.versions import compare
from stages.versions.compare import ADDED, CHANGED, MOVED, REMOVED, Found
from stages.versions.reasons import GONE, OFF, UNKNOWN, Absence
from stages.versions.trees import Version, open_version

WHAT = {REMOVED: "removed", ADDED: "added", CHANGED: "changed", MOVED: "moved"}
DIFFERENT = 6  # exit code of --exit-code
OUT = click.Path(dir_okay=False, writable=True)
SHOWN = 50  # rows of each kind and source on the page


class Row(NamedTuple):
    """One row that differs."""

    id: str
    source: str
    what: tuple[str, ...]  # removed | added | changed, moved
    fields: tuple[str, ...]  # that changed
    old_side: str | None
    new_side: str | None
    reason: str | None  # why it was removed, or why it was not there before it was added
    kept: str | None  # the row it is, or was, a duplicate of
    old: int | None  # its place in the old merged table
    new: int | None


@dataclass(frozen=True)
class Difference:
    """Two versions compared: all counts, and the rows in order as a stream that can be read once."""

    old: Version
    new: Version
    found: Found

    def rows(self) -> Iterator[Row]:
        """Every row that differs, in the order of the old table, then those added in the order of the new one."""
        for spill, table, other in (
            (self.found.of_old, self.found.old, self.new),
            (self.found.of_new, self.found.new, self.old),
        ):
            absences: dict[str, Absence] = {}
            for keys, batch in compare.in_order(spill, table, ["id", "source", "origin"]):
                yield from self._rows(keys, batch, other, absences)

    def _rows(self, keys: np.ndarray, batch: Any, other: Version, absences: dict[str, Absence]) -> Iterator[Row]:
        ids, sources = batch["id"].to_pylist(), batch["source"].to_pylist()
        told = self._told(keys, batch, sources, other, absences)
        for key, id, source, reason in zip(keys.tolist(), ids, sources, told, strict=True):
            made = dict(zip(keys.dtype.names or (), key, strict=True))
            what, added = made["what"], made["what"] == ADDED
            yield Row(
                id, source, tuple(name for bit, name in WHAT.items() if what & bit),
                tuple(compare.changed_fields(made["fields"])),
                None if added else self.found.sides[made["old_side"]],
                None if what == REMOVED else self.found.sides[made["new_side"]],
                _before(reason) if added and reason else reason,
                f"{made['kept_hi']:016x}{made['kept_lo']:016x}" if reason and reason.startswith("duplicate") else None,
                None if added else made["place"],
                made["place"] if added else made["other"] if made["other"] >= 0 else None,
            )  # fmt: skip

    def _told(
        self, keys: np.ndarray, batch: Any, sources: list[str], other: Version, absences: dict[str, Absence]
    ) -> list[str | None]:
        """The reason of each row that the other version does not have."""
        absent = (keys["what"] & (REMOVED | ADDED)) > 0
        told = [self.found.reasons[code - 1] if code else None for code in keys["code"].tolist()]
        unknown = absent & (keys["code"] == 0)
        for source in sorted({sources[at] for at in np.flatnonzero(unknown)}):
            mine = np.flatnonzero(unknown & (np.array(sources, object) == source))
            absence = absences.setdefault(source, Absence(other, source))
            for at, reason in zip(mine.tolist(), absence.of(batch.take(mine)), strict=True):
                told[at] = reason
        return told


def _before(reason: str) -> str:
    """Why a row that was added was not there before."""
    known = {GONE: "new_upstream", OFF: "source_was_off", UNKNOWN: UNKNOWN}
    return known.get(reason, f"was_{reason}")


@contextlib.contextmanager
def between(old: str, new: str | None, root: Path) -> Iterator[Difference]:
    """Compare two versions: folders or git revisions; None is the working folder. Spills go at the end.

    Raises NoVersionError.
    """
    versions = open_version(old, root), open_version(new, root)
    for version in versions:
        version.fetch([path.as_posix() for path in compare.FILES])
    near = root / ".dvc" / "tmp"  # on the data's disk: /tmp may be memory
    with tempfile.TemporaryDirectory(prefix="mhdata-diff-", dir=near if near.is_dir() else None) as folder:
        yield Difference(*versions, compare.compare(*versions, Path(folder)))


# --- the summary -----------------------------------------------------------------------------------------------


class Summary:
    """Counts by source with their reasons, filled while the rows pass."""

    def __init__(self, difference: Difference) -> None:
        self._difference = difference
        self.reasons: dict[tuple[str, str], Counter[str]] = {}

    def add(self, row: Row) -> None:
        if row.reason:
            self.reasons.setdefault((row.source, row.what[0]), Counter())[row.reason] += 1

    def document(self) -> dict[str, Any]:
        """All figures as plain values for JSON."""
        sources = {}
        for source, tally in self._difference.found.tallies.items():
            counts: dict[str, Any] = {name: getattr(tally, name) for name in COUNTS}
            for name in ("fields", "sides"):
                counts[name] = {key: rows for key, rows in sorted(getattr(tally, name).items()) if rows}
            for name in ("removed", "added"):
                reasons = self.reasons.get((source, name), Counter())
                counts[f"{name}_by_reason"] = dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0])))
            sources[source] = counts
        total = {name: sum(one[name] for one in sources.values()) for name in COUNTS}
        return {
            "old": self._difference.old.name,
            "new": self._difference.new.name,
            "equal": total["old"] == total["new"] == total["same"],
            "total": total,
            "sources": sources,
        }


COUNTS = ("old", "new", "same", "changed", "moved", "changed_and_moved", "removed", "added")


def _plain(row: Row) -> dict[str, Any]:
    made = {name: value for name, value in row._asdict().items() if name not in ("old", "new")}
    return made | {"what": list(row.what), "fields": list(row.fields)}


# --- the command -----------------------------------------------------------------------------------------------


@click.command(
    "diff",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""
\b
Examples:
  mhdata diff data-v1                     what the working folder changed since that tag
  mhdata diff data-v1 data-v2 --html diff.html
  mhdata diff HEAD~1 --exit-code          for CI: 6 when anything differs
  mhdata diff ../other --rows all.jsonl   every row that differs, one JSON object a line
""",
)
@click.argument("old")
@click.argument("new", required=False)
@click.option("--json", "as_document", is_flag=True, help="Print one JSON document with all counts.")
@click.option("--rows", "rows_to", type=OUT, metavar="FILE", help="Write every row that differs as JSON Lines.")
@click.option(
    "--html", "html_to", type=OUT, metavar="FILE", help="Write a page with words that differ, from rows of each kind."
)
@click.option(
    "--show",
    type=click.IntRange(0, 1_000_000),
    default=SHOWN,
    show_default=True,
    metavar="N",
    help="Rows of each kind and source on the page.",
)
@click.option("--exit-code", is_flag=True, help=f"End with {DIFFERENT} when the versions differ.")
def command(
    old: str, new: str | None, as_document: bool, rows_to: str | None, html_to: str | None, show: int, exit_code: bool
) -> int:
    """Rows that differ between two versions of the data, by source, each with its reason.

    OLD and NEW are git revisions or built folders; without NEW it is the working folder. Rows are matched by id: one
    is removed, added, changed (in which fields) or moved between sides. What a revision's data needs is fetched from
    the DVC remote. The page of --html holds texts: mind who reads it.
    """
    with between(old, new, Path.cwd()) as difference, contextlib.ExitStack() as stack:
        summary, listed = Summary(difference), Examples(show)
        out: TextIO | None = None
        if rows_to:
            out = stack.enter_context(stack.enter_context(atomic(Path(rows_to))).open("w", encoding="utf-8"))
        for row in difference.rows():
            summary.add(row)
            listed.add(row)
            if out:
                out.write(json.dumps(_plain(row)) + "\n")
        found = summary.document()
        if html_to:
            from stages.versions import page

            page.write(Path(html_to), difference, found, listed.rows)
        if as_document:
            click.echo(json.dumps(found, indent=2))
        else:
            _print(found)
    return DIFFERENT if exit_code and not found["equal"] else errors.DONE


class Examples:
    """The first rows of each source and kind."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        self._seen[row.source, row.what] += 1
        if self._seen[row.source, row.what] <= self._most:
            self.rows.append(row)


def _print(found: dict[str, Any]) -> None:
    click.echo(f"{found['old']} -> {found['new']}" + (": the same rows" if found["equal"] else ""))
    heads = ["source", *(name.replace("_", " ") for name in COUNTS)]
    lines = [[name, *(f"{one[count]:,}" for count in COUNTS)] for name, one in found["sources"].items()]
    lines.append(["all", *(f"{found['total'][count]:,}" for count in COUNTS)])
    _columns([heads, *lines])
    for name, one in found["sources"].items():
        for kind in ("removed", "added"):
            for reason, rows in one[f"{kind}_by_reason"].items():
                click.echo(f"{name}: {rows:,} {kind}: {reason}")
        for kind, label in (("fields", "changed"), ("sides", "moved from")):
            for what, rows in one[kind].items():
                click.echo(f"{name}: {rows:,} {label}: {what}")


def _columns(lines: list[list[str]]) -> None:
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for first, *rest in lines:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        click.echo("  ".join(cells).rstrip())


def run(words: list[str]) -> int:
    """The command with its words, in the project's folder. Returns the exit code."""
    done: Any = command.main(args=words, prog_name="mhdata diff", standalone_mode=False)
    return done if isinstance(done, int) else errors.DONE
