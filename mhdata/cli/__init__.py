"""The command line. Each command is loaded when it is called; `--help` reads only this table."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any, NamedTuple, NoReturn

import click

from mhdata import optional
from stages import errors


class Entry(NamedTuple):
    """Where a command's function is, its line in --help, and the module without which it does not exist."""

    place: str
    help: str
    needs: str | None = None


COMMANDS = {
    "build": Entry("build:build", "Build everything that changed: downloads, records, merge, split, exports, report."),
    "merge": Entry("build:merge", "Build the merged table and show what it holds."),
    "prepare": Entry("build:prepare", "Write the files of export formats: openai, huggingface, ... or all."),
    "status": Entry("read:status", "What is built, what is stale and why."),
    "stats": Entry("read:stats", "What the merged table holds: sources, tags, sides, lengths, losses."),
    "show": Entry("read:show", "One row with its whole lineage, by id or by source:file:row."),
    "sources": Entry("read:sources", "The sources: licence, what came, what they enter."),
    "diff": Entry("more:diff", "Rows that differ between two versions of the data.", "stages.versions.diff"),
    "takedown": Entry("more:takedown", "Take rows out of every future build.", "stages.versions.takedown"),
    "drift": Entry("more:drift", "What upstream has that the pins do not: commits, licences, rows.", "stages.drift"),
    "release": Entry("remotes:release", "Make a version of the data: checked, described, pushed, tagged."),
    "push": Entry("remotes:push", "Send the data to a DVC remote; what may not be passed on stays here."),
    "pull": Entry("remotes:pull", "Fetch prebuilt data from a DVC remote."),
    "publish": Entry("more:publish", "Put the dataset on the Hugging Face Hub.", "stages.publish"),
    "serve": Entry("serve:serve", "HTTP API and web page for this folder."),
    "doctor": Entry("read:doctor", "What could keep a build from working here, and how to mend it."),
    "clean": Entry("build:clean", "Remove what builds wrote; never your files, never the cache."),
    "completion": Entry("read:completion", "Print the completion script of a shell."),
}


class Commands(click.Group):
    """A group that imports a command when it is called, and knows none whose module is not there."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for name, entry in COMMANDS.items() if entry.needs is None or optional.present(entry.needs)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        module, _, function = COMMANDS[name].place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"mhdata.cli.{module}"), function)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        entry = COMMANDS.get(args[0])
        if entry and entry.needs and not optional.present(entry.needs):
            raise click.UsageError(f"this copy of mhdata has no `{args[0]}`: {entry.needs} is missing", context)
        if self.get_command(context, args[0]) is None and not args[0].startswith("-"):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=self.list_commands(context), ctx=context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """One line each, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(context)])


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from mhdata.state import version

        click.echo(f"mhdata {version()}")
        context.exit()


EXAMPLES = """
\b
Examples:
  mhdata build                    everything, with live progress
  mhdata merge                    the merged table and what it holds
  mhdata prepare openai           the files of one format
  mhdata show 2aa7648e            a row and where it came from
  mhdata stats --json | jq .tags

\b
Exit codes:
  0 done or up to date, 1 failed, 2 wrong usage, 3 refused,
  4 an endpoint refused us, 5 incomplete, 130 interrupted

Data goes to stdout, talk to stderr. NO_COLOR, TERM=dumb and CI give plain lines.
"""


@click.command(
    cls=Commands,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--root", metavar="FOLDER", envvar="MHDATA_ROOT", help="The project's folder; else this one or above it.")
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
@click.pass_context
def app(context: click.Context, root: str | None) -> None:
    """One corpus from the public mental-health conversation datasets, in every format that fine-tuning tools read."""
    context.obj = root


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; end with one sentence on stderr and an exit code."""
    if sys.stdout is None or sys.stderr is None:  # closed by who started us: say it to nobody, and do not write into
        nobody = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - a file that takes the number of the stream
        sys.stdout, sys.stderr = sys.stdout or nobody, sys.stderr or nobody
    for sign in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sign) is not signal.SIG_IGN:  # nohup
            signal.signal(sign, signal.default_int_handler)
    if signal.getsignal(signal.SIGINT) in (signal.SIG_DFL, signal.default_int_handler):
        signal.signal(signal.SIGINT, _interrupt)
    sys.exit(_run(args))


_heard: list[int] = []  # Ctrl-C: a library in C may make another error of it


def _interrupt(sign: int, frame: object) -> NoReturn:
    _heard.append(sign)
    raise KeyboardInterrupt


def _interrupted() -> int:
    click.echo("interrupted: the same command goes on where it stopped", err=True)
    return errors.INTERRUPTED


def _run(args: list[str] | None) -> int:
    try:
        done: Any = app(args=args, prog_name=_name(), standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        asked = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else _name()
        sentence = error.format_message().rstrip(".?").replace(". Did you mean", ", did you mean")
        click.echo(f"error: {sentence[0].lower()}{sentence[1:]} (see `{asked} --help`)", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _interrupted()
    except BrokenPipeError:
        errors.hush(sys.stdout)
        return errors.DONE
    except Exception as error:
        if _heard:
            return _interrupted()
        text = errors.sentence(error)
        if text is None:
            raise
        click.echo(f"error: {text}", err=True)
        return error.code if isinstance(error, errors.PipelineError) else errors.FAILED
    return done if isinstance(done, int) else errors.DONE


def _name() -> str:
    return "python -m mhdata" if sys.argv[0].endswith("__main__.py") else "mhdata"
