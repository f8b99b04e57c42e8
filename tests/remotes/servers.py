"""Servers of DVC remotes on the loopback, real ones: OpenSSH, WebDAV, S3, and HTTP that reads, fails or tears."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.ray_nodes import free_port

USER, PASSWORD = "worker", "Sesame-4711"
PATIENCE = 300  # seconds: a loaded machine fails no test
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Remote:
    """A remote: its url, its settings (`secret` ones stay out of git), and where its objects lie on this disk."""

    url: str
    settings: dict[str, str] = field(default_factory=dict)
    secret: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    objects: Callable[[], dict[str, bytes]] | None = None
    put: Callable[[str, bytes], None] | None = None

    def everything(self) -> dict[str, bytes]:
        """All objects by name."""
        if self.objects is not None:
            return self.objects()
        assert self.folder is not None
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("the server does not answer")


@contextlib.contextmanager
def running(words: list[str], port: int, **env: str) -> Iterator[None]:
    """A server as a process of its own, ended with its children."""
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, **env},
    )  # fmt: skip
    try:
        wait_for(port, process)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def ssh(work: Path) -> Iterator[Remote]:
    """An OpenSSH server with a key of its own; only the key that stands in its file gets in."""
    work.mkdir(parents=True)
    store, port = work / "store", free_port()
    store.mkdir()
    for name in ("host", "key", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(work / name)], check=True)
    shutil.copy(work / "key.pub", work / "authorized")
    (work / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {work}/host\nAuthorizedKeysFile {work}/authorized\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"PidFile {work}/pid\nMaxStartups 100\nSubsystem sftp internal-sftp\n",
        encoding="utf-8",
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd parts its privileges
    assert SSHD
    with running([SSHD, "-D", "-f", str(work / "config")], port):
        yield Remote(
            f"ssh://{getpass.getuser()}@127.0.0.1{store}",
            {"port": str(port), "keyfile": str(work / "key"), "allow_agent": "false"},
            folder=store,
        )


WEBDAV = """
import sys
from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp
store, port, user, password = sys.argv[1:]
app = WsgiDAVApp({
    "provider_mapping": {"/": store}, "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
    "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
    "verbose": 0, "logging": {"enable": False},
})
wsgi.Server(("127.0.0.1", int(port)), app).start()
"""


@contextlib.contextmanager
def webdav(work: Path) -> Iterator[Remote]:
    """A WebDAV server with basic authentication."""
    store, port = work / "store", free_port()
    store.mkdir(parents=True)
    with running([sys.executable, "-c", WEBDAV, str(store), str(port), USER, PASSWORD], port):
        yield Remote(
            f"webdav://127.0.0.1:{port}/", {"user": USER}, {"password": PASSWORD}, folder=store,
        )  # fmt: skip


POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
UNCHECKED = 4  # requests before moto looks at credentials: what the fixture asks to make them


@contextlib.contextmanager
def s3(work: Path) -> Iterator[Remote]:
    """moto's S3 server with one bucket, and a user whose signature it checks."""
    import boto3

    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(words, port, INITIAL_NO_AUTH_ACTION_COUNT=str(UNCHECKED)):

        def client(service: str, key: str, secret: str) -> Any:
            return boto3.client(
                service, endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key=secret,
                region_name="us-east-1",
            )  # fmt: skip

        iam = client("iam", "any", "any")
        iam.create_user(UserName=USER)
        iam.put_user_policy(UserName=USER, PolicyName="all", PolicyDocument=POLICY)
        made = iam.create_access_key(UserName=USER)["AccessKey"]
        client("s3", "any", "any").create_bucket(Bucket="corpus")
        bucket = client("s3", made["AccessKeyId"], made["SecretAccessKey"])

        def objects() -> dict[str, bytes]:
            pages = bucket.get_paginator("list_objects_v2").paginate(Bucket="corpus")
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
            return {key: bucket.get_object(Bucket="corpus", Key=key)["Body"].read() for key in keys}

        yield Remote(
            "s3://corpus/data",
            {"endpointurl": endpoint, "region": "us-east-1"},
            {"access_key_id": made["AccessKeyId"], "secret_access_key": made["SecretAccessKey"]},
            objects=objects,
            put=lambda key, content: bucket.put_object(Bucket="corpus", Key=key, Body=content),
        )


@contextlib.contextmanager
def http(store: Path, *, tear: str = "", status: int = 200) -> Iterator[Remote]:
    """A static server of a folder, read-only. Bodies of paths that end with `tear` break off at their half; with
    another `status` every answer is that."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

        def do_GET(self) -> None:
            path = Path(self.translate_path(self.path))
            if status != 200:
                self.send_error(status)
            elif tear and self.path.endswith(tear) and path.is_file():
                content = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            else:
                super().do_GET()

        def do_HEAD(self) -> None:
            if status != 200:
                self.send_error(status)
            else:
                super().do_HEAD()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(store)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Remote(f"http://127.0.0.1:{server.server_port}", folder=store)
    finally:
        server.shutdown()
        server.server_close()
