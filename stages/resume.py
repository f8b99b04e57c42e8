"""A transfer that breaks and goes on: the bytes that came so far, when to try again, and one run at a time."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from stages.errors import UnansweredError
from stages.pins import Digest, chunks, stop

TRIES = 6  # failures in a row, without a new byte, that one file may meet
REPEATS = 200  # failures in all
BASE = 1.0  # seconds before the second try; doubles. MHDATA_RETRY_BASE overrides it
CAP = 300.0  # the longest wait, also where the server asks for more
SLOW = (60.0, 60 << 10)  # fewer bytes than this in so many seconds count as a stall

_STRONG = re.compile(r'"[!#-~]*"')


class Later(Exception):
    """A failure that another try may cure, and the seconds that the server asked for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Different(Exception):
    """What comes is not the file. The message says what it is."""


class Patience:
    """Waits before another try: twice as long each time, as long as the server asks, and not for ever."""

    def __init__(self, where: str, mend: str) -> None:
        self._where, self._mend = where, mend
        self._row = self._all = 0
        try:
            self._base = float(os.environ.get("MHDATA_RETRY_BASE", BASE))
        except ValueError:
            self._base = -1.0
        if not 0 <= self._base <= CAP:
            raise stop("MHDATA_RETRY_BASE", "a number of seconds", "something else is set", "unset it")

    def progress(self) -> None:
        """New bytes came: count failures in a row from zero."""
        self._row = 0

    def wait(self, later: Later) -> None:
        """Sleep, or raise SourceError when the tries are used up."""
        self._row += 1
        self._all += 1
        if self._row >= TRIES or self._all >= REPEATS:
            tries = f"{self._row} times in a row, {self._all} in all"
            raise UnansweredError(f"{self._where}: expected an answer, but {later} ({tries})", self._mend)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads tries, keeps no secret
        seconds = later.wait if later.wait is not None else self._base * 2 ** (self._row - 1) * jitter
        seconds = min(max(seconds, 0.0), CAP)
        print(f"{self._where}: {later}; trying again in {seconds:.1f} s ({self._row} of {TRIES - 1})", file=sys.stderr)
        time.sleep(seconds)


class Part:
    """The bytes of one file that came so far. They outlive the process, so the next one goes on from there."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self.size = path, size
        self._etag = path.with_name(path.name + ".etag")
        self.digest = Digest(size)
        path.parent.mkdir(parents=True, exist_ok=True)
        # More than one link: a killed run has already handed this file on, so it must not be written to.
        if path.exists() and path.stat().st_size != size and (path.stat().st_size > size or path.stat().st_nlink > 1):
            self.clear()
        if path.exists():
            for chunk in chunks(path):
                self.digest.update(chunk)
        elif not size:  # nothing will be asked for
            path.touch()

    def clear(self) -> None:
        """Start from zero."""
        self._path.unlink(missing_ok=True)
        self._etag.unlink(missing_ok=True)
        self.digest = Digest(self.size)

    def ask(self) -> dict[str, str]:
        """Headers that ask for the rest only, and for all of it if the file is no longer the same."""
        if not self.digest.bytes:
            return {}
        etag = self._etag.read_text() if self._etag.exists() else ""
        return {"range": f"bytes={self.digest.bytes}-"} | ({"if-range": etag} if etag else {})

    def append(self, data: Iterator[bytes], etag: str) -> Iterator[int]:
        """Write what comes, and give the size so far after each chunk."""
        self._etag.write_text(etag if _STRONG.fullmatch(etag) else "")  # a weak one cannot guard a range
        with self._path.open("ab") as file:
            for chunk in data:
                if self.digest.bytes + len(chunk) > self.size:
                    raise Different(f"more than {self.size:,} bytes came")
                file.write(chunk)
                self.digest.update(chunk)
                yield self.digest.bytes


def lively(counts: Iterator[int]) -> Iterator[int]:
    """Pass counts on; raise Later where they grow too slowly."""
    seconds, least = SLOW
    since, before = time.monotonic(), None
    for count in counts:
        before = count if before is None else before
        if (now := time.monotonic()) - since > seconds:
            if count - before < least:
                raise Later(f"fewer than {least:,} bytes came in {seconds:.0f} s")
            since, before = now, count
        yield count


@contextlib.contextmanager
def alone(source: str, parts: Path) -> Iterator[None]:
    """Hold the parts of one source for this process; another one waits its turn. A killed holder lets go."""
    from filelock import FileLock, Timeout

    parts.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(parts.with_name(parts.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"source {source}: another run fetches it; waiting for its end", file=sys.stderr)
        lock.acquire()
    try:
        yield
        shutil.rmtree(parts, ignore_errors=True)
    finally:
        lock.release()
