"""The mixture: how often each training row of a source stands in an export, and how much validation a service takes.

A row is chosen by a hash of its id against a threshold, so it does not depend on order, and a lower threshold takes
a subset. Thresholds that must reach a total come from a histogram over the hashes: fixed memory, never beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xxhash

from stages.params import Mixture

BINS = 1 << 16


def ranks(ids: Iterable[str], seed: int) -> np.ndarray:
    """The bin of each id, 0 to BINS - 1; int64."""
    return np.array([xxhash.xxh3_64_intdigest(id.encode(), seed % 2**64) >> 48 for id in ids], np.int64)


class Histogram:
    """Units by the rank of their rows, for training rows by source and for validation rows."""

    def __init__(self) -> None:
        self.train: dict[str, np.ndarray] = {}
        self.validation = np.zeros(BINS, np.int64)

    def add(self, place: np.ndarray, sources: np.ndarray, sides: np.ndarray, units: np.ndarray) -> None:
        """Count rows: their ranks, sources, sides and units, all of one length."""
        train = sides == "train"
        for source in sorted(set(sources[train])):
            mine = train & (sources == source)
            bins = self.train.setdefault(source, np.zeros(BINS, np.int64))
            bins += np.bincount(place[mine], weights=units[mine], minlength=BINS).astype(np.int64)
        self.validation += np.bincount(place[sides == "validation"], minlength=BINS)

    def join(self, other: Histogram) -> None:
        """Count what another counted too."""
        for source, bins in other.train.items():
            self.train[source] = self.train[source] + bins if source in self.train else bins
        self.validation += other.validation


class Plan:
    """Copies of each row."""

    def __init__(self, mixture: Mixture, found: Histogram, max_validation: int | None) -> None:
        self._seed, self._rates = mixture.seed, rates(mixture, {s: int(h.sum()) for s, h in found.train.items()})
        self._copies: dict[str, tuple[int, int]] = {}  # whole copies of each row, and the threshold for one more
        for source, bins in found.train.items():
            rate = self._rates[source]
            whole = math.floor(rate)
            if mixture.rates and source not in mixture.caps:
                threshold = round((rate - whole) * BINS)  # of the hash alone: no other row counts
            else:
                threshold = _threshold(bins, (rate - whole) * int(bins.sum()))
            self._copies[source] = whole, threshold
        limit = BINS if max_validation is None else _threshold(found.validation, max_validation)
        self._validation = limit

    def copies(self, ids: Iterable[str], sources: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """How often each row stands in the export; int64. Only training rows are repeated."""
        place = ranks(ids, self._seed)
        copies = np.ones(len(place), np.int64)
        for source, (whole, threshold) in self._copies.items():
            mine = (sides == "train") & (sources == source)
            copies[mine] = whole + (place[mine] < threshold)
        copies[(sides == "validation") & (place >= self._validation)] = 0
        return copies

    @property
    def rates(self) -> dict[str, float]:
        """Copies of a row that the mixture asks for, on average, by source."""
        return {source: round(rate, 6) for source, rate in sorted(self._rates.items())}


def _threshold(bins: np.ndarray, wanted: float) -> int:
    """The highest rank below which stand no more units than are wanted."""
    return int(np.searchsorted(np.cumsum(bins), wanted + 1e-6, side="right"))


def rates(mixture: Mixture, units: Mapping[str, int]) -> dict[str, float]:
    """Copies of a row by source, from the units that each source has.

    >>> rates(Mixture(weights={"a": 1, "b": 1}), {"a": 100, "b": 400, "c": 9})
    {'a': 1.0, 'b': 0.25, 'c': 0.0}
    >>> rates(Mixture(weights={"a": 1, "b": 1}, max_repeats=2), {"a": 100, "b": 400})
    {'a': 2.0, 'b': 0.5}
    """
    wanted = {source: mixture.rates.get(source, 1.0) for source in units}
    if mixture.weights:
        whole = sum(weight for source, weight in mixture.weights.items() if units.get(source))
        shares = {source: mixture.weights.get(source, 0.0) / (whole or 1.0) for source in units}
        most = [mixture.max_repeats * units[source] / share for source, share in shares.items() if share]
        total = min([*most, float(mixture.total)] if mixture.total else most, default=0.0)
        wanted = {source: shares[source] * total / (units[source] or 1) for source in units}
    return {
        source: min(rate, mixture.caps.get(source, math.inf) / (units[source] or 1)) for source, rate in wanted.items()
    }


def report(mixture: Mixture, plan: Plan, got: Mapping[str, Mapping[str, int]], unit: str) -> dict[str, Any]:
    """The mixture as asked and as achieved: rows and units of the training side, by source."""
    whole = {name: sum(figures[name] for figures in got.values()) for name in ("rows", unit)}
    achieved = {
        source: dict(figures)
        | {f"{name}_share": round(figures[name] / whole[name], 4) if whole[name] else 0.0 for name in ("rows", unit)}
        for source, figures in sorted(got.items())
    }
    weights = sum(mixture.weights.values())
    asked = {
        "unit": "rows" if mixture.unit == "rows" else unit,
        "weights": {source: round(weight / weights, 4) for source, weight in sorted(mixture.weights.items())},
        "rates": dict(sorted(mixture.rates.items())),
        "caps": dict(sorted(mixture.caps.items())),
        "total": mixture.total,
        "max_repeats": mixture.max_repeats,
    }
    return {"asked": asked, "rates": plan.rates, "achieved": achieved}
