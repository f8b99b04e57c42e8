"""Words of many texts at once, as hashes: what counting, n-grams and lexicons need, with no string a word.

A word is a run of letters and digits of any script. Apostrophes join ("don't" is `dont`), ASCII case is folded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

_CHUNK = 1 << 20  # bytes of text held at once, or one longer text
_PLACES = 64  # of a word that enter its hash; a longer one is told apart by these
_APOSTROPHE, _SPACE = ord("'"), ord(" ")


def _byte_kinds() -> tuple[Bytes, npt.NDArray[np.bool_]]:
    lower = np.arange(256, dtype=np.uint8)
    lower[65:91] += 32
    word = np.zeros(256, bool)
    word[[*range(48, 58), *range(65, 91), *range(97, 123), *range(128, 256)]] = True
    return lower, word


def _mixed(count: int) -> Hashes:
    """Fixed, well mixed numbers: splitmix64 of 1, 2, 3, ..."""
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


_LOWER, _WORD = _byte_kinds()
_TERMS = _mixed(_PLACES * 256)  # a word's hash is the sum over its bytes of the term at (place, byte)


@dataclass(frozen=True)
class Words:
    """The words of the texts `first` to `last` (excluded) of a batch."""

    first: int
    last: int
    hashes: Hashes
    row: Ints  # the text that each word is of, counted from `first`; ascending
    starts: Ints  # of each word in `data`
    ends: Ints
    data: Bytes  # lower case, apostrophes out

    def counts(self) -> Ints:
        """Words of each text."""
        return np.bincount(self.row, minlength=self.last - self.first).astype(np.int64)

    def text(self, word: int) -> str:
        return self.data[self.starts[word] : self.ends[word]].tobytes().decode("utf-8", "replace")


def words(texts: pa.StringArray) -> Iterator[Words]:
    """The words of all texts (null counts as empty), some texts at a time; what a text gives does not depend on it."""
    texts = texts.fill_null("")
    if len(texts) == 0:
        return
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    first = 0
    while first < len(texts):
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + _CHUNK, side="right")) - 1)
        lengths = np.diff(offsets[first : last + 1])
        yield _split(data[offsets[first] : offsets[last]], lengths, first)
        first = last


def _split(data: Bytes, lengths: Ints, first: int) -> Words:
    data, ends = _plain(_LOWER[data], np.cumsum(lengths))
    inside = _WORD[data]
    goes_on = inside[:-1] & inside[1:]
    goes_on[ends[(ends > 0) & (ends < len(data))] - 1] = False  # no word goes on from one text into the next
    starts = np.flatnonzero(inside & ~np.concatenate([[False], goes_on]))
    stops = np.flatnonzero(inside & ~np.concatenate([goes_on, [False]])) + 1
    row = np.searchsorted(ends, starts, side="right")
    return Words(first, first + len(lengths), _hash(data, starts, stops), row, starts, stops, data)


def _plain(data: Bytes, ends: Ints) -> tuple[Bytes, Ints]:
    """No-break spaces and typographic punctuation to spaces, apostrophes out; and where each text now ends."""
    data = data.copy()
    lead = np.flatnonzero((data[:-2] == 0xE2) & (data[1:-1] == 0x80))  # U+2000 to U+203F
    data[lead], data[lead + 1] = _SPACE, _SPACE
    curly = lead[(data[lead + 2] == 0x99) | (data[lead + 2] == 0x98)]
    data[lead + 2] = _SPACE
    for byte in range(3):
        data[curly + byte] = _APOSTROPHE
    lead = np.flatnonzero((data[:-1] == 0xC2) & (data[1:] == 0xA0))
    data[lead], data[lead + 1] = _SPACE, _SPACE
    keep = data != _APOSTROPHE
    kept = np.concatenate([[0], np.cumsum(keep)])
    return data[keep], kept[ends]


def _hash(data: Bytes, starts: Ints, stops: Ints) -> Hashes:
    lengths = np.minimum(stops - starts, _PLACES)
    heads = np.cumsum(lengths) - lengths
    place = np.arange(int(lengths.sum())) - np.repeat(heads, lengths)
    terms = _TERMS[place * 256 + data[np.repeat(starts, lengths) + place]]
    return np.add.reduceat(terms, heads) if len(heads) else terms
