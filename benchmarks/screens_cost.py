"""CPU seconds per MB of text of each screen that is on, and of all together, on the records of a build.

    python -m benchmarks.screens_cost [data/normalized]

Text is input, response and rejected_response. A screen's model is loaded before the clock starts and told apart.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pyarrow as pa

from stages import params, screens
from stages.layout import NORMALIZED
from stages.params import Screen
from stages.storage import read_batches, row_bytes

TEXTS = ["input", "response", "rejected_response"]


def main(folder: Path) -> None:
    on = screens.enabled(params.load("screens").screens)
    files = sorted(folder.glob("*.parquet"))
    first = next(batch.slice(0, 1) for path in files for batch in read_batches(path))
    print("load: " + ", ".join(f"{name} {seconds(name, screen, first):.2f} s" for name, screen in on.items()))
    print(f"{'source':22}{'MB':>8}" + "".join(f"{name:>10}" for name in on) + f"{'all':>10}")
    for path in files:
        spent, size = dict.fromkeys(on, 0.0), 0
        for batch in read_batches(path):
            size += int(row_bytes(batch.select(TEXTS)).sum())
            for name, screen in on.items():
                spent[name] += seconds(name, screen, batch)
        if size:
            figures = [*spent.values(), sum(spent.values())]
            print(f"{path.stem:22}{size / 1e6:8.2f}" + "".join(f"{1e6 * figure / size:10.3f}" for figure in figures))


def seconds(name: str, screen: Screen, batch: pa.RecordBatch) -> float:
    start = time.process_time()
    screens.load(name).screen(batch, screen)
    return time.process_time() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else NORMALIZED)
