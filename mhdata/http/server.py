"""Serves the application by uvicorn: one server in a workspace, on the loopback unless told otherwise."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG

from mhdata.http import auth
from mhdata.http.app import create_app
from mhdata.http.auth import Tokens
from mhdata.http.shield import LOOPBACK
from mhdata.workspace import Workspace
from stages.errors import PipelineError, RefusedError

GRACE = 10  # seconds that open requests have when the server stops


@dataclass(frozen=True)
class Settings:
    """Where and for whom to serve."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any that is free
    names: tuple[str, ...] = ()  # host names that requests may ask for, beside the loopback's
    token_file: str | None = None
    no_auth: bool = False
    certificate: str | None = None
    key: str | None = None
    rate_limit: str = "none"  # requests per token, as 100/second


def run(workspace: Workspace, settings: Settings) -> None:
    """Serve until a signal.

    Raises RefusedError where it would be open to others or another server is here, PipelineError for an address that
    cannot be had.
    """
    app = create_app(
        workspace, _tokens(settings), _hosts(settings), None if settings.rate_limit == "none" else settings.rate_limit
    )
    with _socket(settings) as listening, _alone(workspace):
        config = uvicorn.Config(
            app, log_config=_log(), server_header=False, timeout_graceful_shutdown=GRACE, lifespan="on",
            ssl_certfile=settings.certificate, ssl_keyfile=settings.key,
        )  # fmt: skip
        _say(workspace, settings, listening)
        try:
            _Server(config, app).run(sockets=[listening])
        except KeyboardInterrupt:
            print("stopped; queued jobs start with the next server", file=sys.stderr)


class _Server(uvicorn.Server):
    """Lets those who follow a job go before it waits for open requests."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.jobs.close()
        super().handle_exit(signal.SIGINT if sig == signal.SIGTERM else sig, frame)


def _tokens(settings: Settings) -> Tokens:
    if settings.no_auth:
        if not loopback(settings.host):
            raise RefusedError(
                f"--no-auth is for the loopback alone, and {settings.host} is open to others: set {auth.VARIABLE}"
            )
        os.environ.pop(auth.VARIABLE, None)
        return Tokens([])
    tokens = auth.read(settings.token_file)
    if not tokens:
        raise RefusedError(
            f"there is no token: set {auth.VARIABLE} (make one with `{auth.MAKE}`), or use --token-file, "
            "or --no-auth on the loopback"
        )
    return Tokens(tokens)


def _hosts(settings: Settings) -> tuple[str, ...] | None:
    if not settings.names and not loopback(settings.host):
        return None
    return (*LOOPBACK, settings.host, *settings.names)


@contextlib.contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace against a second server, which would take our running job for one that was interrupted."""
    workspace.state.mkdir(parents=True, exist_ok=True)
    file = os.open(workspace.state / "serve.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RefusedError("another `mhdata serve` serves this folder: use it, or stop it first") from None
    finally:
        os.close(file)


@contextlib.contextmanager
def _socket(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise PipelineError(
            f"{settings.host} port {settings.port} cannot be had ({error}): choose another with --host or --port"
        ) from None
    with listening:
        yield listening


def _say(workspace: Workspace, settings: Settings, listening: socket.socket) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.certificate else "http"
    print(f"mhdata serves {workspace.root} at {scheme}://{host}:{listening.getsockname()[1]} "
          "(the API: /docs). Ctrl-C stops it.", file=sys.stderr, flush=True)  # fmt: skip
    if not loopback(settings.host) and not settings.certificate:
        print("note: tokens travel unencrypted: put a proxy with TLS before it, or give --certificate and --key",
              file=sys.stderr, flush=True)  # fmt: skip


def _log() -> dict[str, object]:
    """uvicorn's own, with all lines on stderr and no greeting but ours."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["handlers"]["access"]["stream"] = "ext://sys.stderr"
    config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    config["loggers"]["mhdata"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config


def loopback(host: str) -> bool:
    """
    >>> loopback("127.0.0.1"), loopback("localhost"), loopback("::1"), loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
