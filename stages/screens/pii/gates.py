"""One pass over a buffer of texts for the places where a closer look may pay.

Everything here is linear in the bytes and vectorised; no pattern runs on text that no gate points at.
A gate may point at too much, never at too little: what a detector cannot reach from here is not found.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.screens.pii import lists

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]

_DIGIT, _LETTER, _CAPITAL = 1, 2, 4
_CLASS = np.zeros(256, np.uint8)
_CLASS[48:58] = _DIGIT
_CLASS[97:123] = _LETTER
_CLASS[65:91] = _LETTER | _CAPITAL
_CLASS[128:256] = _LETTER

# Lead bytes of punctuation, symbols and emoji, with the length of the character: blanked, so that they part words.
_SYMBOL_LEADS = {0xC2: 2, 0xE2: 3, 0xEF: 3, 0xF0: 4}

# Lists whose words open a look, in the order of their bits.
_CUES = (
    "kin", "title", "intro", "credential", "signoff", "number", "street", "postal", "birth", "medical", "national",
    "platform", "top_domain", "dot", "greeting",
)  # fmt: skip
_BIT = {name: 1 << i for i, name in enumerate((*_CUES, "given"))}
_TABLE_BITS = 16


class Words(NamedTuple):
    """The words of a buffer: runs of letters."""

    start: Positions
    end: Positions
    capital: Mask
    cues: npt.NDArray[np.uint32]  # bits of _BIT

    def are(self, *names: str) -> Mask:
        """Which words stand in one of the lists."""
        return (self.cues & np.uint32(sum(_BIT[name] for name in names))) != 0


class Digits(NamedTuple):
    """The runs of digits of a buffer."""

    start: Positions
    end: Positions

    @property
    def length(self) -> Positions:
        return self.end - self.start


class Gate(NamedTuple):
    """A buffer (texts one after the other, each ended by a NUL) with its words and digits."""

    data: Bytes
    words: Words
    digits: Digits


def simplify(joined: bytes) -> Bytes:
    """The buffer with symbols outside ASCII blanked and full-width digits and signs made plain; the same length."""
    data = np.frombuffer(joined, np.uint8)
    if joined.isascii():
        return data
    data = data.copy()
    _plain_full_width(data)
    for lead, size in _SYMBOL_LEADS.items():
        at = np.flatnonzero(data == lead)
        for offset in range(size):
            data[at + offset] = 32
    return data


def _plain_full_width(data: Bytes) -> None:
    """U+FF01-U+FF5E, as UTF-8 EF BC 81 - EF BD 9E: write the plain sign where the last byte stood, blanks before it."""
    lead = np.flatnonzero(data == 0xEF)
    sign = (data[lead + 1].astype(np.int16) - 0xBC) * 64 + data[lead + 2].astype(np.int16) - 0x80 + 0x20
    inside = (data[lead + 1] >= 0xBC) & (data[lead + 1] <= 0xBD) & (sign > 0x20) & (sign < 0x7F)
    lead, sign = lead[inside], sign[inside]
    data[lead], data[lead + 1], data[lead + 2] = 0x7F, 0x7F, sign.astype(np.uint8)


def gate(joined: bytes) -> Gate:
    """Words and runs of digits of the buffer."""
    data = simplify(joined)
    kinds = _CLASS[data]
    digits = Digits(*_runs(kinds == _DIGIT))
    start, end = _runs((kinds & _LETTER) != 0)
    words = Words(start, end, (kinds[start] & _CAPITAL) != 0, _lookup(_keys(data, start, end)))
    return Gate(data, words, digits)


def _runs(inside: Mask) -> tuple[Positions, Positions]:
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if len(inside) and inside[0]:
        edges = np.concatenate([[0], edges])
    # the buffer ends by a NUL, so every run has an end
    return edges[0::2], edges[1::2]


# --- words in lists ----------------------------------------------------------------------------------

_MIX, _MIX_TAIL = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_LOWER = np.uint64(0x2020202020202020)
_KEEP = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)


def _keys(data: Bytes, start: Positions, end: Positions) -> Keys:
    """A 64-bit key per word from its first 16 bytes and its length, blind to ASCII case."""
    padded = np.concatenate([data, np.zeros(16, np.uint8)])
    eights = np.lib.stride_tricks.sliding_window_view(padded, 8)
    length = end - start
    head = np.ascontiguousarray(eights[start]).view("<u8").ravel().astype(np.uint64)
    keys = ((head | _LOWER) & _KEEP[np.minimum(length, 8)]) * _MIX
    long = np.flatnonzero(length > 8)
    tail = np.ascontiguousarray(eights[start[long] + 8]).view("<u8").ravel().astype(np.uint64)
    keys[long] ^= ((tail | _LOWER) & _KEEP[np.minimum(length[long] - 8, 8)]) * _MIX_TAIL
    return keys ^ (length.astype(np.uint64) * _MIX_TAIL)


def _lookup(keys: Keys) -> npt.NDArray[np.uint32]:
    """The bits of the lists that hold each word."""
    known, bits, bucket = _table()
    cues = np.zeros(len(keys), np.uint32)
    maybe = np.flatnonzero(bucket[keys >> np.uint64(64 - _TABLE_BITS)])
    at = np.minimum(np.searchsorted(known, keys[maybe]), len(known) - 1)
    hit = known[at] == keys[maybe]
    cues[maybe[hit]] = bits[at[hit]]
    return cues


@cache
def _table() -> tuple[Keys, npt.NDArray[np.uint32], Mask]:
    bits: dict[str, int] = {}
    named = [(name, lists.words(name)) for name in _CUES] + [("given", lists.given_names())]
    for name, members in named:
        for word in sorted(members):
            bits[word] = bits.get(word, 0) | _BIT[name]
    entries = sorted(bits)
    joined = b"".join(word.encode() + b"\0" for word in entries)
    ends = np.flatnonzero(np.frombuffer(joined, np.uint8) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    keys = _keys(np.frombuffer(joined, np.uint8), starts, ends)
    order = np.argsort(keys)
    bucket = np.zeros(1 << _TABLE_BITS, np.bool_)
    bucket[keys >> np.uint64(64 - _TABLE_BITS)] = True
    return keys[order], np.array([bits[word] for word in entries], np.uint32)[order], bucket


# --- gates: where each detector looks ----------------------------------------------------------------


def at_signs(gate: Gate) -> Positions:
    return np.flatnonzero(gate.data == ord("@"))


def spelled_mail(gate: Gate) -> Positions:
    """The word "dot" between letters: "name at host dot com"."""
    return gate.words.start[gate.words.are("dot")]


def bracket_at(gate: Gate) -> Positions:
    """The bracket of "(at)" and "[at]"."""
    data = gate.data
    opening = np.flatnonzero((data[:-3] == ord("(")) | (data[:-3] == ord("[")))
    at = ((data[opening + 1] | 32) == ord("a")) & ((data[opening + 2] | 32) == ord("t"))
    return opening[at]


def links(gate: Gate) -> Positions:
    """The colon of `://`, and the dot before a top domain."""
    data, words = gate.data, gate.words
    colon = np.flatnonzero(data[:-2] == ord(":"))
    schemes = colon[(data[colon + 1] == ord("/")) & (data[colon + 2] == ord("/"))]
    domains = words.start[words.are("top_domain")]
    dots = domains[(domains > 1) & (data[domains - 1] == ord("."))] - 1
    # a glued domain ("host.comThis") is no word of the list: "www." finds it
    www = np.flatnonzero((data[:-4] | 32) == ord("w"))
    for offset in (1, 2):
        www = www[(data[www + offset] | 32) == ord("w")]
    return np.concatenate([schemes, dots, www[data[www + 3] == ord(".")]])


def user_paths(gate: Gate) -> Positions:
    """The `u` of `u/name`."""
    data = gate.data
    slash = np.flatnonzero(data[1:] == ord("/"))
    return slash[(data[slash] | 32) == ord("u")]


def tags(gate: Gate) -> Positions:
    """The sign of `name#1234`."""
    digits = gate.digits
    start = digits.start[digits.length == 4]
    return start[(start > 0) & (gate.data[start - 1] == ord("#"))] - 1


def platforms(gate: Gate) -> Positions:
    return gate.words.start[gate.words.are("platform")]


def numbers(gate: Gate) -> Positions:
    """Runs of digits that may begin or belong to a phone, card or national number."""
    start, end, length = gate.digits.start, gate.digits.end, gate.digits.length
    if not len(start):
        return start
    chosen = (length >= 7) & (length <= 19)
    chosen |= gate.data[start - 1] == ord("+")
    near = (start[1:] - end[:-1]) <= 5
    pair = length[1:] + length[:-1]
    chosen[:-1] |= near & (pair >= 7) & (pair <= 19)
    chosen[:-2] |= (near[:-1] & near[1:]) & (length[:-2] == 3) & (length[1:-1] == 2) & (length[2:] == 4)
    twos = near & (length[:-1] == 2) & (length[1:] == 2)  # French and Australian: 06 12 34 56 78, 02 99 99 99 99
    chosen[:-4] |= twos[:-3] & twos[1:-2] & twos[2:-1] & twos[3:]
    return start[chosen]


def dotted(gate: Gate) -> Positions:
    """Runs of digits that begin four numbers parted by single dots."""
    start, end = gate.digits.start, gate.digits.end
    if len(start) < 4:
        return start[:0]
    dot = ((start[1:] - end[:-1]) == 1) & (gate.data[end[:-1]] == ord("."))
    return start[:-3][dot[:-2] & dot[1:-1] & dot[2:]]


def colons(gate: Gate) -> Positions:
    """Colons that may stand in an IPv6 address: three within 15 bytes."""
    at = np.flatnonzero(gate.data == ord(":"))
    if len(at) < 3:
        return at[:0]
    return at[:-2][(at[2:] - at[:-2]) <= 15]


def spelled_numbers(gate: Gate) -> Positions:
    """The first of seven or more number words in a row."""
    words = gate.words
    is_number = words.are("number")
    if not is_number.any():
        return words.start[:0]
    joined = is_number[1:] & is_number[:-1] & ((words.start[1:] - words.end[:-1]) <= 3)
    first, last = _runs(np.concatenate([joined, [False, False]]))
    return words.start[first[(last - first) >= 6]]


def _with_digit_within(gate: Gate, at: Positions, reach: int) -> Positions:
    """Those positions that are followed by a digit within `reach` bytes."""
    if not len(gate.digits.start):
        return at[:0]
    following = np.searchsorted(gate.digits.start, at)
    inside = following < len(gate.digits.start)
    at, following = at[inside], following[inside]
    return at[gate.digits.start[following] - at <= reach]


def births(gate: Gate) -> Positions:
    return _with_digit_within(gate, gate.words.start[gate.words.are("birth")], 60)


def medical(gate: Gate) -> Positions:
    return _with_digit_within(gate, gate.words.start[gate.words.are("medical", "national")], 60)


def streets(gate: Gate) -> Positions:
    """Words such as "Street" with digits in the 60 bytes before them."""
    words, digits = gate.words, gate.digits
    start = words.start[words.are("street")]
    if not len(digits.end):
        return start[:0]
    before = np.searchsorted(digits.end, start, side="right") - 1
    start, before = start[before >= 0], before[before >= 0]
    return start[start - digits.end[before] <= 60]


def postal(gate: Gate) -> Positions:
    """The box of "P.O. Box 12", "postcode AB1 2CD", and the five digits of "IL 62704"."""
    cues = _with_digit_within(gate, gate.words.start[gate.words.are("postal")], 20)
    digits, data = gate.digits, gate.data
    zips = digits.start[(digits.length == 5) & (digits.start > 4)]
    zips = zips[(data[zips - 1] == 32) & _is_capital(data[zips - 2]) & _is_capital(data[zips - 3])]
    return np.concatenate([cues, zips])


def _is_capital(data: Bytes) -> Mask:
    return (data >= 65) & (data <= 90)


def given(gate: Gate) -> Positions:
    """Given names with a capital, and given names in small letters right after kin, title or "name is"."""
    words = gate.words
    given = words.are("given")
    cue = words.are("kin", "title", "intro")
    after = np.zeros(len(given), np.bool_)
    after[1:] = cue[:-1]
    after[2:] |= words.are("intro")[:-2]
    return words.start[given & (words.capital | after)]


def named(gate: Gate) -> Positions:
    """Capitalised words right after kin, a title, a greeting, or "name is"."""
    words = gate.words
    after = np.zeros(len(words.start), np.bool_)
    near = (words.start[1:] - words.end[:-1]) <= 3
    after[1:] = words.are("kin", "title", "intro", "greeting")[:-1] & near
    after[2:] |= words.are("intro")[:-2] & near[1:] & near[:-1]
    return words.start[after & words.capital]


def credentials(gate: Gate) -> Positions:
    """Words such as LMFT and PhD, written with a capital."""
    return gate.words.start[gate.words.are("credential") & gate.words.capital]


def signatures(gate: Gate) -> Positions:
    """Capitalised words within 70 bytes of a text's end that follow punctuation, a line's end or a closing phrase."""
    words = gate.words
    at = np.flatnonzero(words.capital)
    start = words.start[at]
    ends = np.flatnonzero(gate.data == 0)
    at = at[(ends[np.searchsorted(ends, start)] - start) <= 70]
    start = words.start[at]
    marks = np.frombuffer(b"~-\n.!?,)", np.uint8)
    mark = np.isin(gate.data[np.maximum(start - 1, 0)], marks) | np.isin(gate.data[np.maximum(start - 2, 0)], marks)
    mark |= np.isin(gate.data[np.maximum(start - 3, 0)], marks)  # a no-break space is two bytes
    after = np.zeros(len(words.start), np.bool_)
    after[1:] = words.are("signoff")[:-1]
    return start[mark | after[at]]


Finder = Callable[[Gate], Positions]
