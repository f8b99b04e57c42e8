"""Answers that were paid for: a sorted file that DVC owns, and an append-only spool that survives a crash.

The spool stands outside DVC, since `dvc checkout` may put an older version of the out in place. It has one
line per event, each on disk before the next request goes out:
`sent` before a request (what it may cost at worst), `void` when the endpoint certainly did not bill it,
`answer` when it came. Time, tries and seconds are in the spool only, so the out depends on the answers alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from stages import files
from stages.errors import PipelineError
from stages.files import atomic
from stages.layout import DATA


class Answer(msgspec.Struct, frozen=True):
    """What is kept of one answer. Prompts are not: they can be made again, and transcripts must not leak."""

    key: str
    slot: str
    part: str
    attempt: int
    provider: str
    model: str  # the model that was asked
    reported: str | None  # the model that says it answered
    text: str | None
    finish_reason: str | None
    tokens_in: int
    tokens_out: int
    estimated: bool  # the endpoint gave no usable token counts
    failure: str | None = None  # reason code when there is no text


class Open(msgspec.Struct, frozen=True):
    """A request that was sent and may have been billed: its worst case."""

    key: str
    provider: str
    model: str
    tokens_in: int
    tokens_out: int


class _Line(msgspec.Struct):
    answer: Answer | None = None
    check: str | None = None
    sent: Open | None = None
    void: str | None = None


@dataclass
class Held:
    """What a file held: answers by key, requests whose fate is unknown, and lines nobody can read."""

    answers: dict[str, Answer] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)  # number of the line, from 0, in an out
    open: list[Open] = field(default_factory=list)
    bad_lines: int = 0


def read(path: Path) -> Held:
    """Read an out, or a fixture: one answer a line; blank and unreadable lines are passed over, the latter counted."""
    held = Held()
    if not path.exists():
        return held
    decode = msgspec.json.Decoder(Answer).decode
    with path.open("rb") as file:
        for place, line in enumerate(file):
            if not line.strip():
                continue
            try:
                answer = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                held.bad_lines += 1
                continue
            held.answers.setdefault(answer.key, answer)
            held.places.setdefault(answer.key, place)
    return held


def write(path: Path, answers: Mapping[str, Answer]) -> None:
    """Write the out: one answer a line, sorted by key."""
    with lines(path) as file:
        for key in sorted(answers):
            file.write(msgspec.json.encode(answers[key]) + b"\n")


@contextlib.contextmanager
def lines(path: Path) -> Iterator[Any]:
    """A JSON Lines file, written whole or not at all. An empty one holds a line feed: DVC warns at no bytes."""
    with atomic(path) as part, part.open("wb") as file:
        yield file
        if file.tell() == 0:
            file.write(b"\n")


def read_lines(path: Path) -> list[Any]:
    """The rows of a JSON Lines file of our own. Raises DamagedError."""
    return list(files.read_lines(path))


def spool_path(name: str) -> Path:
    return Path(os.environ.get("MHDATA_SPOOL") or DATA / ".spool") / f"{name}.jsonl"


class Spool:
    """The spool, held open and locked. Use as a context manager; safe to call from many threads."""

    def __init__(self, path: Path) -> None:
        """Raise PipelineError with the holder's pid when another process has it."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_file = _lock(path.with_suffix(".lock"))
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._guard = threading.Lock()
        _cut_torn_line(self._file)
        self.held = _read_spool(path)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        os.close(self._lock_file)

    def sent(self, request: Open) -> None:
        """Say that a request goes out. Raises OSError when the disk takes no more: then it must not go out."""
        self._append({"sent": request}, sync=False)

    def void(self, key: str) -> None:
        """Say that the last request for `key` was certainly not billed."""
        self._append({"void": key}, sync=False)

    def store(self, answer: Answer, **about: Any) -> None:
        """Keep an answer, and with it all lines before it, on disk. `about` is for people: no code reads it."""
        about["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._append({"answer": answer, "check": _check(answer), "about": about}, sync=True)

    def _append(self, line: Mapping[str, Any], *, sync: bool) -> None:
        data = msgspec.json.encode(line) + b"\n"
        with self._guard:
            start = os.lseek(self._file, 0, os.SEEK_END)
            try:
                written = os.write(self._file, data)
                if written < len(data):
                    os.write(self._file, data[written:])  # raises what stopped the first write
            except OSError:
                os.ftruncate(self._file, start)
                raise
        if sync:
            os.fsync(self._file)


def _lock(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
        os.close(file)
        raise PipelineError(
            f"{path.with_suffix('.jsonl')} is in use by process {holder}: wait for it, or end it, and run again"
        ) from None
    os.ftruncate(file, 0)
    os.pwrite(file, str(os.getpid()).encode(), 0)
    return file


def _cut_torn_line(file: int) -> None:
    """Cut off what a crash left after the last line feed."""
    size = os.fstat(file).st_size
    keep = size
    while keep > 0:
        start = max(0, keep - 65536)
        block = os.pread(file, keep - start, start)
        if (place := block.rfind(b"\n")) >= 0:
            keep = start + place + 1
            break
        keep = start
    if keep < size:
        os.ftruncate(file, keep)


def _read_spool(path: Path) -> Held:
    held = Held()
    sent: defaultdict[str, list[Open]] = defaultdict(list)
    decode = msgspec.json.Decoder(_Line).decode
    with path.open("rb") as file:
        for line in file:
            try:
                event = decode(line)
                if event.answer and event.check != _check(event.answer):
                    raise ValueError
            except (msgspec.DecodeError, ValueError):
                held.bad_lines += 1
                continue
            if event.sent:
                sent[event.sent.key].append(event.sent)
            elif event.answer or event.void:
                key = event.answer.key if event.answer else event.void or ""
                if sent[key]:
                    sent[key].pop()
            if event.answer:
                held.answers.setdefault(event.answer.key, event.answer)
    held.open = [request for requests in sent.values() for request in requests]
    return held


def _check(answer: Answer) -> str:
    return hashlib.sha256(msgspec.json.encode(answer)).hexdigest()[:16]
