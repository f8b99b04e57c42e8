"""A Ray cluster of two nodes on this machine, for tests and benchmarks: real processes, and one can be killed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PORTS = range(20_000, 32_000)  # above those of Ray's workers, below those that systems give away
PATIENCE = 240  # seconds


def free_port() -> int:
    """A port that nobody listens on, and that no other process is given by chance."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port of {PORTS} is free")


class Node:
    """A node of one CPU: the head, or one that joins it. `cap` (bytes) bounds the memory of each of its processes."""

    def __init__(self, *words: str, cap: int | None = None) -> None:
        command = [
            Path(sys.executable).with_name("ray"),
            "start",
            "--block",
            "--num-cpus",
            "1",
            "--disable-usage-stats",
        ]
        if cap:
            command = ["prlimit", f"--data={cap}", *command]
        self._process = subprocess.Popen(
            [*command, "--object-store-memory", "200000000", *words],
            cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": ""},
        )  # fmt: skip
        self.session = self._process.pid

    def works(self, step: str = "") -> bool:
        """Whether a task of this step runs on the node now."""
        titles = (title(pid) for pid in descendants(self.session))
        return any(name.startswith(f"ray::{step}") and name.partition(" ")[0] not in RAYS_OWN for name in titles)

    def kill(self) -> None:
        """SIGKILL to all of the node at once, as when a machine is lost."""
        for pid in [*descendants(self.session), self.session]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


RAYS_OWN = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parent = Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(name))
    found, new = [], [pid]
    while new:
        new = [child for known in new for child in children.get(known, [])]
        found += new
    return found


def title(pid: int) -> str:
    """What a process calls itself: a worker of Ray, `ray::` and its task's name."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


class Cluster:
    """Two nodes; the second can be killed and replaced."""

    def __init__(self, folder: str, cap: int | None = None) -> None:
        port, self._cap = free_port(), cap
        self.address = f"127.0.0.1:{port}"
        self.head = Node("--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", folder, cap=cap)
        if not until(lambda: _listens(port)):
            self.head.kill()
            raise TimeoutError("Ray did not start")
        self.replace()

    def replace(self) -> None:
        """Another second node, when the last one was killed; waits until the head knows it."""
        before = self._nodes()
        self.second = Node("--address", self.address, cap=self._cap)
        if not until(lambda: self._nodes() > before):
            self.stop()
            raise TimeoutError("the second node did not join")

    def _nodes(self) -> int:
        """Nodes that ever joined."""
        from ray._raylet import GcsClient

        return len(GcsClient(address=self.address).get_all_node_info())

    def stop(self) -> None:
        self.second.kill()
        self.head.kill()


@contextlib.contextmanager
def started(cap: int | None = None) -> Iterator[Cluster]:
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # sockets stand in it: a long path is refused
    cluster = None
    try:
        cluster = Cluster(folder, cap)
        yield cluster
    finally:
        if cluster:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def begun(root: Path, *words: str) -> subprocess.Popen[str]:
    """A stage in a process of its own; what it says stands in its stderr."""
    command = [sys.executable, "-m", f"stages.{words[0]}", *words[1:]]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def until(ready: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return True
        time.sleep(0.02)
    return False


def struck(process: subprocess.Popen[str], node: Node, step: str = "") -> bool:
    """Kill the node as soon as it works at the step for the process; whether it did before the process ended."""
    until(lambda: node.works(step) or process.poll() is not None)
    if process.poll() is not None:
        return False
    node.kill()
    return True
