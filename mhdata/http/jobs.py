"""Builds that were asked for over HTTP: one runs, others queue, the same one is joined. They outlive the server."""

from __future__ import annotations

import asyncio
import datetime
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from mhdata import events, runner
from mhdata.events import Event
from mhdata.failures import BuildError, CancelledError
from mhdata.http.models import Fault, Job, Outcome, Progress
from mhdata.http.store import Store, new_id
from mhdata.runner import Request
from mhdata.workspace import Workspace
from stages import errors
from stages.errors import PipelineError

LOG = logging.getLogger("mhdata.http")
INTERRUPTED = "the server stopped while this ran: ask again, and the build goes on where it stopped"


class Jobs:
    """The jobs of a workspace, and the thread that runs them one after the other."""

    def __init__(self, workspace: Workspace, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called, in any thread, when the state of a job has changed."""
        self._workspace, self._changed = workspace, changed
        self._store = Store(workspace)
        self._jobs: dict[str, Job] = {}
        self._queue: list[str] = []
        self._cancels: dict[str, threading.Event] = {}
        self._work = threading.Condition(threading.RLock())
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="mhdata-jobs", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: dict[str, set[asyncio.Event]] = {}

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take up what an earlier server left, and begin to run. Call it in the event loop."""
        self._loop = asyncio.get_running_loop()
        with self._work:
            for job in self._store.load():
                self._jobs[job.id] = job
                if job.state == "running":
                    self._store.seal(job)
                    fault = Fault(code=errors.INTERRUPTED, stage=None, detail=INTERRUPTED)
                    self._move(job, state="interrupted", cancelling=False, finished=_now(), error=fault)
                elif job.state == "queued":
                    self._enqueue(job)
        self._thread.start()

    def close(self) -> None:
        """Let those who follow a job go: the server stops."""
        self._stopping = True
        for job in list(self._watchers):
            self._wake(job)

    def stop(self) -> None:
        """Stop the running job, which then says it was interrupted. Queued ones stay queued for the next server."""
        with self._work:
            self._stopping = True
            for cancel in self._cancels.values():
                cancel.set()
            self._work.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    # --- asking -----------------------------------------------------------------------------------------------

    def get(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def page(self, state: str | None, limit: int, before: str | None) -> list[Job]:
        """Up to `limit` jobs, newest first, of a state, older than the id `before`."""
        with self._work:
            ids = sorted(self._jobs, reverse=True)
            chosen = (self._jobs[name] for name in ids if before is None or name < before)
            return [job for job in chosen if state is None or job.state == state][:limit]

    def count(self, state: str) -> int:
        with self._work:
            return sum(job.state == state for job in self._jobs.values())

    @property
    def current(self) -> Job | None:
        """The job that runs, else the next one."""
        with self._work:
            running = [job for job in self._jobs.values() if job.state == "running"]
            return running[0] if running else self._jobs[self._queue[0]] if self._queue else None

    def same(self, request: Request) -> Job | None:
        """A job that has not ended and does what is asked for."""
        with self._work:
            for job in self._jobs.values():
                meant = (job.kind, tuple(job.formats)) == (request.kind, request.formats)
                if meant and not job.ended and not job.cancelling and job.force >= request.force:
                    return job
        return None

    def submit(self, request: Request) -> Job:
        """The job of a request: one that does the same, else a new one at the end of the queue."""
        with self._work:
            if job := self.same(request):
                return job
            name = new_id()
            job = Job(
                id=name, target=str(request), kind=request.kind, formats=list(request.formats), force=request.force,
                state="queued", created=_now(), url=f"/api/jobs/{name}", events=f"/api/jobs/{name}/events",
            )  # fmt: skip
            self._jobs[name] = job
            self._move(job)
            self._enqueue(job)
            return job

    def cancel(self, job: Job) -> bool:
        """Stop a job; whether it was still to end."""
        with self._work:
            if job.ended:
                return False
            if job.id in self._queue:
                self._queue.remove(job.id)
                fault = Fault(code=errors.INTERRUPTED, stage=None, detail="it was cancelled before it started")
                self._move(job, state="cancelled", finished=_now(), error=fault)
            else:
                self._cancels[job.id].set()
                self._move(job, cancelling=True)
            return True

    # --- following --------------------------------------------------------------------------------------------

    async def ended(self, job: Job, seconds: float) -> bool:
        """Wait for the end of a job; whether it came within so many seconds."""
        with_end = self._follow(job)
        try:
            async with asyncio.timeout(seconds):
                async for _ in with_end:
                    if job.ended or self._stopping:
                        break
        except TimeoutError:
            pass
        finally:
            await with_end.aclose()
        return job.ended

    async def events(self, job: Job, after: int) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        """The events of a job numbered over `after`, as they come, until its end or the server's."""
        reader = self._store.events(job)
        follow = self._follow(job)
        try:
            async for _ in follow:
                over = job.ended or self._stopping  # before reading: then what is read is all
                for number, event in reader.more():
                    if number > after:
                        yield number, event
                if over:
                    return
        finally:
            await follow.aclose()

    async def _follow(self, job: Job) -> Any:
        """Gives at once, and after each change of the job."""
        bell = asyncio.Event()
        self._watchers.setdefault(job.id, set()).add(bell)
        try:
            while True:
                bell.clear()
                yield
                await bell.wait()
        finally:
            self._watchers[job.id].discard(bell)

    def _wake(self, name: str) -> None:
        def ring() -> None:
            for bell in self._watchers.get(name, ()):
                bell.set()

        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(ring)

    # --- running ----------------------------------------------------------------------------------------------

    def _enqueue(self, job: Job) -> None:
        self._queue.append(job.id)
        self._work.notify()

    def _move(self, job: Job, **fields: Any) -> None:
        """Change a job: in memory, on disk, for those who follow."""
        with self._work:
            new = job.model_copy(update=fields)
            told = new.model_dump(mode="json", exclude={"progress"})
            self._store.append(job, {"event": "end" if new.ended else "state", **told})
            self._store.save(new)
            for name, value in fields.items():  # last: who sees the end finds its event
                setattr(job, name, value)
        self._changed()
        self._wake(job.id)

    def _serve(self) -> None:
        while True:
            with self._work:
                while not self._queue and not self._stopping:
                    self._work.wait()
                if self._stopping:
                    return
                job = self._jobs[self._queue.pop(0)]
                cancel = self._cancels[job.id] = threading.Event()
                self._move(job, state="running", started=_now())
            try:
                self._run(job, cancel)
            finally:
                self._cancels.pop(job.id, None)

    def _run(self, job: Job, cancel: threading.Event) -> None:
        request = Request(job.kind, tuple(job.formats), job.force)
        try:
            made = runner.run(self._workspace, request, lambda event: self._hear(job, event), wait=True, cancel=cancel)
        except Exception as error:
            self._failed(job, error)
            return
        outcome = Outcome(
            ran=list(made.ran), restored=list(made.restored), skipped=made.skipped, seconds=round(made.seconds, 3)
        )
        self._end(job, state="succeeded", outcome=outcome)

    def _failed(self, job: Job, error: Exception) -> None:
        stage = error.stage if isinstance(error, BuildError) else None
        if isinstance(error, CancelledError):
            code, state = errors.INTERRUPTED, "interrupted" if self._stopping else "cancelled"
            said = INTERRUPTED if self._stopping else "it was cancelled; nothing half-written was kept"
        else:
            code, state = error.code if isinstance(error, PipelineError) else errors.FAILED, "failed"
            said = errors.sentence(error) or "a bug stopped it: the server's log has the trace"
            if errors.sentence(error) is None:
                LOG.error("job %s", job.id, exc_info=error)
        self._end(job, state=state, error=Fault(code=code, stage=stage, detail=said))

    def _end(self, job: Job, **fields: Any) -> None:
        self._move(job, finished=_now(), progress=None, cancelling=False, **fields)

    def _hear(self, job: Job, event: Event) -> None:
        with self._work:
            self._store.append(job, events.as_dict(event))
            job.progress = _progress(job.progress, event)
        self._wake(job.id)


def _progress(before: Progress | None, event: Event) -> Progress | None:
    match event:
        case events.StageStarted():
            return Progress(
                stage=event.stage, position=event.position, total=event.total, seconds=0.0, bytes=0, mb_per_s=0.0,
                eta_seconds=event.eta_seconds,
            )  # fmt: skip
        case events.StageProgress() if before:
            return before.model_copy(
                update={
                    "seconds": event.seconds,
                    "bytes": event.bytes,
                    "mb_per_s": event.mb_per_s,
                    "eta_seconds": event.eta_seconds,
                }
            )
        case events.StageSkipped():
            return Progress(
                stage=event.stage, position=event.position, total=event.total, seconds=0.0, bytes=0, mb_per_s=0.0,
                eta_seconds=before.eta_seconds if before else None,
            )  # fmt: skip
    return before


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
