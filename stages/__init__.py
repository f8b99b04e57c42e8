"""The pipeline: one module per stage of dvc.yaml, and the rooms they call."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

SORT = "NPY_DISABLE_CPU_FEATURES"
POOL = "ARROW_DEFAULT_MEMORY_POOL"
_FLAGS = 4096  # bytes of /proc/cpuinfo that hold the first core's entry


def sorts_slowly(cpu: str) -> bool:
    """Whether a CPU (an entry of /proc/cpuinfo) is an AMD Zen 4, on which numpy sorts integers 5 times faster by AVX2.

    numpy's AVX-512 sort stores compressed vectors to memory, which is microcode there (numpy/x86-simd-sort#6).
    """
    known = dict(line.split(":", 1) for line in cpu.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in known.items()}
    return (
        fields.get("vendor_id") == "AuthenticAMD"
        and fields.get("cpu family") == "25"
        and "avx512f" in fields.get("flags", "").split()
    )


def _choose_sort() -> None:
    """Decide how numpy sorts in this process and those it starts; too late once numpy is imported, and harmless."""
    if SORT in os.environ or sys.platform != "linux":
        return
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            cpu = file.read(_FLAGS)
    except OSError:
        return
    if sorts_slowly(cpu):
        os.environ[SORT] = "X86_V4 AVX512_ICL AVX512_SPR"


def _choose_pool() -> None:
    """Let Arrow allocate where numpy does: a pool of its own keeps 50 to 130 MB of free pages beside malloc's.

    That holds of glibc, which `errors.reuse_memory` tunes. Too late once pyarrow is imported, and harmless.
    """
    with contextlib.suppress(AttributeError, ValueError, OSError):  # another C library, or none that says its name
        if os.confstr("CS_GNU_LIBC_VERSION"):
            os.environ.setdefault(POOL, "system")


_choose_sort()
_choose_pool()
