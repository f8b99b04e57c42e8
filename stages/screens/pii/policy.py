"""Personal or public: who stands behind a number, a page or a mailbox.

In counselling texts most phone numbers and pages are resources (a helpline, an organisation's site):
redacting them would take the referral out of the answer.
"""

from __future__ import annotations

import re
from functools import cache

from stages.screens.pii import lists
from stages.screens.pii.spans import PERSONAL, PUBLIC, before

# Prefixes of numbers that only organisations hold, by country code.
_ORGANISATION = {
    "1": ("800", "833", "844", "855", "866", "877", "888"),
    "44": ("800", "808", "30", "33", "34", "37", "116", "845", "84", "87"),
    "61": ("13", "1800", "180"),
    "64": ("800", "508"),
    "353": ("1800", "1850", "1890"),
}
_NEAR_LINE, _NEAR_PLACE, _NEAR_OWNER = 60, 45, 30


@cache
def _helpline_words() -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){lists.any_of('helpline')}(?!\w)", re.I)


@cache
def _owner() -> re.Pattern[str]:
    return re.compile(rf"\b{lists.any_of('possessive')}\b", re.I)


@cache
def _place() -> re.Pattern[str]:
    which = r"\b(?:the|your|local|county|city|a|an)\b[^.!?\n]{0,30}?"
    return re.compile(rf"{which}\b{lists.any_of('public_place')}\b", re.I)


def phone_tier(country: str, national: str, view: str, start: int, end: int, extra: frozenset[str]) -> tuple[str, str]:
    """Tier and the reason for it: listed helpline, prefix of organisations, or a hotline named beside it."""
    key = f"{country}:{national.lstrip('0')}"
    if key in lists.helplines() or key in extra or national in extra:
        return PUBLIC, "helpline"
    if national.startswith(_ORGANISATION.get(country, ("\0",))):
        return PUBLIC, "toll-free"
    if _owner().search(before(view, start, _NEAR_OWNER)):
        return PERSONAL, ""
    around = before(view, start, _NEAR_LINE) + " " + view[end : end + _NEAR_LINE]
    if _helpline_words().search(around):
        return PUBLIC, "hotline-word"
    if _place().search(before(view, start, _NEAR_PLACE)):
        return PUBLIC, "public-place"
    return PERSONAL, ""


# --- pages -------------------------------------------------------------------------------------------

_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@\s]*@)?(?P<host>[^/:?#\s]+)(?::\d+)?(?P<rest>\S*)", re.I)
_ORGANISATION_DOMAIN = re.compile(r"\.(?:gov|edu|mil|int|nhs\.uk|gov\.\w\w|ac\.uk|edu\.au|org(?:\.\w\w)?)$")
_SECOND_LEVEL = re.compile(r"([\w-]+)\.(?:(?:co|com|org|net|gov|ac|nhs|edu|asn)\.)?[a-z]{2,10}$")
_NAME_END = re.compile(r"(?:^|[~\s.!(-])[A-Z][\w'-]+(?:,? [A-Z][\w.'-]*){0,4}[\s,(~:|-]*$")


@cache
def _own_cue() -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, lists.phrases("own_cue"))), re.I)


@cache
def _practice() -> re.Pattern[str]:
    return re.compile(lists.any_of("practice_word"), re.I)


@cache
def _credential() -> re.Pattern[str]:
    return re.compile(lists.any_of("credential_shape") + "$", re.I)


@cache
def _personal_site() -> re.Pattern[str]:
    parts = (f"(?P<{kind}{i}>{pattern})" for i, (kind, pattern) in enumerate(lists.personal_sites()))
    return re.compile("|".join(parts), re.I)


def registered_name(host: str) -> str:
    """The name that someone registered: `gottman` of `www.gottman.co.uk`."""
    match = _SECOND_LEVEL.search(host.lower())
    return match.group(1) if match else host.lower()


def url_tier(url: str, view: str, start: int, end: int, extra: frozenset[str]) -> tuple[str, str]:
    """Tier of a page and the reason: a person's profile, invitation, share or practice is personal, the rest public."""
    match = _HOST.match(url)
    if match is None:
        return PUBLIC, "site"
    host = match["host"].lower().removeprefix("www.")
    page = _personal_site().match(host + match["rest"])
    if page:
        kind = str(page.lastgroup).rstrip("0123456789")
        account = match["rest"].strip("/@").split("/")[0].lower()
        return (PUBLIC, "organisation") if account in lists.public_sites() else (PERSONAL, kind)
    name = registered_name(host)
    if name in lists.public_sites() or name in extra or _ORGANISATION_DOMAIN.search(host):
        return PUBLIC, "organisation"
    return (PERSONAL, "practice") if _is_practice(name, view, start, end) else (PUBLIC, "site")


def _is_practice(name: str, view: str, start: int, end: int) -> bool:
    """A page of one's own: its name holds a credential or a person's name, or the text says "my website"."""
    if _credential().search(name) or _own_cue().search(before(view, start, 80)):
        return True
    works = _practice().search(name) is not None
    if _holds_given(name) if works else _starts_with_given(name) and len(name) >= 9:
        return True
    home = "/" not in view[view.find("//", start, end) + 2 if "//" in view[start:end] else start : end - 1]
    if works and home and _alone(view, start, end):
        return True
    if _closes(view, end):  # a name's page, or a page that stands alone as a sign-off
        ahead = before(view, start, 50)
        if _NAME_END.search(ahead) or (view.find("/", start + 8, end - 1) < 0 and re.search(r"[.!?\"'][ )]*$", ahead)):
            return True
    return works and _own_cue().search(before(view, start, 120) + view[end : end + 60]) is not None


def _alone(view: str, start: int, end: int) -> bool:
    """Whether a page is offered with no word of what it is about: the writer's own, at the end or after "at"."""
    ahead = before(view, start, 60)
    if re.search(r"\b(?:example|resource|list|directory|info|information|site|article|link)s?\b", ahead, re.I):
        return re.search(r"\bmore (?:info|information)\b", ahead, re.I) is not None
    return _closes(view, end) or re.search(r"\b(?:at|through|via|visit|visite)[ :]*$", ahead, re.I) is not None


def _closes(view: str, end: int) -> bool:
    """Whether the text ends here, but for closing signs."""
    return len(view) - end <= 8 and view[end:].strip(" .)\n") == ""


def _holds_given(name: str) -> bool:
    """Whether a practice's name holds a given name: at its start, or after "by"."""
    after = name.rpartition("by")[2] if "by" in name else ""
    known = lists.given_names() | lists.given_names(ambiguous=True)
    return _starts_with_given(name) or after in known or any(name[:size] in known for size in (4, 5, 6, 7))


def _starts_with_given(name: str) -> bool:
    name = name.removeprefix("dr")
    return any(name[:size] in lists.given_names() for size in range(5, 10)) or (name[:4] in lists.given_names())


def mail_tier(local: str, domain: str, view: str, start: int, end: int, extra: frozenset[str]) -> tuple[str, str]:
    """A role's mailbox at an organisation is public, anyone else's personal."""
    tier, _ = url_tier(domain, view, start, end, extra)
    if local.lower() in lists.words("mail_box_public") and tier == PUBLIC:
        return PUBLIC, "role-mailbox"
    return PERSONAL, ""
