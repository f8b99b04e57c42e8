"""One dataset on a Hub: what its pinned commit holds, and its files, verified, however the transfer breaks.

The Hub's own client resumes only within one call, gives up at a 5xx from the data's host and never sees a flipped
byte. So this takes addresses, token and headers from it, and moves the bytes itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import msgspec

from stages.errors import SourceError
from stages.params import Pin
from stages.pins import HEAD, Digest, arrived, looks_like, stop, verdict, wanted
from stages.resume import Different, Later, Part, Patience, lively

if TYPE_CHECKING:  # both are imported where they are used: a sample build needs neither
    import httpx2

REDIRECTS = 5
PAGES, LISTING = 1000, 32 << 20  # of a file list

_MOVED = (301, 302, 303, 307, 308)
_AGAIN = (408, 425, 429)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

Tell = Callable[[int], None]  # is told how many bytes of the file are here
T = TypeVar("T")


class Info(msgspec.Struct):
    """What the Hub says of a dataset at a revision."""

    sha: str
    id: str = ""
    tags: list[str] = []
    gated: bool | str = False

    @property
    def license(self) -> str:
        """The licence that its card declares, in the Hub's words."""
        return ", ".join(sorted(tag.removeprefix("license:") for tag in self.tags if tag.startswith("license:")))


class _Lfs(msgspec.Struct):
    oid: str
    size: int


class _Node(msgspec.Struct):
    type: str
    path: str
    oid: str = ""
    size: int = 0
    lfs: _Lfs | None = None

    def pin(self) -> Pin:
        """The hash that the Hub vouches for: sha256 of what LFS keeps, git-blob of the rest."""
        if self.lfs:
            return Pin(bytes=self.lfs.size, sha256=self.lfs.oid)
        return Pin(bytes=self.size, blob=self.oid)


class Repo:
    """One dataset at one commit. `source` names it in every sentence."""

    def __init__(self, source: str, dataset: str, commit: str | None) -> None:
        constants = _constants()
        self.source, self.dataset = source, dataset
        self.endpoint = constants.ENDPOINT
        try:
            parts = urlsplit(self.endpoint)
            whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole:
            raise stop(
                "HF_ENDPOINT", "an address that starts with https://", "something else is set", "unset or mend it"
            )
        self.shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # never a password
        if not _COMMIT.fullmatch(commit or ""):
            raise stop(
                f"source {source}, revision", "a full commit id (40 hex digits)", f"{commit!r} is pinned",
                f"take one from {self.shown}/datasets/{dataset}/commits/main",
            )  # fmt: skip
        self.commit = commit or ""
        self._token = self._authorization()
        self._client = self._connect(constants.HF_HUB_DOWNLOAD_TIMEOUT)

    def _authorization(self) -> dict[str, str]:
        from huggingface_hub.utils import build_hf_headers, validate_repo_id  # type: ignore[attr-defined]

        try:
            validate_repo_id(self.dataset)
        except ValueError:
            raise stop(
                f"source {self.source}, dataset",
                "a Hub id such as owner/name",
                f"{self.dataset!r} is set",
                "mend it in params.yaml",
            ) from None
        token: str = build_hf_headers().get("authorization", "")
        if not token.isascii() or not token.isprintable():
            raise stop(
                "HF_TOKEN", "printable ASCII", "other characters are in it", "copy it again, with nothing around it"
            )
        return {"authorization": token} if token else {}

    @staticmethod
    def _connect(timeout: float) -> httpx2.Client:
        import httpx2

        headers = {"user-agent": "mhdata", "accept-encoding": "identity"}
        try:
            return httpx2.Client(headers=headers, timeout=httpx2.Timeout(timeout), follow_redirects=False)
        except (ValueError, httpx2.InvalidURL):
            raise stop(
                "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY", "the address of a proxy, http://host:port",
                "something else is set", "unset or mend it",
            ) from None  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    # What the commit holds

    def check(self) -> None:
        """Raise SourceError unless the pinned commit is there."""
        where = f"source {self.source}, revision {self.commit}"
        info = self.info(self.commit)
        if info.sha != self.commit:
            raise stop(where, "that commit", f"{info.sha[:40]!r} came from {self.shown}", self._repin())
        if info.id and info.id != self.dataset:
            print(f"{where}: note: {self.dataset} is now called {info.id!r} upstream", file=sys.stderr)

    def info(self, revision: str) -> Info:
        """What the Hub says of a revision: a commit, or a branch. Raises SourceError where there is none."""
        where = f"source {self.source}, revision {revision}"
        return self._json(f"{self.endpoint}/api/datasets/{quote(self.dataset)}/revision/{revision}", where, Info)[0]

    def listing(self) -> dict[str, Pin]:
        """All files of the commit, with what the Hub vouches for."""
        found: dict[str, Pin] = {}
        for nodes in self._pages():
            found |= {node.path: node.pin() for node in nodes if node.type == "file"}
        return found

    def tree(self, files: list[str]) -> tuple[dict[str, Pin], list[str]]:
        """What the Hub says of those files that are there, and the names of all files up to the last of them."""
        found: dict[str, Pin] = {}
        names: list[str] = []
        for nodes in self._pages():
            names += [node.path for node in nodes if node.type == "file"]
            found |= {node.path: node.pin() for node in nodes if node.type == "file" and node.path in files}
            if len(found) == len(files):
                break
        return found, names

    def _pages(self) -> Iterator[list[_Node]]:
        where = f"source {self.source}, file list"
        listing = f"{self.endpoint}/api/datasets/{quote(self.dataset)}/tree/{self.commit}?recursive=true"
        url = listing
        for _ in range(PAGES):
            nodes, following = self._json(url, where, list[_Node])
            yield nodes
            if not following:
                return
            url = f"{listing.partition('?')[0]}?{urlsplit(following).query}"  # the cursor only: the host stays ours
        raise stop(where, f"an end within {PAGES} pages", f"still more came from {self.shown}", self._elsewhere())

    # A file

    def fetch(self, file: str, vouched: Pin, part: Path, tell: Tell) -> Digest:
        """Bring `part` to the bytes that the Hub vouches for at this commit (`vouched`, from `tree`).

        Goes on from what a former run left, tries again where that may help, and starts once more from zero when
        what came is not the file. Raises SourceError; then nothing wrong is left in `part`.
        """
        from huggingface_hub import hf_hub_url

        where = f"source {self.source}, file {file}"
        url = hf_hub_url(self.dataset, file, repo_type="dataset", revision=self.commit)
        here = Part(part, vouched.bytes or 0)
        patience = Patience(where, f"what came is kept: run `dvc repro` again to go on, or {self._elsewhere()}")
        tell(here.digest.bytes)
        for last in (False, True):
            try:
                self._receive(url, where, here, patience, tell)
                if verdict(vouched, here.digest) != "differs":
                    return here.digest
                came = f"{arrived(here.digest, vouched)} came"
            except Different as different:
                came = str(different)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                full = f"the disk was full after {here.digest.bytes:,} bytes, which are kept"
                raise stop(where, wanted(vouched), full, "free some space and run `dvc repro` again to go on") from None
            here.clear()
            tell(0)
            if not last:
                print(f"{where}: {came}, which is not the file; starting again from zero", file=sys.stderr)
        raise stop(where, wanted(vouched), f"{came} from {self.shown}, twice", self._elsewhere())

    def _receive(self, url: str, where: str, here: Part, patience: Patience, tell: Tell) -> None:
        """Ask until the part has the file's size."""
        while here.digest.bytes < here.size:
            try:
                with self._get(url, where, here.ask()) as response:
                    self._place(response, here)
                    for count in lively(here.append(response.iter_raw(), response.headers.get("etag", ""))):
                        patience.progress()
                        tell(count)
                if here.digest.bytes < here.size:
                    raise Later(f"the transfer ended at {here.digest.bytes:,} of {here.size:,} bytes")
            except Later as later:
                patience.wait(later)

    @staticmethod
    def _place(response: httpx2.Response, here: Part) -> None:
        """Make the part stand where the answer's bytes begin; raise Different or Later when they fit nowhere."""
        if response.status_code == 206:
            span = _RANGE.fullmatch(response.headers.get("content-range", ""))
            if not span or int(span[1]) != here.digest.bytes or span[3] not in (str(here.size), "*"):
                here.clear()
                raise Later("another range than the one asked for came")
            return
        if response.status_code == 416:
            here.clear()
            raise Later("HTTP 416 (no such range) came")
        if here.digest.bytes:  # all of it comes: If-Range saw another file, or ranges are not known here
            here.clear()
        length = response.headers.get("content-length", "")
        if length.isdigit() and int(length) != here.size:
            head = Digest(here.size)
            for chunk in response.iter_raw():
                head.update(chunk)
                if head.bytes >= HEAD:
                    break
            raise Different(f"{looks_like(head.head) or 'a file'} of {int(length):,} bytes came")

    # Requests

    def _json(self, url: str, where: str, kind: type[T]) -> tuple[T, str | None]:
        """A document of the API, and the address of its next page."""
        patience = Patience(where, f"run `dvc repro` again later, or {self._elsewhere()}")
        while True:
            try:
                with self._get(url, where) as response:
                    body = b""
                    for chunk in response.iter_raw():
                        body += chunk
                        if len(body) > LISTING:
                            raise stop(where, f"at most {LISTING:,} bytes", "more came", self._elsewhere())
                    following = response.links.get("next", {}).get("url")
                break
            except Later as later:
                patience.wait(later)
        try:
            return msgspec.json.decode(body, type=kind), following
        except (msgspec.DecodeError, UnicodeDecodeError):
            came = looks_like(body) or "something else"
            raise stop(
                where, "the Hub's answer", f"{came} came from {self.shown}", "check HF_ENDPOINT and any proxy"
            ) from None

    @contextlib.contextmanager
    def _get(self, url: str, where: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx2.Response]:
        """One GET, over redirects, to a good answer (200, 206 or 416). Raises Later or SourceError."""
        import httpx2

        try:
            for _ in range(REDIRECTS + 1):
                # The token goes to the endpoint only, never to a host that it redirects to.
                own = self._token if self._at_home(url) else {}
                with self._client.stream("GET", url, headers={**(headers or {}), **own}) as response:
                    if response.status_code not in _MOVED:
                        self._judge(response, where)
                        yield response
                        return
                    self._same_commit(response, where)
                    url = self._target(url, response.headers.get("location", ""), where)
        except httpx2.TimeoutException as error:
            raise Later(f"nothing came in time from {urlsplit(url).hostname} ({type(error).__name__})") from None
        except httpx2.TransportError as error:
            raise Later(f"the connection to {urlsplit(url).hostname} failed ({type(error).__name__})") from None
        except httpx2.InvalidURL:
            raise stop(where, "an address", f"a redirect to none came from {self.shown}", self._elsewhere()) from None
        raise stop(where, "data", f"more than {REDIRECTS} redirects came from {self.shown}", self._elsewhere())

    def _at_home(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self.endpoint)[:2]

    def _target(self, url: str, location: str, where: str) -> str:
        try:
            target = urljoin(url, location)
            scheme = urlsplit(target).scheme if location else ""
        except ValueError:
            scheme = ""
        if scheme not in (("https", "http") if self.endpoint.startswith("http:") else ("https",)):
            raise stop(where, "a redirect to https", f"another one came from {self.shown}", self._elsewhere())
        return target

    def _judge(self, response: httpx2.Response, where: str) -> None:
        status = response.status_code
        if status in _AGAIN or status >= 500:
            raise Later(f"HTTP {status} came from {response.url.host}", asked_wait(response.headers, datetime.now(UTC)))
        if status not in (200, 206, 416):
            raise self._refusal(response, where)
        self._same_commit(response, where)
        if response.headers.get("content-encoding", "identity") != "identity":
            came = f"an encoded answer came from {response.url.host} (Content-Encoding)"
            raise stop(
                where, "plain bytes", came, f"a proxy on the way changes data: go around it, or {self._elsewhere()}"
            )

    def _same_commit(self, response: httpx2.Response, where: str) -> None:
        came = response.headers.get("x-repo-commit", self.commit)
        if self._at_home(str(response.url)) and came != self.commit:
            raise stop(
                where, f"revision {self.commit}", f"revision {came[:40]!r} came from {self.shown}", self._repin()
            )

    def _refusal(self, response: httpx2.Response, where: str) -> SourceError:
        """The sentence for an answer that another try would not change."""
        code = response.headers.get("x-error-code", "")
        page = f"{self.shown}/datasets/{self.dataset}"
        known = {
            "GatedRepo": (
                f"leave to read {self.dataset}", "its owner wants the terms accepted first",
                f"accept them at {page}, set HF_TOKEN to a token that may read it, and run `dvc repro` again",
            ),
            "RepoNotFound": (
                f"the dataset {self.dataset}", "no such dataset, or a private one",
                f"check sources.{self.source}.dataset and HF_ENDPOINT, and set HF_TOKEN if it is private",
            ),
            "RevisionNotFound": (f"the pinned revision {self.commit}", "upstream's history moved", self._repin()),
            "EntryNotFound": (
                f"the file at revision {self.commit}", "no such file",
                f"compare sources.{self.source}.files with {page}/tree/{self.commit}",
            ),
        }  # fmt: skip
        if self._at_home(str(response.url)) and response.status_code == 401 and code not in known:
            expected, meaning, mend = (
                "a token that is valid",
                "the token was refused",
                "set HF_TOKEN to a valid token, or unset it",
            )
        else:
            expected, meaning, mend = known.get(code, ("data", "refused", self._elsewhere()))
        name = f" {code}" if code in known else ""
        return stop(
            where, expected, f"HTTP {response.status_code}{name} came from {response.url.host} ({meaning})", mend
        )

    # Mends

    def _repin(self) -> str:
        commits = f"{self.shown}/datasets/{self.dataset}/commits/main"
        return f"choose a commit at {commits}, read what changed, and set sources.{self.source}.revision and its hashes"

    def _elsewhere(self) -> str:
        return f"put the file under data/local/{self.source}/ and set origin: local in params.yaml"


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that Retry-After (a number or a date) or the Hub's RateLimit header asks to wait from `now`."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    asked = headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return float(asked)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return (parsedate_to_datetime(asked) - now).total_seconds()
    limit: Any = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit and not limit.remaining else None


def _constants() -> ModuleType:
    """The settings of the Hub's own client: HF_ENDPOINT, HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT."""
    # Without this, it asks the endpoint for a list of programs that it would name in the user agent.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import constants
    except ValueError:  # it reads them when it is imported
        ours = ("HF_TOKEN", "HF_HUB_DISABLE_TELEMETRY")
        names = ", ".join(sorted(name for name in os.environ if name.startswith("HF_") and name not in ours))
        raise stop(names, "what the Hub's client can read", "something else is set", "unset or mend it") from None
    return constants


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    answer: bool = _constants().is_offline_mode()
    return answer


def cached(source: str, dataset: str, commit: str | None, file: str) -> tuple[Path, Pin]:
    """A file that the Hub's own cache already holds, and the hash that its blob is named by."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(dataset, file, revision=commit, repo_type="dataset")
    if not isinstance(found, str):
        where, first = (
            f"source {source}, file {file}",
            f"hf download --repo-type dataset {dataset} {file} --revision {commit}",
        )
        expected = "it in the Hub's cache, since HF_HUB_OFFLINE is set"
        raise stop(where, expected, "it is not there", f"unset HF_HUB_OFFLINE, or run `{first}` with it unset")
    name = Path(found).resolve().name
    return Path(found), Pin(sha256=name if len(name) == 64 else None, blob=name if _COMMIT.fullmatch(name) else None)
