"""What stands before every route: whose host it is, what a body may be, and the headers of every answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mhdata.http import problems

LOOPBACK = ("localhost", "127.0.0.1", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
WRITING = ("POST", "PUT", "PATCH", "DELETE")
BODY = 64 * 1024  # bytes that a request may send
TOO_LONG = f"a body may have {BODY} bytes"


class Shield:
    """Refuses what is not meant for us, and adds the security headers to every answer."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] | None) -> None:
        """`hosts`: the names that a request may ask for, so that no foreign name can be bound to a loopback server;
        None for any."""
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/api") else "no-cache")
            await send(message)

        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > BODY:
                raise HTTPException(413, TOO_LONG)
            return message

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, counted, guarded)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return problems.answer(
                421, f"this server is not {host or 'without a name'}: see `mhdata serve --help`, --name"
            )
        if _length(headers) > BODY:
            return problems.answer(413, TOO_LONG)
        if scope["method"] not in WRITING:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return problems.answer(403, "a page of another site may not change anything here")
        if (
            _has_body(headers)
            and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json"
        ):
            return problems.answer(415, "a body must be JSON: send the header `Content-Type: application/json`")
        return None


def _name(host: str) -> str:
    """The name in a Host header, without its port.

    >>> _name("[::1]:8000"), _name("localhost:8000"), _name("")
    ('::1', 'localhost', '')
    """
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _length(headers: Headers) -> int:
    told = headers.get("content-length", "")
    return int(told) if told.isdecimal() and len(told) < 20 else 0


def _has_body(headers: Headers) -> bool:
    return _length(headers) > 0 or "transfer-encoding" in headers
