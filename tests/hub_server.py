"""A Hub for tests: the dataset side of the real protocol on the loopback, and every way in which it can misbehave.

It takes commits too, from `Hub.writer`.

Two hosts: the Hub itself, and the one that large (LFS) files are redirected to.
`python -m tests.hub_server ROOT PARAMS` serves a folder laid out as data/local, under the dataset ids and revisions of
a params.yaml, for runs by hand.
"""

from __future__ import annotations

import argparse
import base64
import functools
import gzip
import hashlib
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
PAGE = b"<!DOCTYPE html><html><body>Service is being mended</body></html>"


def blob(data: bytes) -> str:
    """The git-blob sha1."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass
class File:
    data: bytes
    lfs: bool = False
    claims: int | None = None  # the size that the file list gives, where it is to lie

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def oid(self) -> str:
        """git-blob of what git keeps: the data, or the pointer to it."""
        return blob(POINTER.format(self.sha256, len(self.data)).encode() if self.lfs else self.data)

    def node(self, path: str) -> dict[str, Any]:
        """The entry of a file list."""
        size = len(self.data) if self.claims is None else self.claims
        node: dict[str, Any] = {"type": "file", "oid": self.oid, "size": size, "path": path}
        return node | ({"lfs": {"oid": self.sha256, "size": size, "pointerSize": 134}} if self.lfs else {})


@dataclass
class Repo:
    """One dataset at its newest commit, and at one before that."""

    files: dict[str, File]
    commit: str
    gated: int = 0  # 401 or 403
    renamed: str = ""
    private: bool = False
    log: list[dict[str, Any]] = field(default_factory=list)  # the headers of the commits that were made here
    tags: tuple[str, ...] = ()
    before: Repo | None = None


@dataclass
class Fault:
    """One way to misbehave, for the next `times` requests of a route (`api`, `resolve` or `data`).

    Kinds: status, cut, reset, stall, pause (until `resumed`), flip, garbage, short, long, pointer, page, gzip, unsized,
    ignore_range, other_range, shifted, no_range, loop, redirect, moved, not_json, bomb, none.
    `headers` are sent besides, or in the place of, the right ones; an empty one is left out.
    """

    kind: str
    at: int = 0
    times: int = 1
    file: str = ""
    route: str = "data"
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    method: str
    host: str  # hub or cdn
    path: str
    headers: dict[str, str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Hub:
    """Both hosts. Use as a context manager; `endpoint` is what HF_ENDPOINT gets."""

    def __init__(self, repos: dict[str, Repo], port: int = 0) -> None:
        self.repos = repos
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.page = 1000  # entries of one page of a file list
        self.relative = False  # redirect LFS files to this host, by a relative address
        self.foreign_links = False  # the next page stands on a host that does not exist
        self.writer = ""  # the token that may write; empty: nobody may
        self.uploads: dict[str, bytes] = {}  # by sha256: what was sent and is in no commit yet
        self.stopped, self.resumed = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._hosts = [self._host("hub", port), self._host("cdn", 0)]
        self.endpoint, self.cdn = (f"http://127.0.0.1:{host.server_address[1]}" for host in self._hosts)

    def _host(self, name: str, port: int) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"hub": self, "name": name})
        return _Server(("127.0.0.1", port), handler)

    def __enter__(self) -> Self:
        for host in self._hosts:
            threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.resumed.set()
        for host in self._hosts:
            host.shutdown()
            host.server_close()

    def fault(self, route: str, file: str) -> Fault:
        """The fault for this request, used up by one; `none` where it is served well."""
        with self._lock:
            for fault in self.faults:
                if fault.route == route and fault.times and fault.file in ("", file):
                    fault.times -= 1
                    return fault
        return Fault("none")

    def asked(self, part: str) -> list[Seen]:
        """The requests whose path holds `part`."""
        return [seen for seen in self.seen if part in seen.path]


_ID = r"(?P<id>[^/]+/[^/]+)"
_WRITES = (
    (re.compile(r"/api/repos/create"), "create"),
    (re.compile(r"/api/validate-yaml"), "validate"),
    (re.compile(rf"/api/datasets/{_ID}/preupload/(?P<revision>[^/]+)"), "preupload"),
    (re.compile(rf"/datasets/{_ID}\.git/info/lfs/objects/batch"), "batch"),
    (re.compile(r"/uploads/(?P<sha256>[0-9a-f]{64})"), "upload"),
    (re.compile(rf"/api/datasets/{_ID}/commit/(?P<revision>[^/]+)"), "commit"),
)
_ROUTES = (
    (re.compile(r"/api/datasets/(?P<id>[^/]+/[^/]+)/revision/(?P<revision>[^/]+)"), "revision"),
    (re.compile(r"/api/datasets/(?P<id>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)"), "tree"),
    (re.compile(r"/datasets/(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)"), "resolve"),
    (re.compile(r"/cdn/(?P<sha256>[0-9a-f]{64})"), "blob"),
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    name: str

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.hub.seen.append(Seen(self.command, self.name, self.path, {k.lower(): v for k, v in self.headers.items()}))
        parts = urlsplit(self.path)
        for pattern, name in _ROUTES:
            if match := pattern.fullmatch(unquote(parts.path)):
                with_query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                getattr(self, f"_{name}")(with_query, **match.groupdict())
                return
        self._refuse(404, "", "Not here")

    # Writing: what huggingface_hub's create_repo and create_commit ask, by the LFS protocol

    def do_POST(self) -> None:
        self._write()

    def do_PUT(self) -> None:
        self._write()

    def _write(self) -> None:
        self.hub.seen.append(Seen(self.command, self.name, self.path, {k.lower(): v for k, v in self.headers.items()}))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        for pattern, name in _WRITES:
            if match := pattern.fullmatch(unquote(urlsplit(self.path).path)):
                signed = self.name == "cdn"  # an address for an upload is itself the leave
                if not signed and self.headers.get("Authorization") != f"Bearer {self.hub.writer}":
                    self._refuse(401 if "Authorization" not in self.headers else 403, "", "You may not write here")
                elif not self._troubled(name):
                    getattr(self, f"_{name}")(body, **match.groupdict())
                return
        self._refuse(404, "", "Not here")

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        id = f"{asked['organization']}/{asked['name']}"
        if id in self.hub.repos:
            return self._refuse(409, "", "You already created this dataset repo")
        self.hub.repos[id] = Repo({}, hashlib.sha1(id.encode()).hexdigest(), private=asked["visibility"] == "private")
        return self._json({"url": f"{self.hub.endpoint}/datasets/{id}", "name": id, "id": "0"})

    def _validate(self, body: bytes) -> None:
        head = json.loads(body)["content"].split("---\n")
        try:
            assert isinstance(yaml.safe_load(head[1]), dict)
        except (yaml.YAMLError, AssertionError, IndexError):
            return self._send(400, {}, json.dumps({"errors": [{"message": "no YAML"}], "warnings": []}).encode())
        return self._json({"errors": [], "warnings": []})

    def _preupload(self, body: bytes, id: str, revision: str) -> None:
        if repo := self._repo(id, revision):
            files = [
                {
                    "path": file["path"], "shouldIgnore": False,
                    "uploadMode": "lfs" if file["path"].endswith((".parquet", ".arrow")) else "regular",
                    "oid": repo.files[file["path"]].oid if file["path"] in repo.files else None,
                }
                for file in json.loads(body)["files"]
            ]  # fmt: skip
            self._json({"files": files})

    def _batch(self, body: bytes, id: str) -> None:
        have = {file.sha256 for repo in self.hub.repos.values() for file in repo.files.values()}
        objects = [
            one
            | ({} if one["oid"] in have else {"actions": {"upload": {"href": f"{self.hub.cdn}/uploads/{one['oid']}"}}})
            for one in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _upload(self, body: bytes, sha256: str) -> None:
        if hashlib.sha256(body).hexdigest() != sha256:
            return self._refuse(400, "", "These are other bytes")
        self.hub.uploads[sha256] = body
        return self._send(200, {})

    def _commit(self, body: bytes, id: str, revision: str) -> None:
        """All operations or none."""
        repo = self._repo(id, revision)
        if not repo:
            return None
        lines = [json.loads(line) for line in body.splitlines()]
        header, files = lines[0]["value"], dict(repo.files)
        if header.get("parentCommit", repo.commit) != repo.commit:
            return self._refuse(412, "", "A commit has happened since")
        for line in lines[1:]:
            value, path = line["value"], line["value"]["path"]
            if line["key"] == "file":
                files[path] = File(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                kept = {file.sha256: file.data for file in repo.files.values()} | self.hub.uploads
                if value["oid"] not in kept:
                    return self._refuse(400, "", f"{path} was not uploaded")
                files[path] = File(kept[value["oid"]], lfs=True)
            elif files.pop(path, None) is None:
                return self._refuse(400, "", f"{path} is not there")
        repo.files, repo.commit = files, hashlib.sha1(repo.commit.encode() + body).hexdigest()
        repo.log.append(header)
        url = f"{self.hub.endpoint}/datasets/{id}/commit/{repo.commit}"
        return self._json({"success": True, "commitOid": repo.commit, "commitUrl": url})

    # Answers

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._send(status, headers, json.dumps({"error": message}).encode())

    def _json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(
            200, {"Content-Type": "application/json; charset=utf-8"} | (headers or {}), json.dumps(value).encode()
        )

    def _repo(self, id: str, revision: str) -> Repo | None:
        """The dataset, or None after a refusal was sent."""
        repo = self.hub.repos.get(id)
        if repo is None:
            # As the Hub does: whether it is missing or private, only the owner may know.
            self._refuse(404 if "Authorization" in self.headers else 401, "RepoNotFound", "Repository not found")
        elif repo.before and revision == repo.before.commit:
            return repo.before
        elif revision not in (repo.commit, "main"):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo
        return None

    def _troubled(self, route: str, file: str = "") -> bool:
        """Whether a fault has answered already."""
        fault = self.hub.fault(route, file)
        if fault.kind == "status":
            self._send(fault.status, fault.headers, b'{"error": "on purpose"}')
        elif fault.kind == "not_json":
            self._send(200, {"Content-Type": "text/html"}, PAGE)
        elif fault.kind == "loop":
            self._send(302, {"Location": self.path})
        elif fault.kind == "redirect":
            self._send(302, fault.headers)
        elif fault.kind == "bomb":
            self._send(200, {"Content-Encoding": "gzip"}, bomb())
        elif fault.kind == "moved":
            self._json({"id": "x/y", "sha": "f" * 40})
        else:
            return False
        return True

    # The Hub's routes

    def _revision(self, query: dict[str, str], id: str, revision: str) -> None:
        if self._troubled("api") or not (repo := self._repo(id, revision)):
            return
        siblings = [{"rfilename": path} for path in repo.files]
        self._json(
            {
                "_id": "0",
                "id": repo.renamed or id,
                "sha": repo.commit,
                "private": repo.private,
                "siblings": siblings,
                "tags": list(repo.tags),
            }
        )

    def _tree(self, query: dict[str, str], id: str, revision: str) -> None:
        if self._troubled("api") or not (repo := self._repo(id, revision)):
            return
        folders = sorted({str(parent) for path in repo.files for parent in Path(path).parents} - {"."})
        nodes = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in folders]
        nodes += [file.node(path) for path, file in sorted(repo.files.items())]
        start = int(query.get("cursor", 0))
        stop = start + self.hub.page
        host = "http://elsewhere.invalid" if self.hub.foreign_links else self.hub.endpoint
        link = f'<{host}{urlsplit(self.path).path}?recursive=true&cursor={stop}>; rel="next"'
        self._json(nodes[start:stop], {"Link": link} if stop < len(nodes) else {})

    def _resolve(self, query: dict[str, str], id: str, revision: str, file: str) -> None:
        if self._troubled("resolve", file) or not (repo := self._repo(id, revision)):
            return None
        if repo.gated:
            return self._refuse(repo.gated, "GatedRepo", f"Access to dataset {id} is restricted")
        if file not in repo.files:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        found = repo.files[file]
        headers = {"X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes", "ETag": f'"{found.oid}"'}
        if not found.lfs:
            return self._data(file, found, headers)
        headers |= {"X-Linked-ETag": f'"{found.sha256}"', "X-Linked-Size": str(len(found.data))}
        host = "" if self.hub.relative else self.hub.cdn
        return self._send(302, headers | {"Location": f"{host}/cdn/{found.sha256}?signature=secret"})

    def _blob(self, query: dict[str, str], sha256: str) -> None:
        commits = [commit for repo in self.hub.repos.values() for commit in (repo, repo.before) if commit]
        files = {f.sha256: (path, f) for commit in commits for path, f in commit.files.items()}
        path, file = files[sha256]
        self._data(path, file, {"ETag": f'"{sha256[:32]}"', "Accept-Ranges": "bytes"})

    # Bytes

    def _data(self, path: str, file: File, headers: dict[str, str]) -> None:
        fault = self.hub.fault("data", path) if self.command == "GET" else Fault("none")
        if fault.kind == "status":
            return self._send(fault.status, fault.headers, b"on purpose")
        data = _spoilt(file, fault)
        headers = {"Last-Modified": formatdate(0, usegmt=True), **headers, **fault.headers}
        start = self._start(len(data), headers.get("ETag", ""), fault)
        if start > len(data) or (start and fault.kind == "no_range"):
            return self._send(416, {"Content-Range": f"bytes */{len(data)}"})
        body, status = data[start:], 200
        if start:
            said = start + 1 if fault.kind == "other_range" else start
            headers["Content-Range"], status = f"bytes {said}-{len(data) - 1}/{len(data)}", 206
            body = data[start + 7 :] + data[:7] if fault.kind == "shifted" else data[said:]
        if fault.kind == "bomb":
            body, headers["Content-Encoding"] = bomb(), "gzip"
        if fault.kind == "gzip":
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        return self._stream(status, headers, body, start, fault)

    def _start(self, size: int, etag: str, fault: Fault) -> int:
        """Where the answer begins: Range counts unless If-Range names another file."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not asked or fault.kind == "ignore_range":
            return 0
        guard = self.headers.get("If-Range")
        return int(asked[1]) if guard is None or guard == etag else 0

    def _stream(self, status: int, headers: dict[str, str], body: bytes, start: int, fault: Fault) -> None:
        unsized = fault.kind == "unsized"
        self.send_response(status)
        for key, value in ({} if unsized else {"Content-Length": str(len(body))} | headers).items():
            if value:
                self.send_header(key, value)
        if unsized:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = max(fault.at - start, 0) if fault.kind in ("cut", "reset", "stall", "pause") else len(body)
        self.wfile.write(body[:stop])
        self.wfile.flush()
        self._end(fault, body[stop:])

    def _end(self, fault: Fault, rest: bytes) -> None:
        """What happens at byte `at`."""
        if fault.kind == "stall":
            self.hub.stopped.wait(60)
        if fault.kind == "pause":
            self.hub.resumed.wait(600)
            self.wfile.write(rest)
        if fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if fault.kind in ("cut", "reset", "stall"):
            self.close_connection = True
            self.connection.close() if fault.kind == "reset" else self.connection.shutdown(socket.SHUT_RDWR)


@functools.cache
def bomb() -> bytes:
    """256 MiB in 256 KiB."""
    return gzip.compress(bytes(256 << 20), 1)


def _spoilt(file: File, fault: Fault) -> bytes:
    data, at = file.data, fault.at
    spoilt = {
        "flip": lambda: data[: at % len(data)] + bytes([data[at % len(data)] ^ 1]) + data[at % len(data) + 1 :],
        "garbage": lambda: bytes(byte ^ 0x55 for byte in data[:64]) + data[64:],
        "short": lambda: data[:at],
        "long": lambda: data + b"x" * 100,
        "pointer": lambda: POINTER.format(file.sha256, len(data)).encode(),
        "page": lambda: PAGE,
    }
    return spoilt.get(fault.kind, lambda: data)()


# A folder of real files, served and pinned


def sources(params: Path, root: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Path]]]:
    """Key, params block and files at hand of each source that has a Hub revision."""
    for key, block in yaml.safe_load(params.read_text())["sources"].items():
        declared = [*block["files"], *block.get("license_files", {})]
        here = {file: root / key / file for file in declared if (root / key / file).is_file()}
        if block.get("revision") and here:
            yield key, block, here


def repos(params: Path, root: Path, lfs: int = 10 << 20) -> dict[str, Repo]:
    """Datasets as params.yaml names them, with the files of a folder; those over `lfs` bytes are kept by LFS."""
    return {
        block["dataset"]: Repo(
            {file: File(data := path.read_bytes(), len(data) > lfs) for file, path in here.items()}, block["revision"]
        )
        for _, block, here in sources(params, root)
    }


def repinned(params: Path, root: Path) -> str:
    """The same params.yaml with `origin: hub` and the pins of a folder's files."""
    tree = yaml.safe_load(params.read_text())
    tree["origin"] = "hub"
    for key, _, here in sources(params, root):
        for kind in ("files", "license_files"):
            pins = {f: _pin(here[f]) for f in tree["sources"][key].get(kind, {}) if f in here}
            tree["sources"][key][kind] = pins
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _pin(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "blob": blob(data)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a folder laid out as data/local as a Hub.")
    parser.add_argument("root", type=Path)
    parser.add_argument("params", type=Path)
    parser.add_argument(
        "--write-params", type=Path, help="write params.yaml with origin: hub and the folder's pins here"
    )
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.write_params:
        options.write_params.write_text(repinned(options.params, options.root))
    with Hub(repos(options.params, options.root), options.port) as hub:
        print(f"HF_ENDPOINT={hub.endpoint}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
