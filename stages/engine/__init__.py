"""Where a batch runs: this machine, or a cluster.

A stage hands over pure functions and items (units of data, cut by the data and never by the number of workers) and
gets the results in the items' order. Where they ran changes no byte of any output.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import pickle
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from stages.errors import PipelineError, reuse_memory, without_pandas
from stages.params import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")


class Each(Protocol):
    """Applies a function to every item and yields the results in the items' order.

    Items are taken as they are needed. Function, items and results must be picklable, and the function may run twice
    for an item on a cluster that loses a node. An error in one item is raised here.
    """

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]: ...


SMALL = 48 << 20  # bytes; below, starting workers costs more than they save
AHEAD = 2  # items for each worker that are begun before the first of them is taken: bounds memory


@contextlib.contextmanager
def started(engine: Engine, size: int) -> Iterator[Each]:
    """Give an `Each` for the passes of a stage. On one machine less than SMALL bytes of data stay in this process."""
    if engine.kind == "ray":
        from stages.engine import cluster

        with cluster.joined(engine) as each:
            yield each
    elif engine.workers == 1 or size < SMALL:
        yield map
    else:
        with _pool(engine.workers) as each:
            yield each


def here(each: Each) -> bool:
    """Whether an `Each` works in this process, where handing over text costs nothing."""
    return each is map


def in_order(begin: Callable[[Item], Callable[[], Result]], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """Begin items, so many ahead of the one whose result is taken; `begin` gives what waits for the result."""
    begun: deque[Callable[[], Result]] = deque()
    for item in items:
        begun.append(begin(item))
        if len(begun) > ahead:
            yield begun.popleft()()
    while begun:
        yield begun.popleft()()


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[Each]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    spawn = multiprocessing.get_context("spawn")  # fork would copy Arrow's locked threads
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_worker) as pool:

        def each(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
            pickled = pickle.dumps(function)
            return in_order(lambda item: pool.submit(_call, pickled, item).result, items, AHEAD * workers)

        try:
            yield each
        except BrokenProcessPool:
            raise PipelineError(
                "a worker process was killed, most often for want of memory: lower engine.workers and run again"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _call(pickled: bytes, item: Any) -> Any:
    return _function(pickled)(item)


@functools.lru_cache(maxsize=2)
def _function(pickled: bytes) -> Callable[[Any], Any]:
    """A function is unpickled once for all of its items."""
    return pickle.loads(pickled)  # noqa: S301 - from our own parent


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle, and a worker ends with its parent even when that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    without_pandas()
    reuse_memory()
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
