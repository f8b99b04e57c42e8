"""What goes out with the rows of an export: licence texts, attribution, notices, obligations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from stages import licenses
from stages.files import atomic, write_json

PEOPLE = Path(__file__).parent / "attribution.yaml"


@dataclass(frozen=True)
class Part:
    """The rows of one source in an export."""

    source: str  # its key in params.yaml
    dataset: str
    license: str
    rows: int
    revision: str | None = None
    changes: Mapping[str, int] = field(default_factory=dict)  # edit -> rows it was made on


def write_obligations(
    folder: Path, parts: Sequence[Part], profile: str | list[str], removed: Collection[str] = ()
) -> dict[str, Any]:
    """Write LICENSES/, ATTRIBUTION.md, OBLIGATIONS.json and, where a licence asks for one, NOTICE into `folder`.

    Parts without rows are left out. `removed` as in `licenses.refusal`. Returns what OBLIGATIONS.json holds.
    """
    present = [part for part in parts if part.rows]
    found = describe(present, profile, removed)
    for id in found["obligations"]["licenses"]:
        _write(folder / "LICENSES" / f"{id}.txt", licenses.text(id))
    _write(folder / "ATTRIBUTION.md", attribution(present).encode())
    if notices := found["obligations"]["notices"]:
        _write(folder / "NOTICE", "".join(f"{notice['text']}\n" for notice in notices).encode())
    write_json(folder / "OBLIGATIONS.json", found)
    return found


def _write(path: Path, content: bytes) -> None:
    with atomic(path) as part:
        part.write_bytes(content)


def describe(parts: Sequence[Part], profile: str | list[str], removed: Collection[str] = ()) -> dict[str, Any]:
    """The obligations of a mix, its sources and licences, as plain values for JSON."""
    ids = sorted({part.license for part in parts})
    return {
        "profile": profile,
        "may_be_passed_on": licenses.may_pass_on(ids, profile, removed),
        "obligations": licenses.obligations(ids),
        "licenses": {id: {"name": licenses.get(id).name, "url": licenses.get(id).url} for id in ids},
        "rows": {id: sum(part.rows for part in parts if part.license == id) for id in ids},
        "sources": [asdict(part) | {"changes": dict(sorted(part.changes.items()))} for part in parts],
    }


@cache
def _people() -> dict[str, dict[str, Any]]:
    people: dict[str, dict[str, Any]] = yaml.safe_load(PEOPLE.read_bytes())
    return people


def credit(dataset: str) -> dict[str, Any]:
    """Name, authors, url, citation and more of a dataset; only its id for one that is not described."""
    return _people().get(dataset, {"name": dataset, "authors": []})


def attribution(parts: Sequence[Part]) -> str:
    """ATTRIBUTION.md: who made the rows, under which licence, and what was changed."""
    return "# Attribution\n" + "".join(f"\n{_entry(part)}" for part in parts)


def _entry(part: Part) -> str:
    known, license = credit(part.dataset), licenses.get(part.license)
    changes = [f"{name} ({rows:,} rows)" for name, rows in sorted(part.changes.items()) if rows]
    lines = {
        "Dataset": f"{part.dataset}" + (f" at revision {part.revision}" if part.revision else ""),
        "Authors": ", ".join(known["authors"]) or "not stated",
        "Publisher": known.get("publisher"),
        "Copyright": known.get("copyright"),
        "URL": known.get("url"),
        "Repository": known.get("repository"),
        "Citation": known.get("citation"),
        "Licence": f"{license.name} ({license.id}), text in LICENSES/{license.id}.txt"
        + (f", {license.url}" if license.url else ""),
        "Rows here": f"{part.rows:,}, selected and put into a common form by this pipeline",
        "Changes to the text": "; ".join(changes) or "none",
        "Note": known.get("note"),
    }
    return f"## {known['name']}\n\n" + "".join(f"- {name}: {value}\n" for name, value in lines.items() if value)
