"""What each export format is: which rows it takes, how one of them becomes a line, and where it is written.

A format is a module `stages/formats/<name>.py` (a name with a leading underscore is none) with

- `KIND`: which rows it takes, a key of `stages.entering.OPENS`; "register" for one made of other formats' ledgers;
- `OUTS`: its files or folder under data/exports;
- `TERMS`, optional: the folder for the licences of its rows, if that is not the first of OUTS; None: another stage's;
- `writer(folder, settings)`: an object with `add(rows, sides, lengths)` and `close()`, which writes only into
  `folder` and says at the end which files it made;
- `convert(row, settings)`, where the writer is `JsonLines`: workers make the lines then, and the writer puts them
  one after the other;
- `SIDES`, optional: the sides of the split that it takes (all three if it says nothing);
- `refuse(rows, settings)`, optional: a reason code for each row it cannot take, else null.

Rows come as whole columns and have passed `stages.entering`. Most formats are JSON Lines with one file per side:
`JsonLines` is their writer, and `convert` all they need.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import orjson
import xxhash

from stages.params import FORMATS, Export

if TYPE_CHECKING:  # a format that is not chosen does without
    import numpy as np
    import pyarrow as pa

SIDES = ("train", "validation", "test")


class Row(NamedTuple):
    """One merged row, as an exporter sees it."""

    id: str
    input: str
    response: str
    rejected_response: str  # null where the kind does not ask for one
    source: str
    type: str
    license: str
    system: str | None
    turns: list[dict[str, str]] | None


class Made(NamedTuple):
    """A file that a writer made."""

    path: Path
    split: str | None  # None: rows of several sides
    rows: int
    length: int | None  # of its rows' texts
    memory: int | None = None  # bytes of its rows in Arrow, where somebody asks for them
    sha256: str | None = None  # hex, where the writer saw every byte


Message = dict[str, str]


class Writer(Protocol):
    """Where a format puts its rows."""

    def add(self, rows: pa.RecordBatch, sides: np.ndarray, lengths: np.ndarray) -> None: ...
    def close(self) -> list[Made]: ...


class Module(Protocol):
    """The shape of a format module."""

    KIND: str
    OUTS: tuple[str, ...]

    def writer(self, folder: Path, settings: Export) -> Writer: ...


def load(name: str) -> Module:
    """The module of a format."""
    return cast(Module, importlib.import_module(f"stages.formats.{name}"))


def names() -> list[str]:
    """All formats, by name."""
    return list(FORMATS)


def rows(batch: pa.RecordBatch) -> Iterator[Row]:
    """The rows of a batch of the merged table."""
    return map(Row._make, zip(*(batch[name].to_pylist() for name in Row._fields), strict=True))


# --- conversations --------------------------------------------------------------------------------------------


def system_message(row: Row, settings: Export) -> str | None:
    """The system message: the constant, the row's own where it has one, one of a pool, or none."""
    if settings.system == "none":
        return None
    if settings.system == "source" and row.system:
        return row.system
    if settings.system == "pool":
        return settings.system_pool[xxhash.xxh3_64_intdigest(f"system {row.id}".encode()) % len(settings.system_pool)]
    return settings.system_message


def opening(row: Row, settings: Export) -> list[Message]:
    """The system message, if there is one, as a list of messages."""
    system = system_message(row, settings)
    return [{"role": "system", "content": system}] if system else []


def turns(row: Row) -> list[Message]:
    """The conversation as user assistant user assistant ...; what came after the last answer has no answer."""
    if row.turns is None:
        return [user(row), assistant(row.response)]
    return row.turns[: len(row.turns) // 2 * 2]


def chat(row: Row, settings: Export) -> list[Message]:
    """The conversation as [system] user assistant user assistant ..."""
    return opening(row, settings) + turns(row)


def user(row: Row) -> Message:
    return {"role": "user", "content": row.input}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


# --- files ----------------------------------------------------------------------------------------------------


class Lines(NamedTuple):
    """Lines of rows, one after the other in `data`, with what a writer asks of each row."""

    data: bytes
    ends: np.ndarray  # where each row's lines end in `data`, int64
    sides: np.ndarray  # object
    lengths: np.ndarray  # of the rows' texts, int64

    def emptied(self) -> Lines:
        """The same without the bytes."""
        return self._replace(data=b"")


class Shards:
    """A file of lines; beyond `limit` bytes several, named -00000-of-0000N. How it is cut depends on the lines alone.

    `spill` is the folder for several files, if not that of the single one. No rows: no file.
    """

    def __init__(self, path: Path, split: str | None, limit: int, spill: Path | None = None) -> None:
        self._path, self._split, self._limit, self._spill = path, split, limit, spill or path.parent
        self._made: list[Made] = []
        self._file: Any = None

    def write(self, lines: Lines, rows: np.ndarray, each: int = 1) -> None:
        """Append the lines of the rows with these numbers, ascending; a row has `each` of them."""
        begins = lines.ends[rows - 1]
        begins[rows == 0] = 0
        sizes = (lines.ends[rows] - begins).cumsum()
        start = 0
        while start < len(rows):
            before = int(sizes[start - 1]) if start else 0
            stop = int(sizes.searchsorted(before + self._limit - self._bytes, "right")) if self._file else start
            if stop <= start:
                self._next()
                stop = max(int(sizes.searchsorted(before + self._limit, "right")), start + 1)
            self._copy(lines.data, begins[start:stop], lines.ends[rows[start:stop]])
            self._bytes += int(sizes[stop - 1]) - before
            self._rows += (stop - start) * each
            self._length += int(lines.lengths[rows[start:stop]].sum())
            start = stop

    def _copy(self, data: bytes, begins: np.ndarray, ends: np.ndarray) -> None:
        """Lines that stand side by side are written at once."""
        gaps = (begins[1:] != ends[:-1]).nonzero()[0]
        with memoryview(data) as whole:
            for begin, end in zip(begins[[0, *(gaps + 1)]].tolist(), ends[[*gaps, -1]].tolist(), strict=True):
                self._file.write(whole[begin:end])
                self._hash.update(whole[begin:end])

    def _next(self) -> None:
        self._end()
        self._part = self._path.with_name(f"{self._path.name}.{len(self._made)}.part")
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("wb", buffering=1 << 20)
        self._hash = hashlib.sha256()
        self._bytes = self._rows = self._length = 0

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._made.append(Made(self._part, self._split, self._rows, self._length, sha256=self._hash.hexdigest()))
        self._file = None

    def close(self) -> list[Made]:
        self._end()
        if len(self._made) == 1:
            return [self._made[0]._replace(path=self._made[0].path.rename(self._path))]
        return named(self._made, self._spill / self._path.name)


def named(made: list[Made], path: Path) -> list[Made]:
    """Give the parts of a file names that tell how many there are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_name(f"{path.stem}-{n:05}-of-{len(made):05}{path.suffix}") for n in range(len(made))]
    return [one._replace(path=one.path.rename(final)) for one, final in zip(made, paths, strict=True)]


class JsonLines:
    """Writes JSON Lines: one file per side, and one for several sides where `both` names it.

    `convert` makes a line of a row; where `each` is more than 1, a list of so many lines.
    `cut` lets a large file become several.
    """

    def __init__(
        self, folder: Path, settings: Export, convert: Callable[[Row, Export], Any], *,
        files: Mapping[str, str] | None = None, both: str | None = None, spill: Path | None = None, each: int = 1,
        cut: bool = True,
    ) -> None:  # fmt: skip
        files = files or {side: f"{side}.jsonl" for side in SIDES}
        limit = settings.shard_mb * 1_000_000 if cut else 1 << 63
        self._settings, self._convert, self._each = settings, convert, each
        self._sides = {side: Shards(folder / name, side, limit, spill) for side, name in files.items()}
        self._both = Shards(folder / both, None, limit, spill) if both else None

    def lines(self, batch: pa.RecordBatch, sides: np.ndarray, lengths: np.ndarray) -> Lines:
        """The lines of rows, for `put`; nothing is written."""
        import numpy as np

        made = (self._convert(row, self._settings) for row in rows(batch))
        lines = [_line(one) for one in made] if self._each == 1 else [b"".join(map(_line, some)) for some in made]
        sizes = np.fromiter(map(len, lines), np.int64, len(lines))
        return Lines(b"".join(lines), sizes.cumsum(), sides, lengths)

    def put(self, lines: Lines) -> None:
        """Append lines to the files of their sides."""
        import numpy as np

        for side, shards in self._sides.items():
            shards.write(lines, (lines.sides == side).nonzero()[0], self._each)
        if self._both:
            self._both.write(lines, np.arange(len(lines.ends)), self._each)

    def add(self, batch: pa.RecordBatch, sides: np.ndarray, lengths: np.ndarray) -> None:
        self.put(self.lines(batch, sides, lengths))

    def close(self) -> list[Made]:
        made = self._both.close() if self._both else []
        return made + [one for shards in self._sides.values() for one in shards.close()]


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
