"""What goes out beside the rows of each format: licences, attribution, obligations of exactly these rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from stages import export, formats, licenses
from stages.files import write_json
from tests.formats.exporting import ALL, pair, row
from tests.records import _ORIGIN

ROWS = [
    pair(1, source="human_like_dpo", license="LicenseRef-llama3", origin=_ORIGIN | {"dataset": "HumanLLMs/x"}),
    row(2, source="trace", license="CC-BY-NC-4.0", origin=_ORIGIN | {"revision": "a" * 40, "edits": ["nfc"]}),
    row(3, source="trace", license="CC-BY-NC-4.0", origin=_ORIGIN | {"revision": "a" * 40, "file": "g"}),
    row(4, ("classification",), source="depression_reddit", license="CC0-1.0", response="depression"),
    row(5, ("segments",), source="psych_101", license="Apache-2.0", turns=[
        {"role": "user", "content": "press"}, {"role": "assistant", "content": "A"},
    ]),
]  # fmt: skip


def terms(name: str) -> Path | None:
    folder = export.terms_folder(formats.load(name))
    return Path("data/exports", folder) if folder else None


def obligations(name: str) -> dict[str, Any]:
    folder = terms(name)
    assert folder is not None
    found: dict[str, Any] = orjson.loads((folder / "OBLIGATIONS.json").read_bytes())
    return found


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("openai", {"CC-BY-NC-4.0": 2, "LicenseRef-llama3": 1}),
        ("huggingface", {"CC-BY-NC-4.0": 2, "LicenseRef-llama3": 1}),
        ("dpo", {"LicenseRef-llama3": 1}),
        ("kto", {"LicenseRef-llama3": 1}),
        ("classification", {"CC0-1.0": 1}),
        ("axolotl_segments", {"Apache-2.0": 1}),
    ],
)
def test_a_format_names_the_licences_of_its_own_rows(exported: Any, name: str, rows: dict[str, int]) -> None:
    exported(ROWS, name, profile="noncommercial")
    found, folder = obligations(name), terms(name)
    assert folder is not None and found["rows"] == rows and found["profile"] == "noncommercial"
    texts = {path.name: path.read_bytes() for path in (folder / "LICENSES").iterdir()}
    assert texts.pop("NOTICE", b"").startswith(b"Built with Meta Llama 3" if "LicenseRef-llama3" in rows else b"")
    assert texts == {f"{id}.txt": licenses.text(id) for id in rows}
    assert (folder / "ATTRIBUTION.md").read_text().count("\n## ") == len(found["sources"])


def test_every_format_with_rows_has_them_and_no_other(exported: Any) -> None:
    made = exported(ROWS, "all")
    for name in ALL:
        files = [file for file in made.ledger(name)["files"] if file["split"]]
        folder = terms(name)
        if folder is not None:
            assert (folder / "OBLIGATIONS.json").exists() == bool(files), name
            assert (folder / "LICENSES").is_dir() == bool(files), name


def test_the_ledger_has_each_upstream_file_and_edit_with_its_rows(exported: Any) -> None:
    parts = {part["source"]: part for part in exported(ROWS, "openai").ledger("openai")["parts"]}
    assert list(parts) == ["human_like_dpo", "trace"]
    assert parts["trace"]["files"] == [
        {"file": "f", "rows": 1, "sha256": "0" * 64}, {"file": "g", "rows": 1, "sha256": "0" * 64},
    ]  # fmt: skip
    assert parts["trace"] | {"files": []} == {
        "source": "trace", "dataset": "d", "license": "CC-BY-NC-4.0", "rows": 2, "revision": "a" * 40,
        "changes": {"nfc": 1}, "types": {"counseling": 2}, "files": [],
    }  # fmt: skip


def test_a_repeated_row_counts_once_and_one_left_out_not_at_all(exported: Any) -> None:
    exported(ROWS, "openai", mixture={"rates": {"trace": 3.0, "human_like_dpo": 0.0}})
    assert obligations("openai")["rows"] == {"CC-BY-NC-4.0": 2}


def test_a_row_that_was_taken_out_by_name_keeps_a_licence_that_forbids_it_at_home(exported: Any) -> None:
    rows = [row(1, source="amod_counseling", license="LicenseRef-RAIL-D")]
    exported(rows, "openai", profile="noncommercial")
    assert obligations("openai")["may_be_passed_on"]
    write_json(Path("data/ledger/merge/amod_counseling.json"), {"rejected": {"denied": 1}})
    export.main("openai")
    assert not obligations("openai")["may_be_passed_on"]


def test_no_file_no_licences(exported: Any) -> None:
    exported(ROWS, "bedrock", services={"bedrock": {"min_rows": 99}})
    assert [path.name for path in Path("data/exports/bedrock").iterdir()] == ["NOTE.txt"]
