"""CounselChat: questions to counselchat.com and therapists' answers, by the route that MIT covers.

The same content as Amod's: all 2,129 pairs of 20200325_counsel_chat.csv stand there too, which folding shows only
while the input is the question's text alone. So the title stands in `meta`, and is the input where there is no text.
Both releases are read: their columns differ in names, and one holds HTML.

Therapists are private persons: the columns that name them end here, and where an answer names its own author, or an
address with that name in it (134 answers), `[therapist]` takes the place.
"""

from __future__ import annotations

import html
import re
from html.entities import html5

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stages import text
from stages.params import Source
from stages.sources import columns, drafts

GROUP = "input"
REPAIRS = text.REPAIRS
CHOICES = ()

THERAPIST = "[therapist]"
NAMES, LINKS, TOPICS = ("therapistName", "therapistInfo"), ("therapistUrl", "therapistURL"), ("topics", "topic")


def raw(params: Source) -> pa.Schema:
    optional = [pa.field(name, pa.string()) for name in ("questionID", *NAMES, *LINKS, *TOPICS)]
    return pa.schema([*columns("questionTitle", "questionText", "answerText"), *optional])


def draft(batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch:
    titles, questions, answers = (
        [_plain(value) for value in batch[name].to_pylist()] for name in ("questionTitle", "questionText", "answerText")
    )
    people = zip(_either(batch, NAMES), _either(batch, LINKS), strict=True)
    named = [_without(answer, _name(info, link)) for answer, (info, link) in zip(answers, people, strict=True)]
    inputs = pa.array([question or title for title, question in zip(titles, questions, strict=True)], pa.string())
    return drafts(
        len(batch),
        input=inputs,
        response=pa.array(named, pa.string()),
        type="counseling",
        tags=["human"],
        group=inputs,
        meta=_meta(batch, titles),
        edits=_edits(batch, questions, answers, named),
    )


def _either(batch: pa.RecordBatch, names: tuple[str, ...]) -> list[str]:
    """The first of some columns that holds something, row by row."""
    return pc.coalesce(*(batch[name] for name in names), "").to_pylist()


def _meta(batch: pa.RecordBatch, titles: list[str]) -> pa.Array:
    rows = zip(batch["questionID"].to_pylist(), titles, _either(batch, TOPICS), strict=True)
    return pa.array([orjson.dumps({"question": q, "title": t, "topic": s}).decode() for q, t, s in rows], pa.string())


def _edits(batch: pa.RecordBatch, questions: list[str], answers: list[str], named: list[str]) -> pa.Array:
    upstream = zip(batch["questionText"].to_pylist(), batch["answerText"].to_pylist(), strict=True)
    plain = zip(questions, answers, strict=True)
    rows = zip(upstream, plain, answers, named, strict=True)
    edits = [["html"] * (old != new) + ["therapist"] * (answer != final) for old, new, answer, final in rows]
    return pa.array(edits, pa.list_(pa.string()))


# --- HTML --------------------------------------------------------------------------------------------------

_KNOWN = r"a|b|br|blockquote|div|em|font|h[1-6]|i|img|li|[mow]:\w+|ol|p|span|strike|strong|su[bp]|u|ul"
_TAG = re.compile(rf"(?<!<)</?({_KNOWN})(?:\s[^<>]*)?/?>(?!>)", re.I)  # <<A>> is no tag
_HIDDEN = re.compile(r"<(style|script|xml)\b.*?</\1\s*>|<!--.*?-->", re.I | re.S)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]\w{1,30});", re.I)
_BREAKS = {"br": "\n", "li": "\n- "} | dict.fromkeys(("blockquote", "div", "ol", "p", "ul"), "\n\n")


def _plain(value: str) -> str:
    """HTML as text, paragraphs apart; a text without tags and entities as it stands.

    >>> _plain("<p>Fish &amp; chips</p><ul><li>one</li></ul> I <3 you &co")
    'Fish & chips\\n\\n- one\\n\\nI <3 you &co'
    """
    if _TAG.search(value) or _HIDDEN.search(value):
        value = re.sub(r"\s+", " ", _HIDDEN.sub("", value))
        value = _TAG.sub(_break, value)
        value = re.sub(r"[^\S\n]*\n[^\S\n]*", "\n", _entities(value))
        return re.sub(r"\n{3,}", "\n\n", value).strip()
    return _entities(value)


def _break(tag: re.Match[str]) -> str:
    name = tag[1].lower()
    if tag[0].startswith("</") and name == "li":
        return ""
    return _BREAKS.get(name, "\n\n" if name.startswith("h") else "")


def _entities(value: str) -> str:
    return _ENTITY.sub(_character, value)


def _character(entity: re.Match[str]) -> str:
    name = entity[0][1:]
    return html.unescape(entity[0]) if name.startswith("#") else html5.get(name, entity[0])


# --- names -------------------------------------------------------------------------------------------------

_TITLE = re.compile(r"^(?:dr|mrs?|ms|miss|prof)\b[.-]?\s*", re.I)
_SLUG = re.compile(r"[^a-z0-9]+")
# Each begins where a run of its letters does: else a text of one long run would take time by its square.
_ADDRESS = re.compile(
    r"(?:https?://|www\.)[^\s<>()]+|(?<![\w.+-])[\w.+-]+@[\w.-]+|(?<![\w-])[\w-]+\.(?:com|org|net)\b[^\s<>()]*", re.I
)
_LONGEST = 200  # characters that are looked at; each length is tried
_MOST = 4  # words; a longer "name" is an organisation's


def _name(info: str, link: str) -> str:
    """The name at the start of what a therapist says of herself: as much as stands in the link to her page.

    >>> _name("Ada Lovelace, PhDNumbers and nerves", "https://counselchat.example/therapists/dr-ada-lovelace-london")
    'Ada Lovelace'
    """
    slug = _TITLE.sub("", link.rstrip("/").rpartition("/")[2].lower()) + "-"
    start = _TITLE.sub("", info.strip())
    ends = [n for n in range(min(len(start), _LONGEST), 0, -1) if slug.startswith(_slug(start[:n]) + "-")]
    return start[: ends[0]].partition(",")[0].strip() if ends and _slug(start[: ends[0]]) else ""


def _slug(value: str) -> str:
    return _SLUG.sub("-", value.lower()).strip("-")


def _without(answer: str, name: str) -> str:
    """An answer without its author's name, in whole or in part.

    >>> _without("Be well.Ada J. Lovelace, PhD", "Ada Lovelace")
    'Be well.[therapist], PhD'
    """
    parts = name.split()
    own = [part for part in parts if len(part) > 2] if len(parts) <= _MOST else [name]
    if not own:
        return answer
    telling = re.compile("|".join(re.escape(part) for part in own if len(part) > 3) or r"(?!)", re.I)
    answer = _ADDRESS.sub(lambda found: THERAPIST if telling.search(found[0]) else found[0], answer)
    whole = r"\s+".join(map(re.escape, parts))
    words = "|".join([f"(?i:{whole})", *(re.escape(part) for part in sorted(own, key=len, reverse=True))])
    one = rf"(?:(?<![^\W\d_])|(?<=[a-z]))(?:{words})(?=www\.|[A-Z]|\W|$)"  # sentences may be glued to it
    return re.sub(rf"(?:\bDr\.?\s+)?{one}(?:\s+(?:[A-Z]\.?\s+)?{one})*", THERAPIST, answer)
