"""What one process does alone of a stage, whatever the workers: `python -m benchmarks.alone STAGE [WORDS]`

Runs the stage in the folder that it stands in, in one process that hands over as if to others, and prints the CPU
seconds of that process without what workers could do: reading what they left, putting it together, sorting keys.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from stages import engine, errors


class Each:
    """An `Each` that counts what it spends in the items."""

    def __init__(self) -> None:
        self.inside = 0.0

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            before = time.process_time()
            made = function(item)
            self.inside += time.process_time() - before
            yield made


def main() -> None:
    errors.without_pandas()
    errors.reuse_memory()
    each = Each()

    @contextlib.contextmanager
    def started(*_: object) -> Iterator[Each]:
        yield each

    engine.started = started  # type: ignore[assignment]
    stage = importlib.import_module(f"stages.{sys.argv[1]}")
    before = time.process_time()
    stage.main(*sys.argv[2:])
    print(f"\n{time.process_time() - before - each.inside:.3f}")


if __name__ == "__main__":
    main()
