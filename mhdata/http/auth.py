"""Who may ask: a bearer token, from an environment variable or a file, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

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
    if not tokens.required:
        return "anybody"
    name = tokens.name(given.credentials) if given else None
    if name is None:
        said = "the token is not the server's" if given else "send the header `Authorization: Bearer TOKEN`"
        raise Problem(401, said, headers={"WWW-Authenticate": 'Bearer realm="mhdata"'})
    return name
