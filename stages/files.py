"""Whole files and folders or none: atomic writers, hashes and JSON documents, with nothing heavy to import.

A path gets its final name only when it is whole and on disk; the `.part` of a killed writer goes with the next one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from stages.errors import DamagedError

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success flush it to disk and rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    part = _part(path)
    try:
        yield part
        _flush(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """As `atomic`, for parts in a scratch folder: they need not outlive a power cut."""
    part = _part(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success flush its files to disk and put it in the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    part = _part(path)
    part.mkdir()
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                _flush(file)
        _put(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _put(part: Path, path: Path) -> None:
    """Rename a folder to `path`, whatever stands there, also when another process does the same now."""
    old = part.with_name(part.name.removesuffix(".part") + ".old.part")
    while True:
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, old)
        try:
            os.replace(part, path)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            break
        finally:
            shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def scratch(out: Path) -> Iterator[Path]:
    """Give a folder for spills beside `out`, on the same disk; it goes at the end, or when the next one sweeps."""
    path = out.with_name(f"{out.name}.scratch")
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    part = _part(path)
    part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _sweep(path: Path) -> None:
    """Remove what killed writers of the same out left behind."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        if left_behind(part, path.name):
            shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


_WRITER = re.compile(r"\.(?P<name>.+?)\.(?P<pid>\d+)(\.old)?\.part")


def left_behind(part: Path, name: str | None = None) -> bool:
    """Whether a path is what a killed writer (of the out `name`) left: its process lives no more."""
    found = _WRITER.fullmatch(part.name)
    if not found or name not in (None, found["name"]):
        return False
    # A container gives the same number again: our own number on a leftover is a dead writer's.
    return int(found["pid"]) == os.getpid() or not _alive(int(found["pid"]))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sha256(path: Path) -> str:
    """The hex sha256 of a file, streamed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document: sorted keys, two spaces, final newline."""
    with atomic(path) as part:
        part.write_bytes(
            orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
        )


def read_json(path: Path, *keys: str) -> Any:
    """Read one JSON document; with `keys`, an object that has them. Raises DamagedError."""
    found = _parsed(path, path.read_bytes(), "")
    if keys:
        _check_keys(path, found, keys, "")
    return found


def read_lines(path: Path, *keys: str) -> Iterator[Any]:
    """Stream the documents of a JSON Lines file, objects that have `keys`. Raises DamagedError."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield read_line(path, line, *keys, where=f"line {number} ")


def read_line(path: Path, line: bytes, *keys: str, where: str = "a line ") -> Any:
    """One line of a JSON Lines file. Raises DamagedError."""
    found = _parsed(path, line, where)
    _check_keys(path, found, keys, where)
    return found


def _parsed(path: Path, data: bytes, where: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        why = f"{where or 'it '}is no JSON: {error}" if data.strip() else "it is empty"
        raise DamagedError(path, why) from None


def _check_keys(path: Path, found: Any, keys: tuple[str, ...], where: str) -> None:
    lacking = [key for key in keys if not isinstance(found, dict) or key not in found]
    if lacking:
        raise DamagedError(path, f"{where or 'it '}lacks {', '.join(lacking)}")
