"""What can be wrong with an upstream file: functions from its bytes and a seeded random generator to other bytes."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random, str], bytes]  # data, random, kind: csv | array | lines

HOSTILE = (
    "../../../etc/passwd", "/dev/zero", "C:\\con", "~/x", "file:///etc/hosts", "a\0b", "\ud800", "\u202egnp.exe",
    "<script>alert(1)</script>", "{{7*7}}", "${HOME}", "$(id)", "=cmd|' /C calc'!A0", "%s%n", "\ufeff", "\u200b",
    "", " ", "\n", "\x85\u2028", "nul\u0000", "é" * 3, "\U0001f600" * 50, "ﷺ" * 100, "a" * 200_000, "'\"\\",
)  # fmt: skip


# --- bytes -------------------------------------------------------------------------------------------------


def truncated(data: bytes, random: Random, kind: str) -> bytes:
    return data[: random.randrange(len(data))]


def flipped(data: bytes, random: Random, kind: str) -> bytes:
    spoilt = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 50))):
        spoilt[random.randrange(len(spoilt))] ^= 1 << random.randrange(8)
    return bytes(spoilt)


def hole(data: bytes, random: Random, kind: str) -> bytes:
    at, size = random.randrange(len(data)), random.choice((1, 10, 1000, 5000))
    return data[:at] + data[at + size :]


def repeated(data: bytes, random: Random, kind: str) -> bytes:
    at, size = random.randrange(len(data)), random.choice((10, 1000, 5000))
    return data[:at] + data[at : at + size] * random.choice((2, 20)) + data[at:]


def inserted(data: bytes, random: Random, kind: str) -> bytes:
    at = random.randrange(len(data))
    what = random.choice((b"\0", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"\\", b"\n", b"\r", b",", b"{", b"]", b"\x1a"))
    return data[:at] + what * random.choice((1, 1, 100)) + data[at:]


def noise(data: bytes, random: Random, kind: str) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + random.randbytes(random.choice((4, 400, 40_000))) + data[at:]


def zeros(data: bytes, random: Random, kind: str) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + bytes(len(data) - at)


def encoded(data: bytes, random: Random, kind: str) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(
        random.choice(("utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1", "cp1252", "cp037")), "replace"
    )


def line_ends(data: bytes, random: Random, kind: str) -> bytes:
    return data.replace(b"\n", random.choice((b"\r\n", b"\r", b"\n\n", b"\x0b", "\u2028".encode())))


def other_thing(data: bytes, random: Random, kind: str) -> bytes:
    return random.choice(
        (
            b"", b"\n", b" \n \n", b"null", b"[]", b"{}", b"[[]]", b"0", b'"text"', b"\xef\xbb\xbf", b"NaN",
            b"<!doctype html><html>no</html>", gzip.compress(data), gzip.compress(bytes(10 << 20)),
            b"version https://git-lfs.github.com/spec/v1\n", b"PAR1" + data + b"PAR1", b"a,b\n1,2\n",
            b"[1,2,3]", b"PK\x03\x04" + data,
        )
    )  # fmt: skip


def joined(data: bytes, random: Random, kind: str) -> bytes:
    return data + random.choice((b"", b"\n", b",", b"]", b"}")) + data


def nested(data: bytes, random: Random, kind: str) -> bytes:
    deep = random.choice((100, 2_000, 200_000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"a":[', b"]}")))
    return _somewhere(data, opening * deep + b"1" + closing * random.choice((deep, deep - 1, 0)), random, kind)


def long_line(data: bytes, random: Random, kind: str) -> bytes:
    """100 MB without an end."""
    return _somewhere(data, b'"' + b"a" * (100 << 20) + random.choice((b'"', b"")), random, kind)


def _somewhere(data: bytes, value: bytes, random: Random, kind: str) -> bytes:
    """Put a value where a row stands: in the place of a row, or after a colon or a comma of one."""
    if kind == "csv" or random.random() < 0.3:
        at = data.find(b"\n", random.randrange(len(data))) + 1
        return data[:at] + value + (b"\n" if kind != "array" else b",") + data[at:]
    at = data.find(b":", random.randrange(len(data))) + 1
    return data[:at] + value + data[at:]


# --- rows ---------------------------------------------------------------------------------------------------


def rows(data: bytes, kind: str) -> list[Any]:
    """The rows of a whole file, by the standard library: lists of cells with the header first, or objects."""
    text = data.decode("utf-8-sig", "replace")
    if kind == "csv":
        return list(csv.reader(io.StringIO(text, newline="")))
    return json.loads(text) if kind == "array" else [_parsed(line) for line in text.split("\n") if line.strip()]


def _parsed(line: str) -> Any:
    """A line's object, or the line itself: the sample holds lines that are none."""
    try:
        return json.loads(line)
    except ValueError:
        return line


def written(found: list[Any], kind: str, random: Random) -> bytes:
    if kind == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator=random.choice(("\n", "\r\n")), quoting=random.choice((0, 1))).writerows(found)
        return out.getvalue().encode("utf-8", "surrogatepass")
    texts = [row if isinstance(row, str) else _json(row, random) for row in found]
    joined = "[" + ",\n".join(texts) + "]" if kind == "array" else "\n".join(texts) + "\n"
    return joined.encode("utf-8", "surrogatepass")


def _json(row: Any, random: Random) -> str:
    return json.dumps(row, ensure_ascii=random.random() < 0.5, indent=None)


def by_row(change: Callable[[Any, Random], Any], some: int = 3) -> Mutation:
    """A mutation that changes a few rows; the header of a CSV is one of them."""

    def mutation(data: bytes, random: Random, kind: str) -> bytes:
        found = rows(data, kind)
        for _ in range(random.randint(1, some)):
            place = random.randrange(len(found))
            if isinstance(found[place], (list, dict)) and found[place]:
                found[place] = change(found[place], random)
        return written(found, kind, random)

    mutation.__name__ = change.__name__.strip("_")
    return mutation


def _value(row: Any, random: Random, value: Any) -> Any:
    """The row with one of its values replaced, however deep it stands."""
    if isinstance(row, list) and row:
        place = random.randrange(len(row))
        row[place] = _value(row[place], random, value) if isinstance(row[place], (dict, list)) else value
        return row
    if isinstance(row, dict) and row:
        key = random.choice(list(row))
        row[key] = _value(row[key], random, value) if isinstance(row[key], (dict, list)) else value
        return row
    return value


def _hostile_value(row: Any, random: Random) -> Any:
    return _value(row, random, random.choice(HOSTILE))


def _other_type(row: Any, random: Random) -> Any:
    if isinstance(row, list):
        return _value(row, random, random.choice(("", "0", "null", "[]", "{}", "1e400")))
    return _value(row, random, random.choice((None, 0, -1, True, [], {}, [None], {"a": None}, [[]], 1.5, "")))


def _huge_number(row: Any, random: Random) -> Any:
    number = random.choice(("1e400", "-1e400", "9" * 5000, "1" + "0" * 400, "-0", "1e-999", "NaN", "Infinity", "0x10"))
    if isinstance(row, list):
        return _value(row, random, number)
    return json.dumps(_value(row, random, "@number@")).replace('"@number@"', number)


def _fewer(row: Any, random: Random) -> Any:
    if isinstance(row, list):
        return row[: random.randrange(len(row) + 1)]
    row.pop(random.choice(list(row)), None)
    return row


def _more(row: Any, random: Random) -> Any:
    count = random.choice((1, 20, 5000))
    if isinstance(row, list):
        return [*row, *map(str, range(count))]
    return row | {f"{random.choice(HOSTILE)[:50]}{place}": place for place in range(count)}


def _keys_twice(row: Any, random: Random) -> Any:
    """Duplicate keys of an object, with another value first or last."""
    if isinstance(row, list):
        return [*row, *row]
    key = random.choice(list(row))
    twice = [(key, random.choice(HOSTILE)[:50]), *row.items()]
    random.shuffle(twice)
    return "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in twice) + "}"


def _swapped(row: Any, random: Random) -> Any:
    """Two columns of one row in each other's place."""
    if isinstance(row, list):
        return random.sample(row, len(row))
    values = random.sample(list(row.values()), len(row))
    return dict(zip(row, values, strict=True))


def _renamed(row: Any, random: Random) -> Any:
    if isinstance(row, list):
        return [cell.upper() if random.random() < 0.5 else f" {cell}" for cell in row]
    return {name.upper() if random.random() < 0.5 else name: value for name, value in row.items()}


def _no_row(row: Any, random: Random) -> Any:
    return [] if isinstance(row, list) else random.choice((None, 1, "row", [], [[1]], {}, True))


def _lone_escape(row: Any, random: Random) -> Any:
    if isinstance(row, list):
        return _value(row, random, "\udc80")
    text = random.choice(('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\x"', '"\\u12"', '"\t"'))
    return json.dumps(_value(row, random, "@text@")).replace('"@text@"', text)


def columns_swapped(data: bytes, random: Random, kind: str) -> bytes:
    """All columns in another order, header and all: the same rows."""
    found = rows(data, kind)
    if kind == "csv":
        order = random.sample(range(len(found[0])), len(found[0]))
        return written([[row[place] for place in order if place < len(row)] for row in found], kind, random)
    return written([_each(row, lambda r: dict(random.sample(list(r.items()), len(r)))) for row in found], kind, random)


def header_only_swapped(data: bytes, random: Random, kind: str) -> bytes:
    """Every row's columns renamed alike, as when upstream changes its schema."""
    found = rows(data, kind)
    if kind == "csv":
        return written([random.sample(found[0], len(found[0])), *found[1:]], kind, random)
    names = {name: f"{name}_new" for name in list(found[0])[: random.randint(1, 2)]}
    return written([_each(r, lambda r: {names.get(name, name): r[name] for name in r}) for r in found], kind, random)


def _each(row: Any, change: Callable[[Any], Any]) -> Any:
    return change(row) if isinstance(row, dict) else row


def header_twice(data: bytes, random: Random, kind: str) -> bytes:
    found = rows(data, kind)
    if kind == "csv":
        return written([[random.choice(found[0]) for _ in found[0]], *found[1:]], kind, random)
    return written([found[0], *found], kind, random)


def shuffled(data: bytes, random: Random, kind: str) -> bytes:
    found = rows(data, kind)
    head, tail = (found[:1], found[1:]) if kind == "csv" else ([], found)
    return written([*head, *random.sample(tail, len(tail)), *tail[: random.randrange(5)]], kind, random)


MUTATIONS: tuple[Mutation, ...] = (
    truncated, flipped, hole, repeated, inserted, noise, zeros, encoded, line_ends, other_thing, joined, nested,
    columns_swapped, header_only_swapped, header_twice, shuffled,
    *(by_row(change) for change in (
        _hostile_value, _other_type, _huge_number, _fewer, _more, _keys_twice, _swapped, _renamed, _no_row,
        _lone_escape,
    )),
    by_row(_hostile_value, 40), by_row(_other_type, 40),
)  # fmt: skip
LONG_EVERY = 100  # cases between two 100 MB lines


def mutate(data: bytes, number: int, seed: str, kind: str) -> tuple[str, bytes]:
    """The name and the bytes of one mutated file; the same for the same number and seed."""
    random = Random(f"{seed} {number}")
    mutation = long_line if number % LONG_EVERY == LONG_EVERY - 1 else MUTATIONS[number % len(MUTATIONS)]
    return mutation.__name__, mutation(data, random, kind)
