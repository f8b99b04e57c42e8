"""Jobs on disk: one JSON file each, and beside it the events, one a line. So they outlive the server."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mhdata.http.models import Job
from mhdata.workspace import Workspace

ID = "[0-9a-f]{20}"
KEPT = 200  # jobs that have ended


def new_id() -> str:
    """An id that sorts by time and cannot be guessed."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"


class Store:
    """The folder of jobs in a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.state / "jobs"
        self._folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> list[Job]:
        """All jobs, oldest first; the oldest that have ended are forgotten over KEPT."""
        found = [job for path in sorted(self._folder.glob("*.json")) if (job := _read(path))]
        old = [job for job in found if job.ended][:-KEPT]
        for job in old:
            self._path(job, "json").unlink(missing_ok=True)
            self._path(job, "jsonl").unlink(missing_ok=True)
        forgotten = {job.id for job in old}
        return [job for job in found if job.id not in forgotten]

    def save(self, job: Job) -> None:
        """Write the job; a reader sees the old one or the new one."""
        path = self._path(job, "json")
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(job.model_dump_json(exclude={"progress"}), encoding="utf-8")
        part.replace(path)

    def append(self, job: Job, event: dict[str, Any]) -> None:
        """Add an event."""
        path = self._path(job, "jsonl")
        with path.open("ab") as file:
            file.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")

    def seal(self, job: Job) -> None:
        """Cut off what a killed server left half-written, so that the next event starts a line."""
        path = self._path(job, "jsonl")
        if path.exists():
            whole = path.read_bytes()
            os.truncate(path, whole.rfind(b"\n") + 1)

    def events(self, job: Job) -> Events:
        """A reader of a job's events."""
        return Events(self._path(job, "jsonl"))

    def _path(self, job: Job, kind: str) -> Path:
        return self._folder / f"{job.id}.{kind}"


class Events:
    """Reads a job's events, and goes on where it stopped when more have come."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._number = path, 0, 0

    def more(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The events that are new since the last call, each with its number from 1."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                lines = file.readlines()
        except FileNotFoundError:
            return
        for line in lines:
            if not line.endswith(b"\n"):
                return  # just being written
            self._offset += len(line)
            self._number += 1
            yield self._number, json.loads(line)


def _read(path: Path) -> Job | None:
    try:
        return Job.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None  # of another version of this program
