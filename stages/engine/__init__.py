"""Where a batch runs: this machine, or a cluster.

A stage hands over pure functions and items (units of data, cut by the data and never by the number of workers) and
gets the results in the items' order. Where they ran changes no byte of any output.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from stages.params import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")


class Each(Protocol):
    """Applies a function to every item and yields the results in the items' order.

    Items are taken as they are needed. Function, items and results must be picklable, and the function may run twice
    for an item on a cluster that loses a node. An error in one item is raised here.
    """

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]: ...


SMALL = 24 << 20  # bytes; below, starting workers costs more than they save


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
        from stages.engine import processes

        with processes.shared(engine.workers) as each:
            yield each


def here(each: Each) -> bool:
    """Whether an `Each` works in this process, where handing over text costs nothing."""
    return each is map
