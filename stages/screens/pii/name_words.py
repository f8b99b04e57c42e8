"""Words that may be a person's name, and what the text around says of whose name it is."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from stages.screens.pii import lists
from stages.screens.pii.spans import HINT, Span, before

WORD = r"(?:[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ]+(?:['-][A-Z]?[a-zà-öø-ÿ]+)*(?:[A-Z][a-z]+)?)"
SURNAME = rf"(?:(?:[A-Z]\.? ?)?(?:(?:van|von|de|del|della|di|da|al|bin|Mc|Mac|O'|St\.) ?)*{WORD})"
_FULL = re.compile(rf"{WORD}(?: (?:[A-Z]\.? )?{SURNAME}){{0,2}}")
TITLE = re.compile(rf"\b{lists.any_of('title')}\b\.? ?$", re.I)
_CAPITAL_BEFORE = re.compile(r"[A-Z][a-z]+ (?:(?:of|the|and|&|for|de) )?$")
_REACH = 60  # characters of a name


def hint(start: int, end: int, check: str, confidence: int) -> Span:
    return Span(start, end, "name", HINT, check, confidence)


def is_word(word: str) -> bool:
    """Whether a capitalised word may be part of a name, and is no day, language, title or sentence's beginning."""
    return word.strip(".").lower() not in lists.words("not_name")


def is_given(word: str) -> bool:
    """Whether a word stands in one of the lists of given names."""
    return word.lower() in lists.given_names() or word.lower() in lists.given_names(ambiguous=True)


def name_at(view: str, at: int) -> str:
    """The name that starts at a position, up to three words, cut before a word that is no name; "" for none."""
    page = view.find("www.", at, at + _REACH)
    match = _FULL.match(view, at, at + _REACH if page < 0 else page)
    if match is None:
        return ""
    words = match.group().removesuffix("'s").split(" ")
    size = next((i for i, word in enumerate(words) if not is_word(word)), len(words))
    return " ".join(words[:size]) if size and words[size - 1] not in _pet_names(view) else ""


# --- what speaks against a private person --------------------------------------------------------------


@cache
def _fame() -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){lists.any_of('fame')}(?!\w)|[\"“”«*_]", re.I)


@cache
def _fiction() -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){lists.any_of('fiction')}s?(?!\w)", re.I)


@cache
def _pet() -> re.Pattern[str]:
    return re.compile(rf"\b{lists.any_of('pet')}s?\b", re.I)


_NAMING = re.compile(r"\b(?:named|called|name(?:'s| is| was)) (?:(?:Mrs?|Ms|Miss|Dr)\.? ?)?(?P<name>[A-Z][a-z]+)")


def famous(view: str, start: int, end: int) -> bool:
    """A word of books, films or music near, or a run of capitalised words before (a title, an organisation)."""
    near = before(view, start, 60).rpartition("\n")[2] + " " + view[end : end + 40].partition("\n")[0]
    ahead = before(view, start, 20)
    return _fame().search(near) is not None or (_CAPITAL_BEFORE.search(ahead) is not None and not TITLE.search(ahead))


@lru_cache(maxsize=4)
def of_fiction(view: str) -> bool:
    """Whether the text speaks of books, films or music: a lone given name in it is as likely a character's."""
    return _fiction().search(view) is not None


def of_pet(text: str) -> bool:
    """Whether an animal or a thing is named in a stretch of text."""
    return _pet().search(text) is not None


@lru_cache(maxsize=4)
def _pet_names(view: str) -> frozenset[str]:
    """Names that the text gives to animals and things."""
    return frozenset(match["name"] for match in _NAMING.finditer(view) if of_pet(_sentences(view, match.start())))


def _sentences(view: str, at: int) -> str:
    """What stands just before a position, on the same line."""
    return before(view, at, 90).rpartition("\n")[2]


@lru_cache(maxsize=4)
def _pairs(view: str) -> tuple[frozenset[str], frozenset[str]]:
    """First and last words of the full names in the text, titles aside."""
    titles, common = lists.words("title"), lists.words("common_word")
    found = re.findall(r"\b([A-Z][a-z]+) (?=([A-Z][a-z]+))", view)
    pairs = [(a, b) for a, b in found if a.lower() not in titles and is_word(b) and b.lower() not in common]
    return frozenset(a for a, _ in pairs), frozenset(b for _, b in pairs)


def given_in_full(view: str, given: str) -> bool:
    """Whether the text has the given name with a surname too: then it is likely someone known by both."""
    return given in _pairs(view)[0]


def surname_in_full(view: str, surname: str) -> bool:
    """Whether the text has the surname with a given name too."""
    return surname in _pairs(view)[1]
