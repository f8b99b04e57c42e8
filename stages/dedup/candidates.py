"""Pairs of rows worth comparing: rows that share a band key in a view, and rows whose view holds the same.

Each call reads one column of keys and writes one file of pairs, so the calls are independent of each other. Pairs are
uint64, (smaller position << 32) | larger position, sorted and distinct within a file.

Rows with the same content in a view are collapsed first: only the one of lowest rank looks for others, so a question
asked ten thousand times is one question. A bucket of up to `WIDE` rows yields all its pairs. A wider one would yield
the square of its rows: there, each row is compared with the `HEADS` rows of lowest rank, and the bucket is divided by
each of the next `AGAIN` bands, whose parts yield all their pairs up to `WIDE` rows, and beyond that those of each row
with the heads and with the next `NEXT` rows in the order of one more band. Ranks decide, so the order of rows does not.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from stages.dedup.minhash import BANDS
from stages.dedup.shingles import distinct
from stages.dedup.spill import INPUT, OF_VIEW, RESPONSE, Spill, ranges

WIDE, HEADS, AGAIN, NEXT = 64, 8, 8, 8
ENTRIES = 1 << 21  # keys sorted at once
CUT = 1 << 18  # keys cut into ranges at once
PIECE = 1 << 21  # pairs written at once
SPAN = 1 << 18  # pairs compared by one task
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def passes(rows: int) -> int:
    """Into how many ranges of keys the work is cut, so that memory does not grow with the rows."""
    return max(1, -(-rows // ENTRIES))


def collapse(folder: Path, view: int, short: int) -> int:
    """Write which rows look for others in this view, and the pairs of those that need not; return how many pairs.

    A row without text in the view does not, nor, in the view of responses, one that may not be removed or has fewer
    words than `short`: short answers are alike without being copies. Where no row holds anything but an input, none
    does in the view of inputs, which is that of wholes again.
    """
    spill = Spill(folder)
    leads = np.zeros(spill.rows, np.uint8)
    answered = False
    for first, rows in spill.blocks():
        counts = spill.where(np.arange(first, first + len(rows)))["counts"]
        leads[first : first + len(rows)] = _has_text(counts, rows, view, short)
        answered |= bool(counts[:, INPUT + 1 :].any())
    if view == INPUT and not answered:
        leads[:] = 0
    found = []
    for turn in range(passes(spill.rows)):
        positions, same, ranks = _same_content(spill, leads, view, turn)
        order = np.lexsort((positions, ranks, same))
        positions, same = positions[order], same[order]
        starts, sizes = _buckets(same)
        leaders = np.repeat(positions[starts], sizes - 1)
        others = positions[ranges(starts + 1, sizes - 1)]
        leads[others] = 0
        found.append(_pairs(leaders, others))
    leads.tofile(folder / f"leads-{view}")
    return _save(folder, view, "same", found)


def _has_text(counts: np.ndarray, rows: np.ndarray, view: int, short: int) -> np.ndarray:
    words = counts[:, OF_VIEW[view]].sum(axis=1)
    if view == RESPONSE:
        return (words >= short) & (rows["removable"] > 0)
    return words > 0


def _same_content(spill: Spill, leads: np.ndarray, view: int, turn: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, content hash and rank of the rows in one range of hashes."""
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for first, rows in spill.blocks():
        same = rows["same"][:, view]
        mine = np.flatnonzero((leads[first : first + len(rows)] > 0) & (_range(same >> _32, spill.rows) == turn))
        parts.append((mine + first, same[mine], rows["rank"][mine]))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint64)
    positions, same, ranks = (np.concatenate(part) for part in zip(*parts, strict=True))
    _, place, sizes = np.unique(same, return_inverse=True, return_counts=True)
    again = sizes[place] > 1
    return positions[again], same[again], ranks[again]


def _range(high: np.ndarray, rows: int) -> np.ndarray:
    """Which range of keys each 32-bit value falls in."""
    return (high.astype(np.uint64) * np.uint64(passes(rows))) >> _32


def search(folder: Path, view: int, band: int) -> tuple[int, int]:
    """Write the pairs of one band of one view; return how many, and how many rows were cut short."""
    spill, cut = Spill(folder), np.zeros(1, np.int64)
    return _save(folder, view, f"{band:02d}", _proposed(spill, view, band, cut)), int(cut[0])


def _proposed(spill: Spill, view: int, band: int, cut: np.ndarray) -> Iterator[np.ndarray]:
    for entries in _ranges(spill, view, band):
        entries.sort()
        starts, sizes = _buckets(entries >> _32)
        positions = (entries & _LOW).astype(np.int64)
        wide = sizes > WIDE
        yield from _all_pairs(positions, starts[~wide], sizes[~wide])
        yield from _divide(spill, view, band, positions, starts[wide], sizes[wide], cut)


def _ranges(spill: Spill, view: int, band: int) -> Iterator[np.ndarray]:
    """(key << 32) | position of the rows that look for others, one range of keys at a time."""
    turns = passes(spill.rows)
    if turns == 1:
        yield np.concatenate([np.zeros(0, np.uint64), *_entries(spill, view, band)])
        return
    bounds = np.arange(1, turns, dtype=np.uint64) * np.uint64((1 << 32) // turns) << _32
    with ExitStack() as stack:
        files = [stack.enter_context(TemporaryFile(dir=spill.folder)) for _ in range(turns)]
        for entries in _entries(spill, view, band):
            entries.sort()
            for file, part in zip(files, np.split(entries, np.searchsorted(entries, bounds)), strict=True):
                part.tofile(file)
        for file in files:
            file.seek(0)
            yield np.fromfile(file, np.uint64)


def _entries(spill: Spill, view: int, band: int) -> Iterator[np.ndarray]:
    """The entries of as many blocks of rows as make a piece."""
    parts: list[np.ndarray] = []
    size = 0
    with (spill.folder / f"leads-{view}").open("rb") as file:
        for first, keys in spill.keys(view, band):
            mine = np.flatnonzero(np.frombuffer(file.read(len(keys)), np.uint8))
            parts.append((keys[mine].astype(np.uint64) << _32) | (mine + first).astype(np.uint64))
            size += len(mine)
            if size >= CUT:
                yield np.concatenate(parts)
                parts, size = [], 0
    yield np.concatenate([np.zeros(0, np.uint64), *parts])


def _buckets(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and size of each run of two or more equal keys."""
    starts = np.flatnonzero(np.concatenate([[len(keys) > 0], keys[1:] != keys[:-1]]))
    sizes = np.diff(starts, append=len(keys))
    return starts[sizes > 1], sizes[sizes > 1]


def _pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    low, high = np.minimum(first, second), np.maximum(first, second)
    return (low.astype(np.uint64) << _32) | high.astype(np.uint64)


def _all_pairs(positions: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    """All pairs within each run of positions."""
    for size in np.unique(sizes).tolist():
        one, two = _corners(size)
        firsts = starts[sizes == size]
        step = max(1, PIECE // len(one))
        for at in range(0, len(firsts), step):
            members = positions[firsts[at : at + step, None] + np.arange(size)]
            yield _pairs(members[:, one].reshape(-1), members[:, two].reshape(-1))


@cache
def _corners(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices of all pairs of `size` rows, at most `WIDE`."""
    return np.triu_indices(size, 1)


def _lagged(positions: np.ndarray, runs: np.ndarray, lag: int) -> np.ndarray:
    """Pairs of positions that stand `lag` apart within one run."""
    same = runs[lag:] == runs[:-lag]
    return _pairs(positions[:-lag][same], positions[lag:][same])


def _with_heads(members: np.ndarray, runs: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of each row of a run with the first rows of the run; the members of a run need not be neighbours."""
    order = np.argsort(runs, kind="stable")
    starts, sizes = _buckets(runs[order])
    members = members[order]
    for head in range(HEADS):
        one = np.repeat(members[starts + head], sizes)
        yield _pairs(one, members)[one != members]


def _divide(
    spill: Spill, view: int, band: int, positions: np.ndarray, starts: np.ndarray, sizes: np.ndarray, cut: np.ndarray
) -> Iterator[np.ndarray]:
    """Pairs from buckets too wide for all their pairs; adds to `cut` the rows that were not compared with all."""
    if len(starts) == 0:
        return
    members = positions[ranges(starts, sizes)]
    bucket = np.repeat(np.arange(len(starts), dtype=np.uint64), sizes)
    place = np.argsort(members)
    ascending = members[place]
    ranks = np.empty(len(members), np.uint64)
    ranks[place] = spill.rows_at(ascending)["rank"]

    def keys(step: int) -> np.ndarray:
        values = np.empty(len(members), np.uint64)
        values[place] = spill.keys_at(view, (band + step) % BANDS, ascending)
        return values[by_rank]

    by_rank = np.lexsort((members, ranks))
    members, bucket = members[by_rank], bucket[by_rank]  # the order of rows has no say from here on
    yield from _with_heads(members, bucket)
    for step in range(1, AGAIN + 1):
        runs = (bucket << _32) | keys(step)
        order = np.argsort(runs, kind="stable")
        firsts, counts = _buckets(runs[order])
        wide = counts > WIDE
        yield from _all_pairs(members[order], firsts[~wide], counts[~wide])
        if wide.any():
            inner = np.sort(order[ranges(firsts[wide], counts[wide])])
            cut += len(inner)
            yield from _with_heads(members[inner], runs[inner])
            again = inner[np.lexsort((inner, keys(step + 1)[inner], runs[inner]))]
            for lag in range(1, NEXT + 1):
                yield _lagged(members[again], runs[again], lag)


def _save(folder: Path, view: int, name: str, pieces: Iterable[np.ndarray]) -> int:
    """Write pairs in files of bounded size, each sorted and without repeats; a file has its name only when whole."""
    total = number = size = 0
    waiting: list[np.ndarray] = []

    def write() -> int:
        pairs = distinct(np.concatenate([np.zeros(0, np.uint64), *waiting]))
        part = folder / f".pairs-{view}-{name}-{number:04d}.part"
        pairs.astype("<u8").tofile(part)
        part.replace(folder / f"pairs-{view}-{name}-{number:04d}")
        return len(pairs)

    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            total += write()
            waiting, size, number = [], 0, number + 1
    return total + write()


def spans(folder: Path, view: int, rows: int) -> list[tuple[int, int]]:
    """Ranges of smaller positions, [low, high), that hold a bounded number of pairs each, and all pairs together."""
    files = sorted(folder.glob(f"pairs-{view}-*"))
    place = cache(_place)  # most bounds are asked for again
    found: list[tuple[int, int]] = []
    waiting = [(0, rows)]
    while waiting:
        low, high = waiting.pop()
        size = sum(place(path, high) - place(path, low) for path in files)
        if size > SPAN and high - low > 1:
            middle = (low + high) // 2
            waiting += [(middle, high), (low, middle)]
        elif size:
            found.append((low, high))
    return found


def load(folder: Path, view: int, low: int, high: int) -> np.ndarray:
    """All distinct pairs of a view whose smaller position is in [low, high)."""
    found = [np.zeros(0, np.uint64)]
    for path in sorted(folder.glob(f"pairs-{view}-*")):
        start, stop = _place(path, low), _place(path, high)
        with path.open("rb", buffering=0) as file:
            found.append(np.frombuffer(os.pread(file.fileno(), 8 * (stop - start), 8 * start), "<u8"))
    return distinct(np.concatenate(found))


def _place(path: Path, bound: int) -> int:
    """How many pairs of a file have a smaller position below `bound`."""
    total = path.stat().st_size // 8
    with path.open("rb", buffering=0) as file:
        return bisect_left(range(total), bound << 32, key=partial(_pair, file.fileno()))


def _pair(number: int, at: int) -> int:
    return int.from_bytes(os.pread(number, 8, 8 * at), "little")
