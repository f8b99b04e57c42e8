"""What a detector finds, and the view of a text that detectors read."""

from __future__ import annotations

import bisect
import re
from typing import NamedTuple

PERSONAL, PUBLIC, HINT = "personal", "public", "hint"
_RANK = {PERSONAL: 0, PUBLIC: 1, HINT: 2}

# In the order in which one wins over another of the same tier.
TYPES = ("email", "url", "card", "ssn", "medical_id", "phone", "ip", "handle", "birth_date", "address", "name")


class Span(NamedTuple):
    """One finding: code points [start, end) of a text."""

    start: int
    end: int
    type: str
    tier: str
    check: str  # the validator that confirmed it
    confidence: int  # percent


# One character for one: no-break and thin spaces, dashes, quotes, full-width signs and digits.
_TO_PLAIN = {0xA0: " ", 0x202F: " ", 0x3000: " ", **dict.fromkeys(range(0x2000, 0x200B), " ")}
_TO_PLAIN |= {**dict.fromkeys(range(0x2010, 0x2016), "-"), 0x2212: "-", 0xAD: "-"}
_TO_PLAIN |= {**dict.fromkeys((0x2018, 0x2019, 0x201B, 0x2032), "'"), **dict.fromkeys((0x201C, 0x201D), '"')}
_TO_PLAIN |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_ODD = re.compile("[" + "".join(sorted(map(chr, _TO_PLAIN))) + "]")


def view(text: str) -> str:
    """The text with typographic signs made plain, sign for sign: offsets stay.

    >>> view("call\\u00a0555\\u2011867\\u20115309")
    'call 555-867-5309'
    """
    return text if text.isascii() else _ODD.sub(lambda match: _TO_PLAIN[ord(match.group())], text)


PLACEHOLDER = re.compile("<(?:" + "|".join(name.upper() for name in TYPES) + ")>")


def resolve(found: list[Span], text: str) -> list[Span]:
    """Sorted and disjoint: of two that overlap stays the personal one, then the stronger type, then the longer.

    A span never touches a placeholder that an earlier redaction left.
    """
    found = sorted(set(found), key=lambda span: (_RANK[span.tier], TYPES.index(span.type), span.start - span.end, span))
    taken = [match.span() for match in PLACEHOLDER.finditer(text)] if found and "<" in text else []
    kept: list[Span] = []
    for span in found:
        at = bisect.bisect(taken, (span.start, span.end))
        clear = (at == 0 or taken[at - 1][1] <= span.start) and (at == len(taken) or span.end <= taken[at][0])
        if span.start < span.end and clear:
            taken.insert(at, (span.start, span.end))
            kept.append(span)
    return sorted(kept)


def before(text: str, at: int, reach: int) -> str:
    """The up to `reach` characters before a position."""
    return text[max(0, at - reach) : at]
