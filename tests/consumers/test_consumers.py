"""The light consumers on the sample's exports; the heavy ones run by `python -m tests.consumers --heavy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages import formats
from tests.conftest import Project
from tests.consumers import page
from tests.consumers.environments import ENVIRONMENTS
from tests.consumers.run import run, table, verdict

LIGHT = [name for name, one in ENVIRONMENTS.items() if not one.heavy]


@pytest.fixture(scope="module")
def every_format(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's build with all formats."""
    root = tmp_path_factory.mktemp("formats") / "project"
    project = Project(built).part(root, "merged", "split", "ledger", "reports")
    project.params(lambda tree: tree.update(formats=["all"]))
    for name in sorted(formats.names(), key=lambda name: (name == "llama_factory", name)):
        project.run("export", name)
    project.run("card")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("environment", LIGHT)
def test_each_consumer_loads_every_row_of_its_export_and_notices_a_flaw(every_format: Path, environment: str) -> None:
    results = run(every_format, [environment])
    wrong = [one for one in results if one["verdict"] != "ok"]
    assert len(results) >= (3 if environment == "metadata" else 10)
    assert not wrong, "\n" + table(wrong)


def test_a_page_keeps_what_did_not_run_again(built: Path, tmp_path: Path) -> None:
    path, lines = tmp_path / "page.md", "| format | consumer | rows |\n| --- | --- | --- |\n"
    page.write(path, built, lines + "| hub | datasets | 1 |\n| dpo | trl DPO | 2 |")
    page.write(path, built, lines + "| hub | datasets | No file /tmp/a/b.json: x |")
    page.write(path, built, lines + "| csv | polars | could not parse `a text of a row |")
    found = path.read_text(encoding="utf-8")
    assert "| csv | polars | could not parse ... |" in found
    assert "| hub | datasets | No file b.json: x |" in found and "| dpo | trl DPO | 2 |" in found
    assert found.count("| hub | datasets |") == found.count("| --- | --- | --- |") == 1
    rows = Project(built).json("data/ledger/export/openai.json")["rows"]
    assert f"| openai | 3 | {rows['train']} | {rows['validation']} |" in found


RESULT: dict[str, Any] = {
    "expected": {"train": 3}, "whole": {"rows": {"train": 3}}, "broken": {"error": "x"}, "broken_rows": {"train": 12},
    "flaw": "cut",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "ok"),
        ({"broken": {"rows": {"train": 11}}}, "ok"),
        ({"broken": {"rows": {"train": 12}, "untrained": 1}}, "ok"),
        ({"broken": {"rows": {"train": 12}}}, "does not notice: cut"),
        ({"whole": {"rows": {"train": 2}}}, "loaded {'train': 2}, the ledger says {'train': 3}"),
        ({"whole": {"rows": {"train": 3}, "untrained": 1}}, "1 rows without a trained token"),
        ({"whole": {"error": "no"}}, "no"),
    ],
)
def test_the_verdict(change: dict[str, Any], said: str) -> None:
    assert verdict(RESULT | change) == said
