"""The application: routes, who may ask, and what stands before them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from mhdata import optional, state
from mhdata.http import auth, problems, system
from mhdata.http.auth import Tokens
from mhdata.http.shield import Shield
from mhdata.workspace import Workspace

BODY = 64 * 1024  # bytes that a request may send
WEB = Path(__file__).parents[1] / "web"
ROUTERS = ("mhdata.http.browse",)  # under /api, each with a `router`


def create_app(workspace: Workspace, tokens: Tokens, hosts: tuple[str, ...] | None = None) -> FastAPI:
    """The application for a workspace. `hosts` are the names it answers to; None: any."""
    app = FastAPI(
        title="mhdata", version=state.version(), docs_url=None, redoc_url=None, max_body_size=BODY,
        summary="Build the mental-health corpus, ask about it, and fetch it.",
    )  # fmt: skip
    app.state.workspace, app.state.tokens = workspace, tokens
    problems.install(app)
    app.add_middleware(Shield, hosts=hosts)
    guarded: dict[str, Any] = {
        "dependencies": [Depends(auth.authorized)],
        "responses": problems.documented(401),
    }
    app.include_router(system.router)
    app.include_router(system.api, prefix="/api", **guarded)
    for name in ROUTERS:
        if optional.present(name):
            app.include_router(importlib.import_module(name).router, prefix="/api", **guarded)
    app.mount("/static", StaticFiles(directory=WEB), name="static")
    app.add_api_route("/", _page, include_in_schema=False)
    return app


async def _page() -> FileResponse:
    """The web page; what it loads stands under /static."""
    return FileResponse(WEB / "index.html", media_type="text/html")
