"""Readers: rows as they stand, and a reason for each that is none."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages import readers
from stages.errors import SourceError
from stages.readers import Unit, json_rows

AB = pa.schema([pa.field("a", pa.string(), nullable=False), pa.field("b", pa.string(), nullable=False)])
TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=30)
ROWS = st.lists(st.fixed_dictionaries({"a": TEXT, "b": TEXT}), min_size=1, max_size=20)


def read(path: Path, content: bytes, size: int | None = None) -> tuple[list[dict[str, Any]], list[readers.Fault]]:
    path.write_bytes(content)
    rows: list[dict[str, Any]] = []
    faults: list[readers.Fault] = []
    for unit in readers.units(path, size) if size else readers.units(path):
        for batch in readers.read(unit, AB, path.name):
            rows += [{"n": n, **row} for n, row in zip(batch.numbers, batch.columns.to_pylist(), strict=True)]
            faults += batch.faults
    return rows, faults


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


def texts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"a": row["a"], "b": row["b"]} for row in rows]


@settings(deadline=None)
@given(ROWS, st.sampled_from([None, 1]), st.booleans())
def test_a_json_array_and_json_lines_give_the_same_rows(
    folder: Path, rows: Any, indent: int | None, ascii: bool
) -> None:
    array = json.dumps(rows, indent=indent, ensure_ascii=ascii).encode()
    lines = "".join(json.dumps(row, ensure_ascii=ascii) + "\n" for row in rows).encode()
    assert texts(read(folder / "x.json", array)[0]) == texts(read(folder / "y.json", lines)[0]) == rows


@settings(deadline=None)
@given(ROWS, st.integers(1, 200))
def test_units_cut_a_file_anywhere_and_lose_nothing(folder: Path, rows: Any, size: int) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    assert read(folder / "x.jsonl", content, size) == read(folder / "x.jsonl", content)


@settings(deadline=None)
@given(ROWS, st.integers(1, 64))
def test_a_json_array_is_the_same_whatever_the_chunk(folder: Path, rows: Any, chunk: int) -> None:
    before, json_rows.CHUNK = json_rows.CHUNK, chunk
    try:
        assert texts(read(folder / "x.json", json.dumps(rows, ensure_ascii=False).encode())[0]) == rows
    finally:
        json_rows.CHUNK = before


ITEMS = st.one_of(
    st.fixed_dictionaries({"a": TEXT, "b": st.one_of(TEXT, st.just('"},{"'), st.just("\\"))}).map(json.dumps),
    st.sampled_from(['{"a":{"b":"},"},"b":[]}', '{"a":1,}', "{}", "5", '["x"]', "[{}]"]),
)


@settings(deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=20), st.sampled_from([",", " ,\n "]), st.integers(1, 300))
def test_items_of_an_array_are_told_apart_whatever_stands_in_them(
    folder: Path, items: list[str], comma: str, size: int
) -> None:
    items = ['{"a":"x","b":"y"}', *items]
    content = f"[{comma.join(items)}]".encode()
    rows, faults = read(folder / "x.json", content)
    assert sorted([row["n"] for row in rows] + [fault.row for fault in faults]) == list(range(len(items)))
    assert [(row["a"], row["b"]) for row in rows] == [
        (row["a"], row["b"]) for row in map(_decoded, items) if isinstance(row.get("b"), str)
    ]
    before, json_rows.CHUNK = json_rows.CHUNK, size
    try:
        assert read(folder / "x.json", content, size) == (rows, faults)
    finally:
        json_rows.CHUNK = before


def _decoded(item: str) -> dict[str, Any]:
    try:
        found = json.loads(item)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@settings(deadline=None)
@given(ROWS)
def test_csv_gives_the_cells_as_they_stand(folder: Path, rows: Any) -> None:
    out = io.StringIO()
    table = csv.writer(out, quoting=csv.QUOTE_ALL)
    table.writerow(["b", "a"])  # other order: columns go by name
    table.writerows([row["b"], row["a"]] for row in rows)
    assert texts(read(folder / "x.csv", out.getvalue().encode())[0]) == rows


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a":"x"}', "missing_field"),
        (b'{"a":"x","b":1}', "wrong_type"),
        (b'{"a":"x","b":null}', "wrong_type"),
        (b'["x"]', "wrong_type"),
        (b"nonsense", "not_json"),
        (b'{"a":"x","b":"y"} {}', "not_json"),
        (b'{"a":"x","b":"\xff"}', "invalid_utf8"),
        (b'{"a":"x","b":"y","c":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
    ],
)
def test_a_line_that_is_no_row_has_a_reason_and_its_number(folder: Path, line: bytes, reason: str) -> None:
    good = b'{"a":"x","b":"y"}\n'
    rows, faults = read(folder / "x.jsonl", good + line + b"\n\n" + good)
    assert [row["n"] for row in rows] == [0, 3]
    assert [(fault.row, fault.reason) for fault in faults] == [(1, reason)]
    assert faults[0].message and faults[0].raw


def test_a_repeated_key_counts_by_its_last_value_as_json_readers_do(folder: Path) -> None:
    assert read(folder / "x.jsonl", b'{"a":"1","a":"2","b":"y"}\n')[0][0]["a"] == "2"


def test_a_line_over_the_limit_is_a_fault_and_is_not_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.readers.json_rows.LONGEST", 100)
    rows, faults = read(folder / "x.jsonl", b'{"a":"' + b"x" * 5000 + b'","b":"y"}\n{"a":"x","b":"y"}\n')
    assert [row["n"] for row in rows] == [1]
    assert [(fault.row, fault.reason) for fault in faults] == [(0, "too_long")]
    assert "5017" in faults[0].message


def test_a_byte_order_mark_is_no_part_of_the_first_row(folder: Path) -> None:
    assert texts(read(folder / "x.jsonl", b'\xef\xbb\xbf{"a":"x","b":"y"}\n')[0]) == [{"a": "x", "b": "y"}]
    assert texts(read(folder / "x.csv", b"\xef\xbb\xbfa,b\nx,y\n")[0]) == [{"a": "x", "b": "y"}]


def test_a_truncated_array_is_no_file(folder: Path) -> None:
    with pytest.raises(SourceError, match="truncated"):
        read(folder / "x.json", b'[{"a":"x","b":"y"},{"a":"x","b":')


def test_text_after_an_array_is_no_file(folder: Path) -> None:
    with pytest.raises(SourceError, match="after the end"):
        read(folder / "x.json", b'[{"a":"x","b":"y"}] {"a"')


def test_items_of_an_array_that_are_no_rows_are_faults(folder: Path) -> None:
    rows, faults = read(folder / "x.json", b'[{"a":"x","b":"y"}, 3, "}", [{"a":1}], {"a":"x","b":"z"}]')
    assert texts(rows) == [{"a": "x", "b": "y"}, {"a": "x", "b": "z"}]
    assert [fault.row for fault in faults] == [1, 2, 3]


@pytest.mark.parametrize(("name", "content"), [("x.csv", b"a,c\nx,y\n"), ("x.jsonl", b'{"a":"x","c":"y"}\n')])
def test_a_column_that_is_not_there_stops_before_the_first_row(folder: Path, name: str, content: bytes) -> None:
    with pytest.raises(SourceError, match=r"no column 'b' \(it has 'a', 'c'\)"):
        read(folder / name, content)


def test_a_further_column_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert texts(read(folder / "x.csv", b"a,b,c\nx,y,z\n")[0]) == [{"a": "x", "b": "y"}]
    assert "further columns" in capsys.readouterr().err


def test_csv_rows_with_other_cells_or_bytes_have_a_reason(folder: Path) -> None:
    rows, faults = read(folder / "x.csv", b'a,b\nx\nx,y,z\nx,\xff\n"p\nq",NA\n')
    assert texts(rows) == [{"a": "p\nq", "b": "NA"}]
    assert [(f.row, f.reason) for f in faults] == [(0, "wrong_columns"), (1, "wrong_columns"), (2, "invalid_utf8")]


def test_an_unclosed_quote_does_not_swallow_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.readers.csv_rows.LONGEST", 1000)
    content = b'a,b\nx,"y\n' + b"p,q\n" * 1000
    rows, faults = read(folder / "x.csv", content)
    assert faults[0].reason == "too_long"
    assert len(rows) > 500


def test_an_empty_csv_is_named(folder: Path) -> None:
    with pytest.raises(SourceError, match="is empty"):
        read(folder / "x.csv", b"")


def test_one_unit_for_a_small_file(folder: Path) -> None:
    (folder / "x.jsonl").write_bytes(b'{"a":"x","b":"y"}\n')
    assert list(readers.units(folder / "x.jsonl")) == [Unit(folder / "x.jsonl")]


@settings(deadline=None)
@given(ROWS, st.integers(1, 200), st.sampled_from([None, 1]))
def test_units_cut_an_array_between_items(folder: Path, rows: Any, size: int, indent: int | None) -> None:
    nested = [row | {"c": [{"a": row["b"]}]} if n % 3 == 2 else row for n, row in enumerate(rows)]
    content = json.dumps(nested, indent=indent).encode()
    assert read(folder / "x.json", content, size) == read(folder / "x.json", content)


@settings(deadline=None)
@given(ROWS, st.integers(1, 200), st.integers(1, 400), st.sampled_from([b"", b"]", b"]{}", b'"', b"}", b"[", b"7,"]))
def test_units_of_a_broken_array_say_what_the_whole_says(
    folder: Path, rows: Any, size: int, left: int, end: bytes
) -> None:
    content = json.dumps(rows).encode()[:-left] + end

    def found(size: int | None) -> object:
        try:
            return read(folder / "x.json", b"[" + content[1:], size)
        except SourceError as error:
            return str(error)

    assert found(size) == found(None)


@settings(deadline=None)
@given(ROWS, st.integers(1, 200), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from(["\n", "\r\n"]))
def test_units_cut_a_csv_between_rows(folder: Path, rows: Any, size: int, quoting: Any, end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=quoting, lineterminator=end)
    writer.writerows([["a", "b"], *([row["a"], row["b"]] for row in rows)])
    content = out.getvalue().encode()
    assert read(folder / "x.csv", content, size) == read(folder / "x.csv", content)


@pytest.mark.parametrize(
    "content",
    [
        b'a,b\n5" pipe,x\n6" pipe,"y\nz"\n' * 9,  # a quote inside a bare cell is a character
        b'a,b\nx,"y"z\n' * 9,  # text after a closing quote
        b"a,b\nx,y\rp,q\n" * 9,  # a lone CR ends a row
        b'a,b\nx,"y\n' + b"p,q\n" * 9,  # a quote that is never closed
    ],
)
def test_a_csv_with_loose_quotes_or_line_ends_is_one_unit(folder: Path, content: bytes) -> None:
    (folder / "x.csv").write_bytes(content)
    assert len(list(readers.units(folder / "x.csv", 8))) == 1


def test_units_of_a_csv_read_no_more_than_their_own_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"a,b\n" + b'x,"y\ny"\n' * 50
    whole = read(folder / "x.csv", content)
    monkeypatch.setattr("stages.readers.csv_rows._odd_quotes", lambda path: pytest.fail("reads the whole file"))
    assert read(folder / "x.csv", content, 40) == whole


def test_cuts_do_not_depend_on_the_chunk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"a,b\n" + b"".join(b'"x ""%d""\n",y\r\n' % n for n in range(50))
    (folder / "x.csv").write_bytes(content)
    whole = list(readers.units(folder / "x.csv", 40))
    assert len(whole) > 10
    for chunk in range(1, 9):
        monkeypatch.setattr("stages.readers.csv_rows.CSV_CHUNK", chunk)
        assert list(readers.units(folder / "x.csv", 40)) == whole


def test_a_raw_column_that_is_no_utf8_is_a_fault(folder: Path) -> None:
    schema = pa.schema([pa.field("a", pa.string(), nullable=False), readers.RAW_JSON.with_name("b")])
    (folder / "x.jsonl").write_bytes(b'{"a":"x","b":"\xff"}\n{"a":"x","b":[1, 2]}\n')
    (batch,) = readers.read(Unit(folder / "x.jsonl"), schema, "x")
    assert [fault.reason for fault in batch.faults] == ["invalid_utf8"]
    assert batch.columns["b"].to_pylist() == ["[1, 2]"]


def test_a_quote_that_closes_far_below_swallows_nothing_in_silence(folder: Path) -> None:
    rows, faults = read(folder / "far.csv", b'a,b\n1,"open\n2,x\n3,y\n4,z\n5,close"\n6,w\n')
    assert [row["a"] for row in rows] == ["6"]
    assert [fault.reason for fault in faults] == ["swallowed_rows"]
    assert "3 lines" in faults[0].message and "2,x" in faults[0].raw


def test_prose_with_commas_is_no_swallowed_row(folder: Path) -> None:
    poem = "Roses, red\nviolets, blue\nsugar, sweet\nso, are you\nsaid, he"
    rows, faults = read(folder / "poem.csv", f'a,b\n1,"{poem}"\n'.encode())
    assert (rows[0]["b"], faults) == (poem, [])


def test_a_row_that_is_cut_says_so(folder: Path) -> None:
    whole = b"not json " + b"x" * 5000
    assert read(folder / "whole.jsonl", whole)[1][0].raw == whole.decode()
    long = b"not json " + b"x" * (1 << 20)
    assert read(folder / "long.jsonl", long)[1][0].raw.endswith("x… [cut: the row has 1,048,585 bytes]")


def test_a_column_that_is_named_twice_stops(folder: Path) -> None:
    with pytest.raises(SourceError, match="names the column 'a' twice"):
        read(folder / "twice.csv", b"a,b,a\n1,2,3\n")


class Row(msgspec.Struct):
    a: str
    b: str
    c: msgspec.Raw


ABC = AB.append(readers.RAW_JSON.with_name("c"))
MARK = b"\xef\xbb\xbf"
TWICE = b'{"a":"x","b":"y","c":0}' * 2
LINES = st.one_of(
    st.builds(
        lambda a, b, c, ascii: json.dumps({"a": a, "b": b, "c": c}, ensure_ascii=ascii).encode(),
        TEXT, TEXT, st.sampled_from([[1, {"d": 2}], "}\n{", None, {"e": {}}]), st.booleans(),
    ),
    st.sampled_from(
        [
            b"", b" ", b"\r", MARK, b"nonsense", b'["x"]', b"{}", b"}", b"{", b'{"a":1,"b":"y","c":0}',
            b'{"a":"x","b":"y","c":"\xff"}', b'{"a":"\xff","b":"y","c":0}', b'{"a":"x","b":"y","c":0,"d":"\xff"}',
            b' {"a":"x","b":"y","c":0}', MARK + b'{"a":"x","b":"y","c":0}', b'{"a":"x","b":"y","c":0} \r',
            TWICE, b'{"a":"x","b":"y","c":0} {}',
            b'{"a":"x","b":"y","c":\n0}', b'{"a":"x","b":"y",\n"c":0}', b'{\n"a":"x","b":"y","c":0}',
            b'{"a":"x","b":"y","c":[{}\n{}]}', b'{"a":"x","b":"y","c":[{},{}\n]}', b'{"a":"x","b":"y","c":"}\n{"}',
            b'{"a":"x","b":"y","c":{"d":{}\n}}', b'{"a":"' + b"x" * 90 + b'","b":"y","c":0}',
        ]
    ),
)  # fmt: skip


def line_by_line(content: bytes, rows: int, size: int, longest: int) -> Iterator[Any]:
    """What a reader of lines gives, batch by batch: numbers, texts, and numbers and messages of what is none."""
    decode = msgspec.json.Decoder(Row).decode
    batch: tuple[list[int], list[Any], list[tuple[int, str]]] = [], [], []
    weight = 0
    for number, line in enumerate(io.BytesIO(content)):
        if len(line.removesuffix(b"\n")) >= longest:
            batch[2].append((number, f"the row has {len(line)} bytes, {longest} are allowed"))
        else:
            line = line.removeprefix(MARK) if number == 0 else line
            if not line.strip():
                continue
            weight += len(line)
            try:
                row = decode(line)
                batch[1].append((row.a, row.b, bytes(row.c).decode()))
                batch[0].append(number)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                batch[2].append((number, str(error)))
        if len(batch[1]) + len(batch[2]) >= rows or weight >= size:
            yield batch
            batch, weight = ([], [], []), 0
    if batch[1] or batch[2]:
        yield batch


def _whole(lines: list[bytes]) -> Any:
    return example(lines=lines, mark=False, last=True, cut=200, chunk=10_000, rows=2048, size=10_000, longest=10_000)


@settings(deadline=None, max_examples=300)
@_whole([b'{"a":"x","b":"y","c":\n{}}', TWICE])  # as many values as lines, and yet not one in each
@_whole([b'{"a":"x","b":"y","c":{}\n}', TWICE])
@_whole([b"", TWICE])
@given(
    lines=st.lists(LINES, max_size=12), mark=st.booleans(), last=st.booleans(), cut=st.integers(1, 200),
    chunk=st.sampled_from([1, 40, 10_000]), rows=st.sampled_from([1, 3, 2048]),
    size=st.sampled_from([1, 100, 10_000]), longest=st.sampled_from([60, 10_000]),
)  # fmt: skip
def test_lines_read_together_are_what_each_is_by_itself(
    folder: Path, lines: list[bytes], mark: bool, last: bool, cut: int, chunk: int, rows: int, size: int, longest: int
) -> None:
    good = b'{"a":"x","b":"y","c":0}'
    content = (MARK if mark else b"") + b"\n".join([good, *lines]) + (b"\n" if last else b"")
    path = folder / "together.jsonl"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("CHUNK", chunk), ("ROWS", rows), ("BYTES", size), ("LONGEST", longest), ("FEW", 2)):
            patch.setattr(json_rows, name, value)
        found = [_batch(batch) for batch in readers.read(Unit(path), ABC, "x")]
        cuts = [_batch(batch) for unit in readers.units(path, cut) for batch in readers.read(unit, ABC, "x")]
    assert found == list(line_by_line(content, rows, size, longest))
    for whole, parts in zip(zip(*found, strict=True), zip(*cuts, strict=True), strict=True):
        assert list(itertools.chain(*parts)) == list(itertools.chain(*whole))


def _batch(batch: readers.Read) -> Any:
    rows = [tuple(row.values()) for row in batch.columns.to_pylist()]
    return batch.numbers, rows, [(fault.row, fault.message) for fault in batch.faults]
