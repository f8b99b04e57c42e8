"""Serves the application by uvicorn."""

from __future__ import annotations

import ipaddress

import uvicorn

from mhdata.http import auth
from mhdata.http.app import create_app
from mhdata.http.auth import Tokens
from mhdata.http.shield import LOOPBACK
from mhdata.workspace import Workspace
from stages.errors import RefusedError


def run(
    workspace: Workspace, host: str, port: int, names: tuple[str, ...], token_file: str | None, no_auth: bool
) -> None:
    """Serve until a signal. Raises RefusedError where it would be open to others."""
    tokens = [] if no_auth else auth.read(token_file)
    if no_auth and not loopback(host):
        raise RefusedError(f"--no-auth is for the loopback alone, and {host} is open to others: set {auth.VARIABLE}")
    if not tokens and not no_auth:
        raise RefusedError(
            f"there is no token: set {auth.VARIABLE} (make one with `{auth.MAKE}`), or use --token-file, "
            "or --no-auth on the loopback"
        )
    hosts = (*LOOPBACK, host, *names) if loopback(host) or names else None
    app = create_app(workspace, Tokens(tokens), hosts)
    uvicorn.run(app, host=host, port=port, server_header=False)


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
