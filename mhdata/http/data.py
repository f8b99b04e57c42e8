"""Merge, prepare, build: how they stand, and asking for them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel

from mhdata import formats, graph, runner
from mhdata.http import files, problems
from mhdata.http.answers import fast
from mhdata.http.context import Here, Now, TheJobs
from mhdata.http.jobs import Jobs
from mhdata.http.models import Asked, AskedFormat, Built, Job, Merged, Prepared
from mhdata.http.problems import Problem
from mhdata.http.watch import View, Watch
from mhdata.runner import Request as Wanted
from mhdata.workspace import Workspace
from stages.errors import DamagedError, ParamsError

router = APIRouter(prefix="/ai/data", tags=["data"])
LONGEST = 600  # seconds that a request may wait
RETRY = "2"  # seconds after which to look at a job again

Wait = Annotated[
    int, Query(ge=0, le=LONGEST, description="Wait up to so many seconds, and answer with the result if it came.")
]
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "model": Job,
        "description": "A job does it: joined, or queued.",
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "The job's address."},
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."},
        },
    }
}
ASKED = {**ACCEPTED, **problems.documented(400, 409, 413, 415, 422, 500, 502, 503)}


@router.get("/merge", response_model=Merged, responses=problems.documented(409, 500))
async def merged(where: Here, jobs: TheJobs, now: Now) -> Response:
    """The merged table: whether it exists, where, since when, whether it is stale, and what it holds."""
    return fast(_merged(where, now, jobs))


@router.post("/merge", response_model=Merged, responses=ASKED)
async def merge(request: Request, asked: Annotated[Asked, Body()] = Asked(), wait: Wait = 0) -> Response:  # noqa: B008
    """Bring the merged table up to date. One that is up to date is answered at once, unless forced."""
    return await _ask(request, Wanted("merge", force=asked.force), wait)


@router.get("/prepare", response_model=Prepared, responses=problems.documented(409, 500))
async def prepared(where: Here, jobs: TheJobs, now: Now) -> Response:
    """The export formats: which exist, which are stale, and their files."""
    return fast(_prepared(where, now, jobs, None))


@router.post("/prepare", response_model=Prepared, responses=ASKED)
async def prepare(request: Request, where: Here, asked: AskedFormat, wait: Wait = 0) -> Response:
    """Bring a format, or `all` that params.yaml lists, up to date. What is up to date is answered at once."""
    names = await asyncio.to_thread(_names, where, asked.format)
    return await _ask(request, Wanted("prepare", names, asked.force), wait)


@router.post("/build", response_model=Built, responses=ASKED)
async def build(request: Request, asked: Annotated[Asked, Body()] = Asked(), wait: Wait = 0) -> Response:  # noqa: B008
    """Bring everything up to date: downloads, merge, split, exports, report."""
    return await _ask(request, Wanted("build", force=asked.force), wait)


# --- asking ---------------------------------------------------------------------------------------------------


async def _ask(request: Request, wanted: Wanted, wait: int) -> Response:
    where, jobs, watch = request.app.state.workspace, request.app.state.jobs, request.app.state.watch
    await asyncio.to_thread(_check, where, wanted)
    async with request.app.state.deciding:  # so that 50 who ask at once get one job
        job = jobs.same(wanted)
        if job is None and not wanted.force and await _up_to_date(where, jobs, watch, wanted):
            return fast(_result(where, await watch.view(), jobs, wanted, None))
        job = job or jobs.submit(wanted)
    if not wait or not await jobs.ended(job, wait):
        headers = {"Location": job.url, "Retry-After": RETRY}
        return fast(job, 202, headers)
    if job.error:
        raise Problem(problems.STATUS.get(job.error.code, 500), job.error.detail, job=job.url)
    return fast(_result(where, await watch.view(), jobs, wanted, job))


def _check(where: Workspace, wanted: Wanted) -> None:
    """Raises what keeps the request from ever being done."""
    runner.check(where)
    runner.refuse_unselected(where, wanted)


async def _up_to_date(where: Workspace, jobs: Jobs, watch: Watch, wanted: Wanted) -> bool:
    if jobs.current is not None:
        return False  # what runs may change it
    try:
        view = await watch.view()
    except DamagedError:
        return False  # a build makes it anew
    states = {stage["stage"]: stage["state"] for stage in view.status["stages"]}
    needed = await asyncio.to_thread(_needed, where, wanted)
    return all(states.get(stage) == "built" for stage in needed)


def _needed(where: Workspace, wanted: Wanted) -> list[str]:
    return graph.load(where).upstream(runner.targets(where, wanted))


def _names(where: Workspace, asked: str) -> tuple[str, ...]:
    if asked == "all":
        return tuple(formats.selected(where))
    try:
        return (formats.known(graph.load(where), asked),)
    except ParamsError as error:
        raise Problem(422, str(error), errors=[{"where": "body.format", "says": str(error)}]) from None


# --- answers --------------------------------------------------------------------------------------------------


def _result(where: Workspace, now: View, jobs: Jobs, wanted: Wanted, job: Job | None) -> BaseModel:
    rebuilt = bool(job and job.outcome and (job.outcome.ran or job.outcome.restored))
    if wanted.kind == "merge":
        return _merged(where, now, jobs).model_copy(update={"rebuilt": rebuilt, "job": job})
    chosen = wanted.formats if wanted.kind == "prepare" else None
    made = _prepared(where, now, jobs, chosen).model_copy(update={"rebuilt": rebuilt, "job": job})
    if wanted.kind == "prepare":
        return made
    return Built.model_construct(
        up_to_date=now.status["up_to_date"], merged=_merged(where, now, jobs), formats=made.formats,
        rebuilt=rebuilt, job=job,
    )  # fmt: skip


def _merged(where: Workspace, now: View, jobs: Jobs) -> Merged:
    found = now.status["merged"]
    downloads = files.addresses(where, [where.merged.with_suffix(f".{kind}") for kind in ("parquet", "json", "csv")])
    return Merged.model_construct(
        **found, statistics=now.statistics, job=jobs.current,
        downloads={address.rpartition(".")[2]: address for address in downloads} if found["exists"] else {},
    )  # fmt: skip


def _prepared(where: Workspace, now: View, jobs: Jobs, chosen: tuple[str, ...] | None) -> Prepared:
    found = {
        name: {**one, "downloads": files.addresses(where, one["files"])}
        for name, one in now.status["formats"].items()
        if chosen is None or name in chosen
    }
    return Prepared.model_construct(formats=found, job=jobs.current)
