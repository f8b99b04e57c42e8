"""What a build that failed means: one sentence, and the exit code of the stage that failed.

DVC itself ends with 255 whatever happened, so its words and the stage's are read.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mhdata.graph import name_of
from stages import errors
from stages.errors import PipelineError

LOG = ".dvc/tmp/mhdata/build.log"
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class BuildError(PipelineError):
    """A build did not reach its end. `code` is what the stage that failed gave."""

    def __init__(self, message: str, code: int = errors.FAILED, stage: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.stage = stage


class CancelledError(BuildError):
    """Somebody stopped the build."""

    def __init__(self, stage: str | None = None) -> None:
        where = f" in {stage}" if stage else ""
        super().__init__(
            f"interrupted{where}: nothing half-written was kept; the same command goes on where it stopped",
            errors.INTERRUPTED,
            stage,
        )


@dataclass
class Told:
    """The last lines of a run, and the stage that said them."""

    stage: str | None = None
    lines: list[str] = field(default_factory=list)

    KEPT = 400

    @classmethod
    def of(cls, lines: Iterable[str]) -> Told:
        told = cls()
        for line in lines:
            told.add(clean(line))
        return told

    def enter(self, stage: str) -> None:
        self.stage, self.lines = stage, []

    def add(self, line: str) -> None:
        self.lines = [*self.lines[-self.KEPT :], line]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def clean(line: str) -> str:
    """A line without colours and without its end."""
    return _ANSI.sub("", line).rstrip("\r\n")


class Known(NamedTuple):
    """A failure of DVC itself that a user can mend."""

    sign: re.Pattern[str]
    sentence: str
    code: int = errors.FAILED


def _known(sign: str, sentence: str, code: int = errors.FAILED) -> Known:
    return Known(re.compile(sign, re.S), sentence, code)


LOCK = (
    "{path} is not valid, perhaps by conflict marks of a git merge: "
    "run `git checkout --ours {path}`, then `mhdata build`"
)
LACKING = re.compile(r"Some of the cache files do not exist|missing-files|failed to pull data")
# What goes wrong between us and a remote; `remote` says which, where a door knows it.
_REMOTE = (
    _known(
        r"received 401|401 Unauthorized|Permission denied for user|Unable to locate credentials|403 Forbidden"
        r"|\b403,|SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied|Access Denied|Forbidden|\b401,",
        "{remote} refused our credentials: set them with `{credentials}`, then run `{again}` again",
        errors.ENDPOINT,
    ),
    _known(
        r"specified bucket does not exist|NoSuchBucket",
        "the bucket of {remote} does not exist: mend its url with `dvc remote modify {name} url URL`",
        errors.ENDPOINT,
    ),
    _known(
        r"Unsupported method|405 Method Not Allowed|\b405,|\b501,",
        "{remote} is read-only: push to another one with `mhdata push -r NAME`",
        errors.ENDPOINT,
    ),
    _known(
        r"507 Insufficient Storage|\b507,",
        "{remote} has no space left: free some there, then run `{again}` again",
        errors.ENDPOINT,
    ),
    _known(
        r"payload is not completed|ContentLengthError|Connection reset|IncompleteRead|Connection lost"
        r"|ServerDisconnected|Server disconnected|Connection closed",
        "the transfer with {remote} broke off: run `{again}` again, it goes on where it stopped",
        errors.ENDPOINT,
    ),
    _known(
        r"Could not connect|Cannot connect to host|Connect call failed|Connection refused|Connect(?:ion)?Timeout"
        r"|Name or service not known|Temporary failure in name resolution|No route to host|Network is unreachable"
        r"|EndpointConnectionError|Connection timed out",
        "{remote} does not answer: start it, or mend its url with `dvc remote modify {name} url URL`",
        errors.ENDPOINT,
    ),
)
_FULL = (
    _known(
        r"\[Errno (?:28|122)\]|No space left on device|Disk quota exceeded|database or disk is full",
        "the disk is full: free some space, then run `{again}` again; nothing half-written was kept",
    ),
    _known(
        r"\[Errno 27\]|File too large|disk I/O error",
        "a file would pass the size limit of this process: raise it (`ulimit -f unlimited`), then run `{again}` again",
    ),
)
_SOME_REMOTE = {
    "remote": "the remote", "name": "NAME", "credentials": "dvc remote modify --local NAME", "again": "dvc pull",
}  # fmt: skip


KNOWN = (
    _known(
        r"RWLock-file .* (?:corrupted|format error)",
        "DVC's lock file .dvc/tmp/rwlock is torn and another DVC works in this folder: wait for it and run again",
        errors.REFUSED,
    ),
    _known(
        r"is busy, it is being blocked by:\s+\(PID (?P<pid>\d+)\): (?P<cmd>[^\n]*)",
        "another DVC works in this folder (process {pid}: {cmd}): wait for it and run again",
        errors.REFUSED,
    ),
    _known(
        r"Unable to acquire lock",
        "another DVC works in this folder: wait for it and run again",
        errors.REFUSED,
    ),
    _known(
        r"(?:\./)?(?P<path>[\w/-]*dvc\.lock)'?[^\n]* (?:is invalid|validation failed|structure is corrupted)",
        LOCK,
    ),
    _known(r"unable to read: '(?P<path>[^']*dvc\.lock)'", LOCK),
    _known(
        r"No module named '?dvc\b",
        f"DVC is not installed for {sys.executable}: run `pip install -r requirements.txt`",
    ),
    _known(
        r"\[Errno 28\]|No space left on device",
        "the disk is full: free some space and run again; nothing half-written was kept",
    ),
    _known(
        r"\[Errno 30\]|Read-only file system",
        "the folder is read-only: build where you may write",
    ),
    _known(
        r"\[Errno (?:1|13)\] [^:\n]*(?P<path>: '[^'\n]*')?",
        "permission is missing{path}: check owner and mode, and run again",
    ),
    *_REMOTE,
    _known(
        LACKING.pattern,
        "some files are on no remote: `mhdata build` makes them here",
    ),
    _known(
        r"missing data 'source': (?P<path>[^\n]*)",
        "an input of the build is missing ({path}): restore it with `git checkout -- data`, then run again",
    ),
    _known(
        r"dependenc(?:y|ies) (?P<path>'[^\n]*) (?:do|does) not exist",
        "an input of the build is missing ({path}): restore it with `git checkout -- data`, then run again",
    ),
    _known(
        r"does not exist in 'dvc\.yaml'|not found in dvc\.yaml|'dvc\.yaml' does not exist",
        "dvc.yaml lacks a stage: restore it with `git checkout dvc.yaml`",
    ),
    _known(
        r"you are not inside of a DVC repository",
        "this folder is no DVC repository: clone the project with git",
    ),
)

_FAILED = re.compile(r"failed to reproduce '(?P<stage>[^']*)'(?:: (?P<why>.*))?")
_RAISED = re.compile(r"[A-Za-z_.]+(?:Error|Exception|Interrupt|Exit)\b")
_EXIT = re.compile(r"failed to run: (?P<cmd>.*), exited with (?P<code>-?\d+)")


def explain(told: Told, code: int) -> BuildError:
    """What a run of DVC that failed means: the stage's own sentence and exit code, or DVC's trouble."""
    failed, ended = _FAILED.search(told.text), _EXIT.search(told.text)
    stage = name_of(failed["stage"]) if failed and failed["stage"] else told.stage
    if ended:
        return _stage_failed(told, stage, int(ended["code"]))
    for known in KNOWN:
        if found := known.sign.search(told.text):
            words = _SOME_REMOTE | {name: value or "" for name, value in found.groupdict().items()}
            return BuildError(known.sentence.format_map(words), known.code, stage)
    if code < 0:
        return BuildError(f"dvc was ended by {_signal(-code)}: run again to go on", errors.FAILED, stage)
    said = [line.removeprefix("ERROR:").strip() for line in told.lines if line.startswith("ERROR:")]
    last = said[-1] if said else next((line for line in reversed(told.lines) if line.strip()), f"code {code}")
    return BuildError(f"dvc failed: {last}", errors.FAILED, stage)


def transfer(told: Told, remote: str, credentials: str, name: str, verb: str) -> BuildError | None:
    """What a transfer that failed means, with the remote's name; None for what is not the remote's own trouble."""
    words = {"remote": remote, "credentials": credentials, "name": name, "again": f"mhdata {verb}"}
    for known in (*_FULL, *_REMOTE):
        if known.sign.search(told.text):
            return BuildError(known.sentence.format_map(words), known.code)
    return None


def _stage_failed(told: Told, stage: str | None, code: int) -> BuildError:
    own = [line.removeprefix("error: ") for line in told.lines if line.startswith("error: ")]
    where = f"{stage}: " if stage else ""
    if own:
        known = code if code in (1, 2, 3, 4, 5, 130) else errors.FAILED
        return BuildError(where + own[-1], known, stage)
    if code in (130, -signal.SIGINT):
        return CancelledError(stage)
    number = -code if code < 0 else code - 128 if 128 < code < 160 else 0
    if number:
        memory = ": perhaps memory ran out, then lower engine.workers" if number == signal.SIGKILL else ""
        return BuildError(f"{where}ended by {_signal(number)}{memory}; run again to go on", errors.FAILED, stage)
    if "Traceback (most recent call last)" in told.text:
        kind = next(
            (line for line in reversed(told.lines) if re.match(r"[A-Za-z_.]+(Error|Exception|Interrupt)\b", line)), ""
        )
        return BuildError(
            f"{where}stopped by a bug ({kind}): please report it with .dvc/tmp/mhdata/build.log", errors.FAILED, stage
        )
    return BuildError(f"{where}ended with code {code}: see {LOG}", errors.FAILED, stage)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
