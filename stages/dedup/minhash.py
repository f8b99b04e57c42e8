"""One-permutation MinHash of shingle sets and its bands: whole batches at a time, integers only.

A shingle's hash falls into one of 128 bins by its first seven bits; a set's signature holds the smallest hash of each
bin (Li, Owen and Zhang, NIPS 2012). An empty bin takes the value of another, the first filled one in an order of the
bins that is its own: optimal densification (Shrivastava, ICML 2017), so that two signatures agree in a bin with a
probability of the Jaccard similarity of the sets, short texts too. 32 bands of 4 bins make a pair of sets with
similarity J candidates with probability 1 - (1 - J^4)^32: 0.873 at 0.5, 0.988 at 0.6, 0.9998 at 0.7.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa

from stages.dedup.shingles import BITS, Sets, mix, sequences, sets

BINS, BANDS = 128, 32
ROWS = BINS // BANDS
EMPTY = np.uint32(0xFFFFFFFF)
_BIN_BITS = 7
_VALUE_BITS = BITS - _BIN_BITS
_FEW = 48  # filled bins up to which ranking them beats probing for them


def signatures(texts: pa.StringArray) -> np.ndarray:
    """The signature of each text: uint32 of shape (texts, 128). A text without words has `EMPTY` throughout.

    >>> one, two = signatures(pa.array(["I feel low, all the time.", "i feel low all the time"]))
    >>> bool((one == two).all())
    True
    """
    return densify(minima(sets(sequences(texts))))


def minima(of: Sets) -> np.ndarray:
    """The smallest hash in each bin, `EMPTY` where no shingle falls: uint32 of shape (sets, 128).

    The minima of a union are the elementwise minima, so a text in several fields need not be hashed again.
    """
    bins = np.full((len(of.ends), BINS), EMPTY, np.uint32)
    if len(of.keys):
        place = of.keys >> np.uint64(_VALUE_BITS)  # number of the set, then of the bin
        first = np.concatenate([[0], np.flatnonzero(place[1:] != place[:-1]) + 1])
        value = (of.keys.take(first) >> np.uint64(_VALUE_BITS - 32)) & np.uint64(0xFFFFFFFF)
        bins.reshape(-1)[place.take(first)] = np.minimum(value, np.uint64(EMPTY - 1))
    return bins


def densify(bins: np.ndarray) -> np.ndarray:
    """Fill each empty bin from the first filled bin in its own order of bins; the argument is left as it is."""
    filled = bins != EMPTY
    count = filled.sum(axis=1)
    dense = bins.copy()
    few = np.flatnonzero((count > 0) & (count <= _FEW))
    few = few[np.argsort(-count[few], kind="stable")]
    dense[few] = _densify_few(bins[few], filled[few], count[few])
    many = np.flatnonzero((count > _FEW) & (count < BINS))
    dense[many] = _densify_many(bins[many])
    return dense


def _densify_few(bins: np.ndarray, filled: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Rank the filled bins for every bin; take the best. Rows by falling count; uint8, so it vectorises well."""
    order, rank = _orders()
    best = np.full(bins.shape, BINS - 1, np.uint8)
    columns = np.nonzero(filled)[1]
    starts = np.cumsum(count) - count
    for turn, rows in enumerate(
        np.searchsorted(-count, -np.arange(1, count.max(initial=0) + 1), side="right").tolist()
    ):
        np.minimum(best[:rows], rank.take(columns[starts[:rows] + turn], axis=0), out=best[:rows])
    donors = order.take(best * np.int64(BINS) + np.arange(BINS))
    return bins.take(donors + BINS * np.arange(len(bins))[:, None])


def _densify_many(bins: np.ndarray) -> np.ndarray:
    """Probe the bins in order until one is filled: few are empty, so few probes are needed."""
    order, _ = _orders()
    known, dense = bins.reshape(-1), bins.reshape(-1).copy()
    empty = np.flatnonzero(known == EMPTY)
    for turn in range(1, BINS):
        if len(empty) == 0:
            break
        column = empty & (BINS - 1)
        value = known.take(empty - column + order[turn].take(column))
        dense[empty] = value
        empty = empty[value == EMPTY]
    return dense.reshape(bins.shape)


@cache
def _orders() -> tuple[np.ndarray, np.ndarray]:
    """`order[t, i]`: the t-th bin that bin i asks, itself first. `rank[j, i]`: when bin i asks bin j."""
    draws = mix(np.arange(1, BINS * BINS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).reshape(BINS, BINS)
    np.fill_diagonal(draws, 0)
    order = draws.argsort(axis=0, kind="stable")
    return order.astype(np.uint8), order.argsort(axis=0, kind="stable").astype(np.uint8)


def bands(dense: np.ndarray) -> np.ndarray:
    """A key for each band of each signature: uint32 of shape (32, signatures).

    Keys of 32 bits may agree by chance (once in 4e9 pairs); the exact comparison that follows sees to that.
    """
    parts = dense.reshape(len(dense), BANDS, ROWS).astype(np.uint64)
    keys = parts[:, :, 0].copy()
    for row in range(1, ROWS):
        mix(keys)
        keys += parts[:, :, row] * np.uint64(0xD6E8FEB86659FD93)
    return np.ascontiguousarray((mix(keys) >> np.uint64(32)).astype(np.uint32).T)
