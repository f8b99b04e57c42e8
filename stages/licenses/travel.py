"""What goes out with the rows of an export: licence texts, attribution, notices, obligations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from stages import licenses
from stages.files import atomic, atomic_folder, read_json, write_json
from stages.layout import LEDGER

PEOPLE = Path(__file__).parent / "attribution.yaml"
NAMES = ("LICENSES", "ATTRIBUTION.md", "OBLIGATIONS.json")  # what stands beside the rows, always

# The parts of a record's origin that say where it comes from.
ORIGIN = ("dataset", "revision", "file", "sha256", "edits")


@dataclass(frozen=True)
class Upstream:
    """An upstream file that rows of an export come from."""

    file: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class Part:
    """The rows of one source in an export."""

    source: str  # its key in params.yaml
    dataset: str
    license: str
    rows: int
    revision: str | None = None
    changes: Mapping[str, int] = field(default_factory=dict)  # edit -> rows it was made on
    types: Mapping[str, int] = field(default_factory=dict)  # type of record -> rows
    files: Sequence[Upstream] = ()


class Tally:
    """Counts the rows of an export by what their licences ask for: source, licence, upstream file, edits."""

    ALIKE = ("source", "license", "dataset", "revision")
    KEYS = (*ALIKE, "type", "file", "sha256")

    def __init__(self) -> None:
        self._rows: Counter[tuple[Any, ...]] = Counter()  # by KEYS
        self._edits: Counter[tuple[Any, ...]] = Counter()  # by ALIKE and edit
        self._order: dict[str, None] = {}  # sources, as they came

    def add(self, rows: pa.RecordBatch) -> None:
        """Count merged rows: columns source, type, license and origin with the fields of ORIGIN."""
        if not len(rows):
            return
        origin = rows["origin"]
        columns = {name: rows[name] for name in ("source", "license", "type")}
        columns |= {name: pc.struct_field(origin, name) for name in ORIGIN}
        edits = columns.pop("edits")
        whole = pa.table(columns)
        self._order |= dict.fromkeys(pc.unique(rows["source"]).to_pylist())
        self._rows += _counted(whole, self.KEYS)
        edited = whole.select(self.ALIKE).take(pc.list_parent_indices(edits))
        self._edits += _counted(edited.append_column("edit", edits.flatten()), (*self.ALIKE, "edit"))

    def join(self, other: Tally) -> None:
        """Count what another counted too."""
        self._rows.update(other._rows)
        self._edits.update(other._edits)
        self._order |= other._order

    def parts(self) -> list[Part]:
        """One part per source, licence and revision, in the order in which the sources came."""
        order = list(self._order)
        alike = sorted(
            {key[:4] for key in self._rows}, key=lambda key: (order.index(str(key[0])), *(part or "" for part in key))
        )
        return [self._part(*key) for key in alike]

    def _part(self, source: str, license: str, dataset: str, revision: str | None) -> Part:
        mine = {key[4:]: rows for key, rows in self._rows.items() if key[:4] == (source, license, dataset, revision)}
        types: Counter[str] = Counter()
        files: Counter[tuple[str, str]] = Counter()
        for (kind, file, sha256), rows in mine.items():
            types[str(kind)] += rows
            files[str(file), str(sha256)] += rows
        edits = {key[4]: n for key, n in self._edits.items() if key[:4] == (source, license, dataset, revision)}
        return Part(
            source, dataset, license, sum(mine.values()), revision, dict(sorted(edits.items())),
            dict(sorted(types.items())), [Upstream(*file, rows) for file, rows in sorted(files.items())],
        )  # fmt: skip


def _counted(table: pa.Table, names: Sequence[str]) -> Counter[tuple[Any, ...]]:
    """How many rows have each combination of values."""
    groups = table.group_by(list(names), use_threads=False).aggregate([([], "count_all")])
    keys = zip(*(groups[name].to_pylist() for name in names), strict=True)
    return Counter(dict(zip(keys, groups["count_all"].to_pylist(), strict=True)))


def read_parts(found: Iterable[Mapping[str, Any]]) -> list[Part]:
    """Parts as they stand in a ledger."""
    return msgspec.convert(list(found), list[Part])


def write_obligations(
    folder: Path, parts: Sequence[Part], profile: str | list[str], removed: Collection[str] = ()
) -> dict[str, Any]:
    """Write LICENSES/, with a NOTICE where a licence asks for one, ATTRIBUTION.md and OBLIGATIONS.json into `folder`.

    Parts without rows are left out. `removed` as in `licenses.refusal`. Returns what OBLIGATIONS.json holds.
    """
    present = [part for part in parts if part.rows]
    found = describe(present, profile, removed)
    with atomic_folder(folder / "LICENSES") as texts:
        for id in found["obligations"]["licenses"]:
            (texts / f"{id}.txt").write_bytes(licenses.text(id))
        if notices := found["obligations"]["notices"]:
            (texts / "NOTICE").write_bytes("".join(f"{notice['text']}\n" for notice in notices).encode())
    with atomic(folder / "ATTRIBUTION.md") as part:
        part.write_bytes(attribution(present).encode())
    write_json(folder / "OBLIGATIONS.json", found)
    return found


def removed(parts: Sequence[Part]) -> list[str]:
    """The licences of sources of which the deny list took rows out one by one."""
    return sorted({part.license for part in parts if _denied(part.source)})


def _denied(source: str) -> bool:
    return bool(read_json(LEDGER / "merge" / f"{source}.json")["rejected"].get("denied"))


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
