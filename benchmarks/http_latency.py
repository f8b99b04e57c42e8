"""How long the reading routes take under 50 clients, at rest and while a build runs.

    python benchmarks/http_latency.py [PROJECT] [--clients 50] [--seconds 20]

PROJECT is a built clone; it is copied to a temporary folder and served there by `mhdata serve`. Prints the requests per
second, p50, p90, p99 and the slowest of each route in milliseconds, at rest and in a build (`merge` forced again and
again), and p99 in the build over p99 at rest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx2 as httpx
import numpy as np

TOKEN = "a-token-of-the-benchmark"
ROUTES = ("/healthz", "/api/ai/data/merge", "/api/ai/data/prepare", "/api/jobs", "/api/status", "/api/artifacts",
          "/api/sources")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", nargs="?", default=str(Path(__file__).parents[1]))
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(words.project, copy, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
        server, url = _serve(copy)
        try:
            asyncio.run(_measure(url, words.clients, words.seconds))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "mhdata", "serve", "--port", "0", "--rate-limit", "none"], cwd=folder, text=True,
        stderr=subprocess.PIPE, env=os.environ | {"MHDATA_TOKEN": TOKEN},
    )  # fmt: skip
    assert server.stderr is not None
    found = re.search(r" at (http://\S+)", server.stderr.readline())
    assert found, "the server did not start"
    _drain(server)
    return server, found[1]


def _drain(server: subprocess.Popen[str]) -> None:
    import threading

    threading.Thread(target=lambda: [None for _ in server.stderr or ()], daemon=True).start()


async def _measure(url: str, clients: int, seconds: float) -> None:
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=300, trust_env=False,
        limits=httpx.Limits(max_connections=clients + 2),
    ) as client:  # fmt: skip
        for route in ROUTES:
            (await client.get(route)).raise_for_status()
        rest = await _load(client, clients, seconds)
        stop = asyncio.Event()
        builds = asyncio.create_task(_build(client, stop))
        await asyncio.sleep(1)
        busy = await _load(client, clients, seconds)
        stop.set()
        ran = await builds
    _table("at rest", rest, seconds)
    _table(f"while {ran} builds ran one after the other", busy, seconds)
    for route in ROUTES:
        print(
            f"{route:<24} p99 in a build / at rest: {np.percentile(busy[route], 99) / np.percentile(rest[route], 99):.1f}"
        )


async def _build(client: httpx.AsyncClient, stop: asyncio.Event) -> int:
    ran = 0
    while not stop.is_set():
        job = (await client.post("/api/ai/data/merge", json={"force": True})).json()
        while job["state"] in ("queued", "running"):
            if stop.is_set():
                await client.delete(job["url"])
            await asyncio.sleep(0.5)
            job = (await client.get(job["url"])).json()
        ran += 1
    return ran


async def _load(client: httpx.AsyncClient, clients: int, seconds: float) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = defaultdict(list)
    until = time.perf_counter() + seconds

    async def ask(number: int) -> None:
        while time.perf_counter() < until:
            number += 1
            route = ROUTES[number % len(ROUTES)]
            began = time.perf_counter()
            answer = await client.get(route)
            taken[route].append(time.perf_counter() - began)
            answer.raise_for_status()

    await asyncio.gather(*(ask(number) for number in range(clients)))
    return taken


def _table(title: str, taken: dict[str, list[float]], seconds: float) -> None:
    total = sum(map(len, taken.values()))
    print(
        f"{title}: {total / seconds:.0f} requests/s\n{'route':<24}{'n':>7}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}  ms"
    )
    for route in ROUTES:
        p50, p90, p99, most = np.percentile(taken[route], [50, 90, 99, 100]) * 1000
        print(f"{route:<24}{len(taken[route]):>7}{p50:>9.1f}{p90:>9.1f}{p99:>9.1f}{most:>9.1f}")


if __name__ == "__main__":
    main()
