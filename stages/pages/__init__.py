"""HTML pages of one file each: no network, no script, light and dark, printable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def render(template: str, **values: Any) -> str:
    """A page from a template beside this module. What is shown is escaped; a name that is missing fails."""
    import jinja2

    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"cell": cell, "code": code, "words": words}
    environment.tests["hash"] = is_hash
    return environment.get_template(template).render(style=(folder / "style.css").read_text(encoding="utf-8"), **values)


def cell(value: Any) -> str:
    """A value as a table shows it.

    >>> cell(12345), cell(0.8812), cell(None), cell(["a", "b"])
    ('12,345', '0.881', '', 'a, b')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def is_hash(value: Any) -> bool:
    """Whether a value is a sha1 or sha256 in hex.

    >>> is_hash("0123456789abcdef" * 4), is_hash("abcdef")
    (True, False)
    """
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value) is not None


def words(name: str) -> str:
    """A code name as words.

    >>> words("gone_upstream")
    'gone upstream'
    """
    return name.replace("_", " ")


def code(text: str) -> Any:
    """A sentence with `names` in backticks as HTML; all else is escaped."""
    import markupsafe

    parts = [markupsafe.escape(part) for part in text.split("`")]
    wrapped = (f"<code>{part}</code>" if place % 2 else str(part) for place, part in enumerate(parts))
    return markupsafe.Markup("".join(wrapped))  # noqa: S704 every part is escaped
