"""What is computed beside each record: attributes by id, never an edit of a text.

A screen is a module `stages/screens/<name>.py` (or a package of that name) with

- `VERSION`: an int, raised when its code changes what it finds;
- `TYPE`: the struct type of its column;
- `screen(batch, params)`: records to a column, one value a row; a function of the row and of `params` alone;
- `ready(params)`, optional: raises ParamsError when a package or a model that it needs is absent.

Its params are the field of its name in `stages.params.Screens`. Its rules are data: the files of its package, or
`data/<name>.*` and `data/<name>_*`; files there that are named after no screen belong to all.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

import msgspec
import pyarrow as pa

from stages.errors import ParamsError
from stages.params import Screen, Screens

FOLDER = Path(__file__).parent
TRANSCRIPT = "behavioral-experiment"  # type of records that are no conversation: long, and of repeated templates


class Module(Protocol):
    """The shape of a screen module."""

    VERSION: int
    TYPE: pa.StructType
    screen: Callable[[pa.RecordBatch, Screen], pa.StructArray]


def load(name: str) -> Module:
    """The module of a screen; nothing of a screen that is off is ever imported."""
    return cast(Module, importlib.import_module(f"stages.screens.{name}"))


def enabled(params: Screens) -> dict[str, Screen]:
    """Params of the screens that are on, by name, in their declared order."""
    fields = {name: getattr(params, name) for name in params.__struct_fields__}
    return {name: screen for name, screen in fields.items() if screen.enabled}


def ready(name: str, params: Screen) -> None:
    """Raise ParamsError when what the screen needs is absent."""
    check = getattr(load(name), "ready", None)
    if check is not None:
        check(params)


def need(package: str, screen: str, requirements: str) -> ModuleType:
    """Import a package that only an optional screen needs, or say how to get it."""
    if importlib.util.find_spec(package) is None:
        raise ParamsError(
            f"screens.{screen} needs {package}, which is not installed: run `pip install -r {requirements}`, "
            f"or set screens.{screen}.enabled to false in params.yaml"
        )
    return importlib.import_module(package)


@functools.cache
def version(params: Screens) -> str:
    """16 hex digits that change with what the screens that are on would find: versions, rules and params."""
    stamp = [
        [
            name,
            load(name).VERSION,
            _settings(screen),
            [[str(path.relative_to(FOLDER)), _sha256(path)] for path in rules(name)],
        ]
        for name, screen in enabled(params).items()
    ]
    return hashlib.sha256(msgspec.json.encode(stamp, order="deterministic")).hexdigest()[:16]


def rules(name: str) -> list[Path]:
    """The rule files that a screen reads, sorted."""
    own = [path for path in (FOLDER / name).rglob("*") if _is_rule(path)]
    shared = [path for path in (FOLDER / "data").glob("*") if _is_rule(path) and _owner(path) in (name, None)]
    return sorted(own + shared)


def _is_rule(path: Path) -> bool:
    return path.is_file() and path.suffix not in (".py", ".pyc") and not path.name.startswith(".")


def _owner(path: Path) -> str | None:
    """The screen after which a file of `data/` is named, if any."""
    return next((n for n in Screens.__struct_fields__ if path.stem == n or path.stem.startswith(f"{n}_")), None)


def _settings(screen: Screen) -> dict[str, object]:
    settings: dict[str, object] = msgspec.to_builtins(screen)
    return {key: value for key, value in settings.items() if key != "enabled"}


@functools.cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
