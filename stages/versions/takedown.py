"""takedown: rows that must leave every future build. `mhdata takedown ID` or `mhdata takedown --match TEXT`

It finds the rows and their duplicates, says in which files they stand, and adds hashes to data/deny.txt, which the
merge honours. After the next build `--verify` looks into every file again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import click
import pyarrow as pa

from stages import deny, errors, licenses, text
from stages.errors import ParamsError, PipelineError, RefusedError
from stages.layout import NORMALIZED
from stages.storage import read_batches
from stages.versions import search
from stages.versions.search import Needle, Record

LEAST = 12  # letters and digits of a text to match: shorter ones stand everywhere
PREFIX = 6  # digits of the start of an id
REMAINS = (
    "Upstream's files still hold the texts, and so do data/raw, data/normalized and data/quarantine on this machine; "
    "so do older versions in the DVC cache and on remotes, until `dvc gc` removes these versions there."
)


class NothingFoundError(PipelineError):
    """No row is meant."""


# --- what is meant ---------------------------------------------------------------------------------------------


def find(ids: Sequence[str], match: str | None) -> dict[str, Record]:
    """The rows that are meant, and their duplicates, by id. Raises ParamsError and NothingFoundError."""
    if not any(NORMALIZED.glob("*.parquet")):
        raise PipelineError("there are no records here: run `mhdata build` first, so that the rows can be found")
    found: dict[str, Record] = {}
    if ids:
        whole = [_whole_id(id) for id in ids]
        found |= search.records(search.by_ids(whole), "named")
    if match is not None:
        found |= search.records(search.by_text(_folded(match)), "match")
    if not found:
        raise NothingFoundError(
            "no record holds this text: try a shorter or another part of it" if match else "no record has that id"
        )
    linked = search.duplicates(found)
    found |= {id: one for id, one in search.records(search.by_ids(linked), "duplicate").items() if id not in found}
    return found


def _folded(match: str) -> str:
    if any("\ud800" <= sign <= "\udfff" for sign in match):
        raise ParamsError("--match is no UTF-8: give the words as your terminal shows them")
    folded = str(text.fold(pa.array([match]))[0].as_py())
    if len(folded) < LEAST:
        raise ParamsError(f"--match needs a text of at least {LEAST} letters and digits: a shorter one stands anywhere")
    return folded


def _whole_id(name: str) -> str:
    """An id by its start. Raises ParamsError, NothingFoundError."""
    if not re.fullmatch(rf"[0-9a-f]{{{PREFIX},32}}", name):
        raise ParamsError(f"{name!r} is no id: give its 32 hex digits, or the first {PREFIX} and more")
    found: list[str] = []
    for path in sorted(NORMALIZED.glob("*.parquet")):
        for rows in read_batches(path, ["id"]):
            found += [id for id in rows["id"].to_pylist() if id.startswith(name)]
    if len(found) != 1:
        raise NothingFoundError(
            f"no record has an id that starts with {name}: see `mhdata show`"
            if not found
            else f"{name} is the start of {len(found)} ids: give more digits"
        )
    return found[0]


def everyone() -> dict[str, Record]:
    """All records that data/deny.txt names."""
    return search.records(search.by_list(deny.load()), "denied")


# --- where they stand ------------------------------------------------------------------------------------------


def places(found: dict[str, Record], match: str | None, question: bool = False) -> dict[str, Any]:
    """Where the rows stand in what a build hands on, as plain values for JSON."""
    sides = search.sides(found)
    wanted = search.needles(found.values(), question)
    if match is not None:
        wanted.append(Needle("", (_folded(match),)))
    looked = [search.search(path, wanted) for path in search.files()]
    return {
        "rows": [
            {"id": one.id, "source": one.source, "file": one.file, "row": one.row, "why": one.why,
             "merged": one.id in sides, "side": sides.get(one.id)}
            for one in found.values()
        ],
        "files": [
            {"path": hits.path, "rows": hits.rows, "found": hits.found, "numbers": hits.numbers} for hits in looked
        ],
        "licenses": sorted({one.license for one in found.values()}),
    }  # fmt: skip


def gone(told: dict[str, Any]) -> bool:
    """Whether no file that a build hands on holds any of the rows."""
    return not any(row["merged"] for row in told["rows"]) and not any(file["found"] for file in told["files"])


# --- the command -----------------------------------------------------------------------------------------------


@click.command(
    "takedown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""
\b
Examples:
  mhdata takedown 2aa7648e                       the row, its duplicates, and every file that holds them
  mhdata takedown 2aa7648e --question            and every other row with the same question
  mhdata takedown --match "a sentence of it" --reason ticket-7
  mhdata build && mhdata takedown 2aa7648e --verify
  mhdata takedown --verify                       all that data/deny.txt names
""",
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--match", metavar="TEXT", help="Rows that hold this text, whatever its spacing, case and punctuation.")
@click.option("--question", is_flag=True, help="Deny the rows' questions: every row with one leaves, in every source.")
@click.option("--reason", default="", metavar="WORD", help="A word or ticket beside the entries; never the text.")
@click.option("--verify", is_flag=True, help="Change nothing; end with 1 if a file still holds one of the rows.")
@click.option("--dry-run", is_flag=True, help="Only say what is meant and where it stands.")
@click.option("--json", "as_document", is_flag=True, help="Print one JSON document.")
@click.option("-y", "--yes", is_flag=True, help="Add to the deny list without a question.")
def command(
    ids: tuple[str, ...], match: str | None, question: bool, reason: str, verify: bool, dry_run: bool,
    as_document: bool, yes: bool,
) -> int:  # fmt: skip
    """Take rows out of every future build, as a person's request for removal asks.

    Finds the rows by id or by a text, and their duplicates; says where they stand, in the merged table and in every
    export; adds hashes to data/deny.txt (no text), which goes into git. After the next build --verify proves that
    they are gone. No text is printed: `mhdata show ID` shows a row.
    """
    if not ids and match is None and not verify:
        raise click.UsageError("say what must go: an id, or --match TEXT")
    found = find(ids, match) if ids or match is not None else everyone()
    told = places(found, match, question)
    if not (verify or dry_run):
        entries = sorted({entry for one in found.values() for entry in (one.questions if question else one.entries)})
        if not as_document:
            _print(told)
        _agree(f"{len(entries)} entries go into {deny.PATH}.", yes)
        told["entries"], told["added"] = entries, deny.add(entries, reason)
    elif not as_document:
        _print(told)
    told["gone"] = gone(told)
    if as_document:
        click.echo(json.dumps(told, indent=2))
    else:
        _conclude(told, verify, dry_run)
    return errors.FAILED if verify and not told["gone"] else errors.DONE


def _print(told: dict[str, Any]) -> None:
    for row in told["rows"]:
        where = f"merged, {row['side'] or 'on no side'}" if row["merged"] else "not in the merged table"
        click.echo(f"{row['id']}  {row['source']}, {row['file']}, row {row['row']}: {row['why']}; {where}")
    for file in told["files"]:
        if file["found"]:
            numbers = ", ".join(map(str, file["numbers"][:5])) + (" ..." if file["found"] > 5 else "")
            click.echo(f"{file['path']}: {file['found']} of {file['rows']:,} rows (number {numbers})")
    looked = sum(file["rows"] for file in told["files"])
    click.echo(f"{len(told['files'])} files with {looked:,} rows were looked through.")


def _agree(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"{question} Nobody can be asked here: add --yes to go on")
    if not click.confirm(f"{question} Go on?", default=False, err=True):
        raise RefusedError("nothing was changed")


def _conclude(told: dict[str, Any], verify: bool, dry_run: bool) -> None:
    if verify:
        click.echo(
            f"Gone: none of the {len(told['rows'])} rows stands in what this build hands on. {REMAINS}"
            if told["gone"]
            else "Not gone: take it down (without --verify), run `mhdata build`, then this again."
        )
        return
    if dry_run:
        return
    click.echo(f"{told['added']} new entries in {deny.PATH}: commit it, run `mhdata build`, then this with --verify.")
    for id in told["licenses"]:
        if licenses.get(id).single_row_removal == "no":
            click.echo(f"note: {id} forbids passing rows on after single ones were taken out (see stages/licenses)")


def run(words: list[str]) -> int:
    """The command with its words, in the project's folder. Returns the exit code."""
    done: Any = command.main(args=words, prog_name="mhdata takedown", standalone_mode=False)
    return done if isinstance(done, int) else errors.DONE
