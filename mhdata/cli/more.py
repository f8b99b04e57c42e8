"""Commands whose work stands in other modules: they take the words as they are, in the project's folder.

Such a module has `run(words: list[str])`, which prints what it finds and raises PipelineError.
"""

from __future__ import annotations

import os

import click

from mhdata import optional
from mhdata.cli import COMMANDS
from mhdata.cli.common import here


def _passed_on(name: str) -> click.Command:
    """A command that hands its words, --help too, to its module."""
    entry = COMMANDS[name]
    assert entry.needs is not None
    needs = entry.needs

    @click.command(
        name, help=entry.help, add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    )  # fmt: skip
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def command(words: tuple[str, ...]) -> object:
        module = optional.load(needs)  # before the folder changes: the module may be found through it
        where = here()
        os.environ["MHDATA_ROOT"] = str(where.root)
        os.chdir(where.root)
        return module.run(list(words))

    return command


diff = _passed_on("diff")
takedown = _passed_on("takedown")
drift = _passed_on("drift")
publish = _passed_on("publish")
