"""Batches in processes of this machine."""

from __future__ import annotations

import itertools
import os
import signal
import time

import pytest

from stages import engine
from stages.engine import processes
from stages.errors import PipelineError, SourceError
from stages.params import Engine


def _square(number: int) -> int:
    return number * number


def _who(number: int) -> int:
    time.sleep(0.002)
    return os.getpid()


def _bad(number: int) -> int:
    if number >= 5:
        raise SourceError(f"item {number} is bad")
    return number


def _killed_elsewhere(home: int) -> int:
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)
    return home


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 9, 200])
def test_results_come_in_the_order_of_the_items(workers: int, count: int) -> None:
    with processes.shared(workers) as each:
        assert list(each(_square, range(count))) == [number * number for number in range(count)]
        assert list(each(str, range(count))) == [str(number) for number in range(count)]


def test_this_process_and_the_others_work() -> None:
    seen = set()
    with processes.shared(3) as each:
        for who in each(_who, range(100_000)):
            seen.add(who)
            if len(seen) == 3:
                break
    assert len(seen) == 3 and os.getpid() in seen


def test_the_first_error_is_the_same_wherever_it_happens() -> None:
    for _ in range(3):
        with processes.shared(2) as each, pytest.raises(SourceError, match="item 5 is bad"):
            for place, result in enumerate(each(_bad, range(100))):
                assert result == place < 5


def test_items_are_taken_as_they_are_needed() -> None:
    taken = itertools.count()
    items = (next(taken) for _ in range(10_000))
    with processes.shared(2) as each:
        results = each(_square, items)
        next(results)
        assert next(taken) <= processes.READY * 2 + processes.AHEAD + 1


def test_a_killed_worker_is_one_sentence() -> None:
    with pytest.raises(PipelineError, match=r"worker process was killed.*engine\.workers"), processes.shared(2) as each:
        list(each(_killed_elsewhere, itertools.repeat(os.getpid(), 10_000)))


def test_little_data_starts_no_process() -> None:
    with engine.started(Engine(workers=4), engine.SMALL - 1) as each:
        assert engine.here(each)
    with engine.started(Engine(workers=4), engine.SMALL) as each:
        assert not engine.here(each)
