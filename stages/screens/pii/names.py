"""Hints of private persons' names: cues around capitalised words, and a list of given names.

A name alone identifies few people and rules cannot tell a friend from an author for sure: tier `hint`, reported and
not redacted by default. Authors, artists and characters are left out where the words around betray them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from stages.params import Pii
from stages.screens.pii import lists
from stages.screens.pii.spans import HINT, Span, before

_WORD = r"(?:[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ]+(?:['-][A-Z]?[a-zà-öø-ÿ]+)*(?:[A-Z][a-z]+)?)"
_SURNAME = rf"(?:(?:[A-Z]\.? ?)?(?:(?:van|von|de|del|della|di|da|al|bin|Mc|Mac|O'|St\.) ?)*{_WORD})"
_NAME = re.compile(rf"{_WORD}(?:[ -]{_WORD}){{0,2}}(?: [A-Z]\.(?= [A-Z]))?")
_FULL = re.compile(rf"{_WORD}(?: (?:[A-Z]\.? )?{_SURNAME}){{0,2}}")


@cache
def _kin() -> re.Pattern[str]:
    """Kin or role right before: "my sister, Anna", "her boyfriend named Tom"."""
    return re.compile(
        rf"\b(?:my|our|his|her|their|your|a|the|this|an|old|best|little|big|older|younger|ex)\b[ -](?:[\w-]+ ){{0,2}}?{lists.any_of('kin')}(?:,| is| was|'s name is| named| called| -|:)? \(?$",
        re.I,
    )


_INTRO = re.compile(
    r"(?:\bname(?:'s| is| was|: ?| =)|\bnamed|\bcall(?:ed|s)? (?:me|him|her|myself)|\bgoes by|\bgo by|\bcalled|\bcall me|\bi'?m known as) $"
    r"|(?:^|[.!?\n] ?|\b(?:hi|hello|hey),? )(?:i'm|i am|this is|it's|im) $",
    re.I,
)
_GREETING = re.compile(r"(?:^|\n|[.!?] )(?:hi|hello|hey|dear|hiya|good (?:morning|evening|afternoon)|thanks|thank you)(?: there)?,? $", re.I)
_TITLE = re.compile(r"\b(?:dr|mr|mrs|ms|miss|mx|prof|doctor|professor|rev|pastor|nurse|sgt)\b\.? ?$", re.I)
_SOCIAL_BEFORE = re.compile(
    r"\b(?:with|told|tell|asked|ask|met|meet|dating|love|loved|miss|called|texted|saw|seeing|see|to|from|and|about|at|for|by|when|that|because|if|after|then|but|so|like|hate|married|hugged|kissed|call|contact|hurt|left|forgive|trust|visit|visited|thanks|thank|know|knew|let|want|without|between|of) $",
    re.I,
)
_VERB_AFTER = re.compile(
    r"(?:'s (?:mom|dad|mother|father|house|place|family|parents|phone|wife|husband|sister|brother|death|funeral|room|car|friends?|birthday|behaviou?r|feelings|school|teacher|number|car|job)\b"
    r"| (?:and (?:i|me|my)\b|and|told|said|says|asked|is|was|has|had|who|does|doesn't|did|didn't|wants?|wanted|left|came|comes|called|texted|texts|hit|hits|broke|moved|died|passed|lied|cheated|got|gets|started|kept|keeps|knows|knew|thinks|thought|never|always|just|won't|can't|would|will|loves|loved|hates|hurt|yelled|yells|cried|helped|and him|and her|gave|took|made|makes|went|needs|needed|feels|felt|at work|at school|from (?:work|school|church|hr|accounting|the|my)|again|back|yesterday|today|last|in|on|about)\b"
    r"|,| ?[.!?)](?:\s|$)|$)",
    re.I,
)


@cache
def _fame() -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){lists.any_of('is_public_person')}(?!\w)|[\"“”«*_]", re.I)


@cache
def _credential_list() -> str:
    return lists.any_of("credential")


def _is_word(word: str) -> bool:
    return word.lower() not in lists.words("not_name")


def _name_at(view: str, at: int) -> re.Match[str] | None:
    """Given name with the surnames that follow in the same breath, cut before a word that is no name."""
    match = _FULL.match(view, at, at + 60)
    if match is None or not _is_word(match.group().split()[0]):
        return None
    words = match.group().split(" ")
    for size in range(1, len(words)):
        if not _is_word(words[size].rstrip(".")) :
            return _FULL.match(view, at, at + len(" ".join(words[:size])))
    return match


def _famous(view: str, start: int, end: int) -> bool:
    """A word of books, films or music around, or a run of capitalised words before (a title, an organisation)."""
    if _fame().search(before(view, start, 60).rpartition("\n")[2] + " " + view[end : end + 40].partition("\n")[0]):
        return True
    return re.search(r"[A-Z][a-z]+ (?:(?:of|the|and|&|for|de) )?$", before(view, start, 20)) is not None and not _TITLE.search(before(view, start, 12))


def _hint(start: int, end: int, check: str, confidence: int) -> Span:
    return Span(start, end, "name", HINT, check, confidence)


def given_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A listed given name with a private cue: kin, greeting, introduction, what persons say and do; `at` is its start."""
    if not params.names or (at > 0 and (view[at - 1].isalnum() or view[at - 1] in "@/._#'")):
        return
    ahead = before(view, at, 45)
    match = _name_at(view, at)
    if match is None:
        yield from _small_name(view, at, ahead)
        return
    end = match.end()
    if view[end : end + 1] in ("@", "_") or re.match(r"\.\w", view[end : end + 2]) and view[end + 1].islower():
        return
    several = " " in match.group()
    cue = _private_cue(ahead, view, at)
    if cue:
        if cue == "title" and _famous(view, at, end):
            return
        yield _hint(at, end, cue, 85)
    elif not _famous(view, at, end):
        social = _SOCIAL_BEFORE.search(ahead) is not None
        acts = _VERB_AFTER.match(view, end) is not None
        if not several and (acts or social):
            yield _hint(at, end, "given-name", 65)
        elif several and acts and (social or _personal_text(view, at)):
            yield _hint(at, end, "full-name", 55)


def _personal_text(view: str, at: int) -> bool:
    return re.search(r"\b(?:my|me|i)\b", view[max(0, at - 80) : at + 80], re.I) is not None


def _private_cue(ahead: str, view: str, at: int) -> str | None:
    for check, pattern in (("kin", _kin()), ("introduction", _INTRO), ("greeting", _GREETING), ("title", _TITLE)):
        if pattern.search(ahead):
            return check
    return None


_SMALL = re.compile(r"[a-z]+(?: [a-z]+)?")
_NAME_IS = re.compile(r"\bname(?:'s| is| was| s) $|\bnamed $", re.I)


def _small_name(view: str, at: int, ahead: str) -> Iterator[Span]:
    """A listed name in small letters: only right after kin or "name is"."""
    word = re.match(r"[a-z]+(?![\w'])", view[at : at + 20])
    if word and word.group() in lists.given_names() and (_NAME_IS.search(ahead) or _kin().search(ahead)):
        yield _hint(at, at + word.end(), "kin", 65)


def cued_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A capitalised word right after kin, a title, or "my name is"; `at` is its start."""
    if not params.names:
        return
    match = _name_at(view, at)
    if match is None or len(match.group()) < 3:
        return
    ahead = before(view, at, 45)
    title = _TITLE.search(ahead)
    if title and (title.group()[0].isupper() or view[at : at + 8].split(" ")[0].lower() in lists.given_names()):
        if not _famous(view, at, match.end()) and not _kin_then_sentence(ahead):
            yield _hint(at, match.end(), "title", 80)
    elif _INTRO.search(ahead) and re.search(r"\bname|named", ahead[-12:], re.I) and not _famous(view, at, match.end()):
        yield _hint(at, match.end(), "introduction", 80)
    elif re.search(r"[\w,(] ?\(?$", ahead) and _kin().search(ahead) and not _famous(view, at, match.end()):
        known = match.group().split(" ")[0].lower() in (lists.given_names() | lists.given_names(ambiguous=True))
        yield _hint(at, match.end(), "kin", 80 if known else 60)


def _kin_then_sentence(ahead: str) -> bool:
    return re.search(r"[.!?]\s*$", ahead) is not None and not _TITLE.search(ahead)


# --- signatures --------------------------------------------------------------------------------------

_SIGNED = re.compile(rf"(?P<name>{_WORD}(?:[ ]+(?:[A-Z]\.? ?|\"{_WORD}\" )?{_SURNAME}){{0,3}})(?P<rest>[ ,.(]+)$")


def credential_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """The name before credentials ("Jane Roe, LMFT"); `at` is the first letter of the credential."""
    if not params.names:
        return
    word = re.match(r"[A-Za-z.]+", view[at : at + 8])
    if word is None or not re.match(r"(?:[A-Z]{2,}|Ph\.?D|Psy\.?D|Ed\.?D|[A-Z][a-z]?\.?[A-Z])", word.group()):
        return
    low = max(0, at - 60)
    ahead = re.sub(rf"(?<=[,. ])(?:(?:{_credential_list()}|M\.A\.|M\.S\.|Ph\.D\.?|M\.Ed\.?|B\.?A)(?![a-z])\.?[,/ ]*)+$", "", view[low:at], flags=re.I)
    match = _SIGNED.search(ahead)
    if match is None or len(match.group("name")) < 3:
        return
    words = match["name"].split()
    while words and not _is_word(words[0].strip(".")):
        words = words[1:]
    if words and all(_is_word(word.strip(".")) for word in words) and (len(words) > 1 or words[0].lower() in lists.given_names()):
        end = low + match.end("name")
        yield _hint(end - len(" ".join(words)) if "  " not in match["name"] else low + match.start("name"), end, "credential", 85)


_SIGN_OFF = re.compile(
    rf"(?:(?:~|-{{1,2}}|\n)[ ]*|(?<!\w){lists.any_of('signoff')}(?: (?:regards|wishes|always|of luck|you all the best|and blessings))?[,.!-]{{0,2}}[ \n]+|(?:thanks|best|good|luck|care|you|well|day)[.!,] *(?:[\n~-] *)?)$",
    re.I,
)


def signed_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A name that closes a text; `at` is its start."""
    if not params.names:
        return
    match = _name_at(view, at)
    if match is None or len(match.group()) < 3 or not _SIGN_OFF.search(before(view, at, 40)):
        return
    rest = view[match.end() :].strip()
    first = match.group().split(" ")[0].lower()
    known = first in lists.given_names() or first in lists.given_names(ambiguous=True)
    mark = before(view, at, 2).strip(" ")[-1:] in ("~", "-")
    if (len(rest) <= 2 or re.match(rf"^[,( ~.-]+(?:{_credential_list()}|www)", rest, re.I)) and (known or mark):
        yield _hint(at, match.end(), "signature", 80)
