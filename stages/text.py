"""Text: folding for comparison, and the repairs that lose no meaning.

Unicode tables come from the pinned pyarrow (utf8proc, RE2), never from Python's `unicodedata`,
whose version changes between Python 3.11 and 3.13: the same text folds alike everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SEPARATOR = b"\0"  # no record holds a NUL: normalize rejects such rows
_PUNCTUATION = bytes(b for b in range(1, 128) if not chr(b).isalnum())
_LOWER = bytes(b + 32 if 65 <= b <= 90 else b for b in range(256))
_SPACED = bytes(32 if b in _PUNCTUATION else c for b, c in zip(range(256), _LOWER, strict=True))

_CACHE_RUNS, _CACHE_BYTES = 100_000, 64
_caches: dict[bytes, dict[bytes, bytes]] = {b"": {}, b" ": {}}


def fold(texts: pa.StringArray) -> pa.StringArray:
    """Fold texts for comparison: NFKC, case, and letters, marks and digits only.

    >>> fold(pa.array(["Hang out with.Seriously", "hang  out with. SERIOUSLY!"])).to_pylist()
    ['hangoutwithseriously', 'hangoutwithseriously']
    """
    return _fold(texts, b"")


def words(texts: pa.StringArray) -> pa.StringArray:
    """Like `fold`, with each run of other characters as spaces, so that words stay apart.

    >>> words(pa.array(["Don't—stop"])).to_pylist()
    ['don t stop']
    """
    return _fold(texts, b" ")


def joined_words(texts: pa.StringArray) -> bytes:
    """The texts of `words` in one byte string, each ended by a NUL."""
    return _folded(texts, b" ")


def _fold(texts: pa.StringArray, gap: bytes) -> pa.StringArray:
    return apart(_folded(texts, gap))


def _folded(texts: pa.StringArray, gap: bytes) -> bytes:
    joined = join(texts) if len(texts) else b""
    if not joined.isascii():
        joined = _fold_runs(joined, gap)
    return joined.translate(_SPACED) if gap else joined.translate(_LOWER, _PUNCTUATION)


def apart(joined: bytes) -> pa.StringArray:
    """The texts of what `join` made of them."""
    data = np.frombuffer(joined, np.uint8)
    ends = np.flatnonzero(data == 0)
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = ends - np.arange(len(ends))
    values = joined.replace(_SEPARATOR, b"")
    return cast(pa.StringArray, pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(values)))


def join(texts: pa.StringArray) -> bytes:
    """All texts in one byte string, each ended by a NUL; null counts as empty."""
    texts = texts.fill_null("")
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    return b"".join((pc.binary_join(whole, "\0")[0].as_buffer(), _SEPARATOR))


def _fold_runs(joined: bytes, gap: bytes) -> bytes:
    starts, stops = (bounds.tolist() for bounds in _runs(joined))
    runs = [joined[start:stop] for start, stop in zip(starts, stops, strict=True)]
    cache = _caches[gap]
    if len(cache) > _CACHE_RUNS:
        cache.clear()
    fresh = list(set(runs) - cache.keys())
    known = cache
    if fresh:
        folded = _fold_unicode(pa.array(fresh, pa.binary()).cast(pa.string()), gap.decode())
        pairs = dict(zip(fresh, (value.encode() for value in folded.to_pylist()), strict=True))
        cache.update((run, value) for run, value in pairs.items() if len(run) <= _CACHE_BYTES)
        known = {**cache, **pairs} if len(fresh) > _CACHE_RUNS or any(len(r) > _CACHE_BYTES for r in fresh) else cache
    pieces = [b""] * (2 * len(runs) + 1)
    pieces[::2] = [joined[start:stop] for start, stop in zip([0, *stops], [*starts, len(joined)], strict=True)]
    pieces[1::2] = [known[run] for run in runs]
    return b"".join(pieces)


def _runs(joined: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where each run of non-ASCII bytes starts and stops: whole code points.

    A combining mark with the lead byte CC composes with the ASCII letter before it, also past other marks, so that
    letter joins a run that holds one.
    """
    data = np.frombuffer(joined, np.uint8)
    places = np.flatnonzero(data > 127)
    first = np.flatnonzero(np.diff(places, prepend=-2) > 1)
    starts, stops = places[first], places[np.append(first[1:], len(places)) - 1] + 1
    marked = np.zeros(len(starts), bool)
    marked[np.searchsorted(starts, np.flatnonzero(data == 0xCC), side="right") - 1] = True
    marked &= starts > 0
    starts[marked] -= data[starts[marked] - 1] != 0
    return starts, stops


def _fold_unicode(runs: pa.StringArray, gap: str) -> pa.StringArray:
    runs = nfkc(pc.utf8_lower(pc.utf8_upper(nfkc(runs))))  # upper first: folds final sigma, dotless forms
    return pc.replace_substring_regex(runs, pattern=r"[^\p{L}\p{N}\p{M}]+\p{M}*", replacement=gap)


def fold_or_nfkc(texts: pa.StringArray) -> pa.StringArray:
    """The folded text; where folding leaves nothing (emoji only), the NFKC text after a tab, which no fold holds."""
    folded = fold(texts)
    empty = pc.equal(folded, "")
    if not pc.any(empty).as_py():
        return folded
    return pc.if_else(empty, pc.binary_join_element_wise("\t", nfkc(texts.fill_null("")), ""), folded)


def nfkc(texts: pa.StringArray) -> pa.StringArray:
    """Unicode compatibility composition (NFKC)."""
    return pc.utf8_normalize(texts, form="NFKC")


# --- repairs -----------------------------------------------------------------------------------------

# C0 (but tab and line feed), DEL, C1, and the byte order mark. Zero-width joiners stay: emoji need them.
_CONTROL = "[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\u0080-\u009f\ufeff]"
# Outside these ranges a text may change under NFC; inside it cannot.
_MAYBE_NOT_NFC = "[^\x00-\u02ff\u200b-\u2027\u2030-\u205e\u20a0-\u20bf\u2600-\u27bf\ufe0f\U0001f300-\U0001fa6f]"

_NO_CONTROL = np.isin(np.arange(32), [0, 9, 10, 13])  # NUL parts the texts; CR is another repair's

REPAIRS = ("newlines", "controls", "nfc", "edges")


def repair(
    texts: pa.StringArray, wanted: tuple[str, ...] = REPAIRS
) -> tuple[pa.StringArray, dict[str, pa.BooleanArray]]:
    """Apply the wanted repairs, which lose no meaning; say which rows each one changed.

    newlines: CR LF and CR to LF. controls: stray control characters out. nfc: canonical composition.
    edges: white space at both ends out. Null stays null. Idempotent.
    """
    changed: dict[str, pa.BooleanArray] = {}
    if len(texts) == 0:
        return texts, changed
    joined = join(texts)
    doubtful = {"newlines": b"\r" in joined, "controls": _has_controls(joined), "nfc": _maybe_not_nfc(joined)}
    for name in REPAIRS:
        if name in wanted and doubtful.get(name, True):
            mended = _MEND[name](texts)
            different = pc.fill_null(pc.not_equal(mended, texts), False)
            if pc.any(different).as_py():
                texts, changed[name] = mended, different
    return texts, changed


def _has_controls(joined: bytes) -> bool:
    """Whether `_CONTROL` may match: by the bytes that its characters start with."""
    data = np.frombuffer(joined, np.uint8)
    low = data[np.flatnonzero(data < 32)]
    mark = b"\xef" in joined and b"\xef\xbb\xbf" in joined  # one byte is sought 40 times faster than three
    if mark or b"\x7f" in joined or not _NO_CONTROL[low].all():
        return True
    return b"\xc2" in joined and bool((data[np.flatnonzero(data == 0xC2) + 1] < 0xA0).any())


def _maybe_not_nfc(joined: bytes) -> bool:
    """Whether a run of non-ASCII characters may change under NFC; each kind of run is looked at once."""
    if joined.isascii():
        return False
    starts, stops = _runs(joined)
    runs = {joined[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)}
    if len(_known) > _CACHE_RUNS:
        _known.clear()
    fresh = pa.array(list(runs - _known.keys()), pa.binary()).cast(pa.string())
    flags = pc.match_substring_regex(fresh, _MAYBE_NOT_NFC).to_pylist()
    found = {run.encode(): flag for run, flag in zip(fresh.to_pylist(), flags, strict=True)}
    _known.update((run, flag) for run, flag in found.items() if len(run) <= _CACHE_BYTES)
    return any(found.values()) or any(_known.get(run, False) for run in runs)


_known: dict[bytes, bool] = {}


def _nfc(texts: pa.StringArray) -> pa.StringArray:
    doubtful = pc.fill_null(pc.match_substring_regex(texts, _MAYBE_NOT_NFC), False)
    if not pc.any(doubtful).as_py():
        return texts
    return pc.replace_with_mask(texts, doubtful, pc.utf8_normalize(texts.filter(doubtful), form="NFC"))


def maybe_blank_edges(texts: pa.StringArray) -> np.ndarray:
    """Which texts (bool) may start or end with white space, by their first and last byte; empty ones may."""
    _, offsets, values = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(values or b"", np.uint8)
    some = np.flatnonzero(ends[1:] > ends[:-1])
    result = ends[1:] == ends[:-1]
    for byte in (data[ends[:-1][some]], data[ends[1:][some] - 1]):
        result[some] |= (byte <= 32) | (byte > 127)
    return result


def _edges(texts: pa.StringArray) -> pa.StringArray:
    doubtful = pa.array(maybe_blank_edges(texts))
    if not pc.any(doubtful).as_py():
        return texts
    return pc.replace_with_mask(texts, doubtful, pc.utf8_trim_whitespace(texts.filter(doubtful)))


_MEND: dict[str, Callable[[pa.StringArray], pa.StringArray]] = {
    "newlines": lambda texts: pc.replace_substring_regex(texts, "\r\n?", "\n"),
    "controls": lambda texts: pc.replace_substring_regex(texts, _CONTROL, ""),
    "nfc": _nfc,
    "edges": _edges,
}
