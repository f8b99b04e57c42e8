"""Whether the server lives, and how the workspace stands."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from mhdata import state
from mhdata.http.context import Here

router = APIRouter(tags=["system"])
api = APIRouter(tags=["system"])


@router.get("/healthz")
async def health() -> dict[str, str]:
    """Whether the server lives. Needs no token."""
    return {"status": "ok"}


@api.get("/status")
def status(where: Here) -> dict[str, Any]:
    """What is built, what is stale and why: what `mhdata status --json` prints."""
    return state.status(where)
