"""What an upstream file must be, what came, and the sentence when the two differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from stages.errors import SourceError
from stages.params import Pin

CHUNK = 1 << 20
HEAD = 512  # bytes that tell a pointer or a web page from data

Verdict = Literal["matches", "differs", "unknown"]


class Digest:
    """Size, sha256 and git-blob sha1 of bytes as they pass.

    git hashes the length first, so `size` has to be known; `blob` is right only when that many bytes came.

    >>> digest = Digest(6)
    >>> digest.update(b"hello\\n")
    >>> digest.blob
    'ce013625030ba8dba906f756967f9e9ca394464a'
    """

    def __init__(self, size: int) -> None:
        self.bytes = 0
        self.head = b""
        self._sha256 = hashlib.sha256()
        self._blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if len(self.head) < HEAD:
            self.head += chunk[: HEAD - len(self.head)]
        self.bytes += len(chunk)
        self._sha256.update(chunk)
        self._blob.update(chunk)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def blob(self) -> str:
        return self._blob.hexdigest()


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, 1 MiB at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def verdict(pin: Pin, came: Digest) -> Verdict:
    """Whether bytes are the pinned ones; `unknown` where no hash is pinned and the size does not speak against it."""
    pairs = ((pin.bytes, came.bytes), (pin.sha256, came.sha256), (pin.blob, came.blob))
    if any(wanted is not None and wanted != got for wanted, got in pairs):
        return "differs"
    return "matches" if pin.sha256 or pin.blob else "unknown"


def wanted(pin: Pin) -> str:
    """A pin in words.

    >>> wanted(Pin(bytes=14437, blob="113ea0cb7a3bb0ded97e7ef06623b0aa912a0821"))
    '14,437 bytes with git-blob 113ea0cb7a3bb0ded97e7ef06623b0aa912a0821'
    """
    size = f"{pin.bytes:,} bytes" if pin.bytes is not None else "a file"
    hashes = [f"{name} {value}" for name, value in (("sha256", pin.sha256), ("git-blob", pin.blob)) if value]
    return size + (" with " + " and ".join(hashes) if hashes else "")


def arrived(came: Digest, pin: Pin) -> str:
    """What came, in words: what it looks like, or its size and the hashes that the pin names."""
    if strange := looks_like(came.head):
        return f"{strange} of {came.bytes:,} bytes"
    if pin.bytes is not None and came.bytes < pin.bytes:
        return f"only {came.bytes:,} bytes"
    return wanted(Pin(bytes=came.bytes or None, sha256=came.sha256, blob=came.blob if pin.blob else None))


# First bytes of what nobody means to read as text.
PACKED = {
    b"\x1f\x8b": "a gzip file", b"PK\x03\x04": "a zip archive", b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text",
}  # fmt: skip


def looks_like(head: bytes) -> str | None:
    """What stands in the place of data when a transfer went wrong.

    >>> looks_like(b"version https://git-lfs.github.com/spec/v1\\noid sha256:00")
    'a Git-LFS pointer'
    """
    for sign, kind in PACKED.items():
        if head.startswith(sign):
            return kind
    start = head.lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return "a Git-LFS pointer"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return None


def stop(where: str, expected: str, came: str, mend: str) -> SourceError:
    """The one sentence about an upstream file: where, what was expected, what came, the mend."""
    return SourceError(f"{where}: expected {expected}, but {came}; {mend}")
