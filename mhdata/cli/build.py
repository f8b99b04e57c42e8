"""Commands that change files: build, merge, prepare, clean."""

from __future__ import annotations

import time
from typing import Any

import click

from mhdata import api, formats, graph, locks, runner, state, workspace
from mhdata import clean as cleaning
from mhdata.cli import display, tables
from mhdata.cli.common import agreed, as_document, confirm, emit, here, talk
from mhdata.results import PreparedFormat, PrepareResult
from mhdata.runner import Outcome, Plan, Request
from mhdata.workspace import Workspace
from stages.errors import PipelineError

forced = click.option("--force", is_flag=True, help="Run also when nothing changed, and replace without asking.")
waits = click.option("--wait", is_flag=True, help="Wait for another build in this folder instead of stopping.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Show everything that DVC and the stages say.")


def _name_formats(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completion of a format's name."""
    try:
        names = graph.load(workspace.find(context.find_root().params.get("root"))).formats
    except PipelineError:
        return []  # a shell that completes is no place for errors
    return [name for name in [*names, "all"] if name.startswith(incomplete)]


@click.command(
    epilog="""
\b
Examples:
  mhdata build
  mhdata build --yes              in a script: replaces what is stale
  mhdata build --force            every stage again, downloads too
"""
)
@forced
@agreed
@waits
@verbose
@as_document
def build(force: bool, yes: bool, wait: bool, verbose: bool, as_document: bool) -> None:
    """Build everything that changed: downloads, records, screens, merge, split, exports and the report.

    Stages that are up to date are skipped. An interrupted build goes on where it stopped.
    """
    where = here()
    outcome = _run(where, Request("build", force=force), yes, wait, verbose)
    _tell(where, outcome, as_document)


@click.command(
    epilog="""
\b
Examples:
  mhdata merge
  mhdata merge --yes --json > merged.json
"""
)
@forced
@agreed
@waits
@verbose
@as_document
def merge(force: bool, yes: bool, wait: bool, verbose: bool, as_document: bool) -> None:
    """Build the merged table (Parquet, JSON, CSV) and show what it holds, by source and by tag."""
    where = here()
    outcome = _run(where, Request("merge", force=force), yes, wait, verbose)
    _tell(where, outcome, as_document)


def _tell(where: Workspace, outcome: Outcome, as_document: bool) -> None:
    made = api._merged(where, rebuilt=not outcome.up_to_date, seconds=outcome.seconds)
    if as_document:
        emit(made)
        return
    tables.statistics(made.statistics)
    talk(f"The merged table: {made.path.relative_to(where.root)}, and .json and .csv beside it.")
    if outcome.target == "merge":
        talk("Next: `mhdata prepare openai`, or `mhdata build` for all formats.")


@click.command(
    epilog="""
\b
Examples:
  mhdata prepare openai
  mhdata prepare openai huggingface --yes
  mhdata prepare all              every format that params.yaml lists
"""
)
@click.argument("names", metavar="FORMAT...", nargs=-1, required=True, shell_complete=_name_formats)
@forced
@agreed
@waits
@verbose
@as_document
def prepare(names: tuple[str, ...], force: bool, yes: bool, wait: bool, verbose: bool, as_document: bool) -> None:
    """Write the files of export formats. A format that params.yaml does not list is added to it, if you agree."""
    where = here()
    wanted = _wanted(where, names, yes)
    outcome = _run(where, Request("prepare", tuple(wanted), force), yes, wait, verbose)
    made = PrepareResult(
        {name: state.prepared(where, name) for name in wanted}, not outcome.up_to_date, outcome.seconds
    )
    if as_document:
        emit(made)
        return
    _show(where, made)
    if made.rebuilt and "report" not in outcome.ran:
        talk("`mhdata build` also brings the other formats and data/exports/manifest.json up to date.")


def _wanted(where: Workspace, names: tuple[str, ...], yes: bool) -> list[str]:
    """The formats that are meant; those that params.yaml lacks are added to it after a question."""
    stages, chosen = graph.load(where), formats.selected(where)
    wanted = list(dict.fromkeys(name for word in names for name in (chosen if word == "all" else [word])))
    missing = [formats.known(stages, name) for name in wanted if name not in chosen]
    if missing:
        confirm(f"{', '.join(missing)} is not among `formats` in params.yaml. Add it there?", yes)
        formats.select(where, missing)
        talk(f"params.yaml: added {', '.join(missing)} to formats")
    return wanted


def _show(where: Workspace, made: PrepareResult) -> None:
    rows: list[list[Any]] = []
    for name, one in made.formats.items():
        rows += [
            [name, file.split or "all", file.rows, tables.size(file.bytes), str(file.path.relative_to(where.root))]
            for file in one.files
            if file.rows is not None
        ] or [[name, "", "", "", _why(one)]]
    tables.table(["format", "side", "rows", "size", "file"], rows)


def _why(one: PreparedFormat) -> str:
    return one.note or "no file"


# --- running --------------------------------------------------------------------------------------------------


def _run(where: Workspace, request: Request, yes: bool, wait: bool, verbose: bool) -> Outcome:
    """Say what will happen, ask before results are replaced, and run it with progress."""
    runner.check(where)
    _wait(where, wait)
    if not request.force:
        talk(f"Looking at what {request} needs ...")
        planned = runner.plan(where, request)
        if planned.up_to_date:
            talk(f"{request}: up to date, nothing to do (--force runs it again).")
            return Outcome(str(request), (), (), 0, 0.0)
        _ask(where, planned, yes)
    with display.progress(verbose) as listener:
        outcome = runner.run(where, request, listener, wait=wait)
    ran, restored = len(outcome.ran), len(outcome.restored)
    came = f", {restored} restored from the cache" if restored else ""
    took = display.clock(outcome.seconds)
    talk(f"{request}: {_stages(ran)} ran{came}, {outcome.skipped - restored} unchanged, {took}.")
    return outcome


def _stages(count: int) -> str:
    return f"{count} stage" if count == 1 else f"{count} stages"


def _wait(where: Workspace, wait: bool) -> None:
    """A build in this folder: wait for its end, or stop here. Raises BusyError."""
    told = False
    while holder := locks.holder(where):
        if not wait:
            raise locks.BusyError(holder)
        if not told:
            talk(f"Waiting for {holder} ...")
            told = True
        time.sleep(locks.POLL)


def _ask(where: Workspace, planned: Plan, yes: bool) -> None:
    for stage, why in list(planned.stale.items())[:8]:
        talk(f"  {stage}: {'; '.join(why[:3])}" + (f" and {len(why) - 3} more" if len(why) > 3 else ""))
    if len(planned.stale) > 8:
        talk(f"  and {len(planned.stale) - 8} more stages")
    talk(f"{_stages(len(planned.may_run))} may run.")
    if not planned.replaces:
        return
    first = "data/merged/merged_mental_health_dataset.parquet"
    named = first if first in planned.replaces else planned.replaces[0]
    size = ""
    if named == first:
        merged = state.merged(where, None)
        size = f" ({merged['rows']:,} rows, written {merged['when'][:16].replace('T', ' ')})"
    others = len(planned.replaces) - 1
    more = f" and {others} other results" if others else ""
    confirm(f"{named}{size}{more} exist and may be replaced. Go on?", yes)


# --- clean ----------------------------------------------------------------------------------------------------


@click.command(
    epilog="""
\b
Examples:
  mhdata clean --dry-run          only say what would go
  mhdata clean --yes && mhdata build --force
"""
)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed, and stop.")
@click.option("--parts", is_flag=True, help="Only what killed builds and broken downloads left half-written.")
@agreed
@as_document
def clean(dry_run: bool, parts: bool, yes: bool, as_document: bool) -> None:
    """Remove what builds wrote: outputs of stages, half-written files, memory-mapped copies.

    Your files (data/local, params.yaml) and DVC's cache with every version of the data stay.
    """
    where = here()
    removals = cleaning.half_written(where) if parts else cleaning.plan(where)
    if as_document:
        emit({"removes": removals, "bytes": sum(one.bytes for one in removals)})
    else:
        groups = tables.grouped([(str(one.path), one.bytes, one.files) for one in removals])
        tables.table(["folder", "paths", "files", "size"], groups)
    total = sum(one.bytes for one in removals)
    if dry_run or not removals:
        talk("Nothing was removed." if removals else "Nothing to remove.")
        return
    confirm(f"Remove these {len(removals)} paths ({tables.size(total)})?", yes)
    cleaning.remove(where, removals)
    again = "`mhdata build` takes them back from DVC's cache; `mhdata build --force` makes them anew."
    talk("Removed." if parts else f"Removed. {again}")
