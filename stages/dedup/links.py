"""Which row stands for which: one link for each row that leaves as a duplicate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from stages.dedup.exact import Removed
from stages.engine.keys import KeySpill, PlaceSpill

# A removed row and the row that stands for it, by place among all rows and by id; and how alike they are.
LINK = np.dtype(
    [
        ("place", "i8"), ("id_hi", "u8"), ("id_lo", "u8"),
        ("kept_place", "i8"), ("kept_hi", "u8"), ("kept_lo", "u8"),
        ("method", "u1"), ("score", "i4"), ("differing", "i4"),
    ]
)  # fmt: skip
METHODS = ("exact", "near", "answer", "exact+near")  # the last: equal to a row that then left as a near-duplicate
EXACT, NEAR, ANSWER, BOTH = range(len(METHODS))

Ids = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # sorted places to id parts


class Links:
    """All links, to be read by the place of the removed row, and by the place of the row that stays."""

    def __init__(self, folder: Path, total: int) -> None:
        self._exact = KeySpill(folder / "links", np.dtype([("hi", "u8"), *LINK.descr]))
        self.removed = PlaceSpill(folder / "removed", LINK, total)
        self.stands_for = PlaceSpill(folder / "kept", LINK, total)

    def add_exact(self, found: Removed) -> None:
        links = np.zeros(len(found.removed), self._exact.dtype)
        links["hi"] = found.removed["hi"]
        for names, side in ((LINK.names[:3], found.removed), (LINK.names[3:6], found.kept)):  # type: ignore[index]
            for name, field in zip(names, ("place", "id_hi", "id_lo"), strict=True):
                links[name] = side[field]
        links["score"] = 1000
        self._exact.add(links)

    def close(self, near: np.ndarray) -> None:
        """Take the near links (dtype LINK), and lead exact ones past rows that they remove; nothing is added after."""
        near = _past_answers(near[np.argsort(near["place"])])
        self._put(near)
        for part in self._exact.partitions():
            self._put(_resolved(part, near))

    def _put(self, links: np.ndarray) -> None:
        plain = np.empty(len(links), LINK)
        for name in LINK.names or ():
            plain[name] = links[name]
        self.removed.add(plain)
        self.stands_for.add(turned(plain))


def _past_answers(near: np.ndarray) -> np.ndarray:
    """Links (by place) whose kept row left as one that shares an answer lead to the row that stays for that one."""
    at, gone = _found(near, near["kept_place"])
    led = near.copy()
    for name in ("kept_place", "kept_hi", "kept_lo"):
        led[name] = np.where(gone, near[name][at], near[name])
    return led


def _found(near: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in `near` (by place) the links of some places are, and whether they are there."""
    at = np.minimum(np.searchsorted(near["place"], places), max(0, len(near) - 1))
    return at, near["place"][at] == places


def _resolved(links: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Links whose kept row left as a near-duplicate lead to the row that stays for that one."""
    if not len(near):
        return links
    at, gone = _found(near, links["kept_place"])
    for name in ("kept_place", "kept_hi", "kept_lo", "score", "differing"):
        links[name] = np.where(gone, near[name][at], links[name])
    links["method"] = np.where(gone, BOTH, links["method"])
    return links


def turned(links: np.ndarray) -> np.ndarray:
    """The same links with the kept row first."""
    names = LINK.names or ()
    result = links.copy()
    for name, other in zip(names[:6], names[3:6] + names[:3], strict=True):
        result[name] = links[other]
    return result


def near_links(
    rows: np.ndarray, kept: np.ndarray, method: int, score: np.ndarray, differing: np.ndarray, ids: Ids
) -> np.ndarray:
    """Links of near-duplicates: places of removed and kept rows, similarity in thousandths, words that differ."""
    links = np.zeros(len(rows), LINK)
    links["place"], links["kept_place"] = rows, kept
    links["method"], links["score"], links["differing"] = method, score, differing
    places = np.unique(np.concatenate([rows, kept]))
    high, low = ids(places)
    for prefix, side in (("id_", rows), ("kept_", kept)):
        at = np.searchsorted(places, side)
        links[f"{prefix}hi"], links[f"{prefix}lo"] = high[at], low[at]
    return links


class Places:
    """Numbers of rows among some rows (those that a search looked at), and their places among all."""

    def __init__(self, total: int) -> None:
        self.taken = np.zeros(total, bool)  # the one thing here that grows with the rows: a byte each

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The places of sorted or unsorted numbers; a block of rows at a time."""
        result = np.empty(len(numbers), np.int64)
        before = 0
        for start, block in self._blocks():
            found = np.flatnonzero(block)
            mine = (numbers >= before) & (numbers < before + len(found))
            result[mine] = start + found[numbers[mine] - before]
            before += len(found)
        return result

    def _blocks(self, size: int = 1 << 20) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(self.taken), size):
            yield start, self.taken[start : start + size]
