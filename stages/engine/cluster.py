"""Batches as tasks of an existing Ray cluster (Ray core, requirements-ray.txt); loaded only when params choose it.

Every node needs the same Python environment and sees the project folder at the same path (a shared file system):
units are read and parts are written there, and only small results travel. A task whose node is lost runs again
elsewhere; parts are renamed when whole, so that nothing is seen half-written.

Not declared as a dep of any stage: where a batch runs changes no output.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from stages import POOL, SORT
from stages.engine import Each
from stages.errors import ParamsError, PipelineError, without_pandas
from stages.params import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 10  # of a task whose node or process was lost
PATIENCE = 5.0  # seconds for a first answer of the cluster
RANKS = "TIKTOKEN_CACHE_DIR"  # see stages.tokens


@contextlib.contextmanager
def joined(engine: Engine) -> Iterator[Each]:
    """An `Each` whose items are tasks of the cluster at `engine.address`, at most `engine.workers` at once.

    Raises ParamsError when Ray is not installed or no cluster answers, PipelineError when a task is lost for good.
    """
    ray = _driver(engine)
    task = ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=False, scheduling_strategy="SPREAD")(_apply)

    def each(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        shared = ray.put((function, os.getcwd()))
        named = task.options(name=_name(function))
        return _in_order(lambda item: _begun(ray, named, shared, item), items, max(engine.workers - 1, 1))

    try:
        yield each
    finally:
        ray.shutdown()


def _in_order(begin: Callable[[Item], Callable[[], Result]], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """Begin items, so many ahead of the one whose result is taken; `begin` gives what waits for the result."""
    begun: deque[Callable[[], Result]] = deque()
    for item in items:
        begun.append(begin(item))
        if len(begun) > ahead:
            yield begun.popleft()()
    while begun:
        yield begun.popleft()()


def _name(function: Callable[[Any], Any]) -> str:
    """What Ray's dashboard and the processes of its workers call the step."""
    return str(getattr(function, "func", function).__name__).strip("_")


def _begun(ray: Any, task: Any, shared: Any, item: Any) -> Callable[[], Any]:
    reference = task.remote(shared, item)
    return lambda: _result(ray, reference)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        first = str(error).strip().splitlines()[0]
        raise PipelineError(
            f"engine: the Ray cluster lost a task {RETRIES + 1} times ({first}): look at `ray status`, "
            "add memory or nodes, and run again"
        ) from None


def _apply(shared: tuple[Callable[[Any], Any], str], item: Any) -> Any:
    """What a worker does: the function, in the project's folder."""
    function, folder = shared
    without_pandas()
    os.chdir(folder)
    return function(item)


def _driver(engine: Engine) -> Any:
    """The module of Ray, as a driver of the cluster."""
    if importlib.util.find_spec("ray") is None:
        raise ParamsError(
            "engine.kind is ray, which is not installed: run `pip install -r requirements-ray.txt` on every node, "
            "or set engine.kind to local"
        )
    address = engine.address or "auto"
    _knock(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    # Ray's workers load numpy and Arrow before us; the rank files of a tokenizer stand on the shared file system
    passed = {name: os.environ.get(name) for name in (SORT, POOL)}
    passed[RANKS] = os.path.abspath(os.environ[RANKS]) if RANKS in os.environ else None
    environment = {"env_vars": {"PYTHONPATH": path, **{name: value for name, value in passed.items() if value}}}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=environment)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, str(error).strip().splitlines()[0]) from None
    return ray


def _knock(address: str) -> None:
    """Fail at once where nobody listens: Ray itself would try for a minute."""
    found = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    if found:
        try:
            socket.create_connection((found[1], int(found[2])), PATIENCE).close()
        except OSError as error:
            raise _unreachable(address, error.strerror or str(error)) from None


def _unreachable(address: str, why: str) -> ParamsError:
    return ParamsError(
        f"engine.address: no Ray cluster answers at {address} ({why}): start one with `ray start --head` and name its "
        "address in params.yaml, or set engine.kind to local"
    )
