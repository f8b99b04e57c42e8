"""Errors as RFC 9457 problem details, all of them: our own, FastAPI's 422, unknown paths, bugs."""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from stages import errors
from stages.errors import DamagedError, PipelineError

MEDIA_TYPE = "application/problem+json"
LOG = logging.getLogger("mhdata.http")

# What an exit code of the command line is in HTTP: the workspace is in a state that forbids it, or an endpoint failed.
STATUS = {
    errors.FAILED: 500,
    errors.USAGE: 409,
    errors.REFUSED: 409,
    errors.ENDPOINT: 502,
    errors.INCOMPLETE: 503,
    errors.INTERRUPTED: 409,
}


class Problem(Exception):
    """An answer that is an error: raise it in a route. `detail` is one sentence, with the mend where there is one."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.members = status, detail, headers, members


class Flaw(BaseModel):
    """One thing that is wrong with a request."""

    where: Annotated[str, Field(description="body, query, path or header, then the name", examples=["body.force"])]
    says: str


class ProblemDetails(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(examples=["about:blank"])] = "about:blank"
    title: str
    status: int
    detail: str
    errors: Annotated[list[Flaw] | None, Field(description="What is wrong with the request, one by one.")] = None


def answer(status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> JSONResponse:
    """The response of a problem."""
    body = {"type": "about:blank", "title": http.HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body | members, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route, for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": http.HTTPStatus(status).phrase, "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Let every error of the application leave as a problem."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return answer(error.status, error.detail, error.headers, **error.members)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = error.headers if error.status_code != 405 else {"Allow": _allowed(request, error)}
        return answer(error.status_code, _sentence(request, error), headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        flaws = [_flaw(flaw) for flaw in error.errors()]
        malformed = any(flaw["type"] == "json_invalid" for flaw in error.errors())
        text = "; ".join(f"{flaw['where']}: {flaw['says']}" for flaw in flaws)
        return answer(400 if malformed else 422, text, errors=flaws)

    @app.exception_handler(PipelineError)
    async def pipeline(request: Request, error: PipelineError) -> JSONResponse:
        damaged = isinstance(error, DamagedError)  # the workspace, not the server, has to be mended
        said = str(error).replace(f"{request.app.state.workspace.root}/", "")
        return answer(409 if damaged else STATUS.get(error.code, 500), said)

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> JSONResponse:
        if said := errors.sentence(error):  # a full disk, a missing permission
            return answer(500, said)
        LOG.error("%s %s", request.method, request.url.path, exc_info=error)
        return answer(500, "a bug kept the server from answering: its log has the trace")


def _sentence(request: Request, error: HTTPException) -> str:
    if error.status_code == 404 and error.detail == "Not Found":
        return "there is nothing at this address: /docs lists what there is"
    if error.status_code == 405:
        return f"{request.method} is not possible at this address"
    return error.detail


def _allowed(request: Request, error: HTTPException) -> str:
    """All methods of an address: FastAPI names those of the first route alone."""
    paths = request.app.openapi()["paths"]
    found = [method for path, methods in paths.items() if _fits(path, request.url.path) for method in methods]
    return ", ".join(sorted(found)).upper() or (error.headers or {}).get("Allow", "GET")


def _fits(pattern: str, path: str) -> bool:
    """
    >>> _fits("/api/jobs/{job}", "/api/jobs/12"), _fits("/api/jobs/{job}", "/api/jobs/12/events")
    (True, False)
    """
    parts, given = pattern.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        part.startswith("{") or part == one for part, one in zip(parts, given, strict=True)
    )


def _flaw(flaw: Mapping[str, Any]) -> dict[str, str]:
    """
    >>> _flaw({"loc": ("body", "force"), "msg": "Input should be a valid boolean"})
    {'where': 'body.force', 'says': 'input should be a valid boolean'}
    """
    says = str(flaw["msg"])
    return {"where": ".".join(map(str, flaw["loc"])), "says": says[:1].lower() + says[1:]}
