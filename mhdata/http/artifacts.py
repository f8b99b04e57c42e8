"""What a build made, to be fetched: a name that is looked up, never a path.

A name is the file's path under data/ with `~` for `/`. Range and If-Range let a broken download go on; the ETag is the
sha256 of the bytes, and Repr-Digest gives it to those who check.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import AsyncIterator
from email.utils import formatdate
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from mhdata.http import files, models, problems
from mhdata.http.answers import fast
from mhdata.http.context import Now
from mhdata.http.problems import Problem

router = APIRouter(prefix="/artifacts", tags=["artifacts"])
CHUNK = 256 * 1024  # bytes


@router.get("", response_model=models.Artifacts)
async def listed(now: Now) -> Response:
    """All files that may be fetched."""
    return fast(models.Artifacts.model_construct(items=[file.shown for file in now.files.values()]))


_HEADERS = {
    name: {"schema": {"type": "string"}} for name in ("ETag", "Accept-Ranges", "Repr-Digest", "Content-Disposition")
}
FETCHED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"*/*": {}}, "headers": _HEADERS},
    206: {"description": "The range of it.", "content": {"*/*": {}},
          "headers": _HEADERS | {"Content-Range": {"schema": {"type": "string"}}}},
    304: {"description": "You have it: the ETag is that of If-None-Match."},
    **problems.documented(404, 416, 422),
}  # fmt: skip
Text = Annotated[str | None, Header()]


@router.get("/{name}", response_class=Response, responses=FETCHED)
async def fetched(
    request: Request, now: Now, name: str, range: Text = None, if_range: Text = None, if_none_match: Text = None
) -> Response:
    """One file, or a range of it."""
    if name not in now.files:
        raise Problem(404, "there is no such artifact: GET /api/artifacts lists them, and a build makes them")
    path = now.files[name].path
    try:
        file = await run_in_threadpool(path.open, "rb")
    except OSError:
        raise Problem(404, f"{name} is being replaced by a build: ask again when it has ended") from None
    digest = await run_in_threadpool(_digest, request.app.state.digests, file)
    return _answer(request, path, file, digest, range, if_range, if_none_match)


@router.head("/{name}", response_class=Response, responses=FETCHED)
async def described(
    request: Request, now: Now, name: str, range: Text = None, if_range: Text = None, if_none_match: Text = None
) -> Response:
    """The headers of one file."""
    return await fetched(request, now, name, range, if_range, if_none_match)


Digests = dict[tuple[int, int, int], bytes]


def _digest(known: Digests, file: BufferedReader) -> bytes:
    """sha256 of an open file, remembered by its number, size and time. The file is left at its start."""
    stat = os.fstat(file.fileno())
    key = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key not in known:
        known[key] = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
    return known[key]


def _answer(
    request: Request, path: Path, file: BufferedReader, digest: bytes, asked: str | None, condition: str | None,
    held: str | None,
) -> Response:  # fmt: skip
    stat = os.fstat(file.fileno())
    etag = f'"{digest.hex()}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{path.name}"',
        "ETag": etag,
        "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
    }
    if held is not None and _holds(held, etag):
        file.close()
        return Response(status_code=304, headers=headers)
    try:
        part = span(asked, stat.st_size) if condition in (None, etag) else None
    except ValueError:
        file.close()
        raise Problem(
            416, f"the file has {stat.st_size} bytes", headers={"Content-Range": f"bytes */{stat.st_size}"}
        ) from None
    start, end = part or (0, stat.st_size)
    headers["Content-Length"] = str(end - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stat.st_size}"
    status, kind = 206 if part else 200, files.type_of(path)
    if request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(_chunks(file, start, end), status, headers, kind)


def _holds(held: str, etag: str) -> bool:
    """Whether If-None-Match names the ETag; the comparison is weak."""
    return held.strip() == "*" or etag in (one.strip().removeprefix("W/") for one in held.split(","))


_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.I)


def span(asked: str | None, size: int) -> tuple[int, int] | None:
    """The bytes that a Range header names, end exclusive; None for the whole file.

    Several ranges, other units and nonsense get the whole file, as RFC 9110 allows. Raises ValueError for a range
    that the file does not have.

    >>> span("bytes=0-9", 100), span("bytes=90-", 100), span("bytes=-5", 100), span("bytes=0-1,4-5", 100)
    ((0, 10), (90, 100), (95, 100), None)
    """
    found = _RANGE.fullmatch(asked) if asked else None
    if found is None or (not found[1] and not found[2]):
        return None
    if not found[1]:
        start, end = max(size - int(found[2]), 0), size
    else:
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or start >= end:
        raise ValueError(asked)
    return start, end


async def _chunks(file: BufferedReader, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes from the file that was opened: a build that replaces it meanwhile changes nothing here."""
    try:
        file.seek(start)
        while start < end:
            chunk = await run_in_threadpool(file.read, min(CHUNK, end - start))
            if not chunk:
                return  # cut short under us; the client sees it by the length
            start += len(chunk)
            yield chunk
    finally:
        file.close()
