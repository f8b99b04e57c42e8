"""What routes are given: the workspace, what watches it, the jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from mhdata.http.jobs import Jobs
from mhdata.http.models import Job
from mhdata.http.problems import Problem
from mhdata.http.watch import View, Watch
from mhdata.workspace import Workspace


def _workspace(request: Request) -> Workspace:
    found: Workspace = request.app.state.workspace
    return found


def _jobs(request: Request) -> Jobs:
    found: Jobs = request.app.state.jobs
    return found


async def _view(request: Request) -> View:
    watch: Watch = request.app.state.watch
    return await watch.view()


Here = Annotated[Workspace, Depends(_workspace)]
TheJobs = Annotated[Jobs, Depends(_jobs)]
Now = Annotated[View, Depends(_view)]


async def _known(jobs: TheJobs, job: str) -> Job:
    found = jobs.get(job)
    if found is None:
        raise Problem(404, "there is no such job: GET /api/jobs lists them, and the oldest are forgotten")
    return found


TheJob = Annotated[Job, Depends(_known)]
