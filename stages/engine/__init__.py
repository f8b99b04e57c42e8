"""Where a batch runs: this machine, or a cluster.

A stage hands over a pure function and items (units of data, cut by the data and never by the number of
workers) and gets the results in the items' order. Where they ran changes no byte of any output.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from stages.errors import without_pandas
from stages.params import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")


SMALL = 48 << 20  # bytes; below, starting workers costs more than they save


def run(function: Callable[[Item], Result], items: Sequence[Item], engine: Engine, size: int) -> Iterator[Result]:
    """Apply `function` to every item; yield the results in the items' order.

    `size` is the bytes of data behind all items: little work stays in this process. `function` and items
    must be picklable. An error in one item is raised here.
    """
    if engine.kind == "local" and (engine.workers == 1 or len(items) <= 1 or size < SMALL):
        yield from map(function, items)
        return
    yield from _pool(function, items, engine.workers)


def _pool(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    spawn = multiprocessing.get_context("spawn")  # fork would copy Arrow's locked threads
    with ProcessPoolExecutor(min(workers, len(items)), mp_context=spawn, initializer=_start_worker) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle, and a worker ends with its parent even when that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    without_pandas()
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
