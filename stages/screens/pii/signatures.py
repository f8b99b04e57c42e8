"""Names by which a text is signed: before credentials ("Jane Roe, LMFT"), after a wish, or alone at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from stages.params import Pii
from stages.screens.pii import lists
from stages.screens.pii.name_words import SURNAME, WORD, hint, is_given, is_word, name_at
from stages.screens.pii.spans import Span, before

# --- before credentials ------------------------------------------------------------------------------

_SIGNED = re.compile(rf"(?P<name>{WORD}(?:[ ]+(?:[A-Z]\.? ?|\"{WORD}\" )?{SURNAME}){{0,3}})[ ,.(]+$")
_CREDENTIAL = re.compile(r"[A-Z]{2,}|Ph\.?D|Psy\.?D|Ed\.?D|[A-Z][a-z]?\.?[A-Z]")
_SENTENCE_GOES_ON = re.compile(r"(?:[A-Za-z]{2,6}\.?(?:-[A-Z])?[, /]*){1,4}?[,) ]{1,3}[a-z]{3,} ")
_AUTHOR = re.compile(r"\b(?:by|author|book|wrote|researcher)[\w ,'s]{0,12}$", re.I)


@cache
def _credentials() -> re.Pattern[str]:
    """A run of credentials up to the end."""
    dotted = r"M\.A\.|M\.S\.|Ph\.D\.?|M\.Ed\.?|B\.?A"
    return re.compile(rf"(?<=[,. ])(?:(?:{lists.any_of('credential')}|{dotted})(?![a-z])\.?[,/ ]*)+$", re.I)


def credential_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """The name before credentials; `at` is the first letter of one. An author's sentence goes on after them."""
    if not params.names or not _CREDENTIAL.match(view, at, at + 8) or _SENTENCE_GOES_ON.match(view, at, at + 60):
        return
    low = max(0, at - 60)
    match = _SIGNED.search(_credentials().sub("", view[low:at]))
    if match is None or _AUTHOR.search(before(view, low + match.start(), 40)):
        return
    words = list(re.finditer(r"\S+", match["name"]))
    while words and not is_word(words[0].group()):
        words = words[1:]
    if words and all(is_word(word.group()) for word in words) and (len(words) > 1 or is_given(words[0].group())):
        yield hint(low + match.start("name") + words[0].start(), low + match.end("name"), "credential", 85)


# --- at the end --------------------------------------------------------------------------------------

_END_OF_LETTER = re.compile(r"[.!?,)~][ \n]*$")
_QUOTED = re.compile(r"[\"'] ?[-~]{1,2} ?$")  # a quotation and its source
_GREETS = re.compile(r"\b(?:Hi|Hello|Dear)\b.{0,6}$")
_NOTHING_FOLLOWS = re.compile(
    r" ?(?:[.~!]{0,2}\s*|~.{0,40}|,? ?[A-Z][A-Za-z.-]{1,6}(?:, ?[A-Z][A-Za-z.-]{1,6})*\.?\s*)", re.S
)


@cache
def _wish() -> re.Pattern[str]:
    return re.compile(rf"\b{lists.any_of('wish')}\b", re.I)


@cache
def _sign_off() -> re.Pattern[str]:
    phrase = rf"(?<!\w){lists.any_of('signoff')}(?: (?:regards|wishes|always|of luck|you all the best|and blessings))?"
    last = r"(?:thanks|best|good|luck|care|you|well|day)[.!,] *(?:[\n~-] *)?"
    return re.compile(rf"(?:(?:~|-{{1,2}}|\n)[ ]*|{phrase}[,.!-]{{0,2}}[ \n]+|{last})$", re.I)


@cache
def _page_or_credential() -> re.Pattern[str]:
    return re.compile(rf"[,( ~.-]+(?:{lists.any_of('credential')}|www)", re.I)


def signed_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A name that closes a text; `at` is its start."""
    name = name_at(view, at) if params.names else ""
    if name and _closes_alone(view, at, name):
        yield hint(at, at + len(name), "signature", 75)
    elif len(name) >= 3 and not _QUOTED.search(before(view, at, 6)) and _sign_off().search(before(view, at, 40)):
        rest = view[at + len(name) : at + len(name) + 100].strip()
        marked = before(view, at, 2).strip(" ")[-1:] in ("~", "-") and _wish().search(before(view, at, 25))
        ends = len(rest) <= 2 or _page_or_credential().match(rest)
        if ends and (is_given(name.split(" ")[0]) or marked):
            yield hint(at, at + len(name), "signature", 80)


def _closes_alone(view: str, at: int, name: str) -> bool:
    """A text's last words, by themselves after a sentence: a known given name, or unknown ones after a wish."""
    end, ahead = at + len(name), before(view, at, 70)
    if len(view) - end > 100 or not _NOTHING_FOLLOWS.fullmatch(view, end):
        return False
    if len(ahead) < 40 or not _END_OF_LETTER.search(ahead) or _AUTHOR.search(ahead[-40:]) or _GREETS.search(ahead):
        return False
    words = name.lower().split()
    common = lists.words("no_signature") | lists.words("common_word") | lists.words("signoff")
    if any(word.strip(".") in common for word in words):
        return False
    several = len(words) > 1
    wished = _wish().search(ahead if several else ahead[-14:]) is not None
    tilde = view[end : end + 2].strip()[:1] == "~"
    return is_given(words[0]) or (wished and (several or tilde or ahead.rstrip()[-1:] == ","))
