"""What may be in the outputs of the sample build, and what may not: people, licences, crisis, benchmarks."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import formats
from tests.conftest import Project

MERGED = "data/merged/merged_mental_health_dataset.parquet"
CHAT = "data/exports/mental_health_openai.jsonl"
START = 40  # characters that tell one text from all others

pytestmark = pytest.mark.slow


def table(built: Path, path: str) -> list[dict[str, Any]]:
    return pq.read_table(built / path).to_pylist()


def screened(built: Path) -> dict[str, dict[str, Any]]:
    return {
        row["id"]: row
        for path in (built / "data/screened").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    }


def normalized(built: Path) -> dict[str, dict[str, Any]]:
    paths = (built / "data/normalized").glob("*.parquet")
    return {row["id"]: row for path in paths for row in pq.read_table(path).to_pylist()}


def personal(built: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Records with each personal span that the screen found in them."""
    records = normalized(built)
    spans = [(records[id], span) for id, row in screened(built).items() for span in row["pii"]["spans"]]
    return [(record, span) for record, span in spans if span["tier"] == "personal"]


def test_no_direct_identifier_reaches_the_merged_table_or_an_export(built: Path) -> None:
    found = [(r, r[s["field"]][s["start"] : s["end"]]) for r, s in personal(built) if s["field"] != "turns"]
    found = [(record, value) for record, value in found if record["source"] != "amod_counseling"]
    assert found, "the sample plants none: this test shows nothing"
    outputs = [built / MERGED.replace(".parquet", ".json"), built / CHAT]
    everything = "".join(path.read_text(encoding="utf-8") for path in outputs)
    for record, value in found:
        assert value not in everything, f"{value!r} of {record['id']}"


def test_redaction_is_typed_and_stands_on_the_row(built: Path) -> None:
    redacted = [row for row in table(built, MERGED) if "redact" in row["origin"]["edits"]]
    assert redacted
    assert all(any(f"<{kind}>" in row["input"] + row["response"] + (row["rejected_response"] or "")
                   for kind in ("PHONE", "EMAIL", "HANDLE", "URL", "ADDRESS", "NAME")) for row in redacted)  # fmt: skip


def test_helplines_survive(built: Path) -> None:
    text = (built / MERGED.replace(".parquet", ".json")).read_text(encoding="utf-8")
    assert "988" in text and "741741" in text


def test_rows_that_may_not_be_edited_are_byte_equal_to_upstream_in_every_export_or_absent(built: Path) -> None:
    raw = [
        json.loads(line) for line in (built / "data/raw/amod_counseling/combined_dataset.json").open(encoding="utf-8")
    ]
    pairs = {(row["Context"], row["Response"]) for row in raw if isinstance(row.get("Response"), str)}
    merged = [row for row in table(built, MERGED) if row["source"] == "amod_counseling"]
    assert len(merged) > 30
    assert all((row["input"], row["response"]) in pairs for row in merged)
    assert all(row["origin"]["edits"] == [] for row in merged)
    chats = [orjson.loads(line)["messages"] for line in (built / CHAT).read_bytes().splitlines()]
    spoken = {(chat[-2]["content"], chat[-1]["content"]) for chat in chats}
    held = {(row["input"], row["response"]) for row in merged if "chat" not in row["enters"]}
    wanted = {(row["input"], row["response"]) for row in merged} - held
    assert wanted <= spoken
    assert not held & spoken


def test_such_rows_are_byte_equal_in_the_tables_too(built: Path) -> None:
    raw = (built / "data/raw/amod_counseling/combined_dataset.json").read_text(encoding="utf-8").splitlines()
    pairs = {(row["Context"], row["Response"]) for row in map(json.loads, raw)}
    with (built / MERGED.replace(".parquet", ".csv")).open(encoding="utf-8", newline="") as lines:
        of_csv = [(row["source"], row["input"], row["response"]) for row in csv.DictReader(lines)]
    with (built / "data/exports/mental_health_huggingface/dataset.csv").open(encoding="utf-8", newline="") as lines:
        of_huggingface = [(row["source"], row["input"], row["output"]) for row in csv.DictReader(lines)]
    of_json = [
        (row["source"], row["input"], row["response"])
        for row in orjson.loads((built / MERGED.replace(".parquet", ".json")).read_bytes())
    ]
    of_hub = [
        (row["source"], row["input"], row["response"])
        for path in (built / "data/exports/hub/data").rglob("*.parquet")
        for row in pq.read_table(path, partitioning=None, columns=["source", "input", "response"]).to_pylist()
    ]
    for rows in (of_csv, of_huggingface, of_json, of_hub):
        mine = [(question, answer) for source, question, answer in rows if source == "amod_counseling"]
        assert len(mine) > 30 and set(mine) <= pairs


@pytest.mark.slow
def test_such_rows_are_byte_equal_in_every_format(built: Path, tmp_path: Path) -> None:
    """A text of a format that holds the start of an answer holds the answer whole, and the question likewise."""
    project = Project(built).part(tmp_path / "project", "merged", "split", "ledger")
    exports = project.root / "data/exports"
    project.params(lambda tree: tree.update(formats=["all"]))
    mine: dict[str, set[str]] = {}
    others = set()
    for row in project.table(MERGED):
        texts = [text for text in (row["input"], row["response"]) if text and len(text) > START]
        if row["source"] != "amod_counseling":
            others |= {text[:START] for text in texts}
        elif "chat" in row["enters"]:
            for text in texts:
                mine.setdefault(text[:START], set()).add(text)
    whole = {start: texts for start, texts in mine.items() if start not in others}
    assert len(whole) > 30
    for name in formats.names():
        if formats.load(name).KIND not in ("chat", "single", "all"):
            continue
        project.run("export", name)
        found = [(start, text) for text in _texts(exports) for start in whole if start in text]
        assert found, f"no row of it in {name}"
        assert all(any(one in text for one in whole[start]) for start, text in found), name
        shutil.rmtree(exports)


def _texts(folder: Path) -> Iterator[str]:
    """Every string of every file of rows, however it is written."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".jsonl":
            values: list[Any] = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        elif path.suffix == ".json":
            values = [orjson.loads(path.read_bytes())]
        elif path.suffix == ".arrow":
            with pa.ipc.open_stream(path) as stream:
                values = stream.read_all().to_pylist()
        elif path.suffix == ".parquet":
            values = pq.read_table(path, partitioning=None).to_pylist()
        else:
            continue
        while values:
            value = values.pop()
            if isinstance(value, str):
                yield value
            elif isinstance(value, dict):
                values += value.values()
            elif isinstance(value, list):
                values += value


def test_a_crisis_without_referral_stays_in_the_table_and_leaves_the_chat_exports(built: Path) -> None:
    held = [row for row in table(built, MERGED) if "crisis-unreferred" in row["tags"]]
    assert held, "the sample plants some"
    assert all("chat" not in row["enters"] for row in held)
    chat = (built / CHAT).read_text(encoding="utf-8")
    for row in held:
        assert orjson.dumps(row["response"]).decode()[1:-1] not in chat
    ledger = orjson.loads((built / "data/reports/ledger.json").read_bytes())["merge"]
    counted = sum(f.get("details", {}).get("findings", {}).get("crisis-unreferred", 0) for f in ledger.values())
    assert counted == len(held)


def test_a_crisis_with_a_referral_stays_and_is_tagged(built: Path) -> None:
    rows = [row for row in table(built, MERGED) if "crisis" in row["tags"] and "crisis-unreferred" not in row["tags"]]
    assert any("chat" in row["enters"] for row in rows)


def test_every_removed_row_has_a_reason_or_the_row_that_stands_for_it(built: Path) -> None:
    kept = {row["id"]: row for row in table(built, MERGED)}
    duplicates = {row["id"]: row["kept"] for row in table(built, "data/merged/duplicates.parquet")}
    dropped = {row["id"]: row["reason"] for row in table(built, "data/merged/dropped.parquet")}
    assert kept.keys() | duplicates.keys() | dropped.keys() == normalized(built).keys()
    assert not kept.keys() & duplicates.keys() and not kept.keys() & dropped.keys()
    assert all(other in kept for other in duplicates.values())
    assert {id: row["duplicates"] for id, row in kept.items() if row["duplicates"]} == {
        id: sorted(one for one, other in duplicates.items() if other == id) for id in set(duplicates.values())
    }
    assert all(dropped.values())


def test_every_exported_row_leads_back_to_its_upstream_row(built: Path) -> None:
    for row in table(built, MERGED):
        origin = row["origin"]
        receipt = orjson.loads((built / "data/raw" / row["source"] / "receipt.json").read_bytes())
        assert any(f["file"] == origin["file"] and f["sha256"] == origin["sha256"] for f in receipt["files"])
        assert origin["row"] >= 0


def test_the_permissive_profile_keeps_the_free_copy_of_a_restricted_row(built: Path, tmp_path: Path) -> None:
    """counsel_chat holds what amod_counseling holds, under MIT: the profile applies before duplicates are sought."""
    project = Project(tmp_path)
    for name in ("stages", "params.yaml", "data/deny.txt", "data/benchmarks", "data/normalized", "data/screened"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (built / name).is_dir() else shutil.copy
        copy(built / name, tmp_path / name)
    (tmp_path / "data/sample").symlink_to(built / "data/sample")
    project.params(lambda tree: tree["sources"]["counsel_chat"].update(enabled=True))
    for stage in ("download", "normalize", "screen"):
        project.run(stage, "counsel_chat")
    merged: dict[str, list[dict[str, Any]]] = {}
    for profile in ("research", "permissive"):
        project.params(lambda tree, profile=profile: tree.update(profile=profile))
        project.run("merge")
        merged[profile] = project.table(MERGED)
    free = [row for row in merged["permissive"] if row["source"] == "counsel_chat"]
    assert {row["license"] for row in merged["permissive"]} <= {"MIT", "Apache-2.0", "CC-BY-4.0", "CC0-1.0"}
    assert len(free) > len([row for row in merged["research"] if row["source"] == "counsel_chat"])
    account = project.json("data/ledger/merge/amod_counseling.json")
    assert (account["rejected"], account["out"]) == ({"license": account["in"]}, 0)
    public = (tmp_path / MERGED.replace(".parquet", ".json")).read_text(encoding="utf-8")
    raw = tmp_path / "data/raw/counsel_chat/data/20200325_counsel_chat.csv"
    with raw.open(encoding="utf-8", errors="replace", newline="") as lines:
        links = {row["therapistURL"] for row in csv.DictReader(lines) if row["therapistURL"]}
    assert links and not [link for link in links if link in public]


def test_no_cluster_stands_on_two_sides(built: Path) -> None:
    sides = {row["id"]: row["side"] for row in table(built, "data/split/split.parquet")}
    clusters: dict[str, set[str]] = {}
    for row in table(built, MERGED):
        if row["cluster"]:
            clusters.setdefault(row["cluster"], set()).add(sides[row["id"]])
    assert clusters
    assert all(len(found - {"held_out"}) <= 1 for found in clusters.values())
