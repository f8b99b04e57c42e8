"""Pages of what builds wrote: complete, in order, and what filters ask for; against the files themselves."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mhdata import browse, lineage, statistics
from mhdata.browse import ChangedError, Page, Wanted
from mhdata.statistics import NotBuiltError
from mhdata.workspace import Workspace
from tests.mhdata.conftest import Doors


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine ends no page early."""
    monkeypatch.setattr(browse, "SECONDS", 600.0)


@pytest.fixture(scope="module")
def where(doors: Doors) -> Workspace:
    return Workspace(doors.root)


@pytest.fixture(scope="module")
def merged(where: Workspace) -> list[dict[str, Any]]:
    sides = {row["id"]: row["side"] for row in pq.read_table(where.split).to_pylist()}
    return [row | {"side": sides[row["id"]]} for row in pq.read_table(where.merged).to_pylist()]


def walk(read: Callable[[str | None], Page]) -> list[dict[str, Any]]:
    """All rows of all pages."""
    found, page = [], read(None)
    found += page.rows
    while page.next:
        before, page = page, read(page.next)
        assert page.scanned > before.scanned, "a page that gets nowhere"
        found += page.rows
    return found


def fine(where: Workspace, tmp_path: Path, rows: int) -> Workspace:
    """The same tables in row groups of so many rows, as a long table has many."""
    root = tmp_path / "fine"
    shutil.copytree(where.root / "data", root / "data")
    shutil.copy(where.root / "params.yaml", root)
    for path in [*root.glob("data/merged/*.parquet"), *root.glob("data/s*/*.parquet")]:
        pq.write_table(pq.read_table(path), path, row_group_size=rows)
    return Workspace(root)


@pytest.mark.parametrize("limit", [1, 7, 200])
def test_pages_together_are_the_table_in_its_order(where: Workspace, merged: list[dict[str, Any]], limit: int) -> None:
    found = walk(lambda after: browse.rows(where, Wanted(), after, limit))
    assert [row["id"] for row in found] == [row["id"] for row in merged]
    assert [row["number"] for row in found] == list(range(len(merged)))
    assert [row["side"] for row in found] == [row["side"] for row in merged]


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_filters_find_what_a_scan_finds_however_little_time_a_page_has(
    where: Workspace, merged: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(browse, "SECONDS", seconds)
    small = fine(where, tmp_path, 23)
    cluster = next(row["cluster"] for row in merged if row["cluster"])
    wants: list[tuple[Wanted, Callable[[dict[str, Any]], bool]]] = [
        (Wanted(source="trace"), lambda row: row["source"] == "trace"),
        (Wanted(type="classification"), lambda row: row["type"] == "classification"),
        (Wanted(tag="crisis"), lambda row: "crisis" in row["tags"]),
        (Wanted(side="validation"), lambda row: row["side"] == "validation"),
        (Wanted(side="train", type="clinical"), lambda row: (row["side"], row["type"]) == ("train", "clinical")),
        (Wanted(cluster=cluster), lambda row: row["cluster"] == cluster),
        (Wanted(repeated=True), lambda row: bool(row["duplicates"] or row["cluster"])),
        (Wanted(text="PANIC attack"), lambda row: says(row, "panic attack")),
        (Wanted(text=merged[40]["id"][:9].upper()), lambda row: row["id"].startswith(merged[40]["id"][:9])),
        (Wanted(source="no_such_source"), lambda row: False),
    ]  # fmt: skip
    for wanted, fits in wants:
        expected = [row["id"] for row in merged if fits(row)]
        assert bool(expected) == (wanted.source != "no_such_source"), wanted
        found = walk(lambda after, wanted=wanted: browse.rows(small, wanted, after, 5))  # type: ignore[misc]
        assert [row["id"] for row in found] == expected, wanted


def says(row: dict[str, Any], text: str) -> bool:
    turns = [turn["content"] for turn in row["turns"] or []]
    return any(text in said.lower() for said in [row["input"], row["response"], row["rejected_response"] or "", *turns])


def test_a_text_that_only_a_turn_holds_is_found(where: Workspace, merged: list[dict[str, Any]]) -> None:
    row, middle = next(
        (row, turn["content"])
        for row in merged
        for turn in row["turns"] or []
        if turn["content"] not in row["input"] + row["response"] and len(turn["content"]) < 200
    )
    assert row["id"] in [found["id"] for found in browse.rows(where, Wanted(text=middle), None, 50).rows]


def test_findings_are_those_of_the_screened_tables(
    where: Workspace, merged: list[dict[str, Any]], tmp_path: Path
) -> None:
    attributes = {}
    for path in where.path("data/screened").glob("*.parquet"):
        attributes |= {row["id"]: row for row in pq.read_table(path).to_pylist()}
    small = fine(where, tmp_path, 17)
    found = walk(lambda after: browse.rows(small, Wanted(), after, 31))
    for row in found:
        crisis = attributes[row["id"]]["crisis"]
        spans = attributes[row["id"]]["pii"]["spans"]
        flagged = bool(crisis and (crisis["flag"] or crisis["review"]))
        assert flagged == any(name.startswith("crisis") for name in row["findings"]), row["id"]
        assert row["sensitive"] == (flagged or any(span["tier"] != "public" for span in spans)), row["id"]
    assert 0 < sum(row["sensitive"] for row in found) < len(found)


def test_what_was_never_screened_counts_as_sensitive(where: Workspace, tmp_path: Path) -> None:
    bare = fine(where, tmp_path, 100)
    shutil.rmtree(bare.path("data/screened"))
    rows = browse.rows(bare, Wanted(), None, 20).rows
    assert rows and all(row["findings"] is None and row["sensitive"] for row in rows)


def test_a_cursor_of_an_older_table_is_refused(where: Workspace, tmp_path: Path) -> None:
    mine = fine(where, tmp_path, 50)
    cursor = browse.rows(mine, Wanted(), None, 3).next
    assert browse.rows(mine, Wanted(), cursor, 3).rows[0]["number"] == 3
    pq.write_table(pq.read_table(mine.merged), mine.merged, row_group_size=51)
    with pytest.raises(ChangedError, match="begin at the first page"):
        browse.rows(mine, Wanted(), cursor, 3)


def test_a_long_text_is_cut_around_what_was_looked_for(where: Workspace, merged: list[dict[str, Any]]) -> None:
    row = next(row for row in merged if len(row["input"]) > 2000 and row["input"].isascii())
    wanted = max(row["input"][1500:1560].splitlines(), key=len)[:20].strip()
    found = next(
        one for one in walk(lambda after: browse.rows(where, Wanted(text=wanted), after, 50)) if one["id"] == row["id"]
    )
    assert wanted.lower() in found["input"].lower() and len(found["input"]) < browse.SHOWN + 5


def test_quarantine_pages_hold_every_rejected_row_once(where: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.loads(line) for path in where.path("data/quarantine").glob("*.jsonl") for line in path.open("rb")]
    key = lambda row: (row["source"], row["file"], row["row"], row["reason"])  # noqa: E731
    for seconds in (0.0, 60.0):
        monkeypatch.setattr(browse, "SECONDS", seconds)
        found = walk(lambda after: browse.quarantine(where, None, None, "", after, 7))
        assert Counter(map(key, found)) == Counter(map(key, lines))
        some = walk(lambda after: browse.quarantine(where, "reddit_ess", "paired", "", after, 2))
        assert len(some) == sum(row["reason"] == "paired" for row in lines) > 2
    assert {row["reason"] for row in browse.quarantine(where, None, None, "unexpected NO such text").rows} == set()


def test_dropped_and_duplicates_are_those_of_the_merge(where: Workspace, merged: list[dict[str, Any]]) -> None:
    dropped = walk(lambda after: browse.dropped(where, None, None, after, 4))
    assert dropped == pq.read_table(where.path("data/merged/dropped.parquet")).to_pylist()
    assert [row["reason"] for row in browse.dropped(where, None, "pii:email").rows] == ["pii:email"] * 2
    clusters = walk(lambda after: browse.clusters(where, None, after, 9))
    removed = {row["id"]: one["id"] for one in clusters for row in one["removed"]}
    table = pq.read_table(where.path("data/merged/duplicates.parquet")).to_pylist()
    assert removed == {row["id"]: row["kept"] for row in table}
    assert [row["id"] for row in clusters] == [row["id"] for row in merged if row["duplicates"] or row["cluster"]]


def test_a_row_comes_with_lineage_and_findings(where: Workspace, merged: list[dict[str, Any]]) -> None:
    crisis = next(row for row in merged if "crisis" in row["tags"])
    found = browse.row(where, crisis["id"])
    assert found["state"] == "merged" and "crisis" in found["findings"] and found["sensitive"]
    assert found["origin"] == crisis["origin"] and found["record"]["input"] == crisis["input"]
    rejected = browse.quarantine(where, "trace", None).rows[0]
    left = browse.row(where, f"trace:{rejected['file']}:{rejected['row']}")
    assert left["state"] == "quarantined" and left["reason"] == rejected["reason"] and left["sensitive"]
    with pytest.raises(lineage.NoRowError):
        browse.row(where, "0" * 32)


def test_every_upstream_row_is_in_the_flow_once(where: Workspace) -> None:
    found = browse.flow(where)
    for one in found["sources"]:
        gone = sum(one["rejected"].values()) + sum(one["dropped"].values()) + sum(one["duplicates"].values())
        assert one["upstream"] == gone + one["merged"] and one["merged"] == sum(one["sides"].values())
        for made in one["exports"].values():
            assert made["entered"] + sum(made["left"].values()) == one["merged"]
    assert sum(one["merged"] for one in found["sources"]) == pq.read_metadata(where.merged).num_rows


def test_distributions_count_every_row_and_every_text(where: Workspace, merged: list[dict[str, Any]]) -> None:
    found = browse.distributions(where)
    assert found["rows"] == sum(found["sources"].values()) == len(merged)
    for name, lengths in found["lengths"].items():
        texts = [len(row[name]) for row in merged if row[name] is not None]
        tops = [int(top) for top in lengths["histogram"]]
        by_hand = Counter(next(top for top in tops if length <= top) for length in texts)
        assert lengths["histogram"] == {str(top): by_hand[top] for top in tops}
        quantiles = np.quantile(texts, (0.5, 0.9, 0.99, 1), method="lower").tolist()
        assert [lengths[key] for key in ("p50", "p90", "p99", "longest")] == quantiles
    assert found["screens"]["crisis"]["flag"] > 0
    assert statistics.of(where) == statistics.of(where), "what is stored is what was counted"


def test_nothing_built_is_said_so(tmp_path: Path) -> None:
    empty = Workspace(tmp_path)
    for read in (
        lambda: browse.rows(empty, Wanted()),
        lambda: browse.flow(empty),
        lambda: browse.dropped(empty, None, None),
    ):
        with pytest.raises(NotBuiltError, match="mhdata build"):
            read()
