"""What routes are given: the workspace, and later what watches it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from mhdata.workspace import Workspace


def _workspace(request: Request) -> Workspace:
    found: Workspace = request.app.state.workspace
    return found


Here = Annotated[Workspace, Depends(_workspace)]
