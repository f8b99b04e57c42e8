"""pages: transcripts to pages. `python -m stages.paraphrase.pages`

A page is a stretch of a transcript by its offsets: its text stays where it is.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import orjson

from stages import errors, params
from stages.errors import SourceError
from stages.layout import DATA
from stages.llm import answers
from stages.params import Page as Cut

FOLDER = DATA / "paraphrase"
PAGES, RESPONSES = FOLDER / "pages.jsonl", FOLDER / "responses.jsonl"

HUGE = 1.5  # times `words`: a page beyond it is cut
REACH = 0.5  # of `words`: how far beyond its place a cut may move to fall before a turn

_WORD = re.compile(r"\S+")
# A line that begins with a speaker's label: "Coach:", "P1:", "Mary Ann:".
LABEL = re.compile(r"^[ \t]*([A-Z][A-Za-z0-9'. -]{0,40}?)[ \t]*:(?=\s)", re.MULTILINE)


class Page(msgspec.Struct, frozen=True):
    """One page. Offsets are code points of the transcript as `decode` gives it."""

    page: str  # first 12 digits of the transcript's sha256, and the number of the page
    file: str
    sha256: str  # of the transcript's bytes
    encoding: str
    start: int
    end: int
    words: int
    speakers: int
    skip: str | None = None  # why the page is not sent


def main() -> None:
    whole = params.load("origin", "paraphrase.mode", "paraphrase.page")
    found: list[Page] = []
    if whole.paraphrase.mode != "off":
        found = list(pages(folder(whole.origin), whole.paraphrase.page))
    with answers.lines(PAGES) as file:
        for page in found:
            file.write(orjson.dumps(msgspec.to_builtins(page), option=orjson.OPT_APPEND_NEWLINE))


def folder(origin: str) -> Path:
    """Where the transcripts are: text files, one per transcript."""
    return DATA / origin / "paraphrase"


def pages(place: Path, cut: Cut) -> Iterator[Page]:
    """The pages of all transcripts, by file name, then by place.

    Raises SourceError when there is no transcript, or one is there twice.
    """
    seen: dict[str, str] = {}
    for path in sorted(place.glob("*.txt")):
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest in seen:
            raise SourceError(f"{place}: {seen[digest]} and {path.name} are the same transcript: take one of them out")
        seen[digest] = path.name
        text, encoding = decode(data)
        for number, (start, end) in enumerate(bounds(text, cut), start=1):
            words = len(_WORD.findall(text[start:end]))
            speakers = len({label.strip().lower() for label in LABEL.findall(text[start:end])})
            name = f"{digest[:12]}-{number:04d}"
            yield Page(name, path.name, digest, encoding, start, end, words, speakers, None if words else "empty_page")
    if not seen:
        raise SourceError(f"{place} holds no transcript: put text files (*.txt) there, or set paraphrase.mode to off")


def fixture(origin: str) -> Path:
    """Answers that came with the transcripts: for `sample` those of the scripted server, in git."""
    return DATA / origin / "paraphrase" / "responses.jsonl"


def read() -> list[Page]:
    """The pages that were cut."""
    return msgspec.convert(answers.read_lines(PAGES), list[Page])


def texts(place: Path, wanted: list[Page]) -> dict[str, str]:
    """The text of each page, read anew. Raises SourceError when a transcript is no longer the one that was cut."""
    found: dict[str, str] = {}
    whole = ""
    last = ""
    for page in wanted:
        if page.sha256 != last:
            data = (place / page.file).read_bytes()
            if hashlib.sha256(data).hexdigest() != page.sha256:
                raise SourceError(
                    f"{place / page.file} has changed since it was cut: run `dvc repro` from paraphrase_pages on"
                )
            whole, last = decode(data)[0], page.sha256
        found[page.page] = whole[page.start : page.end].strip()
    return found


def decode(data: bytes) -> tuple[str, str]:
    """Text with LF line ends, and the encoding it was in: by byte order mark, else UTF-8, else Windows-1252.

    >>> decode("caf\u00e9".encode("cp1252"))
    ('café', 'cp1252')
    """
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    marked = next((encoding for mark, encoding in marks.items() if data.startswith(mark)), None)
    for encoding in filter(None, (marked, "utf-8")):
        try:
            return _lines(data.decode(encoding)), encoding
        except UnicodeDecodeError:
            continue
    return _lines(data.decode("cp1252", errors="replace")), "cp1252"


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def bounds(text: str, cut: Cut) -> Iterator[tuple[int, int]]:
    """Start and end of each page; together they cover the text but for form feeds."""
    for start, end in _sheets(text, cut):
        yield from _pieces(text, start, end, cut)


def _sheets(text: str, cut: Cut) -> Iterator[tuple[int, int]]:
    if cut.split == "words" or "\f" not in text:
        yield 0, len(text)
        return
    start = 0
    for sheet in text.split("\f"):
        yield start, start + len(sheet)
        start += len(sheet) + 1


def _pieces(text: str, start: int, end: int, cut: Cut) -> Iterator[tuple[int, int]]:
    """A sheet in pieces of about equal length, none much beyond `words`."""
    words = [match.start() for match in _WORD.finditer(text, start, end)]
    if len(words) <= HUGE * cut.words:
        yield start, end
        return
    count = -(-len(words) // cut.words)
    turns = [match.start(1) for match in LABEL.finditer(text, start, end)] if cut.on_turn else []
    last = start
    for number in range(1, count):
        place = number * len(words) // count
        limit = words[min(len(words) - 1, place + int(REACH * cut.words))]
        turn = next((t for t in turns if words[place] <= t <= limit), None)
        border = words[place] if turn is None else turn
        if border > last:
            yield last, border
            last = border
    yield last, end


if __name__ == "__main__":
    errors.run(main)
