"""Prompt files: text that a user can read and edit, with {placeholders} that the stage fills in."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stages.errors import ParamsError


class Prompt:
    """One prompt file. `sha256` is of its text; `fill` puts values in the place of the placeholders."""

    def __init__(self, path: Path, placeholders: Iterable[str]) -> None:
        """Raise ParamsError when the file is missing, empty, or holds a placeholder that the stage does not know."""
        self.text = _read(path).strip()
        self.sha256 = hashlib.sha256(self.text.encode()).hexdigest()
        known = sorted(placeholders)
        if not self.text:
            raise ParamsError(f"{path} is empty: write the prompt, or restore the file with git")
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.text) if field is not None]
        except ValueError:
            raise ParamsError(f"{path} has a single brace: write {{{{ or }}}} for a brace that is text") from None
        for field in fields:
            if field not in known:
                raise ParamsError(f"{path} has the unknown placeholder {{{field}}}: known are {', '.join(known)}")

    def fill(self, **values: Any) -> str:
        return self.text.format(**values)


def choices(path: Path, wanted: Iterable[str]) -> dict[str, list[str]]:
    """A YAML file of lists: for each wanted name the texts to draw from.

    Raises ParamsError when a list is missing, unknown or empty, or an entry is no text.
    """
    try:
        tree = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    names = list(wanted)
    if not isinstance(tree, dict) or sorted(tree) != sorted(names):
        raise ParamsError(f"{path} must hold exactly these lists: {', '.join(names)}")
    for name in names:
        entries = tree[name]
        if not isinstance(entries, list) or not entries or not all(isinstance(e, str) and e.strip() for e in entries):
            raise ParamsError(f"{path}: {name} must be a list of at least one text, none of them blank")
    return {name: tree[name] for name in names}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing: restore it with git") from None
    except UnicodeDecodeError:
        raise ParamsError(f"{path} is not UTF-8: save it as UTF-8") from None
