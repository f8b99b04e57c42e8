"""The OpenAPI document with our problem details, and Swagger UI from a package: no asset comes from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from mhdata import graph
from mhdata.http import problems

OURS = Path(__file__).parent / "swagger"


def install(app: FastAPI) -> None:
    """Serve /openapi.json and /docs."""
    app.mount("/docs/ui", StaticFiles(packages=[("fastapi_offline", "static")]), name="swagger")
    app.mount("/docs/own", StaticFiles(directory=OURS), name="docs")
    app.add_api_route("/docs", _page, include_in_schema=False)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]


async def _page() -> FileResponse:
    return FileResponse(OURS / "index.html", media_type="text/html")


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = found["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):  # ours are problem details
            schemas.pop(name, None)
        own = problems.ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= own.pop("$defs", {}) | {"ProblemDetails": own}
        schemas["AskedFormat"]["properties"]["format"]["enum"] = [*graph.load(app.state.workspace).formats, "all"]
        for operation in (one for path in found["paths"].values() for one in path.values()):
            if "422" in operation["responses"]:  # FastAPI would show its own form of it
                operation["responses"]["422"] = problems.documented(422)[422]
        app.openapi_schema = found
    return app.openapi_schema
