"""Hints of private persons' names: cues around capitalised words, and a list of given names.

A name alone identifies few people, and rules cannot tell a friend from an author for sure: tier `hint`, reported and
not redacted by default. Authors, artists, characters and pets are left out where the words around betray them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from stages.params import Pii
from stages.screens.pii import lists
from stages.screens.pii.name_words import (
    TITLE,
    famous,
    given_in_full,
    hint,
    is_given,
    is_word,
    name_at,
    of_fiction,
    of_pet,
    surname_in_full,
)  # fmt: skip
from stages.screens.pii.spans import Span, before

_AHEAD = 45  # characters before a name that are read for a cue

_INTRODUCTION = re.compile(
    r"(?:\bname(?:'s| is| was|: ?| =)|\bnamed|\bcall(?:ed|s)? (?:me|him|her|myself)|\bgo(?:es)? by|\bcalled"
    r"|\bi'?m known as|\b(?:contact|reach|email|find) me,) $"
    r"|(?:^|[.!?\n] ?|\b(?:hi|hello|hey),? )(?:i'm|i am|this is|it's|im) $",
    re.I,
)
_SELF = re.compile(r"\b(?:my|his|her|their) (?:\w+ )?name|\bi'?m |\bi am |calls? me|go by|known as", re.I)
_OF_A_THING = re.compile(r"(?<!my )(?<!his )(?<!her )(?<!first )(?<!last )(?<!full )(?<!real )\b\w{3,} name: ?$", re.I)
_NAME_IS = re.compile(r"\bname(?:'s| is| was| s) $|\bnamed $", re.I)
_GREETING = re.compile(
    r"(?:^|\n|[.!?] )(?:hi|hello|hey|dear|hiya|good (?:morning|evening|afternoon)|thanks|thank you)(?: there)?,? $",
    re.I,
)
_ADDRESS = re.compile(r"(?:(?:^|[.!?\n] ?)(?:hi|hello|hey|dear|hiya)|\bcalls? me),? $", re.I)
_OWN = re.compile(r"\b(?:my|our|your)\b", re.I)
_CELEBRITY = re.compile(r"\b(?:celeb|celebrity|man) crush", re.I)


@cache
def _kin() -> re.Pattern[str]:
    """Kin or role right before: "my sister, Anna", "her boyfriend named Tom"."""
    whose = r"(?:my|our|his|her|their|your|a|the|this|an|old|best|little|big|older|younger|ex)"
    link = r"(?P<link>,| is| was|'s name is| named| called| -|:)? \(?$"
    return re.compile(rf"\b{whose}\b[ -](?:[\w'-]+ ){{0,2}}?{lists.any_of('kin')}{link}", re.I)


@cache
def _social() -> re.Pattern[str]:
    return re.compile(rf"\b{lists.any_of('before_name')} $", re.I)


@cache
def _acts() -> re.Pattern[str]:
    """What persons do and have, or the end of a phrase, after a name."""
    place = r"at (?:work|school)|from (?:work|school|church|hr|accounting|the|my)"
    owns = rf"'s {lists.any_of('owned_by_name')}\b"
    return re.compile(rf"{owns}| (?:{lists.any_of('after_name')}|{place})\b|,| ?[.!?)](?:\s|$)|$", re.I)


@cache
def _deals() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{lists.any_of('deals_with')}|worked for|engaged to|with my friend|slept with) $", re.I)


# --- given names -------------------------------------------------------------------------------------


def given_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A listed given name beside a private cue: kin, greeting, introduction, deeds; `at` is its start."""
    if not params.names or (at > 0 and (view[at - 1].isalnum() or view[at - 1] in "@/._#'")):
        return
    ahead = before(view, at, _AHEAD)
    name = name_at(view, at)
    end = at + len(name)
    if not name:
        yield from _small_name(view, at, ahead)
    elif not _is_address(view, end) and not of_pet(ahead) and not of_pet(view[end : end + 28]):
        found = _given(view, at, name, ahead)
        if found:
            yield hint(at, end, *found)


def _is_address(view: str, end: int) -> bool:
    """Whether a name goes on as a user name or a host."""
    return view[end : end + 1] in ("@", "_") or re.match(r"\.[a-z]", view[end : end + 2]) is not None


def _given(view: str, at: int, name: str, ahead: str) -> tuple[str, int] | None:
    """The cue of a given name and its confidence."""
    cue = _private_cue(ahead)
    if cue:
        return (cue, 85) if _is_private(cue, view, at, name, ahead) else None
    end = at + len(name)
    if famous(view, at, end):
        return None
    acts = _acts().match(view, end) is not None
    if " " in name:
        return ("full-name", 55) if acts and _deals().search(ahead) else None
    lone = acts or _social().search(ahead) is not None
    return ("given-name", 65) if lone and not of_fiction(view) and not given_in_full(view, name) else None


def _private_cue(ahead: str) -> str | None:
    for check, pattern in (("kin", _kin()), ("introduction", _INTRODUCTION), ("greeting", _GREETING), ("title", TITLE)):
        if pattern.search(ahead):
            return check
    return None


def _is_private(cue: str, view: str, at: int, name: str, ahead: str) -> bool:
    """Whether the cue holds in a text that may speak of books and films."""
    if cue == "title":
        return _private_title(view, at, name)
    own = {"kin": _OWN, "introduction": _SELF}.get(cue)
    return own is None or own.search(ahead) is not None or not of_fiction(view)


def _small_name(view: str, at: int, ahead: str) -> Iterator[Span]:
    """A listed name in small letters: only right after kin or "name is"."""
    word = re.match(r"[a-z]+(?![\w'])", view[at : at + 20])
    cued = _NAME_IS.search(ahead) or (_kin().search(ahead) and not _CELEBRITY.search(ahead))
    if word and word.group() in lists.given_names() and cued:
        yield hint(at, at + word.end(), "kin", 65)


# --- any capitalised word after a cue ----------------------------------------------------------------


def cued_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A capitalised word right after kin, a title, a greeting, or "my name is"; `at` is its start."""
    name = name_at(view, at) if params.names else ""
    ahead = before(view, at, _AHEAD)
    if len(name) < 3 or of_pet(ahead):
        return
    title = TITLE.search(ahead)
    if title and (title.group()[0].isupper() or is_given(name.split(" ")[0])):
        if _private_title(view, at, name):
            yield hint(at, at + len(name), "title", 80)
        return
    found = _cued(view, at, name, ahead)
    if found:
        yield hint(at, at + len(name), *found)


def _cued(view: str, at: int, name: str, ahead: str) -> tuple[str, int] | None:
    first, end = name.split(" ")[0].lower(), at + len(name)
    known = is_given(first)
    private = not famous(view, at, end)
    if private and _introduced(view, ahead):
        return "introduction", 80
    if private and _is_kins(view, end, ahead, known):
        return "kin", 80 if known else 60
    closed = re.match(r" ?(?:[,.!?:\n]|$)", view[end : end + 2])
    if known and first not in lists.words("place") and closed and _ADDRESS.search(ahead):
        return "greeting", 75
    return None


def _introduced(view: str, ahead: str) -> bool:
    says_name = re.search(r"\bname|named", ahead[-12:], re.I) and _INTRODUCTION.search(ahead)
    if not says_name or _OF_A_THING.search(ahead):
        return False
    return _SELF.search(ahead) is not None or not of_fiction(view)


_CLOSED = re.compile(r"[,.)!?]|'s| (?:and|is|was|has|who|told|said|says|wants|left|died)\b|$")


def _is_kins(view: str, end: int, ahead: str, known: bool) -> bool:
    """Whether the word after kin is a name: a known one, or closed off as a name is."""
    kin = _kin().search(ahead)
    if kin is None or kin["link"] == ":" or _CELEBRITY.search(ahead):
        return False
    if of_fiction(view) and not _OWN.search(ahead):
        return False
    own = re.match(r"(?:my|our|his|her|their)\b", kin.group(), re.I)
    return known or (own is not None and _CLOSED.match(view[end : end + 8]) is not None)


# --- titles ------------------------------------------------------------------------------------------

_OWN_TITLE = re.compile(rf"\b(?:my|our)\b[^.!?\n]*?{lists.any_of('title')}?\.? $", re.I)
_IS_CLINICIAN = re.compile(r", [\w ]{0,20}(?:psychologist|therapist|counsel)", re.I)


@cache
def _before_title() -> re.Pattern[str]:
    inside = rf"\b{lists.any_of('before_title')}\b,?(?: \w+){{0,2}} {lists.any_of('title')}\b\.? ?$"
    return re.compile(rf"{inside}|(?:^|[.!?\n-]) ?(?:dr|mr|mrs|ms|miss|prof)\.? ?$", re.I)


def _private_title(view: str, at: int, name: str) -> bool:
    """Whether "Dr. X" is someone's own doctor or the one who signs, and no celebrity or character."""
    ahead, end = before(view, at, 60), at + len(name)
    closes = len(view) - end <= 40 or view[end] == "\n" or _IS_CLINICIAN.match(view, end, end + 40) is not None
    if _OWN_TITLE.search(ahead[-_AHEAD:]) or (closes and not of_fiction(view)):
        return not of_pet(ahead)
    if famous(view, at, end) or of_fiction(view) or of_pet(view[max(0, at - 200) : at + 60]):
        return False
    full = " " in name or surname_in_full(view, name)
    return not full and view[end : end + 2] != "'s" and _before_title().search(ahead) is not None


# --- the same name again -----------------------------------------------------------------------------

_SURE = 75  # percent
_MOST = 40  # names of one text that are sought again


def repeats(view: str, found: list[Span]) -> Iterator[Span]:
    """Further mentions of names that a firm cue found: "my friend Sarah ... Sarah said"."""
    names = [view[span.start : span.end] for span in found if span.type == "name" and span.confidence >= _SURE]
    words = sorted({word for name in names[:_MOST] for word in name.split() if _recurs(word)})
    if not words:
        return
    for match in re.finditer(rf"(?<![\w@./'-])(?:{'|'.join(words)})(?![\w@]|\.\w)", view):
        start, end = match.span()
        titled = TITLE.search(before(view, start, 12)) is not None
        if titled or (_stands_alone(view, start, end) and not _doubtful(view, start, match.group())):
            yield hint(start, end, "repeated", 60)


def _recurs(word: str) -> bool:
    return len(word) >= 3 and word[0].isupper() and word.isalpha() and is_word(word)


def _stands_alone(view: str, start: int, end: int) -> bool:
    """No part of another full name."""
    goes_on = re.match(r" [A-Z][a-z]", view[end : end + 3])
    return not goes_on and not re.search(r"[A-Z][a-z]+ $", before(view, start, 12))


def _doubtful(view: str, start: int, word: str) -> bool:
    """A name that is also a word, where a sentence begins."""
    ambiguous = word.lower() in lists.given_names(ambiguous=True)
    return ambiguous and not re.search(r"[a-z,] $", before(view, start, 2))
