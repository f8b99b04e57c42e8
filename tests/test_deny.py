"""The deny list: entries are hashes, hold for every spelling of a text, and take out what they name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import deny
from stages.errors import ParamsError
from stages.record import SCHEMA

ROOT = Path(__file__).parents[1]
TURNS = SCHEMA.field("turns").type


def batch(*rows: tuple[str, str, str | None], turns: list[Any] | None = None) -> pa.RecordBatch:
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    talks = pa.array(turns or [None] * len(rows), TURNS)
    return pa.RecordBatch.from_arrays([*columns, talks], names=[*deny.TEXTS, "turns"])


ROWS = batch(
    ("I lost my keys", "Look under the mat.", None),
    ("I lost my keys", "Ask a neighbour.", "Who cares."),
    ("👋", "", None),
    ("A b", "c", None),
)


def caught(*hashes: str, rows: pa.RecordBatch = ROWS) -> list[bool]:
    return deny.denied(rows, frozenset(map(bytes.fromhex, hashes))).to_pylist()


def test_an_empty_list_denies_nothing() -> None:
    assert caught() == [False] * 4


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("i LOST my-keys!", [True, True, False, False]),
        ("Ask a neighbour", [False, True, False, False]),
        ("who cares", [False, True, False, False]),
        ("never written", [False] * 4),
    ],
)
def test_a_text_takes_out_every_row_that_holds_it(content: str, expected: list[bool]) -> None:
    assert caught(deny.entry(content)) == expected


@pytest.mark.parametrize("place", range(4))
def test_a_row_leaves_alone(place: int) -> None:
    assert caught(deny.entries(ROWS)[place]) == [at == place for at in range(4)]


def test_parts_of_a_row_are_not_its_whole() -> None:
    assert deny.entries(batch(("A", "b c", None))) != deny.entries(batch(("A b", "c", None)))


@pytest.mark.parametrize("blank", [b"", b"\t", b"\t "])
def test_nothing_is_no_text(blank: bytes) -> None:
    rows = batch(("a", "", None), ("b", " ", None))
    assert caught(hashlib.sha256(blank).hexdigest(), rows=rows) == [False, False]


def test_a_text_of_signs_alone_is_no_entry() -> None:
    with pytest.raises(ParamsError, match="as a whole"):
        deny.entry(" ?! ")


def test_turns_are_texts_too() -> None:
    talk = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "My name is Sam."}]
    rows = batch(("Hello", "x", None), ("y", "z", None), ("v", "w", None), turns=[talk, None, []])
    assert caught(deny.entry("my name is sam"), rows=rows) == [True, False, False]
    assert caught(deny.entry("my name is sam"), rows=rows.slice(1)) == [False, False]


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8), st.none() | st.text(max_size=8)), min_size=1))
def test_every_row_can_be_named_and_batch_size_does_not_matter(rows: list[tuple[str, str, str | None]]) -> None:
    rows = [tuple(v and v.replace("\0", "") for v in row) for row in rows]  # type: ignore[misc]
    table = batch(*rows)
    hashes = deny.entries(table)
    assert all(caught(*hashes, rows=table))
    whole = caught(hashes[0], rows=table)
    assert whole == [caught(hashes[0], rows=table.slice(at, 1))[0] for at in range(len(rows))]


def test_add_appends_once_and_load_reads_it_back(tmp_path: Path) -> None:
    path = tmp_path / "deny.txt"
    path.write_text((ROOT / "data/deny.txt").read_text())
    one, other = deny.entry("one"), deny.entry("other")
    assert deny.add([one, one], "ticket 7", path) == 1
    assert deny.add([one, other], path=path) == 1
    assert path.read_text().splitlines()[-2:] == [f"{one}  # ticket 7", other]
    assert deny.load(path) == {bytes.fromhex(one), bytes.fromhex(other)}


def test_the_list_in_git_is_well_formed() -> None:
    assert isinstance(deny.load(ROOT / "data/deny.txt"), frozenset)


def test_an_empty_list_is_one_and_a_missing_or_unreadable_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "deny.txt"
    with pytest.raises(ParamsError, match="is missing: restore it with `git checkout"):
        deny.load(path)
    path.write_bytes(b"")
    assert deny.load(path) == frozenset()
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ParamsError, match="is no UTF-8"):
        deny.load(path)


@pytest.mark.parametrize("line", ["my secret", "a" * 63, "A" * 64, "a" * 64 + " my secret"])
def test_a_line_that_is_no_entry_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "deny.txt"
    path.write_text(f"# head\n\n{line}\n")
    with pytest.raises(ParamsError, match=r"deny\.txt, line 3") as error:
        deny.load(path)
    assert "secret" not in str(error.value)  # it may be the text itself
    with pytest.raises(ParamsError):
        deny.add([deny.entry("x")], path=path)


@pytest.mark.parametrize("reason", ["x" * 81, "two\nlines"])
def test_a_reason_is_short(reason: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="reason"):
        deny.add([deny.entry("x")], reason, tmp_path / "deny.txt")
