"""datapackage: what the merged files say of themselves. `python -m stages.datapackage`

datapackage.json (Data Package 2.0) for the merged CSV and JSON, with the licences and obligations of their rows.
"""

from __future__ import annotations

import json
from typing import Any

from stages import errors, licenses, params
from stages.files import atomic, sha256
from stages.layout import MERGED, MERGED_TABLE
from stages.licenses import travel
from stages.licenses.travel import Part
from stages.params import Card
from stages.storage import read_batches

COLUMNS = ["source", "type", "license", *(f"origin.{name}" for name in travel.ORIGIN)]
KINDS = {"csv": "text/csv", "json": "application/json"}

# The six fields of both files.
FIELDS: tuple[dict[str, Any], ...] = (
    {"name": "input", "type": "string", "description": "what the person wrote", "constraints": {"required": True}},
    {"name": "response", "type": "string", "description": "what was really answered to it; in classification the label",
     "constraints": {"required": True}},
    {"name": "rejected_response", "type": "string", "description": "a worse answer to the same input; empty for none"},
    {"name": "source", "type": "string", "description": "the source's key", "constraints": {"required": True}},
    {"name": "type", "type": "string", "description": "what kind of row it is", "constraints": {"required": True}},
    {"name": "tags", "type": "array", "description": "sorted names; in the CSV as JSON text"},
)  # fmt: skip


def main() -> None:
    settings = params.load("profile", "card")
    tally, rows = travel.Tally(), 0
    for batch in read_batches(MERGED_TABLE, COLUMNS):
        tally.add(batch)
        rows += len(batch)
    parts = tally.parts()
    travel.write_obligations(MERGED, parts, settings.profile, travel.removed(parts))
    with atomic(MERGED / "datapackage.json") as part:
        part.write_text(json.dumps(package(settings.card, parts, rows), indent=2, ensure_ascii=False) + "\n", "utf-8")


def package(card: Card, parts: list[Part], rows: int) -> dict[str, Any]:
    """The document; an empty list is left out, as the standard asks."""
    ids = sorted({part.license for part in parts})
    found = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": card.name,
        "title": card.title,
        "version": card.version,
        **({"homepage": card.url} if card.url else {}),
        "created": f"{card.date}T00:00:00Z",
        "contributors": [{"title": card.creator}],
        "licenses": [{"name": id, "title": licenses.get(id).name, "path": f"LICENSES/{id}.txt"} for id in ids],
        "sources": [_source(part) for part in parts],
        "resources": [_resource(kind, rows) for kind in KINDS],
    }
    return {name: value for name, value in found.items() if value != []}


def _source(part: Part) -> dict[str, Any]:
    known = travel.credit(part.dataset)
    optional = {"path": known.get("url"), "version": part.revision}
    return {"title": f"{part.source}: {part.dataset}", **{name: value for name, value in optional.items() if value}}


def _resource(kind: str, rows: int) -> dict[str, Any]:
    path = MERGED_TABLE.with_suffix(f".{kind}")
    dialect = {"delimiter": ",", "lineTerminator": "\n", "quoteChar": '"', "doubleQuote": True, "header": True}
    return {
        "name": f"merged-{kind}",
        "type": "table",
        "path": path.name,
        "format": kind,
        "mediatype": KINDS[kind],
        "encoding": "utf-8",
        # frictionless counts no bytes of a JSON table, and calls a size that it did not count wrong
        **({"dialect": dialect, "bytes": path.stat().st_size} if kind == "csv" else {}),
        "hash": f"sha256:{sha256(path)}",
        "rows": rows,
        "schema": {"fields": [dict(field) for field in FIELDS], "missingValues": [""]},
    }


if __name__ == "__main__":
    errors.run(main)
