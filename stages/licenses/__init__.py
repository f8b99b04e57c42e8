"""What each licence permits and asks: which rows a profile may hold, and what must go out with them.

The facts are the table in `table.py` and the full texts in `texts/`; a licence is known when it has both.
Where the text of a licence is doubtful the table holds the stricter reading, and its notes say so.
Nothing here is legal advice.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from stages.licenses.table import LEVELS, LICENSES, PERMISSIONS, Level, License
from stages.params import check_license, check_profile

TEXTS = Path(__file__).parent / "texts"

KNOWN: dict[str, License] = {entry.id: entry for entry in LICENSES}


def text(id: str) -> bytes:
    """The full text of a licence, byte for byte as its authors published it."""
    return (TEXTS / f"{get(id).id}.txt").read_bytes()


def get(id: str) -> License:
    """The licence of that id. Raises ParamsError with the nearest known id."""
    check_license(id, "a licence")
    return KNOWN[id]


def profile(name: str | list[str]) -> tuple[str, ...]:
    """The ids of the licences whose rows may be in a build of that profile, sorted.

    research: all, for private use. noncommercial: those that let rows be passed on. permissive: those that
    limit neither use, edits, selection nor passing on. A list is taken as it is.

    >>> profile("permissive")
    ('Apache-2.0', 'CC-BY-4.0', 'CC0-1.0', 'MIT')
    """
    check_profile(name)
    if isinstance(name, list):
        return tuple(sorted(set(name)))
    tests = {"research": lambda _: True, "noncommercial": _may_travel, "permissive": _is_free}
    return tuple(sorted(id for id, entry in KNOWN.items() if tests[name](entry)))


def may_travel(license: str) -> bool:
    """Whether rows under a licence may be passed on, on its terms."""
    return _may_travel(get(license))


def _may_travel(entry: License) -> bool:
    return entry.redistribution in ("yes", "conditional")


def _is_free(entry: License) -> bool:
    granted = all(getattr(entry, name) == "yes" for name in PERMISSIONS)
    return granted and not (entry.share_alike or entry.outputs or entry.use_limits)


def allows(license: str, name: str | list[str]) -> bool:
    """Whether rows under a licence may be in a build of that profile."""
    return get(license).id in profile(name)


def obligations(ids: Collection[str]) -> dict[str, Any]:
    """What a mix of licences permits and asks, as plain values for JSON; the most restrictive wins.

    A permission holds the value for the mix and the licences that cause it: an obligation on edits binds the
    rows under those licences alone.

    >>> obligations(["MIT", "CC-BY-NC-4.0"])["commercial"]
    {'value': 'no', 'because': ['CC-BY-NC-4.0']}
    """
    entries = [get(id) for id in sorted(set(ids))]
    mix: dict[str, Any] = {name: _strictest(entries, name) for name in PERMISSIONS}
    mix["licenses"] = [entry.id for entry in entries]
    mix["share_alike"] = [entry.id for entry in entries if entry.share_alike]
    mix["attribution"] = [entry.id for entry in entries if entry.attribution]
    mix["conditions"] = _lines(entries, "conditions")
    mix["notices"] = _lines(entries, "notices")
    mix["outputs"] = _lines(entries, "outputs")
    mix["use_limits"] = _lines(entries, "use_limits")
    mix["travels"] = {entry.id: [f"LICENSES/{entry.id}.txt", *entry.travels] for entry in entries}
    return mix


def _strictest(entries: list[License], name: str) -> dict[str, Any]:
    levels: list[Level] = [getattr(entry, name) for entry in entries]
    value = max(levels, key=LEVELS.index, default="yes")
    because = [entry.id for entry, level in zip(entries, levels, strict=True) if level == value and value != "yes"]
    return {"value": value, "because": because}


def _lines(entries: list[License], name: str) -> list[dict[str, str]]:
    return [{"license": entry.id, "text": line} for entry in entries for line in getattr(entry, name)]


def refusal(ids: Collection[str], name: str | list[str], removed: Collection[str] = ()) -> str | None:
    """Why a build may not be passed on, as one sentence with the mend, or None if it may.

    `ids` are the licences of its rows, `name` is its profile, `removed` the licences of rows that were taken out one
    by one (a takedown), and not by a rule.
    """
    if name == "research":
        return (
            "the profile `research` is for private use, so this build stays on this machine: "
            "set `profile: noncommercial` or `permissive` in params.yaml and build again"
        )
    private = [get(id).id for id in sorted(set(ids)) if not _may_travel(get(id))]
    if private:
        return (
            f"rows under {', '.join(private)} may not be passed on: state the licence of their source in params.yaml "
            "if you know it, or leave that source out (`enabled: false`), and build again"
        )
    whole = [id for id in sorted(set(removed) & set(ids)) if get(id).single_row_removal == "no"]
    if whole:
        return (
            f"{', '.join(whole)} forbids passing rows on after single ones were taken out, and data/deny.txt took "
            "some: leave that source out (`enabled: false`) and build again"
        )
    return None


def may_pass_on(ids: Collection[str], name: str | list[str], removed: Collection[str] = ()) -> bool:
    """Whether a build may leave the machine it was made on; `refusal` says why not."""
    return refusal(ids, name, removed) is None
