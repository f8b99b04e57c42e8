"""The screen's word lists and tables, read once from the data files beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

_DATA = Path(__file__).parent / "data"


@cache
def _yaml(name: str) -> dict[str, Any]:
    text = (_DATA / name).read_text(encoding="utf-8")
    return cast(dict[str, Any], yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506


@cache
def words(name: str) -> frozenset[str]:
    """The words of one list of words.yaml."""
    return frozenset(_yaml("words.yaml")[name].split())


@cache
def phrases(name: str) -> tuple[str, ...]:
    """The phrases of one list of words.yaml, parted by `|`."""
    return tuple(phrase.strip() for phrase in _yaml("words.yaml")[name].split("|"))


@cache
def given_names(ambiguous: bool = False) -> frozenset[str]:
    """Given names in small letters: those that are hardly ever other words, or the ambiguous ones."""
    lines = (_DATA / f"given_names{'_ambiguous' if ambiguous else ''}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(name.lower() for line in lines if not line.startswith("#") for name in line.split())


@cache
def helplines() -> frozenset[str]:
    """Numbers of public lines as `country:national`, digits only."""
    lines = (_DATA / "helplines.txt").read_text(encoding="utf-8").splitlines()
    keys = [line.split()[0] for line in lines if line and not line.startswith("#")]
    return frozenset(key if ":" in key else f"1:{key}" for key in keys)


@cache
def personal_sites() -> tuple[tuple[str, str], ...]:
    """Pairs (kind, pattern) of pages that belong to one person."""
    return tuple((kind, pattern) for kind, patterns in _yaml("sites.yaml")["personal"].items() for pattern in patterns)


@cache
def public_sites() -> frozenset[str]:
    """Registered names of organisations whose pages are public resources."""
    return frozenset(name for line in _yaml("sites.yaml")["public"] for name in str(line).split())


@cache
def any_of(*names: str) -> str:
    """A regular expression that matches any word of the lists, the longest first."""
    ordered = sorted({word for name in names for word in words(name)}, key=lambda word: (-len(word), word))
    return "(?:" + "|".join(word.replace(".", r"\.") for word in ordered) + ")"
