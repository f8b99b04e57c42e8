"""Numbers that name a person: cards, national numbers, IP addresses, medical records; and birth dates."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import cache

from stages.params import Pii
from stages.screens.pii import lists
from stages.screens.pii.context import in_link
from stages.screens.pii.spans import HINT, PERSONAL, Span, before

# --- cards -------------------------------------------------------------------------------------------

_CARD = re.compile(
    r"(?<![\d.])(?:\d{4}(?:[ -]?\d{4}){3}(?:[ -]?\d{1,3})?|3\d{3}[ -]?\d{6}[ -]?\d{4,5}|\d{13,19})(?!\d)"
)
# First digits and lengths by issuer (ISO/IEC 7812): American Express, Visa, Mastercard, Discover, Diners, JCB.
_ISSUERS = re.compile(
    r"3[47]\d{13}|4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}"
)


@cache
def _order_before() -> re.Pattern[str]:
    return re.compile(rf"\b{lists.any_of('order_word')}\b[^.!?\n]{{0,15}}$", re.I)


def cards(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A payment card's number: an issuer's first digits and length, and the Luhn check; `at` is its first digit."""
    match = _CARD.match(view, at, at + 26)
    if match is None or in_link(view, at):
        return
    from stdnum import luhn

    digits = re.sub(r"\D", "", match.group())
    if not _ISSUERS.fullmatch(digits) or len(set(digits)) < 2 or not luhn.is_valid(digits):
        return
    if not _order_before().search(before(view, at, 40)) or re.search(r"\bcard\b", before(view, at, 40), re.I):
        yield Span(at, match.end(), "card", PERSONAL, "luhn", 97)


# --- national numbers --------------------------------------------------------------------------------

_SSN = re.compile(r"(?<![\d-])\d{3}(?P<gap>[ .-]?)\d{2}(?P=gap)\d{4}(?![\d]|-\d)")
_SSN_CUE = re.compile(r"\b(?:ssn|social(?: security)?(?: (?:number|num|no|#))?)\b[^.!?\n]{0,25}$", re.I)
_NINO = re.compile(r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b", re.I)
_NINE = re.compile(r"(?<!\d)\d{3}[ -]?\d{3}[ -]?\d{3}(?!\d)")
_NINE_CUE = re.compile(r"\b(?P<kind>sin|tfn|tax file|social insurance)\b(?: (?:number|no|num))?[^.!?\n]{0,12}$", re.I)


def ssns(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A US social security number: 3-2-4 with dashes, or any form beside its name; `at` is its first digit."""
    match = _SSN.match(view, at, at + 14)
    if match is None or in_link(view, at):
        return
    cue = _SSN_CUE.search(before(view, at, 60)) is not None
    if not cue and (match["gap"] != "-" or _order_before().search(before(view, at, 40))):
        return
    from stdnum.us import ssn

    if ssn.is_valid(re.sub(r"\D", "", match.group())) or cue:
        yield Span(at, match.end(), "ssn", PERSONAL, "ssn", 98 if cue else 92)


def national_numbers(view: str, at: int, params: Pii) -> Iterator[Span]:
    """British, Canadian and Australian numbers beside their name; `at` is the first letter of the name."""
    if match := _NINO.search(view, at, at + 60):
        yield Span(match.start(), match.end(), "ssn", PERSONAL, "nino", 95)
    match = _NINE.search(view, at, at + 60)
    cue = _NINE_CUE.search(before(view, match.start(), 40)) if match else None
    if match is None or cue is None:
        return
    from stdnum import luhn
    from stdnum.au import tfn

    digits = re.sub(r"\D", "", match.group())
    canadian = cue["kind"].lower() in ("sin", "social insurance")
    if luhn.is_valid(digits) if canadian else tfn.is_valid(digits):
        yield Span(match.start(), match.end(), "ssn", PERSONAL, "luhn" if canadian else "tfn", 95)


# --- IP addresses ------------------------------------------------------------------------------------

_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.I)
# Networks that name no one: this host, private, link-local, multicast and reserved. A list of our own, because what
# `ipaddress` calls private changed between Python 3.11 and 3.13.
_NOBODY = tuple(
    map(
        ipaddress.ip_network,
        [
            *("0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
            *("224.0.0.0/3", "::/127", "fe80::/10", "fc00::/7", "ff00::/8"),
        ],
    )
)
_RESOLVERS = {"1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9"}


@cache
def _version_before() -> re.Pattern[str]:
    return re.compile(rf"\b{lists.any_of('version_word')}[ .:#]{{0,3}}(?:is |to |no |number ){{0,2}}$", re.I)


def ips(view: str, at: int, params: Pii) -> Iterator[Span]:
    """An address that may lead to one person's connection; `at` is its first digit."""
    match = _IPV4.match(view, at, at + 17)
    if match and not _version_before().search(before(view, at, 30)) and not re.search(r"[\w-]$", before(view, at, 1)):
        yield from _ip(match)


def ipv6s(view: str, at: int, params: Pii) -> Iterator[Span]:
    """`at` is one of its colons."""
    match = _IPV6.search(view, max(0, at - 30), at + 45)
    if match and match.start() <= at < match.end() and sum(c.isalnum() for c in match.group()) >= 6:
        yield from _ip(match)


def _ip(match: re.Match[str]) -> Iterator[Span]:
    try:
        address = ipaddress.ip_address(match.group())
    except ValueError:
        return
    if match.group() in _RESOLVERS or any(address in net for net in _NOBODY if net.version == address.version):
        return
    if address.version == 4 and max(map(int, match.group().split("."))) < 10:  # 1.2.3.4: a numbered heading
        return
    yield Span(match.start(), match.end(), "ip", PERSONAL, "ipaddress", 92)


# --- medical records ---------------------------------------------------------------------------------

_ID_WORD = r"(?:id|identification|number|num|no\.?|#|card number)"
_MEDICAL = re.compile(
    r"(?P<kind>MRN|medical record|medical|patient|NHS|medicare|medicaid|insurance|insured|member|policy|chart"
    r"|subscriber|hospital|health(?: ?care| insurance| card)?)"
    rf"(?P<named>(?: (?:record|member|card|policy|claim|insurance|patient|file|{_ID_WORD})\b)*(?: ?#)?)"
    r"(?: (?:is|was|of))?[ :#=-]{0,4}(?:it'?s )?"
    r"(?P<value>(?=[A-Z0-9 -]{0,6}\d)[A-Z]{0,5}-?\d(?:[ -]?[A-Z0-9]){3,14})(?!\w)",
    re.I,
)


def medical_ids(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A record's or member's number beside its name; `at` is the first letter of the name."""
    match = _MEDICAL.match(view, at, at + 80)
    if match is None or (at > 0 and view[at - 1].isalnum()):
        return
    value = match["value"]
    # the value ends where small letters of the next word begin
    value = re.split(r"(?<=[\dA-Z])[ -](?=[a-z]{2,})", value)[0]
    digits = re.sub(r"\D", "", value)
    if len(digits) < 4 or _SSN.fullmatch(value) or re.search(r"[a-z]{4}", value):
        return
    check = _medical_check(match["kind"].lower(), re.search(_ID_WORD, match["named"], re.I) is not None, value, digits)
    if check:
        start = match.start("value")
        yield Span(start, start + len(value.rstrip(" -")), "medical_id", PERSONAL, check, 92)


def _medical_check(kind: str, named: bool, value: str, digits: str) -> str | None:
    if kind == "nhs":
        from stdnum.gb import nhs

        return "nhs" if nhs.is_valid(digits) else ("cue" if named and len(digits) == 10 else None)
    year = re.fullmatch(r"(?:19|20)\d\d", value)
    if kind == "mrn" or (named and not year):
        return "cue"
    return None


# --- birth dates -------------------------------------------------------------------------------------

_MONTHS = lists.any_of("month")
_DATE = re.compile(
    rf"(?P<iso>(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:[0-2]?\d|3[01]))(?!\d)"
    rf"|(?P<numeric>(?:[0-2]?\d|3[01])(?P<gap>[-/.])(?:[0-2]?\d|3[01])(?P=gap)(?:(?:19|20)\d\d|\d\d))(?!\d)"
    rf"|(?P<named>{_MONTHS}\.? (?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?:,? ?(?:of )?(?:(?:19|20)\d\d|'\d\d))?)(?!\d)"
    rf"|(?P<british>\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTHS}\.?,?(?: (?:(?:19|20)\d\d|'\d\d))?)(?!\d)",
    re.I,
)
_BIRTH = re.compile(
    r"(?:(?P<label>d\.?o\.?b\.?|date of birth|birth ?date|b-?day|birthday)|(?P<born>born))\b"
    r"(?:[ :=(-]|is|was|on|the|of|it's|falls|a|my|in|at|'s|both|hospital|this|and){0,14}$",
    re.I,
)
_PERSON = re.compile(
    r"\b(?:i|i'm|me|my|he|she|his|her|we|our|they|you|who|son|daughter|baby|mother|father|brother|sister|twins?|client"
    r"|patient)\b|(?:^|\n)\W*$",
    re.I,
)
_FAMOUS = re.compile(r"[A-Z][\w.]+ [A-Z][\w.]+(?: [A-Z]\w+)? (?:\([^)]*|was |is |, )?$")


def birth_dates(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A date right after "born" or "date of birth"; `at` is in that cue. Day and month alone are a hint."""
    match = _DATE.search(view, at, at + 75)
    cue = _BIRTH.search(view, max(0, at - 10), match.start()) if match else None
    if match is None or cue is None:
        return
    ahead = before(view, cue.start(), 50)
    if cue["born"] and (_FAMOUS.search(ahead) or not _PERSON.search(ahead)):
        return
    has_year = match["iso"] or match["numeric"] or re.search(r"\d{4}|'\d\d$", match.group())
    end = match.start() + len(match.group().rstrip(" ,."))
    if has_year:
        yield Span(match.start(), end, "birth_date", PERSONAL, "cue", 92)
    elif re.search(r"\bmy\b|\bi was\b|i'm", ahead[-25:], re.I):
        yield Span(match.start(), end, "birth_date", HINT, "cue", 70)
