"""A real `mhdata serve` in a workspace, and a client for it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.mhdata.conftest import PATIENCE, quiet

TOKEN = "a-token-of-the-tests-0123456789"


class Server:
    """The server as a process of its own, on a port that was free."""

    def __init__(self, root: Path, *words: str, log: Path) -> None:
        self.root, self.log = root, log
        self._file = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mhdata", "serve", "--port", "0", "--rate-limit", "none", *words], cwd=root,
            stdin=subprocess.DEVNULL, stdout=self._file, stderr=self._file,
            env=quiet() | {"MHDATA_TOKEN": TOKEN},
        )  # fmt: skip
        until = time.monotonic() + PATIENCE
        while not (found := re.search(r" at (http://\S+)", self.said)):
            assert self.process.poll() is None and time.monotonic() < until, self.said
            time.sleep(0.05)
        self.url = found[1]
        self.client = httpx.Client(
            base_url=self.url, timeout=PATIENCE, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False
        )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.end(signal.SIGTERM)

    def end(self, sign: int) -> int:
        """Send a signal; the exit code. Returns when no DVC of the workspace is left."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        code = self.process.wait(PATIENCE)
        self.client.close()
        self._file.close()
        return code

    # --- asking -----------------------------------------------------------------------------------------------

    def get(self, path: str, **options: Any) -> Any:
        answer = self.client.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, what: str, body: object = None, code: int = 202, **query: Any) -> Any:
        answer = self.client.post(f"/api/ai/data/{what}", json=body or {}, params=query)
        assert answer.status_code == code, answer.text
        return answer.json()

    def job(self, name: str) -> Any:
        return self.get(f"/api/jobs/{name}")

    def until(self, name: str, *states: str) -> Any:
        """The job, once it is in one of the states."""
        until = time.monotonic() + PATIENCE
        while (job := self.job(name))["state"] not in states:
            assert time.monotonic() < until, job
            time.sleep(0.1)
        return job

    def events(self, name: str, after: int | None = None, most: int = 10**6) -> list[tuple[int, str, Any]]:
        """Number, name and data of a job's events, to its end or until there are so many."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        found = []
        with self.client.stream("GET", f"/api/jobs/{name}/events", headers=headers) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for event in _parsed(stream.iter_lines()):
                found.append(event)
                if len(found) >= most:
                    break
        return found


def _parsed(lines: Iterator[str]) -> Iterator[tuple[int, str, Any]]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}


def problem(answer: httpx.Response, status: int) -> Any:
    """The answer is a problem of this status that tells nothing of our code."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == status and found["title"] and found["detail"]
    assert not re.search(r"Traceback|File \"|\.py\b", answer.text), answer.text
    return found


def dvc_lives(root: Path) -> bool:
    """Whether a DVC process works in the workspace."""
    from mhdata import locks
    from mhdata.workspace import Workspace

    return bool(locks.dvc_processes(Workspace(root)))
