"""TRACE (PomboLabs): synthetic teaching programs and session notes of behaviour analysis (ABA)."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa

from stages import text
from stages.params import Source
from stages.readers import RAW_JSON
from stages.record import TURN
from stages.sources import drafts

GROUP = "input"
REPAIRS = text.REPAIRS
CHOICES = ()

ROLES = ["system", "user", "assistant"]


class Meta(msgspec.Struct):
    """The one field of meta that we read; its other keys differ from row to row and stay as JSON text."""

    example_id: str | None = None


def raw(params: Source) -> pa.Schema:
    return pa.schema([pa.field("messages", pa.list_(TURN), nullable=False), RAW_JSON.with_name("meta")])


def draft(batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch:
    rows = [_row(messages) for messages in batch["messages"].to_pylist()]
    fields = {name: pa.array([row[name] for row in rows], pa.string()) for name in (*ROLES, "reject", "message")}
    return drafts(
        len(batch),
        input=fields["user"],
        response=fields["assistant"],
        type="clinical",
        tags=["aba", "synthetic"],
        system=fields["system"],
        group=fields["user"],
        key=pa.array([_example(meta) for meta in batch["meta"].to_pylist()], pa.string()),
        meta=batch["meta"],
        reject=fields["reject"],
        message=fields["message"],
    )


def _row(messages: list[dict[str, str]]) -> dict[str, Any]:
    roles = [message["role"] for message in messages]
    if roles != ROLES:
        message = f"the roles are {', '.join(roles) or 'none'}, expected {', '.join(ROLES)}"
        return dict.fromkeys(ROLES) | {"reject": "wrong_roles", "message": message}
    return {m["role"]: m["content"] for m in messages} | {"reject": None, "message": None}


def _example(meta: str | None) -> str | None:
    try:
        return None if meta is None else msgspec.json.decode(meta, type=Meta).example_id
    except msgspec.DecodeError:
        return None  # no key: the row's id then comes from its content
