"""What 1 TB and a billion rows would take: `python -m benchmarks.scale FOLDER` writes benchmarks/scale.md.

Reads FOLDER/measured.json, which `python -m benchmarks.report FOLDER core near screens scale` filled, and the sizes of
what the stages spill. A model, not a measurement: costs per row from the largest run, on as many cores as the tasks of
a stage can use, and what one process does alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import Usage
from benchmarks.pages import table
from benchmarks.report import LARGE, LARGEST, SMALL, STEPS, Bench
from stages import normalize, split
from stages.dedup import exact, links, spill, verify

OUT = Path(__file__).with_name("scale.md")
CORES, PRICE = 64, 2.7  # of one machine, dollars an hour: the order of magnitude of a rented one
MEMORY = 128e9  # bytes of it
RATE = 200e6  # bytes/s that one process reads or writes on shared storage
NEAR = STEPS["near",]


def page(bench: Bench) -> str:
    one, alone, large, largest = bench.steps(LARGE, 1), bench.alone(LARGE), bench.whole(LARGE), bench.whole(LARGEST)
    size = bench.size(LARGE) * 1e6
    lines = [
        "# A terabyte, and a billion rows",
        "Made by `python -m benchmarks.scale` from the runs of [README.md](README.md).",
        "## What was measured",
        "",
    ]
    lines += table(
        f"stage, {LARGE:,} rows | CPU s per 100k rows | per GB | per 100k rows, what one process does alone",
        [
            f"{name} | {use.cpu / LARGE * 1e5:.2f} | {use.cpu / size * 1e9:.1f} | {alone[name] / LARGE * 1e5:.2f}"
            for name, use in one.items()
        ],
    )
    lines += _shuffle(bench)
    lines += ["## The model", ""]
    lines += _model(one, alone, _growth(largest, large), size)
    lines += _checked(largest, large)
    return "\n".join(lines) + "\n"


def _shuffle(bench: Bench) -> list[str]:
    words = _words_per_row(bench)
    rows = [
        f"normalize: identity of each row | {normalize.KEY.itemsize}",
        f"merge: key of each row | {exact.KEY.itemsize}",
        f"merge: each link of a duplicate, twice | {2 * links.LINK.itemsize} a duplicate",
        f"near-duplicates: band keys, marks and hashes | {832 + spill.ROW.itemsize - 32 + spill.WHERE.itemsize - 24} and 4 a word ({words:.0f} words: {4 * words:.0f})",
        f"near-duplicates: each pair that holds, in the driver's memory | {verify.PAIR.itemsize} a pair",
        "near-duplicates: the union-find, in the driver's memory until merge writes | 6",
        f"split: keys of input and group | {2 * split.KEY.itemsize}",
    ]
    return ["", "Global steps exchange keys, never text:", "", *table("step | bytes a row", rows)]


def _words_per_row(bench: Bench) -> float:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    folder = bench.project(SMALL).root / "data/normalized"
    total = rows = 0
    for path in sorted(folder.glob("*.parquet")):
        read = pq.read_table(path, columns=["input", "response", "rejected_response"])
        rows += len(read)
        total += sum(pc.sum(pc.count_substring(column, " ")).as_py() or 0 for column in read.columns)
    return total / max(rows, 1)


def _checked(largest: dict[str, Usage], large: dict[str, Usage]) -> list[str]:
    """What the model foretells of the largest run that was made, from the runs below it."""
    times = LARGEST / LARGE
    rows = [
        f"{name} | {large[name].cpu * times:.0f} | {use.cpu:.0f} | {use.cpu / (large[name].cpu * times):.2f}"
        for name, use in largest.items()
    ]
    head = f"CPU s at {LARGEST:,} rows | by the model, from {LARGE:,} | measured | measured to model"
    return ["## The model against the largest run", "", *table(head, rows)]


def _growth(largest: dict[str, Usage], large: dict[str, Usage]) -> float:
    """Bytes a row by which the peak of merge grows."""
    return max(0.0, largest[NEAR].peak - large[NEAR].peak) * 1e6 / (LARGEST - LARGE)


def _model(one: dict[str, Usage], alone: dict[str, float], growth: float, size: float) -> list[str]:
    """Hours and dollars for two targets."""
    bytes_row = size / LARGE
    found = []
    for what, rows in (("1 TB", 1e12 / bytes_row), ("1 billion rows", 1e9)):
        for machines in (1, 4, 16):
            hours = single = cpu = 0.0
            for name, use in one.items():
                if name == STEPS["merge",]:
                    continue  # the merge with near-duplicates holds it
                own = alone[name] / LARGE * rows
                cpu += use.cpu / LARGE * rows
                single += own
                hours += max(own, use.cpu / LARGE * rows / (machines * CORES))  # it works while the others do
            found.append(
                f"{what} | {rows / 1e6:,.0f} M | {cpu / 3600:,.0f} | {machines} x {CORES} cores | {hours / 3600:.1f} | "
                f"{single / 3600:.1f} | {hours / 3600 * machines * PRICE:,.0f}"
            )
    lines = table("corpus | rows | CPU hours | machines | hours | of which one process alone | dollars", found)
    pages = [
        *lines,
        f"Prices: {PRICE} dollars an hour for {CORES} cores and {MEMORY / 1e9:.0f} GB. Ray's own cost is not in it (3 to 11 CPU s a stage with tasks, see",
        "[cluster.md](cluster.md)); nor are screens, which scale with the cores.",
        "",
        "What breaks first, in this order:",
        "",
        f"- **One process alone.** Workers make every table and export in parts, but one process puts these together, sorts keys and takes out duplicates:"
        f" {_row(alone) * 1e9 / 3600:.0f} hours at a billion rows, one core of all that there are. Beyond about {_enough(one, alone):.0f} cores"
        " more of them shorten nothing. The way on is a table of many files, which need no putting together.",
        f"- **Memory of that process.** Merge's peak grew by {growth:.0f} bytes a row from {LARGE:,} to {LARGEST:,} rows (of which 1 to 2 are what the"
        f" footer says of its row groups, on disk since): {MEMORY / 1e9:.0f} GB last for about {MEMORY / max(growth, 1) / 1e9:.0f} billion rows.",
        "- **The shared file system.** Every stage reads its input and writes its output once; merge with near-duplicates reads"
        " its records three times. Nothing but keys is exchanged, so this is the corpus' size times about eight over the rate"
        " of the storage.",
        "- **32 bits.** Near-duplicate positions are 32-bit numbers: 4.29 billion rows.",
        "",
    ]
    return pages


def _row(alone: dict[str, float]) -> float:
    """CPU seconds a row that one process does alone."""
    return sum(spent for name, spent in alone.items() if name != STEPS["merge",]) / LARGE


def _enough(one: dict[str, Usage], alone: dict[str, float]) -> float:
    """Cores at which all work takes as long as what one process does alone."""
    return sum(use.cpu for name, use in one.items() if name != STEPS["merge",]) / LARGE / max(_row(alone), 1e-9)


def main() -> None:
    OUT.write_text(page(Bench(Path(sys.argv[1]).resolve())), encoding="utf-8")


if __name__ == "__main__":
    main()
