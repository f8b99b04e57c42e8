"""The differences as a page: counts, then rows of each kind with the words that differ."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages import pages
from stages.files import atomic
from stages.versions.compare import COMPARED, rows_at

if TYPE_CHECKING:
    from stages.versions.diff import Difference, Row

MOST = 3000  # words that are compared one by one: matching takes their square
CONTEXT = 30  # words shown on either side of what differs
TEXT = 1200  # characters shown of a removed or added text

ORDER = (("changed",), ("changed", "moved"), ("removed",), ("added",), ("moved",))

Part = tuple[str, str]  # same | removed | added | cut, and the text


def write(path: Path, difference: Difference, found: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write the page; `rows` are those that it shows."""
    old = rows_at(difference.found.old, _places(row.old for row in rows), [*COMPARED])
    new = rows_at(difference.found.new, _places(row.new for row in rows), [*COMPARED])
    shown: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}
    for row in rows:
        before = old.get(row.old, {}) if row.old is not None else {}
        after = new.get(row.new, {}) if row.new is not None else {}
        shown.setdefault((row.source, row.what), []).append(_shown(row, before, after))
    groups = [
        {"source": source, "what": what, "rows": some, "count": found["sources"][source]["_and_".join(what)]}
        for (source, what), some in sorted(shown.items(), key=lambda one: ORDER.index(one[0][1]))
    ]
    heads = ("old", "new", "same", "changed", "moved", "changed_and_moved", "removed", "added")
    counts = [[name, *(one[head] for head in heads)] for name, one in found["sources"].items()]
    counts.append(["all", *(found["total"][head] for head in heads)])
    html = pages.render(
        "diff.html", old=found["old"], new=found["new"], total=found["total"], equal=found["equal"], groups=groups,
        count_heads=["source", *map(pages.words, heads)], count_rows=counts, reason_rows=list(_reasons(found)),
    )  # fmt: skip
    with atomic(path) as part:
        part.write_text(html, encoding="utf-8")


def _places(places: Iterator[int | None]) -> np.ndarray:
    return np.array([place for place in places if place is not None], np.int64)


def _reasons(found: dict[str, Any]) -> Iterator[list[Any]]:
    for source, one in found["sources"].items():
        for name in ("removed", "added"):
            for reason, rows in one[f"{name}_by_reason"].items():
                yield [source, name, pages.words(reason), rows]
        for name, label in (("fields", "changed"), ("sides", "moved from")):
            for what, rows in one[name].items():
                yield [source, label, pages.words(what), rows]


def _shown(row: Row, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    if row.fields:
        fields = [(name, list(compared(_text(before[name]), _text(after[name])))) for name in row.fields]
    else:
        here = before or after
        fields = [(name, [("same", _cut(_text(here[name])))]) for name in ("input", "response")]
    moved = f"{row.old_side} to {row.new_side}" if "moved" in row.what else ""
    return {"id": row.id, "reason": row.reason, "kept": row.kept, "moved": moved, "fields": fields}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if value and isinstance(value[0], dict):
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in value)
    return ", ".join(value) if all(isinstance(one, str) for one in value) else json.dumps(value)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]} ... ({len(text):,} characters)"


def compared(before: str, after: str) -> Iterator[Part]:
    """Two texts as parts that stayed, went and came, word by word; long parts that stayed are cut.

    >>> list(compared("I slept badly", "I slept well"))
    [('same', 'I slept '), ('removed', 'badly'), ('added', 'well')]
    """
    first, second = (re.findall(r"\w+|\s+|[^\w\s]", text) for text in (before, after))
    start = _alike(first, second)
    end = min(_alike(first[::-1], second[::-1]), len(first) - start, len(second) - start)
    middle = first[start : len(first) - end], second[start : len(second) - end]
    yield from _same(first[:start], head=False, tail=True)
    if max(map(len, middle)) > MOST:
        yield from ((kind, _cut("".join(words))) for kind, words in zip(("removed", "added"), middle, strict=True))
    else:
        yield from _words(*middle)
    yield from _same(first[len(first) - end :] if end else [], head=True, tail=False)


def _alike(first: list[str], second: list[str]) -> int:
    """How many words at the start are the same."""
    return next((n for n, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]),
                min(len(first), len(second)))  # fmt: skip


def _words(first: list[str], second: list[str]) -> Iterator[Part]:
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            yield from _same(first[a:b], head=True, tail=True)
            continue
        if a < b:
            yield "removed", "".join(first[a:b])
        if c < d:
            yield "added", "".join(second[c:d])


def _same(words: list[str], *, head: bool, tail: bool) -> Iterator[Part]:
    """What stayed: the words next to what differs, and how much was cut."""
    most = CONTEXT * (head + tail) * 2  # a gap is a word too
    if len(words) <= most:
        if words:
            yield "same", "".join(words)
        return
    if head:
        yield "same", "".join(words[: 2 * CONTEXT])
    yield "cut", f" [{(len(words) - most) // 2} words] "
    if tail:
        yield "same", "".join(words[-2 * CONTEXT :])
