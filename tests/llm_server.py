"""A scripted OpenAI-compatible server on the loopback: its reply is a function of the request, its faults are planned.

It counts what a real one would bill, so that a test can compare money, not only texts.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from stages.llm.prose import Texts
from stages.synthesize import checks
from tests import scripted_text

Body = dict[str, Any]


@dataclass
class Fault:
    """What goes wrong instead of a reply. `kind`: status, reset, half, html, garbage or hang."""

    kind: str = "status"
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


class Scripted:
    """The server. `fault(body, number)` may give a Fault for the number-th request; `reply(body)` a completion."""

    def __init__(
        self,
        fault: Callable[[Body, int], Fault | None] | None = None,
        reply: Callable[[Body], Body] | None = None,
        delay: float = 0.0,
    ) -> None:
        self.fault, self.reply, self.delay = fault or (lambda body, number: None), reply or completion, delay
        self.bodies: list[Body] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: Counter[int] = Counter()
        self.sold_in = self.sold_out = 0
        self.under_way = self.most_under_way = 0
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> int:
        return len(self.bodies)

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve one request."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._guard:
            self.bodies.append(body)
            self.paths.append(handler.path)
            self.headers.append(dict(handler.headers.items()))
            number = len(self.bodies)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            fault = self.fault(body, number)
            if self.delay:
                time.sleep(self.delay)
            if fault is None:
                self._sell(handler, body)
            else:
                self._fail(handler, fault, body)
        finally:
            with self._guard:
                self.under_way -= 1

    def _sell(self, handler: BaseHTTPRequestHandler, body: Body) -> None:
        whole = self.reply(body)
        self._bill(body, whole)
        self._send(handler, 200, whole)

    def _bill(self, body: Body, whole: Body) -> None:
        usage = whole.get("usage") or {}
        with self._guard:
            self.sold_in += max(0, usage.get("prompt_tokens", 0))
            self.sold_out += max(0, usage.get("completion_tokens", 0))

    def _fail(self, handler: BaseHTTPRequestHandler, fault: Fault, body: Body) -> None:
        if fault.kind == "status":
            self._send(
                handler,
                fault.status,
                fault.body if fault.body is not None else {"error": {"code": "scripted"}},
                fault.headers,
            )
        elif fault.kind == "reset":
            # linger 0: the socket closes with a reset, not with an orderly end
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.rfile.close()
            handler.connection.close()
        elif fault.kind == "half":
            whole = self.reply(body)
            self._bill(body, whole)
            data = json.dumps(whole).encode()
            self._head(handler, 200, {"Content-Length": str(len(data))})
            handler.wfile.write(data[: len(data) // 2])
            handler.close_connection = True
        elif fault.kind == "html":
            self._raw(handler, 200, b"<!doctype html><title>Sign in</title>", {"Content-Type": "text/html"})
        elif fault.kind == "garbage":
            self._raw(handler, 200, b'{"choices": [{"mess', {})
        elif fault.kind == "hang":
            self._closed.wait(60)
            handler.close_connection = True

    def _send(
        self, handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        self._raw(handler, status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _raw(self, handler: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str]) -> None:
        self._head(handler, status, {"Content-Length": str(len(data)), **headers})
        handler.wfile.write(data)

    def _head(self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        with self._guard:
            self.statuses[status] += 1
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


def _handler(server: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            server.take(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


# --- replies ---------------------------------------------------------------------------------------------


def completion(body: Body, text: str | None = None, **changes: Any) -> Body:
    """A whole completion with the scripted text for this request, or with another one; `changes` go over it."""
    spoken = write(body) if text is None else text
    prompt = " ".join(m["content"] for m in body["messages"])
    whole = {
        "id": "scripted",
        "object": "chat.completion",
        "model": "scripted",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": spoken}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": len(prompt.split()),
            "completion_tokens": min(len(spoken.split()), body.get("max_tokens", 10**9)),
        },
    }
    return whole | changes


def write(body: Body) -> str:
    """The scripted text: what the prompt asks for is read from the prompt itself."""
    messages, seed = body["messages"], body["seed"]
    first = messages[0]["content"]
    if "You rate one written answer" in first:
        return json.dumps(scores(seed, first))
    if '"caregiver"' in first or "page of a transcript" in first:
        return json.dumps(page_round(seed))
    low, high = map(int, re.search(r"between (\d+) and (\d+) words", first).groups())  # type: ignore[union-attr]
    if len(messages) == 1:
        topic = re.search(r"What the message is about: (.*)", first)[1]  # type: ignore[index]
        text = scripted_text.question(seed, topic, low, high - 25)
    else:
        topic = re.search(r"it is about (.*?)\. Answer this person", first)[1]  # type: ignore[index]
        text = scripted_text.answer(seed, topic, low, high - 25, crisis="may be in danger" in first)
    if wanted := re.search(r'"slot": "(t\d\d-\d{4})"', first):
        return json.dumps({"items": [{"slot": wanted[1], "text": text}]})
    return text


def scores(seed: int, prompt: str) -> dict[str, int]:
    """Scores from 6 to 9 for the metrics that the prompt names."""
    names = re.findall(r"^- (\w+): ", prompt, re.MULTILINE)
    return {name: 6 + (seed >> place) % 4 for place, name in enumerate(names)}


def page_round(seed: int) -> dict[str, str]:
    """One round of a caregiver and a coach that shares nothing with any page."""
    asked = scripted_text.question(seed, "Stress", 60, 110)
    return {
        "question": asked,
        "answer": scripted_text.answer(seed, "Stress", 90, 150, crisis=checks.crisis(Texts.of([asked]))[0]),
    }
