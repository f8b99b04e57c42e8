"""Telephone numbers: a shape, then phonenumbers, then the words around.

phonenumbers (libphonenumber) knows which numbers a country's plan allows; it does not know that "1999-2000" is two
years. So a number needs a +, the 3-3-4 shape, a trunk 0 with a plan that allows it, or a word such as "call".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from stages.params import Pii
from stages.screens.pii import lists, policy
from stages.screens.pii.context import in_link, of_order
from stages.screens.pii.spans import Span, before

_GAP = r"[ ./-]{0,3}"
_EXTENSION = r"(?: ?(?:x|ext\.?|extension) ?\d{1,5})?"
_CLUSTER = re.compile(r"[\d +().\-/]{7,40}")
_INTERNATIONAL = re.compile(rf"(?:\+|\b00(?=[1-9])) ?\d{{1,3}}(?:{_GAP}\(?\d{{1,6}}\)?){{1,6}}(?!\d){_EXTENSION}")
_AMERICAN = re.compile(
    rf"(?<!\d)(?:\+?1{_GAP})?(?P<open>\()?(?P<area>[2-9]\d\d)(?(open)\) ?)(?P<gap>[ .\-/]{{0,3}})(?P<exchange>\d{{3}})"
    rf"(?P<gap2>[ .\-]{{0,3}})(?P<line>\d{{4}})(?!\d|-\d){_EXTENSION}"
)
_TRUNK = re.compile(rf"(?<!\d)\(?0\d{{1,4}}\)?(?:{_GAP}\d{{2,8}}){{1,4}}(?!\d)")
_LOCAL = re.compile(r"(?<![\d+-])(?:[2-9]\d\d[ .-]\d{4}|[2-9]\d{3}[ -]\d{4})(?![\d-])")
_BARE = re.compile(r"(?<!\d)\d{10,11}(?!\d)")
_UNIT_AFTER = re.compile(
    r" ?(?:mg|mcg|ml|g|kg|%|units?|years?|people|miles|km|points?|dollars|usd|words|steps|times|/\d)\b", re.I
)
_YEARS = re.compile(r"(?:1[5-9]|20)\d\d ?- ?(?:1[5-9]|20)\d\d")


@cache
def _cue_before() -> re.Pattern[str]:
    words = lists.any_of("phone_cue").replace("|#", "")
    return re.compile(rf"(?<!\w){words}\b[^.!?\n\d]{{0,28}}$|[#☎📞] ?$", re.I)


@cache
def _cue_after() -> re.Pattern[str]:
    line = r"\(?(?:cell|mobile|home|work|text|call|phone|whatsapp|tel|office)\b"
    owner = r"(?:my|her|his|their) (?:number|cell|phone|mobile)"
    return re.compile(rf"[ ,)(-]{{0,3}}(?:is|was)? ?(?:{line}|{owner})", re.I)


def phones(view: str, at: int, params: Pii) -> Iterator[Span]:
    """Numbers in the cluster of digits and signs around `at`, the first digit of one of its runs."""
    low = _cluster_start(view, at)
    cluster = _CLUSTER.match(view, low, low + 48)
    if cluster is None:
        return
    for match, check, cue_needed in _shapes(view, cluster.start(), min(len(view), cluster.end() + 12)):
        start, end = match.start(), match.end()
        while end > start and not view[end - 1].isalnum():
            end -= 1
        if not start <= at < end or (start > 0 and view[start - 1] == "." and view[start - 2 : start - 1].isdigit()):
            continue
        span = _confirm(view, start, end, check, cue_needed, params)
        if span:
            yield span
            return


def _cluster_start(view: str, at: int) -> int:
    low = at
    while low > max(0, at - 24) and view[low - 1] in "0123456789 +().-/":
        low -= 1
    return low


def _shapes(view: str, low: int, high: int) -> Iterator[tuple[re.Match[str], str, bool]]:
    """Matches with their check and whether a word such as "call" must stand beside them; the surest shape first."""
    for match in _INTERNATIONAL.finditer(view, low, high):
        yield match, "international", False
    for match in _AMERICAN.finditer(view, low, high):
        tight = match["gap"].strip() != "" and match["gap2"].strip() != ""
        yield match, "shape", not (tight or match["open"] is not None)
    for match in _TRUNK.finditer(view, low, high):
        yield match, "trunk", False
    for match in _BARE.finditer(view, low, high):
        yield match, "bare", True
    for match in _LOCAL.finditer(view, low, high):
        yield match, "local", True


def _confirm(view: str, start: int, end: int, check: str, cue_needed: bool, params: Pii) -> Span | None:
    text = view[start:end]
    cue = _cue_before().search(view, max(0, start - 45), start) or _cue_after().match(view, end)
    if in_link(view, start) or _YEARS.fullmatch(text) or _UNIT_AFTER.match(view, end):
        return None
    if of_order(view, start) and not _NAMED.search(before(view, start, 30)):
        return None
    number = _parse(text, check, params.regions)
    sure = check == "shape" and not cue_needed and number is not None and number[2]
    if _glued(view, start, cue is not None or (sure and view[start - 1 : start].islower())):
        return None
    if check == "local":
        return _local(view, start, end, cue is not None)
    if number is None:
        loose = check == "shape" and (cue is not None or not cue_needed) and len(set(text) & set("0123456789")) > 2
        return _span(view, start, end, "1", _digits(text)[-10:], "shape", 80, params) if loose else None
    country, national, valid = number
    if not valid and not cue and (check != "shape" or cue_needed):
        return None
    if cue_needed and not cue and not (valid and check == "shape" and text.count(" ") >= 2):
        return None
    return _span(view, start, end, country, national, f"phonenumbers-{country}", 97 if valid else 85, params)


def _glued(view: str, start: int, cue: bool) -> bool:
    """Part of something longer: a decimal, a code, money, a name."""
    previous = view[start - 1 : start]
    if previous in ("$", "£", "€", "=", "_", "@", ","):
        return True
    joined = previous in ("/", "-", ".") and view[start - 2 : start - 1].isalnum()
    return (joined or previous.isalnum()) and not cue


_NAMED = re.compile(r"\b(?:phone|cell|mobile|tel|text|call)\b[^.!?\n]{0,12}$", re.I)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", re.split(r"x|ext", text, maxsplit=1)[0])


def _parse(text: str, check: str, regions: tuple[str, ...]) -> tuple[str, str, bool] | None:
    """Country code, national number, and whether a plan allows it; None where no plan has such a length."""
    import phonenumbers  # late: 50 ms that a start-up without candidates need not pay

    text = re.sub(r"^00", "+", text.strip())
    possible: tuple[str, str, bool] | None = None
    for region in (None,) if text.startswith("+") else regions:
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        if not phonenumbers.is_possible_number(number):
            continue
        national = phonenumbers.national_significant_number(number)
        if phonenumbers.is_valid_number(number):
            return str(number.country_code), national, True
        if check != "trunk" or _drama(text, region):
            possible = possible or (str(number.country_code), national, False)
    return possible


def _drama(text: str, region: str | None) -> bool:
    """Numbers that regulators keep for stories, and mobile shapes: no plan lists them as valid."""
    digits = re.sub(r"\D", "", text)
    british = region == "GB" and digits.startswith(("07", "02")) and len(digits) == 11
    return british or (region == "AU" and digits.startswith("04"))


_FIRM = re.compile(
    r"\b(?:call|text|phone|cell|mobile|tel|ring|reach (?:me|him|her|us)|dial|whatsapp|number is|number'?s|number:"
    r"|landline)\b[^.!?\n]{0,25}$",
    re.I,
)


def _local(view: str, start: int, end: int, cue: bool) -> Span | None:
    """Seven or eight digits without an area: only beside a firm word for calling."""
    if not cue or re.search(r"[\d.,]$", before(view, start, 1)):
        return None
    if not _FIRM.search(before(view, start, 45)) and _cue_after().match(view, end) is None:
        return None
    tier, reason = policy.phone_tier("", _digits(view[start:end]), view, start, end, frozenset())
    return Span(start, end, "phone", tier, reason or "local", 75)


def _span(
    view: str, start: int, end: int, country: str, national: str, check: str, confidence: int, params: Pii
) -> Span:
    tier, reason = policy.phone_tier(country, national, view, start, end, frozenset(params.helplines))
    return Span(start, end, "phone", tier, reason or check, confidence)


# --- spelled out -------------------------------------------------------------------------------------

_SPELLED = re.compile(
    r"(?:(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple|nought|\d{1,4})\b[ ,.-]{0,3}){7,16}",
    re.I,
)
_VALUES = {"zero": 0, "oh": 0, "nought": 0, "one": 1, "two": 2, "three": 3, "four": 4}
_VALUES |= {"five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}


def spelled_phones(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A number in words ("five five five, one two ..."); `at` is the first letter of the first number word."""
    low = at
    while low > max(0, at - 12) and view[low - 1] in "0123456789 -.,":
        low -= 1
    match = _SPELLED.search(view, low, at + 160)
    if match is None or not match.start() <= at < match.end():
        return
    digits = _spell(match.group().lower())
    steps = {b - a for a, b in pairwise(digits)}
    end = match.start() + len(match.group().rstrip(" ,.-"))
    cue = _cue_before().search(view, max(0, match.start() - 45), match.start()) or _cue_after().match(view, end)
    if len(digits) not in (7, 10, 11) or steps <= {1} or steps <= {-1} or not (cue or len(digits) >= 10):
        return
    national = "".join(map(str, digits))[-10:]
    yield _span(view, match.start(), end, "1", national, "spelled", 85, params)


def _spell(text: str) -> list[int]:
    digits: list[int] = []
    repeat = 1
    for word in re.findall(r"[a-z]+|\d+", text):
        if word in ("double", "triple"):
            repeat = 2 if word == "double" else 3
            continue
        digits += [int(d) for d in word] if word.isdigit() else [_VALUES[word]] * repeat
        repeat = 1
    return digits
