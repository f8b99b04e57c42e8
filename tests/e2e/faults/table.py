"""benchmarks/faults.md: one row for each fault: tried, survived, lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from tests.e2e.faults.outcome import Outcome

TITLES = {
    "kills": "SIGKILL to the process group: no file under a final name that is not whole, same bytes after a rerun",
    "limits": "Limits of the machine, at each stage: built, or one sentence; same bytes after a rerun",
    "together": "Two at once",
    "mutants": "Mutated upstream files, by source: refused in one sentence, or built with every reject accounted",
    "hub": "A hub that misbehaves, at each file: cured by another try, or one sentence with nothing left",
}
COLUMNS = "| fault | tried | survived | lost | how they ended |\n|---|--:|--:|--:|---|\n"
HEAD = """# Faults

Made by `python -m tests.e2e.faults`; do not edit. A case is lost when it gave a traceback, a hang over 10 s of CPU
time, more than 1 GiB of memory, a wrong row, a file under a final name that is not whole, other bytes after a rerun,
or when it had to be cleaned by hand.
"""


def written(outcomes: Iterable[Outcome]) -> str:
    """The page."""
    parts = [HEAD]
    ordered = sorted(outcomes, key=lambda o: (list(TITLES).index(o.kind), o.group))
    for kind, some in groupby(ordered, lambda o: o.kind):
        parts.append(
            f"\n## {TITLES[kind]}\n\n| fault | tried | survived | lost | how they ended |\n|---|--:|--:|--:|---|\n"
        )
        parts += [_row(group, list(cases)) for group, cases in groupby(some, lambda o: o.group)]
    lost = [outcome for outcome in ordered if not outcome.survived]
    if lost:
        parts.append("\n## Lost\n\n")
        parts += [f"- {o.kind}, {o.case}: {' '.join(o.why.split())[:300]}\n" for o in lost]
    return "".join(parts)


def _row(group: str, cases: list[Outcome]) -> str:
    lost = sum(not case.survived for case in cases)
    how = ", ".join(f"{count} {how}" for how, count in sorted(Counter(case.how for case in cases).items()))
    return f"| {group} | {len(cases)} | {len(cases) - lost} | {lost} | {how} |\n"
