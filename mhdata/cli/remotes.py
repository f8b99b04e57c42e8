"""Commands that move data between machines: push, pull, release."""

from __future__ import annotations

import click

from mhdata import transfer
from mhdata.cli import display, tables
from mhdata.cli.common import agreed, as_document, confirm, emit, here, talk
from mhdata.transfer import Moved

remote = click.option("-r", "--remote", metavar="NAME", help="The remote; else the default, or the only one.")


@click.command(
    epilog="""
\b
Examples:
  mhdata push
  mhdata push -r backup
  mhdata push --partial           a private build: what may be passed on, and no more
  mhdata push --mend              read the remote's files back, and replace what is damaged
"""
)
@remote
@click.option("--partial", is_flag=True, help="Where the merged table must stay here, send the rest.")
@click.option("--mend", is_flag=True, help="First read back every file of the remote, and replace damaged ones.")
@as_document
def push(remote: str | None, partial: bool, mend: bool, as_document: bool) -> None:
    """Send the data that dvc.lock records to a remote.

    Rows that may not be passed on stay here: the merged table and the exports of a research build, a source without a
    licence to pass it on, transcripts and what was made of them.
    """
    where = here()
    talk("Pushing ..." if not mend else "Reading the remote's files, then pushing ...")
    moved = transfer.push(where, remote, partial=partial, mend=mend)
    _tell(moved, "sent to", as_document)


@click.command(
    epilog="""
\b
Examples:
  mhdata pull
  git checkout data-v1.0 && mhdata pull
"""
)
@remote
@as_document
def pull(remote: str | None, as_document: bool) -> None:
    """Fetch the data that dvc.lock records; `dvc repro` then has nothing to do."""
    where = here()
    talk("Pulling ...")
    moved = transfer.pull(where, remote)
    _tell(moved, "fetched from", as_document)
    if moved.held:
        talk("`mhdata build` makes here what no remote may hold.")


def _tell(moved: Moved, verb: str, as_document: bool) -> None:
    if as_document:
        emit(moved)
        return
    reasons: dict[str, list[str]] = {}
    for path, reason in moved.held.items():
        reasons.setdefault(reason, []).append(path)
    for reason, paths in reasons.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        talk(f"not on the remote: {paths[0]}{more}: {reason}")
    size, took = tables.size(moved.bytes), display.clock(moved.seconds)
    click.echo(f"{moved.files} files {verb} {moved.remote}; {moved.outs} outputs of {size} are there and here, {took}.")


@click.command(
    epilog="""
\b
Examples:
  mhdata release 1.0 --dry-run    check everything, show what would be written
  mhdata release 1.0 -r public
"""
)
@click.argument("version")
@remote
@click.option("-n", "--dry-run", is_flag=True, help="Check and describe, and stop there.")
@agreed
@as_document
def release(version: str, remote: str | None, dry_run: bool, yes: bool, as_document: bool) -> None:
    """Make a version of the data: the commit is tagged data-vVERSION, and the data goes to the remote.

    Before that it checks that dvc.lock is that of this folder, that the laws hold in this build, and that its licences
    let it be passed on. data/releases/VERSION.json then names every output with its hash and what changed since the
    last release; CITATION.cff says how to cite it.
    """
    from mhdata import releasing

    where = here()
    talk("Checking dvc.lock, the laws and the licences ...")
    prepared = releasing.prepare(where, version)
    if not dry_run:
        confirm(f"Push the data, commit {', '.join(prepared.paths)} and tag {prepared.tag}?", yes)
        moved = releasing.publish(where, prepared, remote)
        talk(f"{moved.files} files sent to {moved.remote}.")
    if as_document:
        emit(prepared.description)
        return
    rows = [[path, tables.size(size), change] for path, size, change in releasing.summary(prepared.description)]
    tables.table(["output", "size", "change"], rows)
    talk(
        f"Nothing was written: this was a dry run of {prepared.tag}."
        if dry_run
        else f"{prepared.tag} is made. Next: `git push --follow-tags`."
    )
