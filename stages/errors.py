"""The few errors a user can meet: each one sentence that says what, where and the mend."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NoReturn, TextIO

DONE, FAILED, USAGE, REFUSED, ENDPOINT, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class PipelineError(Exception):
    """Something a user can mend. The message is one sentence; `code` is the exit code."""

    code = FAILED


class ParamsError(PipelineError):
    """params.yaml holds an unknown key, a wrong type or an impossible value."""

    code = USAGE


class SourceError(PipelineError):
    """An upstream file is missing, changed, or not what its source declares."""


class UnansweredError(SourceError):
    """An endpoint gave no answer, however often it was asked. `what` is the sentence without the mend."""

    def __init__(self, what: str, mend: str) -> None:
        self.what, self._mend = what, mend
        super().__init__(f"{what}; {mend}")

    def __reduce__(self) -> tuple[Any, ...]:  # from a worker to its parent
        return type(self), (self.what, self._mend)


class LawError(PipelineError):
    """A law of the pipeline (conservation, no leak, obligations) does not hold: a bug or bad data."""


class DamagedError(PipelineError):
    """A file that a stage wrote is torn, empty or of another shape: who changed or cut it, no stage can know."""

    def __init__(self, path: PurePath, why: str) -> None:
        self._of = path, why
        self.what = f"{path} is damaged ({why})"
        stored = path.parts[-4:-2] == ("files", "md5")  # an object of DVC's cache, which a git revision is read from
        again = "remove it, then `dvc pull` or `dvc repro` puts it back"
        super().__init__(f"{self.what}: {again if stored else 'run `dvc repro`, which makes it anew'}")

    def __reduce__(self) -> tuple[Any, ...]:  # from a worker to its parent
        return type(self), self._of


class RefusedError(PipelineError):
    """A licence or a policy forbids what was asked."""

    code = REFUSED


class EndpointError(PipelineError):
    """A remote service refused us for a reason that a retry cannot cure."""

    code = ENDPOINT


class IncompleteError(PipelineError):
    """Work stopped before the end by a limit; what was done is kept."""

    code = INCOMPLETE


_MENDS = {
    errno.ENOSPC: "the disk is full: free some space and run `dvc repro` again; nothing half-written was kept",
    errno.EDQUOT: "the disk quota is used up: free some space and run `dvc repro` again",
    errno.EFBIG: "a file would pass the size limit of this process (see `ulimit -f`): raise it and run again",
    errno.EROFS: "the folder is read-only: build where you may write, or remount it, and run `dvc repro` again",
    errno.EACCES: "permission is missing: check the owner and mode of the path and run `dvc repro` again",
    errno.EPERM: "permission is missing: check the owner and mode of the path and run `dvc repro` again",
    errno.EISDIR: "a folder stands where a file is meant: name a file, or move the folder away",
    errno.EEXIST: "something else stands there: move it away and run again",
    errno.ENOTDIR: "a file stands where a folder is meant: move it away and run again",
    errno.ELOOP: "this link leads back to itself: put the file itself there",
    errno.ENAMETOOLONG: "the name is too long for this file system: give a shorter one",
    errno.EIO: "the disk or its file system gives an error: check it (`dmesg`), and restore the file",
    errno.EMFILE: "too many files are open: raise `ulimit -n` to 256 or more and run `dvc repro` again",
    errno.ENOENT: "the file is missing: `dvc repro` makes what comes before this stage",
    errno.ENOMEM: "memory ran out: close other programs or lower engine.workers and run `dvc repro` again",
}


def sentence(error: BaseException) -> str | None:
    """The one sentence for an error a user can mend, or None for a bug."""
    if isinstance(error, PipelineError):
        return str(error)
    if isinstance(error, MemoryError):
        return _MENDS[errno.ENOMEM]
    if isinstance(error, OSError) and error.errno in _MENDS:
        return f"{error.filename2 or error.filename or error}: {_MENDS[error.errno]}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}: check that path and run `dvc repro` again"
    if isinstance(error, OSError) and error.errno is None and str(error).endswith("written"):
        return _MENDS[errno.ENOSPC]  # numpy's words for a write that the disk cut short
    return None


class _NoPandas:
    """Import hook that says pandas is not there."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def without_pandas() -> None:
    """Keep pyarrow from importing pandas (0.25 s of CPU) at its first array; no stage uses it."""
    if _NoPandas not in sys.meta_path:
        sys.meta_path.insert(0, _NoPandas)


def with_pandas() -> None:
    """Undo `without_pandas`, for a library that imports pandas itself."""
    if _NoPandas in sys.meta_path:
        sys.meta_path.remove(_NoPandas)


_TRIM, _MMAP = -1, -3  # mallopt's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD


def reuse_memory() -> None:
    """Let malloc keep what numpy and Arrow give back: else each large array is faulted in anew (7 % of merge)."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # a C library without mallopt
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_MMAP, 32 << 20)
            mallopt(_TRIM, 32 << 20)


def run(main: Callable[..., None]) -> NoReturn:
    """Run a stage's main with the command line's words; end with one sentence and an exit code.

    Bugs keep their traceback: it is what a maintainer needs, and no user error takes this way.
    """
    without_pandas()
    reuse_memory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "SIGXFSZ"):  # without this, RLIMIT_FSIZE kills before the sentence
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    words, signature = sys.argv[1:], inspect.signature(main)
    try:
        signature.bind(*words)
    except TypeError:
        spec = sys.modules["__main__"].__spec__
        usage = " ".join(["python -m", spec.name if spec else "MODULE", *map(str.upper, signature.parameters)])
        print(f"error: usage: {usage}", file=sys.stderr)
        sys.exit(USAGE)
    try:
        main(*words)
    except BrokenPipeError:
        with contextlib.suppress(BrokenPipeError):  # nobody may read the errors either
            print("error: what read this stage's output has ended: run it again without a pipe", file=sys.stderr)
        hush(sys.stdout, sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("interrupted: run `dvc repro` to go on where it stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        text = sentence(error)
        if text is None:
            raise
        print(f"error: {text}", file=sys.stderr)
        sys.unraisablehook = lambda _: None  # an open writer would say the same again when it is thrown away
        sys.exit(error.code if isinstance(error, PipelineError) else FAILED)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the work is done, whoever was to hear of it
        hush(sys.stdout, sys.stderr)
    sys.exit(DONE)


def hush(*streams: TextIO) -> None:
    """Send what is still to be said to nobody: Python's last flush would complain of a reader that has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
