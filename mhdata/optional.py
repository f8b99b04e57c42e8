"""Parts of the project that may not be in this copy of it: a command shows only where its module is."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any


def present(name: str) -> bool:
    """Whether a module can be imported, without importing it (its packages are)."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def load(name: str) -> Any:
    """The module."""
    return importlib.import_module(name)
