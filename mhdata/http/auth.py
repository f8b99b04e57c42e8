"""Who may ask, and how often: a bearer token, from an environment variable or a file, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import time
from pathlib import Path
from typing import Annotated

import limits
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from mhdata.http.problems import Problem
from stages.errors import PipelineError, RefusedError

VARIABLE = "MHDATA_TOKEN"
FILE_VARIABLE = "MHDATA_TOKEN_FILE"
SHORTEST = 16  # characters
MAKE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'

_bearer = HTTPBearer(auto_error=False, description="The token that the server was started with.")


class Tokens:
    """The tokens that are let in; only their hashes are kept. None at all lets everybody in (`--no-auth`)."""

    def __init__(self, tokens: list[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    @property
    def required(self) -> bool:
        return bool(self._digests)

    def name(self, given: str) -> str | None:
        """A name for a token that is let in, which does not tell it; None for another.

        >>> tokens = Tokens(["a" * 16, "b" * 16])
        >>> tokens.name("b" * 16), tokens.name("c" * 16)
        ('token 2', None)
        """
        digest, found = _digest(given), None
        for number, known in enumerate(self._digests, 1):  # all of them: time tells nothing
            if hmac.compare_digest(digest, known):
                found = f"token {number}"
        return found


class Rate:
    """How often a token, or a stranger's address, may ask."""

    def __init__(self, limit: str | None) -> None:
        """`limit` as in `100/second` or `6000/minute`; None: as often as it likes. Raises RefusedError."""
        self._limit: RateLimitItem | None = None
        if limit is None:
            return
        try:
            self._limit = limits.parse(limit)
        except ValueError:
            raise RefusedError(f"{limit!r} is no rate: write it as 100/second or 6000/minute, or none") from None
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def wait(self, who: str) -> int:
        """Seconds until they may ask again; 0: now, and it is counted."""
        if self._limit is None or self._window.hit(self._limit, who):
            return 0
        return max(math.ceil(self._window.get_window_stats(self._limit, who).reset_time - time.time()), 1)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def read(file: str | None) -> list[str]:
    """The tokens of the environment or of a file with one a line. The variable is taken out, so no stage inherits it.

    Raises RefusedError for one that can be guessed, PipelineError for a file that cannot be read.
    """
    held = os.environ.pop(VARIABLE, "")
    named = file or os.environ.pop(FILE_VARIABLE, "")
    found = [held.strip()] if held.strip() else []
    if named:
        try:
            lines = Path(named).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise PipelineError(f"the token file {named} cannot be read ({error}): check its path and mode") from None
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for token in found:
        if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            raise RefusedError(
                f"a token needs {SHORTEST} or more ASCII characters without a space: make one with `{MAKE}`"
            )
    return found


async def authorized(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    """The name of the token that asks. Raises a 401."""
    tokens: Tokens = request.app.state.tokens
    client = request.client.host if request.client else "unknown"
    name = (tokens.name(given.credentials) if given else None) if tokens.required else "anybody"
    wait = request.app.state.rate.wait(name or f"stranger at {client}")
    if wait:
        raise Problem(429, f"too many requests: wait {wait} seconds", headers={"Retry-After": str(wait)})
    if name is None:
        said = "the token is not the server's" if given else "send the header `Authorization: Bearer TOKEN`"
        raise Problem(401, said, headers={"WWW-Authenticate": 'Bearer realm="mhdata"'})
    return name
