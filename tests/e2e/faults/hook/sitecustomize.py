"""Loaded by Python itself in a stage under test: counts what it does to files, and kills its group before the n-th.

MHDATA_WRITES names a file that grows by one byte with each; MHDATA_KILL_AT is n. Both count only below data/.
"""

import os
import signal
import sys

_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate"}
_at = int(os.environ.get("MHDATA_KILL_AT", "0"))
_log = os.open(os.environ["MHDATA_WRITES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_count = 0


def _changes(event, args):
    if event == "open":
        return isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in _CHANGES


def _hook(event, args):
    global _count
    if not _changes(event, args) or "data" not in os.fspath(args[0] if args[0] is not None else "").split("/")[:9]:
        return
    _count += 1
    os.write(_log, b".")
    if _count == _at:
        os.killpg(0, signal.SIGKILL)


if "stages" in " ".join(sys.orig_argv):
    sys.addaudithook(_hook)
