"""A build while it runs: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

from mhdata import events
from mhdata.cli.common import talk
from mhdata.cli.tables import plain, size
from mhdata.events import Event, Listener

QUIET = 20.0  # seconds between two plain lines of one stage
NOTES = ("note:", "warning:", "WARNING:")


def live() -> bool:
    """Whether stderr can redraw: a terminal, not dumb, and no CI log."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and not os.environ.get("CI")


@contextlib.contextmanager
def progress(verbose: bool) -> Iterator[Listener]:
    """A listener that shows what happens; the terminal is as it was afterwards."""
    if not live():
        yield Lines(verbose).listen
        return
    bar = Bar(verbose)
    with bar:
        yield bar.listen


def clock(seconds: float) -> str:
    """A duration for people.

    >>> clock(3.21), clock(75), clock(7500)
    ('3.2 s', '1 min 15 s', '2 h 5 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    return f"{minutes} min {round(seconds) % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def finished(event: events.StageFinished) -> str:
    """What a stage did, in one line."""
    rows = "" if event.rows is None else f"{event.rows:,} rows, "
    return f"{event.stage}: {rows}{size(event.bytes)}, {clock(event.seconds)}, {_rate(event.mb_per_s)}"


def running(event: events.StageProgress) -> str:
    """What a stage is at, in one line."""
    left = "" if event.eta_seconds is None else f", at most {clock(event.eta_seconds)} left"
    wrote = f", {size(event.bytes)} written at {_rate(event.mb_per_s)}" if event.bytes else ""
    return f"{event.stage}: {clock(event.seconds)}{wrote}{left}"


def _rate(mb_per_s: float) -> str:
    return f"{size(mb_per_s * 1e6)}/s"


class Lines:
    """One line per stage that ran; a line now and then for one that takes long."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose
        self._place, self._spoken = "", 0.0

    def listen(self, event: Event) -> None:
        match event:
            case events.Started():
                talk(f"{event.target}: {event.total} stages to look at")
            case events.StageStarted():
                self._place, self._spoken = f"[{event.position}/{event.total}] ", time.monotonic()
            case events.StageProgress() if time.monotonic() - self._spoken >= QUIET:
                self._spoken = time.monotonic()
                talk(self._place + running(event))
            case events.StageFinished():
                talk(self._place + finished(event))
            case events.StageSkipped() if event.why == "cached":
                talk(f"[{event.position}/{event.total}] {event.stage}: taken from the cache")
            case events.Said() if self._verbose or event.text.startswith(NOTES) or event.stage is None:
                talk(plain(f"  {event.text}"))
            case events.Waiting():
                talk(f"waiting for {event.holder}")


class Bar(contextlib.AbstractContextManager["Bar"]):
    """The bar of all stages with the running one beneath; stages that ran stay above it."""

    def __init__(self, verbose: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._verbose = verbose
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.fields[place]}"), BarColumn(24), TextColumn("{task.description}"),
            TimeElapsedColumn(), console=self._console, transient=True, refresh_per_second=4,
        )  # fmt: skip
        self._task = self._progress.add_task("starting DVC", total=None, place="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def listen(self, event: Event) -> None:
        match event:
            case events.Started():
                self._update("looking at what changed", total=event.total)
            case events.StageStarted():
                left = f", at most {clock(event.eta_seconds)} left" if event.eta_seconds is not None else ""
                self._update(event.stage + left, place=f"{event.position}/{event.total}", completed=event.position - 1)
            case events.StageProgress():
                self._update(running(event))
            case events.StageFinished():
                self._progress.advance(self._task)
                self._print(finished(event), "green")
            case events.StageSkipped():
                self._update(event.stage, place=f"{event.position}/{event.total}", completed=event.position)
                if event.why == "cached":
                    self._print(f"{event.stage}: taken from the cache", "cyan")
            case events.Said() if self._verbose or event.text.startswith(NOTES) or event.stage is None:
                self._print(plain(f"  {event.text}"), "yellow" if event.text.startswith(NOTES) else "dim")
            case events.Waiting():
                self._update(f"waiting for {event.holder}")

    def _update(self, text: str, **fields: object) -> None:
        from rich.markup import escape

        self._progress.update(self._task, description=escape(text), **fields)  # type: ignore[arg-type]

    def _print(self, text: str, style: str) -> None:
        self._console.print(text, style=style, markup=False)
