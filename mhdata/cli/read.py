"""Commands that change nothing: status, stats, show, sources, doctor, completion."""

from __future__ import annotations

import json
from typing import Any

import click

from mhdata import doctor as examination
from mhdata import lineage, state, statistics
from mhdata.cli import tables
from mhdata.cli.common import as_document, emit, here, talk
from stages import errors

SHOWN = 600  # characters of a text


@click.command(
    epilog="""
\b
Examples:
  mhdata status
  mhdata status --json | jq '.merged.stale'
"""
)
@as_document
def status(as_document: bool) -> None:
    """What is built, what is stale and why, and which formats stand where.

    A stage is stale when its inputs, params or outputs changed, and behind when one before it is stale.
    """
    found = state.status(here())
    if as_document:
        emit(found)
        return
    _merged(found["merged"])
    if found["building"]:
        one = found["building"]
        talk(f"A build runs: {one['target']} (process {one['pid']}, since {one['since'].replace('T', ' ')}).")
    _formats(found["formats"])
    _stages(found)
    tables.title("Versions")
    click.echo(", ".join(f"{name} {version}" for name, version in found["versions"].items()))


def _merged(merged: dict[str, Any]) -> None:
    tables.title("Merged table")
    if not merged["exists"]:
        click.echo("not built: run `mhdata merge`")
        return
    state_ = {True: "stale", False: "up to date", None: "a build runs"}[merged["stale"]]
    click.echo(f"{merged['path']}\n{merged['rows']:,} rows, {tables.size(merged['bytes'])}, {merged['when']}: {state_}")


def _formats(found: dict[str, Any]) -> None:
    tables.title("Formats")
    chosen = {name: one for name, one in found.items() if one["selected"] or one["exists"]}
    rows = []
    for name, one in chosen.items():
        made = ", ".join(f"{side} {rows:,}" for side, rows in one["rows"].items() if rows)
        state_ = "missing" if not one["exists"] else {True: "stale", False: "up to date", None: ""}[one["stale"]]
        rows.append([name, state_, made, one["note"] or one["path"]])
    tables.table(["format", "state", "rows", "where"], rows)
    others = [name for name in found if name not in chosen]
    if others:
        click.echo(f"not selected: {', '.join(others)}")


def _stages(found: dict[str, Any]) -> None:
    tables.title("Stages")
    counts: dict[str, int] = {}
    for stage in found["stages"]:
        counts[stage["state"]] = counts.get(stage["state"], 0) + 1
    click.echo(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    stale = [[one["stage"], "; ".join(one["why"])] for one in found["stages"] if one["why"]]
    if stale:
        tables.table(["stale", "why"], stale)
        click.echo("run `mhdata build` to bring them up to date")


@click.command(
    epilog="""
\b
Examples:
  mhdata stats
  mhdata stats --json | jq .sources
"""
)
@as_document
def stats(as_document: bool) -> None:
    """What the merged table holds: rows by source, tag, type and side, lengths, and where rows went."""
    found = statistics.of(here())
    if as_document:
        emit(found)
        return
    tables.statistics(found)
    tables.further(found)


@click.command(
    epilog="""
\b
Examples:
  mhdata show 2aa7648e                            the start of an id
  mhdata show trace:data/splits/train.jsonl:11    a row upstream, also a rejected one
  mhdata show amod_counseling:28 --json
"""
)
@click.argument("row", metavar="ID")
@click.option("--full", is_flag=True, help="Show texts whole.")
@as_document
def show(row: str, full: bool, as_document: bool) -> None:
    """One row with its whole lineage: upstream file and row, record, attributes, duplicates, cluster, side, exports.

    ID is a row's id or its first six digits and more, or source:file:row (source:row where it has one file).
    The texts are of people in distress: mind who sees your screen.
    """
    found = lineage.show(here(), row)
    if as_document:
        emit(found)
        return
    tables.title(f"{found['id'] or row}: {found['state']}" + (f" ({found['reason']})" if found["reason"] else ""))
    rows = list(_lineage(found))
    tables.table(["", ""], [[name, value if full else _cut(value)] for name, value in rows if value not in ("", None)])


def _lineage(found: dict[str, Any]) -> Any:
    origin = found["origin"]
    yield "source", found["source"]
    yield "upstream", " ".join(str(origin.get(name) or "") for name in ("dataset", "revision")).strip()
    yield "file, row", f"{origin['file']}, row {origin['row']}"
    yield "message", found.get("message")
    record = found.get("record", {})
    for name in ("input", "response", "rejected_response", "system", "type", "license"):
        yield name, record.get(name)
    for name in ("tags", "enters"):
        yield name, ", ".join(record.get(name) or [])
    yield "edits", ", ".join(origin.get("edits", []))
    for name, value in (found.get("attributes") or {}).items():
        if name not in ("id", "screen_version") and value is not None:
            yield f"screen {name}", _attribute(value)
    if kept := found.get("kept"):
        yield "kept instead", f"{kept['id']} ({kept['source']}), similarity {kept['score']}"
    for one in found.get("duplicates", []):
        yield "stands for", f"{one['id']} ({one['source']}), {one['method']}"
    if cluster := found.get("cluster"):
        yield "cluster", f"{cluster['id']}: {len(cluster['rows'])} rows on its side"
    yield "side", found.get("side")
    yield "group", found.get("group")
    for name, one in found.get("exports", {}).items():
        yield f"export {name}", "enters" if one["enters"] else f"stays out: {one['reason']}"
    yield "raw", found["raw"]


def _attribute(value: Any) -> str:
    """A screen's findings: what is null, empty or false says nothing."""
    if isinstance(value, dict):
        return json.dumps(
            {key: inner for key, inner in value.items() if inner not in (None, [], False)}, ensure_ascii=False
        )
    return str(value)


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ... ({len(text):,} characters, --full shows all)"


@click.command(
    epilog="""
\b
Example:
  mhdata sources --json | jq '.[].license'
"""
)
@as_document
def sources(as_document: bool) -> None:
    """The sources: dataset, licence, what came, what they enter, how many rows are left."""
    found = state.sources(here())
    if as_document:
        emit(found)
        return
    tables.table(
        ["source", "dataset", "licence", "enters", "state", "upstream", "merged"],
        [
            [one["source"], one["dataset"], one["license"], ", ".join(one["enters"]), one["state"] or "not here",
             one["upstream"], one["merged"]]
            for one in found
        ],
    )  # fmt: skip
    for one in found:
        for note in one["notes"]:
            talk(f"{one['source']}: {note}")


@click.command(
    epilog="""
\b
Example:
  mhdata doctor && mhdata build
"""
)
@as_document
def doctor(as_document: bool) -> int:
    """Check Python, the install, disk, permissions, network, remotes and locks; say how to mend what is wrong.

    Ends with 1 if something would keep a build from working.
    """
    found = list(examination.examine(here()))
    if as_document:
        emit(found)
    else:
        tables.table(["check", "state", "what"], [[one.check, one.state, one.says] for one in found])
        for one in found:
            if one.mend:
                click.echo(f"mend {one.check}: {one.mend}")
    return errors.FAILED if any(one.state == "problem" for one in found) else errors.DONE


@click.command(
    epilog="""
\b
Examples:
  mhdata completion bash > ~/.local/share/bash-completion/completions/mhdata
  mhdata completion zsh  > ~/.zfunc/_mhdata
  mhdata completion fish > ~/.config/fish/completions/mhdata.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from mhdata.cli import app

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(app, {}, "mhdata", "_MHDATA_COMPLETE").source())
