"""What each export format is: which rows it takes, how one of them becomes a line, and where it is written.

A format is a module `stages/formats/<name>.py` with

- `KIND`: which rows it takes: "chat", "single" (chat without turns), "pairs", "kto", "classification" or "all";
- `OUTS`: its files or folder under data/exports;
- `writer(folder, settings)`: an object with `add(rows, sides) -> reasons` (a reason code for each row it
  refuses, else None) and `close()`, which writes only into `folder`.

Most formats are JSON Lines with one file per side: `JsonLines` is their writer, and `convert` all they need.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import pyarrow as pa

from stages.params import Export
from stages.storage import JsonLinesSink


class Row(NamedTuple):
    """One merged row, as an exporter sees it."""

    id: str
    input: str
    response: str
    rejected_response: str | None
    source: str
    type: str
    tags: list[str]
    system: str | None
    turns: list[dict[str, str]] | None
    license: str
    enters: list[str]


class Refused(Exception):
    """A format cannot take this row; the reason code is the message."""


Message = dict[str, str]


class Writer(Protocol):
    """Where a format puts its rows."""

    def add(self, rows: list[Row], sides: list[str]) -> list[str | None]: ...
    def close(self) -> None: ...


class Module(Protocol):
    """The shape of a format module."""

    KIND: str
    OUTS: tuple[str, ...]

    def writer(self, folder: Path, settings: Export) -> Writer: ...


def load(name: str) -> Module:
    """The module of a format."""
    return cast(Module, importlib.import_module(f"stages.formats.{name}"))


def names() -> list[str]:
    """All formats, by name: the modules of this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def rows(batch: pa.RecordBatch) -> Iterator[Row]:
    """The rows of a batch of the merged table."""
    return map(Row._make, zip(*(batch[name].to_pylist() for name in Row._fields), strict=True))


def entering(row: Row, kind: str) -> str | None:
    """Why a row does not enter a kind of export, or None if it does."""
    wanted = "chat" if kind == "single" else kind
    if kind != "all" and wanted not in row.enters:
        return f"not_{wanted}"
    if kind == "single" and row.turns is not None:
        return "multi_turn"
    return None


def system_message(row: Row, settings: Export) -> str | None:
    """The system message: the constant, the row's own where it has one, or none."""
    if settings.system == "none":
        return None
    if settings.system == "source" and row.system:
        return row.system
    return settings.system_message


def chat(row: Row, settings: Export) -> list[Message]:
    """The conversation as [system] user assistant user assistant ...

    Raises Refused for a blank message, or turns that do not alternate from user to assistant.
    """
    turns = row.turns or [{"role": "user", "content": row.input}, {"role": "assistant", "content": row.response}]
    if turns[-1]["role"] == "user":
        turns = turns[:-1]  # what came after the last answer has no answer
    expected = ["user", "assistant"] * (len(turns) // 2)
    if not turns or [turn["role"] for turn in turns] != expected:
        raise Refused("roles")
    if any(not turn["content"].strip() for turn in turns):
        raise Refused("blank_message")
    system = system_message(row, settings)
    return ([{"role": "system", "content": system}] if system else []) + turns


class JsonLines:
    """Writes JSON Lines: one file per side, and one for both where `both` names it."""

    def __init__(
        self, folder: Path, settings: Export, convert: Callable[[Row, Export], Any],
        files: Mapping[str, str] | None = None, both: str | None = None,
    ) -> None:  # fmt: skip
        files = files or {"train": "train.jsonl", "validation": "validation.jsonl"}
        self._settings, self._convert = settings, convert
        self._sides = {side: JsonLinesSink(folder / name) for side, name in files.items()}
        self._both = JsonLinesSink(folder / both) if both else None

    def add(self, rows: list[Row], sides: list[str]) -> list[str | None]:
        lines: dict[str, list[Any]] = {side: [] for side in self._sides}
        every: list[Any] = []
        reasons: list[str | None] = []
        for row, side in zip(rows, sides, strict=True):
            try:
                line = self._convert(row, self._settings)
            except Refused as refusal:
                reasons.append(str(refusal))
                continue
            reasons.append(None)
            lines[side].append(line)
            every.append(line)
        for side, sink in self._sides.items():
            sink.write(lines[side])
        if self._both:
            self._both.write(every)
        return reasons

    def close(self) -> None:
        for sink in [*self._sides.values(), *([self._both] if self._both else [])]:
            sink.close()
