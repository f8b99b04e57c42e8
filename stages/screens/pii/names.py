"""Hints of private persons' names: cues around capitalised words, and a list of given names.

A name alone identifies few people and rules cannot tell a friend from an author for sure: tier `hint`, reported and
not redacted by default. Authors, artists and characters are left out where the words around betray them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

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
        rf"\b(?:my|our|his|her|their|your|a|the|this|an|old|best|little|big|older|younger|ex)\b[ -](?:[\w'-]+ ){{0,2}}?{lists.any_of('kin')}(?P<link>,| is| was|'s name is| named| called| -|:)? \(?$",
        re.I,
    )


_INTRO = re.compile(
    r"(?:\bname(?:'s| is| was|: ?| =)|\bnamed|\bcall(?:ed|s)? (?:me|him|her|myself)|\bgoes by|\bgo by|\bcalled|\bcall me|\bi'?m known as|\b(?:contact|reach|email|find) me,) $"
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
    r"| (?:and (?:i|me|my)\b|and|told|said|says|asked|is|was|has|had|who|does|doesn't|did|didn't|wants?|wanted|left|came|comes|called|texted|texts|hit|hits|broke|moved|died|passed|lied|cheated|got|gets|started|kept|keeps|knows|knew|thinks|thought|never|always|just|won't|can't|would|will|loves|loved|hates|hurt|yelled|yells|cried|helped|alluded|mentioned|suggested|stated|indicated|noted|pointed|raised|wrote|commented|advised|and him|and her|gave|took|made|makes|went|needs|needed|feels|felt|at work|at school|from (?:work|school|church|hr|accounting|the|my)|again|back|yesterday|today|last|in|on|about)\b"
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
    page = view.find("www.", at, at + 60)
    match = _FULL.match(view, at, at + 60 if page < 0 else page)
    if match is None or not _is_word(match.group().split()[0]) or match.group().split()[-1] in _pet_names(view):
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
    end = match.end() - (2 if match.group().endswith("'s") else 0)
    if view[end : end + 1] in ("@", "_") or re.match(r"\.\w", view[end : end + 2]) and view[end + 1].islower():
        return
    if _pet().search(ahead) or _pet().search(view, end, end + 28):
        return
    several = " " in match.group()
    cue = _private_cue(ahead, view, at)
    if cue:
        if cue == "title" and not _private_title(view, at, match):
            return
        if cue == "kin" and not _OWN_KIN.search(ahead) and _of_fiction(view):
            return
        if cue == "introduction" and not _INTRODUCES_SELF.search(ahead) and _of_fiction(view):
            return
        yield _hint(at, end, cue, 85)
    elif not _famous(view, at, end):
        social = _SOCIAL_BEFORE.search(ahead) is not None
        acts = _VERB_AFTER.match(view, end) is not None
        if not several and (acts or social) and not _of_fiction(view) and not _also_in_full(view, match.group()):
            yield _hint(at, end, "given-name", 65)
        elif several and acts and _DEALS_WITH.search(ahead):
            yield _hint(at, end, "full-name", 55)


_DEALS_WITH = re.compile(
    r"\b(?:told|tell|asked|dating|married|texted|contact|call|called|hugged|kissed|reported|blocked|worked for|engaged to|divorced|with my friend|slept with) $",
    re.I,
)


@lru_cache(maxsize=4)
def _of_fiction(view: str) -> bool:
    """Whether the text speaks of books, films or music: a lone given name in it is as likely a character's."""
    return _fiction().search(view) is not None


@cache
def _fiction() -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){lists.any_of('fiction')}s?(?!\w)", re.I)


@cache
def _pet() -> re.Pattern[str]:
    return re.compile(rf"\b{lists.any_of('pet')}s?\b", re.I)


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
    first = match.group().split(" ")[0].lower()
    known = first in lists.given_names() or first in lists.given_names(ambiguous=True)
    title = _TITLE.search(ahead)
    if _pet().search(ahead):
        return
    if title and (title.group()[0].isupper() or view[at : at + 8].split(" ")[0].lower() in lists.given_names()):
        if _private_title(view, at, match) and not _kin_then_sentence(ahead):
            yield _hint(at, match.end(), "title", 80)
    elif _introduced(view, ahead) and not _famous(view, at, match.end()):
        yield _hint(at, match.end(), "introduction", 80)
    elif _is_kins(view, match, ahead, known) and not _famous(view, at, match.end()):
        yield _hint(at, match.end(), "kin", 80 if known else 60)


    elif known and first not in lists.words("place") and _CALLS.search(ahead) and re.match(r" ?(?:[,.!?:\n]|$)", view[match.end() : match.end() + 2]):
        yield _hint(at, match.end(), "greeting", 75)


_OWN_KIN = re.compile(r"\b(?:my|our|your)\b", re.I)
_INTRODUCES_SELF = re.compile(r"\b(?:my|his|her|their) (?:\w+ )?name|\bi'?m |\bi am |call(?:s|ed)? me|go by|known as", re.I)
_NAME_OF_A_THING = re.compile(r"(?<!my )(?<!his )(?<!her )(?<!first )(?<!last )(?<!full )(?<!real )\b\w{3,} name: ?$", re.I)
_WITH_TITLE = re.compile(
    r"\b(?:my|our|with|told|tell|see|saw|seeing|by|from|to|asked|agree with|thank you|thanks|called|met|like|love|hate|and|teacher|neighbou?r|doctor|therapist|psychiatrist|boss|coach)\b,?(?: \w+){0,2} (?:dr|mr|mrs|ms|miss|mx|prof|doctor|professor|rev|pastor|nurse|sgt)\b\.? ?$|(?:^|[.!?\n-]) ?(?:dr|mr|mrs|ms|miss|prof)\.? ?$",
    re.I,
)


def _introduced(view: str, ahead: str) -> bool:
    if not _INTRO.search(ahead) or not re.search(r"\bname|named", ahead[-12:], re.I) or _NAME_OF_A_THING.search(ahead):
        return False
    return _INTRODUCES_SELF.search(ahead) is not None or not _of_fiction(view)


def _private_title(view: str, at: int, match: re.Match[str]) -> bool:
    """Whether "Dr. X" is someone's own doctor or the one who signs, and no celebrity or character."""
    ahead = before(view, at, 60)
    rest = view[match.end() :]
    closes = len(rest) <= 40 or rest[0] == "\n" or re.match(r", [\w ]{0,20}(?:psychologist|therapist|counsel)", rest[:40], re.I) is not None
    own = re.search(r"\b(?:my|our)\b[^.!?\n]*(?:dr|mrs?|ms|prof)?\.? $", ahead[-45:], re.I) is not None
    if own or (closes and not _of_fiction(view)):
        return not _pet().search(ahead)
    if _famous(view, at, match.end()) or _of_fiction(view) or _pet().search(view[max(0, at - 200) : at + 60]):
        return False
    words = match.group().split(" ")
    full = len(words) > 1 or re.search(rf"[A-Z][a-z]+ {re.escape(words[-1].removesuffix(chr(39) + 's'))}\b", _TITLED.sub("", view)) is not None
    return not full and not match.group().endswith("'s") and _WITH_TITLE.search(ahead) is not None


_TITLED = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|Miss|Prof|Doctor|Professor)\b\.? ")
def _is_kins(view: str, match: re.Match[str], ahead: str, known: bool) -> bool:
    """Whether the word after kin is a name: known, or closed off as a name is."""
    kin = _kin().search(ahead)
    if kin is None or (_of_fiction(view) and not _OWN_KIN.search(ahead)) or re.search(r"\b(?:celeb|celebrity|man) crush", ahead, re.I):
        return False
    if known:
        return kin["link"] != ":"
    own = re.match(r"(?:my|our|his|her|their)\b", kin.group(), re.I) is not None
    return own and kin["link"] != ":" and re.match(r"[,.)!?]|'s| (?:and|is|was|has|who|told|said|says|says|wants|left|died)\b|$", view[match.end() : match.end() + 8]) is not None


def _also_in_full(view: str, given: str) -> bool:
    """Whether the text has the given name with a surname too: then it is likely someone known by both."""
    after = re.search(rf"\b{re.escape(given.removesuffix(chr(39) + 's'))} ([A-Z][a-z]+)", view)
    return after is not None and _is_word(after.group(1)) and after.group(1).lower() not in lists.words("common_word")


_CALLS = re.compile(r"(?:(?:^|[.!?\n] ?)(?:hi|hello|hey|dear|hiya)|\bcall me|\bcalls me),? $", re.I)


def _kin_then_sentence(ahead: str) -> bool:
    return re.search(r"[.!?]\s*$", ahead) is not None and not _TITLE.search(ahead)


# --- signatures --------------------------------------------------------------------------------------

_SIGNED = re.compile(rf"(?P<name>{_WORD}(?:[ ]+(?:[A-Z]\.? ?|\"{_WORD}\" )?{_SURNAME}){{0,3}})(?P<rest>[ ,.(]+)$")


_GOES_ON = re.compile(r"(?:[A-Za-z]{2,6}\.?(?:-[A-Z])?[, /]*){1,4}?[,) ]{1,3}[a-z]{3,} ")


def _famous_author(ahead: str) -> bool:
    return re.search(r"\b(?:by|author|book|wrote|researcher)[\w ,'s]{0,12}$", ahead[-40:], re.I) is not None


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
    if _GOES_ON.match(view, at) or _famous_author(before(view, low, 40) + ahead[: match.start("name")]):
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
    if match is not None and _closes_alone(view, at, match):
        yield _hint(at, match.end(), "signature", 75)
        return
    if re.search(r"[\"'] ?[-~]{1,2} ?$", before(view, at, 6)):  # a quotation's source
        return
    if match is None or len(match.group()) < 3 or not _SIGN_OFF.search(before(view, at, 40)):
        return
    rest = view[match.end() :].strip()
    first = match.group().split(" ")[0].lower()
    known = first in lists.given_names() or first in lists.given_names(ambiguous=True)
    mark = before(view, at, 2).strip(" ")[-1:] in ("~", "-")
    if (len(rest) <= 2 or re.match(rf"^[,( ~.-]+(?:{_credential_list()}|www)", rest, re.I)) and (known or (mark and _WISHES.search(before(view, at, 25)) is not None)):
        yield _hint(at, match.end(), "signature", 80)


_END_OF_LETTER = re.compile(r"[.!?,)~][ \n]*$")
_WISHES = re.compile(r"\b(?:best|luck|hope|hopes|regards|warmly|wish|wishes|care|blessings?|well|sincerely|cheers|love|thanks|helps|kindly|solidarity)\b", re.I)
_NO_SIGNATURE = frozenset("luck wishes regards care best hope well wise peace health journey you both therapy diem amen cali".split())


def _closes_alone(view: str, at: int, match: re.Match[str]) -> bool:
    """A text's last words, by themselves after a sentence: a known given name, or unknown ones after a wish."""
    if not re.fullmatch(r" ?(?:[.~!]{0,2}\s*|~.{0,40}|,? ?[A-Z][A-Za-z.-]{1,6}(?:, ?[A-Z][A-Za-z.-]{1,6})*\.?\s*)", view[match.end() :], re.S):
        return False
    ahead = before(view, at, 70)
    if not _END_OF_LETTER.search(ahead) or len(ahead) < 40 or _famous_author(ahead) or re.search(r"\b(?:Hi|Hello|Dear)\b.{0,6}$", ahead):
        return False
    words = match.group().lower().split()
    if any(word.strip(".") in _NO_SIGNATURE or word in lists.words("common_word") or word in lists.words("signoff") for word in words):
        return False
    given = words[0] in lists.given_names() or words[0] in lists.given_names(ambiguous=True)
    tilde = view[match.end() : match.end() + 2].strip()[:1] == "~"
    wished = _WISHES.search(ahead[-14:] if len(words) == 1 else ahead) is not None
    return given or (tilde and wished) or (len(words) > 1 and wished) or (wished and ahead.rstrip()[-1:] == ",")


# --- the same name again -----------------------------------------------------------------------------

_SURE = 75  # percent


def repeats(view: str, found: list[Span]) -> Iterator[Span]:
    """Further mentions of the names found with a firm cue: "my friend Sarah ... Sarah said"."""
    sure = {word for span in found if span.type == "name" and span.confidence >= _SURE for word in view[span.start : span.end].split()}
    known = sorted(word for word in sure if len(word) >= 3 and word[0].isupper() and word.isalpha() and _is_word(word))
    if not known or len(view) > 50_000:
        return
    again = re.compile(rf"(?<![\w@./'-])(?:{'|'.join(known)})(?![\w@]|\.\w)")
    for match in again.finditer(view):
        alone = not re.match(r" [A-Z][a-z]", view[match.end() : match.end() + 3]) and not re.search(r"[A-Z][a-z]+ $", before(view, match.start(), 12))
        doubtful = match.group().lower() in lists.given_names(ambiguous=True) and not re.search(r"[a-z,] $", before(view, match.start(), 2))
        if alone and not doubtful:
            yield _hint(match.start(), match.end(), "repeated", 60)
        elif _TITLE.search(before(view, match.start(), 12)):
            yield _hint(match.start(), match.end(), "repeated", 60)


@cache
def _pet_named() -> re.Pattern[str]:
    return re.compile(rf"\b{lists.any_of('pet')}s?\b[^\n]{{0,80}}?\b(?:named|called|name(?:'s| is| was)) (?:mrs?|ms|miss|dr)?\.? ?", re.I)


@lru_cache(maxsize=4)
def _pet_names(view: str) -> frozenset[str]:
    """Names that the text gives to animals and things."""
    if _pet().search(view) is None:
        return frozenset()
    ends = (match.end() for match in _pet_named().finditer(view))
    return frozenset(word.group() for word in (re.compile(r"[A-Z][a-z]+").match(view, end) for end in ends) if word)
