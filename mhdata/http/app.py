"""The application: routes, who may ask, and what stands before them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from mhdata import optional, state
from mhdata.http import artifacts, auth, data, docs, following, metrics, problems, system
from mhdata.http.auth import Rate, Tokens
from mhdata.http.jobs import Jobs
from mhdata.http.metrics import Meter, Metrics
from mhdata.http.shield import Shield
from mhdata.http.watch import Watch
from mhdata.workspace import Workspace

WEB = Path(__file__).parents[1] / "web"
LATER = ("mhdata.http.browse",)  # under /api, each with a `router`, where the module is there

ABOUT = """
Build the corpus, ask about it, and fetch it. Every path under `/api` needs `Authorization: Bearer TOKEN`.

A POST under `/api/ai/data` answers 200 with the result where it is up to date, else 202 with a job; `?wait=SECONDS`
waits for the job. One job runs at a time; asking again for what is asked for joins its job. Errors are
[RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem details.
"""


def create_app(
    workspace: Workspace, tokens: Tokens, hosts: tuple[str, ...] | None = None, rate: str | None = None
) -> FastAPI:
    """The application for a workspace. `hosts` are the names it answers to; None: any. `rate`: see `auth.Rate`."""
    app = FastAPI(
        title="mhdata", version=state.version(), description=ABOUT, docs_url=None, redoc_url=None,
        lifespan=_life,
    )  # fmt: skip
    app.state.workspace, app.state.tokens = workspace, tokens
    app.state.watch = Watch(workspace)
    app.state.jobs = Jobs(workspace, app.state.watch.changed)
    app.state.deciding = asyncio.Lock()
    app.state.digests, app.state.rate, app.state.metrics = {}, Rate(rate), Metrics()
    problems.install(app)
    app.add_middleware(Shield, hosts=hosts)
    app.add_middleware(Meter, metrics=app.state.metrics)
    _routes(app)
    docs.install(app)
    return app


def _routes(app: FastAPI) -> None:
    guarded: dict[str, Any] = {"dependencies": [Depends(auth.authorized)], "responses": problems.documented(401, 429)}
    routers = [data.router, following.router, artifacts.router, system.api]
    routers += [importlib.import_module(name).router for name in LATER if optional.present(name)]
    app.include_router(system.router)
    app.include_router(metrics.router, **guarded)
    for router in routers:
        app.include_router(router, prefix="/api", **guarded)
    app.mount("/static", StaticFiles(directory=WEB), name="static")
    app.add_api_route("/", _page, include_in_schema=False)


async def _page() -> FileResponse:
    """The web page; what it loads stands under /static."""
    return FileResponse(WEB / "index.html", media_type="text/html")


@contextlib.asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    app.state.jobs.start()
    yield
    await asyncio.to_thread(app.state.jobs.stop)
