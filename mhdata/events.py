"""What happens in a build, as values that any door can show: the command line, Python, HTTP."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Started:
    """The build has the workspace to itself and starts. `total` stages will be looked at."""

    target: str
    total: int


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage runs. `position` counts from 1; seconds are None where no earlier build tells them."""

    stage: str
    position: int
    total: int
    expected_seconds: float | None
    eta_seconds: float | None  # of the whole build: at most, since equal outputs end the wave


@dataclass(frozen=True, slots=True)
class StageProgress:
    """A stage still runs and has so many bytes of output on disk; about twice a second."""

    stage: str
    bytes: int
    mb_per_s: float
    seconds: float
    expected_seconds: float | None
    eta_seconds: float | None


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage is done. `rows` come from its ledger, None where it has none; `bytes` are its outputs'."""

    stage: str
    seconds: float
    rows: int | None
    bytes: int
    mb_per_s: float


@dataclass(frozen=True, slots=True)
class StageSkipped:
    """A stage had nothing to do: unchanged, or its outputs came out of DVC's cache."""

    stage: str
    position: int
    total: int
    why: Literal["unchanged", "cached"]


@dataclass(frozen=True, slots=True)
class Said:
    """A line that a stage or DVC said and that a reader may want: notes, warnings, errors."""

    stage: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another build works in the workspace."""

    holder: str


Event = Started | StageStarted | StageProgress | StageFinished | StageSkipped | Said | Waiting
Listener = Callable[[Event], None]


def nothing(event: Event) -> None:
    """The listener of those who do not listen."""


def as_dict(event: Event) -> dict[str, Any]:
    """An event as a JSON object.

    >>> as_dict(StageSkipped("merge", 3, 9, "unchanged"))
    {'event': 'stage_skipped', 'stage': 'merge', 'position': 3, 'total': 9, 'why': 'unchanged'}
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
    return {"event": name, **dataclasses.asdict(event)}
