"""From settled rows to the files of a source: records, rows, rejects, report and ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from stages import ledger, record, text
from stages.engine.keys import hash128, hexes
from stages.files import atomic, sha256, write_json
from stages.layout import LEDGER, NORMALIZED
from stages.ledger import Ledger
from stages.llm import answers, budget, rounds
from stages.llm.answers import Held
from stages.llm.rounds import Row, Settled
from stages.params import Model
from stages.storage import ParquetSink

FIXTURE = "scripted"  # provider label of the scripted server
DUPLICATES = ("near_duplicate", "duplicate_answer")


@dataclass(frozen=True)
class Made:
    """One row in the words of its source. `key` is the key of the answer it rests on."""

    input: str
    response: str
    key: str
    group: str  # text, folded before it is compared
    tags: list[str]
    edits: list[str]
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """What all rows of a source have in common."""

    name: str
    type: str
    license: str
    group: str  # kind of group
    out: Path  # the answers


def is_fixture(row: Row) -> bool:
    """Whether a row was made by the scripted server, not by a model."""
    return any(answer.provider == FIXTURE for answer in row.answers.values())


def records(source: Source, made: Sequence[Made], held: Held) -> pa.RecordBatch:
    """Rows in the schema of the record. Ids come from the key of the answer: they outlive other rows and other runs."""
    count = len(made)
    keys = hexes(hash128(pa.array([m.key for m in made], pa.string())))
    groups = hexes(hash128(text.fold(pa.array([m.group for m in made], pa.string()))))
    digest = sha256(source.out)
    columns = {
        "id": hexes(hash128(pa.array([f"{source.name}/{key}/0" for key in keys], pa.string()))),
        "input": [m.input for m in made],
        "response": [m.response for m in made],
        "rejected_response": [None] * count,
        "source": [source.name] * count,
        "type": [source.type] * count,
        "tags": [m.tags for m in made],
        "system": [None] * count,
        "turns": [None] * count,
        "license": [source.license] * count,
        "group": [f"{source.group}:{group}" for group in groups],
        "origin": [_origin(source, m, held.places[m.key], digest) for m in made],
    }
    return pa.RecordBatch.from_arrays(
        [pa.array(columns[field.name], field.type) for field in record.SCHEMA], schema=record.SCHEMA
    )


def _origin(source: Source, made: Made, place: int, digest: str) -> dict[str, Any]:
    return {
        "dataset": source.name,
        "revision": None,
        "file": source.out.name,
        "sha256": digest,
        "row": place,
        "key": made.key,
        "meta": orjson.dumps(made.meta, option=orjson.OPT_SORT_KEYS).decode(),
        "edits": made.edits,
    }


def write_records(name: str, batch: pa.RecordBatch) -> None:
    """Write the source's records; a table without rows is valid too."""
    with atomic(NORMALIZED / f"{name}.parquet") as part:
        sink = ParquetSink(part, record.SCHEMA)
        sink.write(batch)
        sink.close()


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with answers.lines(path) as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def write_rejects(path: Path, settled: Settled) -> None:
    """Every candidate that was not accepted, with its reason, in the order of judgement. No text of it."""
    write_rows(
        path, ({s: getattr(r, s) for s in ("slot", "part", "attempt", "reason", "key")} for r in settled.rejected)
    )


def account(name: str, settled: Settled, fixtures: int) -> Ledger:
    """Candidates in, records out. Rows of the scripted server that stay outside are rejected as `fixture`."""
    reasons = rounds.reasons(settled)
    duplicates = sum(reasons.pop(reason, 0) for reason in DUPLICATES)
    if fixtures:
        reasons["fixture"] = fixtures
    count = len(settled.rows) + len(settled.rejected)
    left = {"open": len(settled.open), "failed": len(settled.failed)}
    return Ledger(
        name,
        name,
        count,
        len(settled.rows) - fixtures,
        reasons,
        duplicates,
        {"unfilled": left} if any(left.values()) else {},
    )


def write_ledger(account: Ledger) -> None:
    ledger.write(LEDGER / account.stage / f"{account.source}.json", account)


def report(settings: Model, slots: int, settled: Settled, held: Held, merged: int) -> dict[str, Any]:
    """Figures that every source of this kind reports. Answers that no slot asked for stay stored, and are counted."""
    used = [held.answers[key] for key in sorted(settled.used)]
    price = settings.limits.price_per_mtok
    tokens_in, tokens_out = sum(a.tokens_in for a in used), sum(a.tokens_out for a in used)
    return {
        "wanted": slots,
        "rows": len(settled.rows),
        "merged": merged,
        "open": len(settled.open),
        "failed": len(settled.failed),
        "rejected": dict(sorted(rounds.reasons(settled).items())),
        "answers": {
            "used": len(used),
            "unused": len(held.answers) - len(used),
            "unreadable_lines": held.bad_lines,
            "tokens_in": tokens_in,
            "tokens_out": tokens_out,
            "tokens_estimated": sum(a.estimated for a in used),
            "cost_usd": budget.cost(price, tokens_in, tokens_out) / budget.PICO if price else None,
        },
        "models": {
            "asked": f"{settings.endpoint.provider}/{settings.endpoint.model}" if slots else None,
            "reported": dict(sorted(Counter(a.reported or "none" for a in used).items())),
        },
    }


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    write_json(path, report)
