"""What of a private page stands in what was made of it: runs of words, identifiers, names. Strict on purpose.

A false alarm costs one more attempt; a leak cannot be taken back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from stages.llm.copied import longest_run
from stages.llm.prose import english
from stages.params import Leak
from stages.paraphrase.pages import LABEL

RULES = Path(__file__).parent / "rules"

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)

# Toll-free numbers are public: a crisis line in an answer is no leak.
_TOLL_FREE = re.compile(r"(?<!\d)(?:\+?1[ .-]?)?\(?8(?:00|33|44|55|66|77|88)\)?[ .-]?\d{3}[ .-]?\d{4}(?!\d)")

PATTERNS = {
    "email": re.compile(r"\S@\S|\b\w+ ?[(\[] ?at ?[)\]] ?\w+", re.IGNORECASE),
    "date": re.compile(
        r"(?<!\d)(?:\d{4}[/.-]\d{1,2}[/.-]\d{1,2}|\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2}))(?!\d)|"
        rf"\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?\b(?!:)|"
        rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}\b|\b{_MONTH} (?:19|20)\d\d\b",
        re.IGNORECASE,
    ),
    "ssn": re.compile(r"(?<!\d)\d{3}[ -]?\d{2}[ -]?\d{4}(?!\d)|\d{5,}"),  # and whatever else has five digits in a row
    "phone": re.compile(r"\d(?:[ .()/-]{0,2}\d){6,}"),
}

_LETTER = r"[^\W\d_]"
_WORDS = re.compile(rf"{_LETTER}(?:{_LETTER}|['’-])*")
_INSIDE = re.compile(rf"(?<=[\w,;)'’-] ){_WORDS.pattern}")  # no sentence begins here
_TITLED = re.compile(
    rf"\b(?:Dr|Mr|Mrs|Ms|Miss|Nurse|Father|Pastor|Rabbi|Sister|Uncle|Aunt|Grandma|Grandpa)\.? ({_WORDS.pattern})"
)
_CUED = re.compile(rf"\b(?:my name's|name is|named|called|this is) ({_WORDS.pattern})", re.IGNORECASE)


def find(page: str, page_words: list[str], made: str, made_words: list[str], leak: Leak) -> str | None:
    """The first leak as a reason code, or None. Words are those of stages.text.words."""
    if longest_run(page_words, made_words, leak.max_shared_words):
        return "shared_words"
    rest = _TOLL_FREE.sub(" ", made)
    for name, pattern in PATTERNS.items():
        if name in leak.pii and pattern.search(rest):
            return name
    if "name_in_page" in leak.pii and _names_kept(page, made):
        return "name_in_page"
    return None


def _names_kept(page: str, made: str) -> bool:
    """Whether a name of the page stands in the text, or a word that is a name by how the text writes it."""
    return bool(names(page) & _capitalised(made) or (_inside(made) - _rule("not_names")) & _capitalised(page))


def names(page: str) -> set[str]:
    """Words of a page that may name somebody or some place, in lower case. One that only begins sentences is missed.

    >>> sorted(names("Coach: How is Walter?\\nMary Ann: He left for Ohio, and my name is not hers."))
    ['ann', 'mary', 'ohio', 'walter']
    """
    found = _plain(LABEL.findall(page)) - _rule("roles")
    found |= _inside(page) - {word for word in _WORDS.findall(page) if word[0].islower()}
    found |= _plain(_TITLED.findall(page)) | (_plain(_CUED.findall(page)) - english())
    return {word for word in found if len(word) > 1} - _rule("not_names")


def _inside(text: str) -> set[str]:
    """Words with a capital that no beginning of a sentence explains, in lower case."""
    return _plain(word for word in _INSIDE.findall(text) if word[0].isupper())


def _capitalised(text: str) -> set[str]:
    """Words that stand with a capital, in lower case."""
    return _plain(word for word in _WORDS.findall(text) if word[0].isupper())


def _plain(texts: Iterable[str]) -> set[str]:
    """The words of texts in lower case, without a possessive."""
    return {re.sub(r"['’]s?$", "", word.lower()) for text in texts for word in _WORDS.findall(text)}


@cache
def _rule(name: str) -> frozenset[str]:
    listed = (RULES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in listed if not line.startswith("#") for word in line.split())
