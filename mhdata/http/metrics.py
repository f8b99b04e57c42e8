"""What Prometheus asks for: requests, jobs, the merged table."""

from __future__ import annotations

import time
from typing import get_args

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mhdata.http.context import Now, TheJobs
from mhdata.http.models import State

router = APIRouter(tags=["system"])


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        names = ("method", "route", "status")
        self.requests = Counter("mhdata_http_requests", "Requests answered.", names, registry=self.registry)
        self.seconds = Histogram(
            "mhdata_http_answer_seconds", "Seconds to the start of an answer.", ("method", "route"),
            registry=self.registry,
        )  # fmt: skip
        self.jobs = Gauge("mhdata_jobs", "Jobs by state.", ("state",), registry=self.registry)
        self.rows = Gauge("mhdata_merged_rows", "Rows of the merged table.", registry=self.registry)
        self.stale = Gauge("mhdata_stale_stages", "Stages that a build would run.", registry=self.registry)


class Meter:
    """Counts every answer by its route's pattern, so that ids make no series of their own."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route, method = _pattern(scope), _method(scope)
                self._metrics.requests.labels(method, route, message["status"]).inc()
                self._metrics.seconds.labels(method, route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, counted)


def _pattern(scope: Scope) -> str:
    """The path with its parameters' names, or one word for all that is no route."""
    if scope.get("route") is None:
        return "other"
    names = {value: f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    return "/".join(names.get(part, part) for part in scope["path"].split("/"))


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH")
    method = scope.get("method", "")
    return method if method in known else "other"


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, jobs: TheJobs, now: Now) -> Response:
    """Requests, jobs and rows, for Prometheus. Needs the token."""
    found: Metrics = request.app.state.metrics
    for state in get_args(State):
        found.jobs.labels(state).set(jobs.count(state))
    found.rows.set(now.status["merged"]["rows"] or 0)
    found.stale.set(sum(stage["state"] not in ("built", "unknown") for stage in now.status["stages"]))
    return Response(generate_latest(found.registry), media_type=CONTENT_TYPE_LATEST)
