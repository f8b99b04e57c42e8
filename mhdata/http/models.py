"""What the routes take and give, as the OpenAPI document shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mhdata.results import Statistics

State = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
Kind = Literal["build", "merge", "prepare"]


class Asked(BaseModel):
    """The body of a POST that starts a build."""

    model_config = ConfigDict(extra="forbid", strict=True)

    force: Annotated[bool, Field(description="Run also when nothing changed.")] = False


class AskedFormat(Asked):
    """The body of a POST that prepares formats."""

    format: Annotated[str, Field(description="A format, or `all` that params.yaml lists.", examples=["openai"])]


class Progress(BaseModel):
    """Where a running build is."""

    stage: str
    position: Annotated[int, Field(description="Stages looked at so far, this one too.")]
    total: int
    seconds: float
    bytes: Annotated[int, Field(description="What the stage has written.")]
    mb_per_s: float
    eta_seconds: Annotated[float | None, Field(description="At most so long; null where no earlier build tells.")]


class Outcome(BaseModel):
    """A build that reached its end."""

    ran: Annotated[list[str], Field(description="Stages, in the order they ran.")]
    restored: Annotated[list[str], Field(description="Stages whose outputs came out of DVC's cache.")]
    skipped: int
    seconds: float


class Fault(BaseModel):
    """Why a build did not reach its end."""

    code: Annotated[int, Field(description="The exit code that the command line would give.")]
    stage: str | None
    detail: Annotated[str, Field(description="One sentence, with the mend.")]


class Job(BaseModel):
    """A build that was asked for."""

    id: str
    target: Annotated[str, Field(examples=["prepare openai"])]
    kind: Kind
    formats: list[str]
    force: bool
    state: State
    cancelling: Annotated[bool, Field(description="It was asked to stop and has not yet.")] = False
    created: Annotated[str, Field(description="UTC, ISO 8601.")]
    started: str | None = None
    finished: str | None = None
    progress: Progress | None = None
    outcome: Outcome | None = None
    error: Fault | None = None
    url: str
    events: Annotated[str, Field(description="The address of its server-sent events.")]

    @property
    def ended(self) -> bool:
        return self.state not in ("queued", "running")


class Jobs(BaseModel):
    """A page of jobs, newest first."""

    items: list[Job]
    next: Annotated[str | None, Field(description="The `cursor` of the next page; null: this is the last.")]


class Merged(BaseModel):
    """The merged table."""

    exists: bool
    path: str
    when: Annotated[str | None, Field(description="When it was written: local time, ISO 8601.")]
    rows: int | None
    bytes: int | None
    stale: Annotated[bool | None, Field(description="Null while a build runs.")]
    rebuilt: Annotated[bool, Field(description="Whether this request built it.")] = False
    statistics: Statistics | None
    downloads: Annotated[dict[str, str], Field(description="Addresses by file type.")]
    job: Annotated[Job | None, Field(description="The job that builds it now, or that this request waited for.")]


class Format(BaseModel):
    """One export format."""

    selected: Annotated[bool, Field(description="Whether `formats` in params.yaml lists it.")]
    exists: bool
    stale: Annotated[bool | None, Field(description="Null while a build runs.")]
    path: str | None
    rows: Annotated[dict[str, int], Field(description="By side.")]
    files: list[str]
    downloads: Annotated[list[str], Field(description="The addresses of its files.")]
    note: Annotated[str | None, Field(description="Why there is no file, where there is none.")]


class Prepared(BaseModel):
    """The export formats."""

    formats: dict[str, Format]
    rebuilt: bool = False
    job: Job | None


class Built(BaseModel):
    """The whole pipeline, up to date."""

    up_to_date: Annotated[bool | None, Field(description="Null while a build runs.")]
    merged: Merged
    formats: dict[str, Format]
    rebuilt: bool = False
    job: Job | None


class Artifact(BaseModel):
    """One file that may be fetched."""

    name: Annotated[str, Field(examples=["merged~merged_mental_health_dataset.csv"])]
    group: Annotated[str, Field(examples=["merged", "exports"])]
    bytes: int
    when: str
    type: str
    url: str


class Artifacts(BaseModel):
    """All files that may be fetched."""

    items: list[Artifact]


class Health(BaseModel):
    """The server lives."""

    status: Literal["ok"] = "ok"


class Stage(BaseModel):
    """One stage of the graph."""

    stage: str
    description: str
    state: Literal["built", "stale", "behind", "missing", "unknown"]
    why: list[str]
    reads: list[str]


class Status(BaseModel):
    """What `mhdata status --json` prints."""

    root: str
    origin: str
    profile: str
    building: dict[str, Any] | None
    up_to_date: bool | None
    merged: dict[str, Any]
    formats: dict[str, dict[str, Any]]
    stages: list[Stage]
    versions: dict[str, str]
