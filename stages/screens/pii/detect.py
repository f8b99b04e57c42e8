"""From texts to spans: gates over the joined bytes, detectors at the places they point at, until nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.params import Pii
from stages.screens.pii import gates, ids, names, online, phones, places, signatures
from stages.screens.pii.redact import placeholder, replace
from stages.screens.pii.spans import PERSONAL, Span, resolve, view

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
Detector = Callable[[str, int, Pii], Iterator[Span]]

_BLOCK_BYTES = 4_000_000  # of text joined at once: bounds memory

_LINK_DETECTORS: tuple[tuple[gates.Finder, Detector], ...] = (
    (gates.at_signs, online.emails),
    (gates.links, online.urls),
)
_DETECTORS: tuple[tuple[gates.Finder, Detector], ...] = (
    (gates.spelled_mail, online.spelled_emails),
    (gates.bracket_at, online.spelled_emails),
    (gates.at_signs, online.at_names),
    (gates.user_paths, online.user_paths),
    (gates.tags, online.discord_tags),
    (gates.platforms, online.platform_names),
    (gates.numbers, ids.cards),
    (gates.numbers, ids.ssns),
    (gates.numbers, phones.phones),
    (gates.spelled_numbers, phones.spelled_phones),
    (gates.dotted, ids.ips),
    (gates.colons, ids.ipv6s),
    (gates.births, ids.birth_dates),
    (gates.medical, ids.medical_ids),
    (gates.medical, ids.national_numbers),
    (gates.streets, places.addresses),
    (gates.postal, places.postal_addresses),
    (gates.given, names.given_names),
    (gates.named, names.cued_names),
    (gates.credentials, signatures.credential_names),
    (gates.signatures, signatures.signed_names),
)


def search(texts: pa.StringArray, links_only: Mask, params: Pii) -> dict[int, list[Span]]:
    """Spans by number of the text, sorted and disjoint; texts without any are absent."""
    found: dict[int, list[Span]] = {}
    for low, high in _blocks(texts):
        joined, starts = _join(texts.slice(low, high - low))
        for i, spans in _search_block(texts, joined, starts, low, links_only, params).items():
            resolved = resolve(spans, texts[i].as_py())
            if resolved:
                found[i] = resolved
    return found


def _blocks(texts: pa.StringArray) -> Iterator[tuple[int, int]]:
    """Runs of texts of about _BLOCK_BYTES."""
    ends = _offsets(texts)[1:]
    low = 0
    while low < len(texts):
        base = ends[low - 1] if low else ends[0] * 0
        high = max(low + 1, int(np.searchsorted(ends, base + _BLOCK_BYTES, side="right")))
        yield low, high
        low = high


def _offsets(texts: pa.StringArray) -> Positions:
    """Byte offsets of the texts, from 0."""
    if len(texts) == 0:
        return np.zeros(1, np.int64)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return offsets.astype(np.int64) - int(offsets[0])


def _join(texts: pa.StringArray) -> tuple[bytes, Positions]:
    """The texts, each ended by a NUL, with the byte at which each starts."""
    offsets = _offsets(texts)
    data = texts.buffers()[2]
    begin = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset] if len(texts) else 0
    source = np.frombuffer(data, np.uint8)[begin : begin + offsets[-1]] if data is not None else np.zeros(0, np.uint8)
    joined = np.zeros(offsets[-1] + len(texts), np.uint8)
    inside = np.ones(len(joined), np.bool_)
    inside[offsets[1:] + np.arange(len(texts))] = False
    joined[inside] = np.where(source == 0, 1, source)  # a NUL inside a text would end it
    return joined.tobytes(), offsets[:-1] + np.arange(len(texts))


def _search_block(
    texts: pa.StringArray, joined: bytes, starts: Positions, low: int, links_only: Mask, params: Pii
) -> dict[int, list[Span]]:
    scanned = gates.gate(joined)
    places_of: dict[gates.Finder, Positions] = {}
    jobs: dict[int, list[tuple[Detector, int]]] = {}
    for detectors, everywhere in ((_LINK_DETECTORS, True), (_DETECTORS, False)):
        for finder, detector in detectors:
            if finder not in places_of:
                places_of[finder] = finder(scanned)
            at = places_of[finder]
            owner = np.searchsorted(starts, at, side="right") - 1
            for unit, position in zip(owner.tolist(), at.tolist(), strict=True):
                if everywhere or not links_only[low + unit]:
                    jobs.setdefault(unit, []).append((detector, position - int(starts[unit])))
    return {low + unit: _detect(texts[low + unit].as_py(), work, params) for unit, work in jobs.items()}


def _detect(text: str, work: list[tuple[Detector, int]], params: Pii) -> list[Span]:
    """Run detectors at byte offsets of a text."""
    plain = view(text)
    point = None if text.isascii() else _code_points(text)
    found: list[Span] = []
    for detector, at in work:
        found.extend(detector(plain, at if point is None else int(point[at]), params))
    found.extend(names.repeats(plain, found))
    return found


def _code_points(text: str) -> Positions:
    """For each byte of the text in UTF-8, the number of its code point."""
    data = np.frombuffer(text.encode(), np.uint8)
    return np.cumsum((data & 0xC0) != 0x80) - 1


# --- until nothing is left ---------------------------------------------------------------------------


def settle(texts: pa.StringArray, links_only: Mask, found: dict[int, list[Span]], params: Pii) -> dict[int, list[Span]]:
    """Add what a second look at the redacted text would find, until a look finds nothing personal.

    A redaction changes what stands around its neighbours; this makes "screening redacted text finds nothing to redact"
    true by construction. Each round covers more of the text, so it ends.
    """
    pending = sorted(i for i, spans in found.items() if any(span.tier == PERSONAL for span in spans))
    while pending:
        kept = {i: [span for span in found[i] if span.tier == PERSONAL] for i in pending}
        redacted = pa.array([replace(texts[i].as_py(), kept[i]) for i in pending], pa.string())
        again = search(redacted, links_only[np.array(pending)], params)
        fresh = {
            pending[n]: _back([span for span in spans if span.tier == PERSONAL], kept[pending[n]])
            for n, spans in again.items()
        }
        pending = sorted(i for i, spans in fresh.items() if spans)
        for i in pending:
            found[i] = resolve(found[i] + fresh[i], texts[i].as_py())
    return found


def _back(spans: list[Span], taken: list[Span]) -> list[Span]:
    """Sorted spans of the redacted text as spans of the text; none touches a placeholder (`resolve`)."""
    moved: list[Span] = []
    shift = number = 0
    for span in spans:
        while number < len(taken) and taken[number].start + shift < span.end:
            shift += len(placeholder(taken[number].type)) - (taken[number].end - taken[number].start)
            number += 1
        moved.append(span._replace(start=span.start - shift, end=span.end - shift))
    return moved
