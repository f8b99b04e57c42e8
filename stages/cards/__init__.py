"""What an export says of itself: the facts behind its dataset card and Croissant file, all from ledgers.

`facts` gathers; `readme` and `croissant` put into words. A figure stands in a ledger or it is not said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from stages import ledger, params
from stages.files import read_json, sha256
from stages.layout import LEDGER, REPORTS
from stages.licenses import travel
from stages.licenses.travel import Part
from stages.params import Card, Params

KNOWN = Path(__file__).parent / "known.yaml"

# The blocks of params.yaml that shape the rows.
BLOCKS = (
    "origin", "sources", "profile", "screens", "policy", "merge", "decontaminate", "split", "export", "synthesize",
    "paraphrase",
)  # fmt: skip
SIDES = ("train", "validation", "test", "held_out")


@dataclass(frozen=True)
class Flow:
    """Where the rows of one source went: upstream = rejected + dropped + duplicates + merged."""

    upstream: int
    rejected: int
    dropped: int
    duplicates: int
    merged: int
    sides: Mapping[str, int]  # of SIDES
    findings: Mapping[str, int]  # what the screens found in merged rows
    held: int
    redacted: int


@dataclass(frozen=True)
class Facts:
    """All that a card says."""

    card: Card
    origin: str
    profile: str | list[str]
    format: str
    export: Mapping[str, Any]  # the ledger of the format
    parts: list[Part]
    terms: Mapping[str, Any]  # what OBLIGATIONS.json holds
    flows: Mapping[str, Flow]  # by source, in the declared order
    audit: Mapping[str, Any]
    pipeline: str  # hex sha256 of what made it

    @property
    def rows(self) -> dict[str, int]:
        """Rows of the files by side; sides without a row are left out."""
        return {side: rows for side in SIDES if (rows := self.export["rows"].get(side))}

    @property
    def total(self) -> int:
        return sum(self.rows.values())

    @property
    def files(self) -> list[dict[str, Any]]:
        """The files that hold the rows of one side each; `path` as it is in the published folder."""
        return [file | {"path": published(file["path"])} for file in self.export["files"] if file["split"]]

    @property
    def made(self) -> dict[str, int]:
        """Rows that a model or a template wrote, by who made them; a row counts once, repeats aside."""
        found: dict[str, int] = {}
        for part in self.parts:
            for kind, rows in part.types.items():
                if maker := known(part.dataset).get("made_by", {}).get(kind):
                    label = f"{part.source}, {kind}: {maker}"
                    found[label] = found.get(label, 0) + rows
        return found


def published(path: str) -> str:
    """A file's path in the published folder, from that under data/exports: the format's own folder is the root.

    >>> published("hub/data/train-00000-of-00001.parquet"), published("mental_health_openai.jsonl")
    ('data/train-00000-of-00001.parquet', 'mental_health_openai.jsonl')
    """
    head, _, rest = path.partition("/")
    return rest or head


def facts(settings: Params, format: str) -> Facts:
    """Gather the facts of a format. `settings` must hold BLOCKS and card."""
    export = read_json(LEDGER / "export" / f"{format}.json", "files", "parts", "removed")
    parts = travel.read_parts(export["parts"])
    flows = {key: _flow(key) for key in params.ordered(params.with_made(settings))}
    return Facts(
        settings.card, settings.origin, settings.profile, format, export, parts,
        travel.describe(parts, settings.profile, export["removed"]), flows, read_json(REPORTS / "audit.json"),
        pipeline(settings),
    )  # fmt: skip


def _flow(key: str) -> Flow:
    first = LEDGER / (key if key in params.MADE else "normalize") / f"{key}.json"
    normalize, merge, split = (
        ledger.read(path) for path in (first, *(LEDGER / s / f"{key}.json" for s in ("merge", "split")))
    )
    details, sides = merge.get("details", {}), split.get("details", {})
    return Flow(
        upstream=normalize["in"],
        rejected=sum(normalize["rejected"].values()),
        dropped=sum(merge["rejected"].values()),
        duplicates=normalize["duplicates"] + merge["duplicates"],
        merged=merge["out"],
        sides={side: sides.get(side, 0) for side in SIDES},
        findings=details.get("findings", {}),
        held=details.get("held", 0),
        redacted=details.get("redacted", 0),
    )


@cache
def _known() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(KNOWN.read_bytes())
    return found


def known(dataset: str) -> dict[str, Any]:
    """What users must know of a dataset; nothing for one that is not described."""
    return _known().get(dataset, {})


# --- the pipeline ---------------------------------------------------------------------------------------------


def pipeline(settings: Params) -> str:
    """The hash of what made the rows: each dvc.yaml, the code, and the blocks of params.yaml that shape them.

    A commit would contain itself, since dvc.lock and the figures stand in git too.
    """
    blocks = msgspec.to_builtins({name: getattr(settings, name) for name in BLOCKS}, str_keys=True)
    digest = hashlib.sha256(msgspec.json.encode(blocks, order="sorted"))
    for path in _code():
        digest.update(f"\n{path.as_posix()} {sha256(path)}".encode())
    return digest.hexdigest()


def _code() -> Iterator[Path]:
    """All of stages/; in it stand links to each dvc.yaml, which DVC does not take for a dep itself."""
    for path in sorted(Path("stages").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".part"):
            yield path
