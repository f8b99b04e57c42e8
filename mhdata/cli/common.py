"""What the commands share: the workspace, JSON, questions."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from mhdata import workspace
from mhdata.results import as_json
from mhdata.workspace import Workspace
from stages.errors import RefusedError

as_document = click.option("--json", "as_document", is_flag=True, help="Print one JSON document instead of tables.")
agreed = click.option("-y", "--yes", is_flag=True, help="Answer every question with yes.")


def here() -> Workspace:
    """The workspace that the command line names."""
    return workspace.find(click.get_current_context().find_root().obj)


def emit(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(as_json(value), indent=2, ensure_ascii=False))


def talk(text: str) -> None:
    """A line for people, on stderr."""
    click.echo(text, err=True)


def confirm(question: str, yes: bool) -> None:
    """Ask; go on only with a yes. Without a terminal nobody can be asked: then --yes is needed.

    Raises RefusedError.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"{question} Nobody can be asked here: add --yes to go on")
    if not click.confirm(question, default=False, err=True):
        raise RefusedError("nothing was changed")
