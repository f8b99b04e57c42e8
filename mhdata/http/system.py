"""Whether the server lives, and how the workspace stands."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from mhdata.http import problems
from mhdata.http.answers import fast
from mhdata.http.context import Now
from mhdata.http.models import Health, Status

router = APIRouter(tags=["system"])
api = APIRouter(tags=["system"])


@router.get("/healthz")
async def health() -> Health:
    """Whether the server lives. Needs no token."""
    return Health()


@api.get("/status", response_model=Status, responses=problems.documented(409, 500))
async def status(now: Now) -> Response:
    """What is built, what is stale and why: what `mhdata status --json` prints."""
    return fast(now.status)


@api.get("/sources", response_model=list[dict[str, Any]], responses=problems.documented(409, 500))
async def sources(now: Now) -> Response:
    """The sources: licence, what came, what each enters: what `mhdata sources --json` prints."""
    return fast(now.sources)
