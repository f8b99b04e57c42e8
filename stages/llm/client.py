"""HTTP: one request out, one response back. The only module that imports an HTTP library."""

from __future__ import annotations

from typing import Any

import httpx2
import orjson

from stages.llm.endpoint import Access
from stages.llm.verdict import Response
from stages.params import Endpoint

MAX_BODY = 16 << 20  # no completion is so long; a server that sends more is broken

# Faults before any of the request went out: the endpoint cannot have billed it.
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


class Client:
    """Posts bodies to one endpoint. Thread-safe. Redirects are not followed, nothing is logged."""

    def __init__(self, access: Access, endpoint: Endpoint, concurrency: int) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "mhdata"}
        if access.key:
            headers["Authorization"] = f"Bearer {access.key}"
        self._url, self._extensions = httpx2.URL(access.url), {}
        if access.pinned:
            headers["Host"] = access.host
            self._extensions = {"sni_hostname": self._url.host}
            self._url = self._url.copy_with(host=access.pinned)
        self._http = httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(endpoint.timeout_s, connect=min(10.0, endpoint.timeout_s)),
            follow_redirects=False,
            trust_env=access.proxies,
            limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        )

    def post(self, body: dict[str, Any]) -> Response:
        """Send one request; faults of the network come back as a Response with status 0."""
        try:
            with self._http.stream(
                "POST", self._url, content=orjson.dumps(body), extensions=self._extensions
            ) as stream:
                data = bytearray()
                for chunk in stream.iter_bytes():
                    data += chunk
                    if len(data) > MAX_BODY:
                        return Response(0, fault=f"a response of more than {MAX_BODY} bytes")
                return Response(stream.status_code, bytes(data), stream.headers.get("retry-after"))
        except _UNSENT as error:
            return Response(0, fault=type(error).__name__, billed=False)
        except httpx2.HTTPError as error:
            return Response(0, fault=type(error).__name__)

    def close(self) -> None:
        self._http.close()
