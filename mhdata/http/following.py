"""The jobs: which there are, what happens in them, and stopping one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from mhdata.http import models, problems
from mhdata.http.answers import fast
from mhdata.http.context import TheJob, TheJobs
from mhdata.http.models import Job, State
from mhdata.http.problems import Problem
from mhdata.http.store import ID

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("", response_model=models.Jobs, responses=problems.documented(422))
async def listed(
    jobs: TheJobs,
    state: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(pattern=f"^{ID}$", description="`next` of the page before.")] = None,
) -> Response:
    """The jobs, newest first, page by page."""
    found = jobs.page(state, limit + 1, cursor)
    more = found[limit - 1].id if len(found) > limit else None
    return fast(models.Jobs.model_construct(items=found[:limit], next=more))


@router.get("/{job}", response_model=Job, responses=problems.documented(404))
async def one(job: TheJob) -> Response:
    """One job, with its progress while it runs."""
    return fast(job)


@router.get("/{job}/events", response_class=EventSourceResponse, responses=problems.documented(404, 422))
async def followed(
    jobs: TheJobs,
    job: TheJob,
    last: Annotated[int, Header(alias="Last-Event-ID", ge=0, le=2**53, description="Go on after this event.")] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """What happens in a job, from its start, as server-sent events; the last one is `end` with the job."""
    async for number, event in jobs.events(job, last):
        yield ServerSentEvent(id=str(number), event=event.pop("event"), data=event)


@router.delete(
    "/{job}",
    response_model=Job,
    responses={
        200: {"description": "It is cancelled."},
        202: {"model": Job, "description": "It was asked to stop; `cancelling` until it has."},
        **problems.documented(404, 409),
    },
)
async def cancelled(jobs: TheJobs, job: TheJob) -> Response:
    """Stop a job. What it has finished stays; nothing half-written is kept."""
    if not jobs.cancel(job) and job.state != "cancelled":
        raise Problem(
            409, f"this job has ended: it {job.state}" if job.state != "interrupted" else "it was interrupted"
        )
    return fast(job, 200 if job.ended else 202)
