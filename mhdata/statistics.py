"""What the merged table holds, from the ledgers and one pass over its columns."""

from __future__ import annotations

import bisect
import itertools
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from mhdata.results import Account, Lengths, Statistics, as_json
from mhdata.workspace import Workspace
from stages import ledger, params
from stages.errors import PipelineError

TEXTS = ("input", "response", "rejected_response")
FORM = 2  # of the stored copy; raise it when Statistics changes


class NotBuiltError(PipelineError):
    """What was asked for is made by a build that has not run."""


def of(workspace: Workspace) -> Statistics:
    """Statistics of the merged table; the second call on the same table reads what the first has stored.

    Raises NotBuiltError if there is no merged table.
    """
    stamp = stamped(workspace)
    stored = workspace.state / "statistics.json"
    try:
        found = json.loads(stored.read_bytes())
        if found["of"] == stamp:
            return _restored(found["statistics"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never stored, or by another version: count again
    counted = _count(workspace)
    stored.parent.mkdir(parents=True, exist_ok=True)
    part = stored.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps({"of": stamp, "statistics": as_json(counted)}), encoding="utf-8")
    part.replace(stored)
    return counted


def stamped(workspace: Workspace) -> list[Any]:
    """Tells one state of merged table, split and ledgers from another."""
    if not workspace.merged.exists():
        raise NotBuiltError("there is no merged table yet: run `mhdata merge`, or `mhdata build` for all of it")
    files = [workspace.merged, workspace.split, *sorted(workspace.path("data/ledger").glob("[mns]*/*.json"))]
    stats = [(file.name, file.stat()) for file in files if file.exists()]
    return [FORM, [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]]


def _restored(found: dict[str, Any]) -> Statistics:
    lengths = {name: Lengths(**value) for name, value in found["lengths"].items()}
    accounts = tuple(Account(**account) for account in found["accounts"])
    return Statistics(**{**found, "lengths": lengths, "accounts": accounts})


def _count(workspace: Workspace) -> Statistics:
    import pyarrow.compute as pc

    from stages.storage import read_batches

    counts: dict[str, Counter[str]] = {name: Counter() for name in ("source", "type", "tags", "license")}
    lengths: dict[str, Counter[int]] = {name: Counter() for name in TEXTS}
    rows = 0
    for batch in read_batches(workspace.merged, [*counts, *TEXTS]):
        rows += len(batch)
        for name, counter in counts.items():
            values = batch[name].flatten() if name == "tags" else batch[name]
            found = pc.value_counts(values)
            counter.update(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))
        for name in TEXTS:
            found = pc.value_counts(pc.utf8_length(batch[name].drop_null()))
            lengths[name].update(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))
    accounted = accounts(workspace)
    sides: Counter[str] = Counter()
    for account in accounted:
        sides.update(account.sides)
    order = [account.source for account in accounted]
    return Statistics(
        rows,
        {key: counts["source"][key] for key in [*order, *sorted(set(counts["source"]) - set(order))]},
        _ranked(counts["type"]),
        _ranked(counts["tags"]),
        _ranked(counts["license"]),
        dict(sides),
        {name: _lengths(counts) for name, counts in lengths.items() if counts},
        tuple(accounted),
    )


def _ranked(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _lengths(counts: Counter[int]) -> Lengths:
    """Quantiles and histogram of the lengths, each with how many texts have it.

    >>> _lengths(Counter({0: 1, 3: 2, 4: 1, 9: 6}))
    Lengths(p50=9, p90=9, p99=9, longest=9, histogram={'1': 1, '4': 3, '16': 6})
    """
    ordered = sorted(counts.items())
    histogram: Counter[int] = Counter()
    for length, texts in ordered:
        histogram[1 << max(length - 1, 0).bit_length()] += texts
    ends = list(itertools.accumulate(texts for _, texts in ordered))

    def at(share: float) -> int:
        """The length of the text that stands at this share of all, in order of length."""
        return ordered[bisect.bisect_right(ends, int(share * (ends[-1] - 1)))][0]

    return Lengths(at(0.5), at(0.9), at(0.99), at(1), {str(top): texts for top, texts in histogram.items()})


def accounts(workspace: Workspace) -> list[Account]:
    """Where each source's rows went, in the declared order; only sources that have been merged."""
    order = params.ordered(params.load(path=workspace.path("params.yaml")))
    found = (_account(workspace, key) for key in order)
    return [account for account in found if account is not None]


def _account(workspace: Workspace, key: str) -> Account | None:
    read = {
        stage: _ledger(workspace.path(f"data/ledger/{stage}/{key}.json")) for stage in ("normalize", "merge", "split")
    }
    normalized, merged, split = read["normalize"], read["merge"], read["split"]
    if normalized is None or merged is None:
        return None
    current = split is not None and split["in"] == merged["out"]  # else split has not run since
    details = split.get("details", {}) if split and current else {}
    sides = {side: details[side] for side in ("train", "validation", "test", "held_out") if details.get(side)}
    return Account(
        key, normalized["in"], normalized["rejected"], merged["rejected"],
        normalized["duplicates"] + merged["duplicates"], merged["out"], sides,
    )  # fmt: skip


def _ledger(path: Path) -> dict[str, Any] | None:
    try:
        return ledger.read(path)
    except FileNotFoundError:
        return None
