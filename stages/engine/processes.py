"""Batches in processes of this machine: this one and `workers - 1` others. Loaded only where there is work for them.

This process does its share: work begins before the others have started, and nobody waits for their start.

Not declared as a dep of any stage: where a batch runs changes no output.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from stages.engine import Each
from stages.errors import PipelineError, reuse_memory, without_pandas

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2  # items that each other process has before it: when one is done, the next is there
READY = 4  # items a worker that are begun before the first of them is taken: bounds memory


@contextlib.contextmanager
def shared(workers: int) -> Iterator[Each]:
    """An `Each` whose items are done here and in `workers - 1` other processes. Raises PipelineError when one dies."""
    spawn = multiprocessing.get_context("spawn")  # fork would copy Arrow's locked threads
    with ProcessPoolExecutor(workers - 1, mp_context=spawn, initializer=_start_worker) as pool:

        def each(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
            pickled = pickle.dumps(function)
            return _in_order(lambda item: pool.submit(_call, pickled, item), function, items, workers - 1)

        try:
            yield each
        except BrokenProcessPool:
            raise PipelineError(
                "a worker process was killed, most often for want of memory: lower engine.workers and run again"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _in_order(
    submit: Callable[[Item], Future[Result]], function: Callable[[Item], Result], items: Iterable[Item], others: int
) -> Iterator[Result]:
    """Results in the order of the items: the others are kept at work first, then the next item is done here.

    Nobody has one that waits before the others have started, and of the last ones: who is free takes the next.
    """
    left, known, begun, first = iter(items), deque[Item](), deque[Future[Result]](), None
    while True:
        known.extend(itertools.islice(left, AHEAD * others + 1 - len(known)))
        room, busy = READY * (others + 1) - len(begun), sum(not result.done() for result in begun)
        while known and room and busy < others * (AHEAD if first and first.done() and len(known) > 1 else 1):
            begun.append(submit(known.popleft()))
            first, room, busy = first or begun[-1], room - 1, busy + 1
        if begun and begun[0].done():
            yield begun.popleft().result()
        elif known and room:
            begun.append(_done(function, known.popleft()))
        elif begun:
            yield begun.popleft().result()
        else:
            return


def _done(function: Callable[[Item], Result], item: Item) -> Future[Result]:
    """A result made here. Its error waits for its turn: the first error is the same with any number of workers."""
    made: Future[Result] = Future()
    try:
        made.set_result(function(item))
    except Exception as error:
        made.set_exception(error)
    return made


def _call(pickled: bytes, item: Any) -> Any:
    return _function(pickled)(item)


@functools.lru_cache(maxsize=2)
def _function(pickled: bytes) -> Callable[[Any], Any]:
    """A function is unpickled once for all of its items."""
    return pickle.loads(pickled)  # noqa: S301 - from our own parent


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle, and a worker ends with its parent even when that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit.register(os._exit, 0)
    without_pandas()
    reuse_memory()
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
