"""What the doors answer with: frozen values with paths and figures, and as JSON through `as_json`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Account:
    """Where the rows of one source went: `upstream` = rejected + dropped + duplicates + merged."""

    source: str
    upstream: int
    rejected: dict[str, int]  # reason -> rows that normalize put into quarantine
    dropped: dict[str, int]  # reason -> rows that licence, policy or the deny list took out
    duplicates: int
    merged: int
    sides: dict[str, int]  # train, validation, test, held_out; empty before split ran


@dataclass(frozen=True)
class Lengths:
    """Characters of a text, over all merged rows that have it."""

    p50: int
    p90: int
    p99: int
    longest: int
    histogram: dict[str, int]  # power of two -> texts up to that length and longer than half of it; none where none


@dataclass(frozen=True)
class Statistics:
    """What the merged table holds."""

    rows: int
    sources: dict[str, int]  # in the declared order
    types: dict[str, int]  # most rows first, as all below
    tags: dict[str, int]
    licenses: dict[str, int]
    sides: dict[str, int]
    lengths: dict[str, Lengths]  # input, response, rejected_response
    accounts: tuple[Account, ...]


@dataclass(frozen=True)
class MergeResult:
    """The merged table. `rebuilt` is false where it was up to date."""

    path: Path
    json_path: Path
    csv_path: Path
    rows: int
    rebuilt: bool
    seconds: float
    statistics: Statistics


@dataclass(frozen=True)
class ExportedFile:
    """One file of a format."""

    path: Path
    split: str | None  # None: rows of several sides
    rows: int | None
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PreparedFormat:
    """One format. `note` says why there is no file, where there is none."""

    name: str
    selected: bool  # by `formats` in params.yaml
    exists: bool
    files: tuple[ExportedFile, ...] = ()
    rows: dict[str, int] = dataclasses.field(default_factory=dict)  # by side
    note: str | None = None

    @property
    def path(self) -> Path | None:
        """The format's file, or the folder that holds all its files; None where there is none."""
        if not self.files:
            return None
        folder = Path(*_common([file.path.parent.parts for file in self.files]))
        whole = [file.path for file in self.files if file.split is None and file.path.suffix == ".jsonl"]
        return whole[0] if len(whole) == 1 else folder


def _common(paths: list[tuple[str, ...]]) -> list[str]:
    same = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        same.append(parts[0])
    return same


@dataclass(frozen=True)
class PrepareResult:
    """The formats that were asked for. `rebuilt` is false where all were up to date."""

    formats: dict[str, PreparedFormat]
    rebuilt: bool
    seconds: float


def as_json(value: Any) -> Any:
    """Values of this module, paths and containers, as what json takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: as_json(inner) for name, inner in fields.items()}
    if isinstance(value, dict):
        return {str(name): as_json(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
