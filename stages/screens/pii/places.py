"""Street addresses: number, street and its kind, with unit, town and code where they follow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from stages.params import Pii
from stages.screens.pii import lists
from stages.screens.pii.context import in_link
from stages.screens.pii.spans import PERSONAL, PUBLIC, Span, before

_UNIT = r"(?i:,? ?(?:apt|apartment|unit|suite|ste|flat|floor|fl|#|lot|rm|room)\.? ?#?[a-z]?-?\d{0,4}[a-z]?\b)"
_STATES = "(?:" + "|".join(sorted(lists.words("state"))) + ")"
_UK_CODE = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2}\b"
_CANADIAN_CODE = r"[A-CEGHJ-NPRSTVXY]\d[A-CEGHJ-NPRSTV-Z] ?\d[A-CEGHJ-NPRSTV-Z]\d\b"
_CODE = rf"(?:{_STATES}\.?,? \d{{4,5}}(?:-\d{{4}})?|{_UK_CODE}|{_CANADIAN_CODE}|\d{{5}}(?:-\d{{4}})?\b)"
_TOWN = r"[A-Z][a-zA-Z.'-]+(?: [A-Z][a-zA-Z.'-]+){0,2}"
_TAIL = re.compile(
    rf"\.?{_UNIT}{{0,2}}"
    rf"(?:(?:,|\n| in|,? ?-)? ?(?:{_TOWN}),?(?: {_TOWN},)? {_CODE}|,? {_CODE}|, {_TOWN}(?:, {_STATES}\b)?)?"
)
_STREET_HEAD = re.compile(
    r"(?:(?:flat|unit|apt|apartment|suite) ?\d{1,4}[A-Za-z]?[,/ ]+)?(?<![\d.$£€#:/-])\d{1,6}(?:-\d{1,4})?[A-Za-z]?,? "
    r"(?P<name>(?:(?:[NSEW]|NE|NW|SE|SW|North|South|East|West|Old|Upper|Lower|St|Saint|Mt)\.? )?"
    r"(?:(?:\d{1,3}(?:st|nd|rd|th)|[A-Za-z][\w'.-]*) ){1,4})$",
    re.I,
)
_ROAD_NUMBER = re.compile(r"\b(?:route|highway|interstate|exit|rt|hwy|bus|line) ?$", re.I)
_LIVES = re.compile(
    r"\b(?:liv(?:e|es|ing)|address|stay(?:ing|s)?|moved|resides?|house|home|mail(?: it)?|send|ship|come|located"
    r"|find (?:me|us)|office)\b[^.!?\n]{0,30}$",
    re.I,
)
_OWN = re.compile(r"\b(?:i|i'm|my|me|he|she|his|her|we|our|us)\b", re.I)


@cache
def _place() -> re.Pattern[str]:
    return re.compile(rf"\b{lists.any_of('public_place')}s?\b", re.I)


def addresses(view: str, at: int, params: Pii) -> Iterator[Span]:
    """`at` is the first letter of "Street" or its like."""
    kind = re.match(rf"{lists.any_of('street')}(?![\w'])", view[at : at + 10], re.I)
    head = _STREET_HEAD.search(view, max(0, at - 60), at) if kind else None
    if kind is None or head is None or in_link(view, at) or _ROAD_NUMBER.search(before(view, head.start(), 14)):
        return
    cased = _NAMED.search(head["name"]) is not None and _all_cased(head["name"])
    words = head["name"].lower().split()
    if any(word.strip(".'") in lists.words("not_street") for word in words):
        return
    lives = _LIVES.search(before(view, head.start(), 50)) is not None
    firm = kind.group()[0].isupper() or len(kind.group()) > 3
    if not (cased and firm and (kind.group()[0].isupper() or lives)) and not (lives and len(words) <= 3):
        return
    tail = _TAIL.match(view, kind.end() + at, at + 120)
    end = tail.end() if tail else at + kind.end()
    yield _address(view, head.start(), end, "street" if cased else "cue", 92 if cased else 80)


_NAMED = re.compile(r"(?:^| )(?:[A-Z]|\d{1,3}(?:st|nd|rd|th))[^ ]*(?: [A-Z][^ ]*)* $")
_SMALL_WORDS = ("of", "the", "de", "la", "del")


def _all_cased(name: str) -> bool:
    return all(word[0].isupper() or word[0].isdigit() or word.lower() in _SMALL_WORDS for word in name.split())


_BOX = re.compile(
    rf"\b(?:p\.? ?o\.? ?box|post office box|gpo box) ?#?\d{{1,6}}(?:,? (?:{_TOWN}),?(?: {_CODE})?)?", re.I
)
_POSTCODE = re.compile(
    r"(?:post ?code|postal code|zip(?: ?code)?)(?: (?:is|was|of))?[ :]{1,3}"
    rf"(?P<code>{_UK_CODE}|{_CANADIAN_CODE}|\d{{5}}(?:-\d{{4}})?\b)",
    re.I,
)
_TOWN_ZIP = re.compile(rf"(?:{_TOWN}),? {_STATES}\.? \d{{5}}(?:-\d{{4}})?(?!\d)")


def postal_addresses(view: str, at: int, params: Pii) -> Iterator[Span]:
    """`at` is "box", "postcode", or the first digit of a ZIP code after a state."""
    if (match := _BOX.search(view, max(0, at - 18), at + 60)) and match.start() <= at < match.end():
        yield _address(view, match.start(), match.end(), "box", 90)
    if match := _POSTCODE.match(view, at, at + 40):
        yield _address(view, match.start("code"), match.end(), "cue", 80)
    if (match := _TOWN_ZIP.search(view, max(0, at - 45), at + 11)) and match.start() < at < match.end():
        yield _address(view, match.start(), match.end(), "town-zip", 85)


def _address(view: str, start: int, end: int, check: str, confidence: int) -> Span:
    while end > start and not view[end - 1].isalnum():
        end -= 1
    ahead = before(view, start, 55)
    text = view[start:end].lower()
    fame = any(text.startswith(known) for known in lists.phrases("public_address"))
    house = _place().search(ahead.rpartition(". ")[2]) is not None and not _OWN.search(ahead[-40:])
    if fame or house:
        return Span(start, end, "address", PUBLIC, "known" if fame else "public-place", confidence)
    return Span(start, end, "address", PERSONAL, check, confidence)
