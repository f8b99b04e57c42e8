"""Texts as sets of hashed three-word shingles: whole batches at a time, integers only.

A word is a run of letters, digits and marks of the folded text (`stages.text.words`). Its hash is 32 bits and the
hash of a shingle 48, mixed from the hashes of its words in their order. The hash sequence of a text is all that later
steps need: shingle sets, Jaccard similarity and the words that differ are computed from it, here and nowhere else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from stages import text

WORDS = 3  # in one shingle
BITS = 48  # of a shingle's hash; the upper 16 bits of a key number the set it is in
SLOTS = 1 << (64 - BITS)  # sets that one call can tell apart

# Multipliers and finaliser of splitmix64 (Steele, Lea and Flood 2014); all odd.
_K = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], np.uint64)
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)  # the lowest n bytes
_LONG = 64  # bytes; words beyond are hashed one by one
_SPACE = 32


class Sequences(NamedTuple):
    """Word hashes of many texts, one after another; `counts[i]` of them belong to text i."""

    hashes: np.ndarray  # uint32
    counts: np.ndarray  # int64


class Sets(NamedTuple):
    """Shingle sets of many texts. `keys` are sorted and distinct: (number of the set << 48) | hash."""

    keys: np.ndarray  # uint64
    ends: np.ndarray  # int64: set i is keys[ends[i-1]:ends[i]]


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 values, in place, so that every bit of the result depends on every bit of the value."""
    values ^= values >> np.uint64(30)
    values *= _K[1]
    values ^= values >> np.uint64(27)
    values *= _K[2]
    values ^= values >> np.uint64(31)
    return values


def sequences(texts: pa.StringArray) -> Sequences:
    """Hash the words of each text; null counts as empty.

    A text without any word but not blank (an emoji, a lone "?") is one word of its own, so that it differs from others.

    >>> sequences(pa.array(["One two", "ONE...two!", ""])).counts.tolist()
    [2, 2, 0]
    """
    data = np.frombuffer(text.joined_words(texts), np.uint8)
    starts, stops = _bounds(data)
    counts = np.diff(np.searchsorted(starts, np.flatnonzero(data == 0)), prepend=0)
    hashes = _hash_words(data, starts, stops - starts)
    silent = np.flatnonzero(counts == 0)
    silent = silent[_lengths(texts.take(pa.array(silent))) > 0] if len(silent) else silent
    return _add_silent(Sequences(hashes, counts), silent, texts) if len(silent) else Sequences(hashes, counts)


def _lengths(texts: pa.StringArray) -> np.ndarray:
    return pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)


def _bounds(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each word starts and stops: what ends a text, a NUL, ends its last word."""
    gap = data <= _SPACE
    turns = np.empty(len(gap), bool)
    np.logical_not(gap[:1], out=turns[:1])
    np.not_equal(gap[1:], gap[:-1], out=turns[1:])
    places = np.flatnonzero(turns)
    return places[::2].copy(), places[1::2].copy()


def _hash_words(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """A uint32 for each word: its bytes eight at a time, read wherever they lie, each eight mixed in."""
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    eights = np.ndarray((len(data) + 1,), "<u8", padded, strides=(1,))
    hashes = (eights[starts] & _MASKS[np.minimum(lengths, 8)]) + lengths.astype(np.uint64) * _K[0]
    mix(hashes)
    rest = np.flatnonzero((lengths > 8) & (lengths <= _LONG))
    done = 8
    while len(rest):
        tail = eights[starts[rest] + done] & _MASKS[np.minimum(lengths[rest] - done, 8)]
        hashes[rest] = mix(hashes[rest] * _K[0] + tail)
        done += 8
        rest = rest[lengths[rest] > done]
    for i in np.flatnonzero(lengths > _LONG).tolist():
        hashes[i] = xxhash.xxh3_64_intdigest(data[starts[i] : starts[i] + lengths[i]].tobytes())
    return (hashes >> np.uint64(32)).astype(np.uint32)


def _add_silent(known: Sequences, silent: np.ndarray, texts: pa.StringArray) -> Sequences:
    """Give each text that has characters but no word one word: the hash of what it has, blanks at the ends aside."""
    trimmed = [value.strip().encode() for value in texts.take(pa.array(silent)).to_pylist()]
    heard = np.array([len(value) > 0 for value in trimmed], bool)
    own = np.array([xxhash.xxh3_64_intdigest(value) >> 32 for value in trimmed], np.uint32)[heard]
    at = np.cumsum(known.counts)[silent[heard]]
    counts = known.counts.copy()
    counts[silent[heard]] = 1
    return Sequences(np.insert(known.hashes, at, own), counts)


def shingles(texts: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """The shingles of each text in order: hashes (uint64, 48 bits) and how many each text has.

    A text of fewer than three words is one shingle, a text of none has none.
    """
    hashes, counts = texts
    total = len(hashes)
    padded = np.zeros(total + WORDS - 1, np.uint64)
    padded[:total] = hashes
    value = padded[:total] * _K[0] + padded[1 : total + 1] * _K[1]
    value += padded[2:] * _K[3]
    starts = np.cumsum(counts) - counts
    one, two = starts[counts == 1], starts[counts == 2]
    value[one] = padded[one] * _K[0] + np.uint64(1)  # what follows belongs to the next text
    value[two] = padded[two] * _K[0] + padded[two + 1] * _K[1] + np.uint64(2)
    mix(value)
    value >>= np.uint64(64 - BITS)
    ends = starts + counts
    whole = np.ones(total, bool)
    whole[ends[counts > 1] - 1] = False
    whole[ends[counts > 2] - 2] = False
    return value[whole], np.maximum(counts - (WORDS - 1), np.minimum(counts, 1))


def sets(texts: Sequences, owners: np.ndarray | None = None) -> Sets:
    """Shingle sets. `owners` (int64, ascending) gives the set that each text is part of: by default one for each text.

    No shingle reaches from one text into the next. At most 65,536 sets at a time.
    """
    values, counts = shingles(texts)
    number = np.arange(len(counts)) if owners is None else owners
    size = int(number[-1]) + 1 if len(number) else 0
    if size > SLOTS:
        raise ValueError(f"{size} sets at once; at most {SLOTS}")
    keys = np.repeat(number.astype(np.uint64) << np.uint64(BITS), counts)
    keys |= values
    keys = distinct(keys)
    return Sets(keys, np.searchsorted(keys, (np.arange(size, dtype=np.uint64) + np.uint64(1)) << np.uint64(BITS)))


def distinct(values: np.ndarray) -> np.ndarray:
    """Sort in place; return each value once."""
    values.sort()
    if len(values) == 0:
        return values
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]
