"""The card, the Croissant file and the data package of the sample's build: every figure is the ledgers'."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
import yaml

from stages import licenses
from tests.conftest import Project

HUB = "data/exports/hub"


def table(text: str, head: str) -> dict[str, list[str]]:
    """The rows of the Markdown table that begins with `head`, by their first cell."""
    lines = text[text.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip().replace(",", "") for cell in line.strip("|").split("|")] for line in lines]
    return {re.sub(r"\[(.*?)\]\(.*\)", r"\1", first): rest for first, *rest in cells}


def numbers(cells: list[str]) -> list[int]:
    return [int(cell) for cell in cells if cell.isdigit()]


@pytest.fixture(scope="module")
def project(built: Path) -> Project:
    return Project(built)


@pytest.fixture(scope="module")
def card(built: Path) -> str:
    return (built / HUB / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def head(card: str) -> Any:
    return yaml.safe_load(card.split("---\n")[1])


# --- the card -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_figures_are_the_ledger_s(project: Project, card: str) -> None:
    ledger = project.json("data/ledger/export/hub.json")
    figures = table(card, "side")
    assert set(figures) == {side for side, rows in ledger["rows"].items() if rows}
    for side, cells in figures.items():
        files = [file for file in ledger["files"] if file["split"] == side]
        lengths = [ledger["lengths"][side][name] for name in ("p50", "p90", "p99", "max")]
        sums = [sum(file[name] for file in files) for name in ("bytes", "characters")]
        assert numbers(cells) == [ledger["rows"][side], len(files), *sums, *lengths]
        assert sum((project.root / "data/exports" / file["path"]).stat().st_size for file in files) == sums[0]


@pytest.mark.slow
def test_the_sources_are_the_ledgers_and_no_row_is_unaccounted_for(project: Project, card: str) -> None:
    sources = table(card, "source")
    merged = {path.stem for path in (project.root / "data/ledger/merge").glob("*.json")}
    assert {key for key in merged if project.json(f"data/ledger/merge/{key}.json")["in"]} == set(sources)
    for key, cells in sources.items():
        upstream, rejected, dropped, duplicates, stay, *sides, here = numbers(cells)
        normalize, merge, split = (project.json(f"data/ledger/{s}/{key}.json") for s in ("normalize", "merge", "split"))
        assert (upstream, rejected) == (normalize["in"], sum(normalize["rejected"].values()))
        assert (dropped, stay) == (sum(merge["rejected"].values()), merge["out"])
        assert upstream == rejected + dropped + duplicates + stay
        assert sides == [split["details"][side] for side in ("train", "validation", "test", "held_out")]
        assert here == project.json("data/ledger/export/hub.json")["sources"][key]["out"] == sum(sides[:3])


@pytest.mark.slow
def test_the_licences_are_those_of_the_rows(project: Project, card: str) -> None:
    rows: dict[str, int] = {}
    for path in (project.root / HUB / "data").glob("*.parquet"):
        for license in pq.read_table(path)["license"].to_pylist():
            rows[license] = rows.get(license, 0) + 1
    assert {id: numbers(cells)[-1] for id, cells in table(card, "licence | name").items()} == rows
    assert project.json(f"{HUB}/OBLIGATIONS.json")["rows"] == rows
    texts = {path.name for path in (project.root / HUB / "LICENSES").iterdir()} - {"NOTICE"}
    assert texts == {f"{id}.txt" for id in rows}
    said = (project.root / HUB / "LICENSES.md").read_text(encoding="utf-8")
    assert all(f"## {licenses.get(id).name}\n" in said for id in rows)
    for line in licenses.obligations(rows)["outputs"]:
        assert line["text"] in card and line["text"] in said


@pytest.mark.slow
def test_the_card_says_what_the_audit_measured(project: Project, card: str) -> None:
    audit = project.json("data/reports/audit.json")["depression_reddit"]
    assert f"one-line rule {audit['one_line_rule']['accuracy']} " in card
    assert "scores 0.96" in card and "source artefact" in card


@pytest.mark.slow
def test_a_ledger_that_changed_changes_the_card(project: Project, card: str, tmp_path: Path) -> None:
    again = project.part(tmp_path / "project", "ledger", "reports")
    root = again.root
    again.run("card")
    assert (root / HUB / "README.md").read_text(encoding="utf-8") == card, "the ledgers are all that it reads"
    path = root / "data/ledger/merge/trace.json"
    found = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps(found | {"out": found["out"] + 1000}))
    again.run("card")
    changed = (root / HUB / "README.md").read_text(encoding="utf-8")
    assert numbers(table(changed, "source")["trace"])[4] == found["out"] + 1000


@pytest.mark.slow
def test_the_hub_s_metadata_agrees_with_what_loads(built: Path, head: Any, tmp_path: Path) -> None:
    from datasets import Features, load_dataset

    loaded = load_dataset(str(built / HUB), cache_dir=str(tmp_path))
    info = head["dataset_info"]
    assert {one["name"]: one["num_examples"] for one in info["splits"]} == {n: len(s) for n, s in loaded.items()}
    told = {n: split.info.splits[n].num_bytes for n, split in loaded.items()}
    assert {one["name"]: one["num_bytes"] for one in info["splits"]} == told
    assert info["dataset_size"] == sum(told.values())
    assert all(split.features == Features._from_yaml_list(info["features"]) for split in loaded.values())
    assert head["license"] == "other" and (built / HUB / head["license_link"]).is_file()
    wrong = yaml.safe_load((built / HUB / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert wrong["size_categories"] == ["n<1K"]


@pytest.mark.slow
def test_a_card_with_another_count_does_not_load(built: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    shutil.copytree(built / HUB, tmp_path / "hub")
    path = tmp_path / "hub/README.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        re.sub(r"(name: train\n    num_bytes: \d+\n    num_examples: )\d+", r"\g<1>7", text), encoding="utf-8"
    )
    with pytest.raises(Exception, match="7"):
        load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))


@pytest.mark.slow
def test_a_hub_folder_that_is_not_built_says_so(project: Project, tmp_path: Path) -> None:
    without = project.part(tmp_path / "project", "ledger", "reports", "merged", "split")
    without.params(lambda tree: tree.update(formats=["openai"]))
    without.run("export", "hub")
    without.run("card")
    assert "add hub to formats" in (without.root / HUB / "README.md").read_text()
    assert without.json(f"{HUB}/croissant.json") == {}


@pytest.mark.slow
def test_a_test_share_stands_on_the_card_and_loads_as_a_split(project: Project, tmp_path: Path) -> None:
    import mlcroissant
    from datasets import load_dataset

    shared = project.part(tmp_path / "project", "ledger", "reports", "merged", "benchmarks")
    root = shared.root
    shared.params(lambda tree: tree["split"].update(validation=0.15, test=0.15))
    for words in (["split"], ["export", "hub"], ["card"]):
        shared.run(*words)
    figures = table((root / HUB / "README.md").read_text(encoding="utf-8"), "side")
    rows = {side: numbers(cells)[0] for side, cells in figures.items()}
    assert list(rows) == ["train", "validation", "test"] and rows["test"] > 20
    loaded = load_dataset(str(root / HUB), cache_dir=str(tmp_path / "cache"))
    assert {side: len(split) for side, split in loaded.items()} == rows
    records = mlcroissant.Dataset(str(root / HUB / "croissant.json")).records("test")
    assert sum(1 for _ in records) == rows["test"]


# --- Croissant ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mlcroissant_finds_no_fault_and_loads_every_row(built: Path) -> None:
    import mlcroissant

    dataset = mlcroissant.Dataset(str(built / HUB / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors and not issues.warnings
    for path in sorted((built / HUB / "data").glob("*.parquet")):
        side = path.name.partition("-")[0]
        rows = pq.read_table(path).to_pylist()
        loaded = list(dataset.records(side))
        for name in ("id", "input", "response", "rejected_response", "license"):
            texts = [text and text.decode() for text in (row[f"{side}/{name}"] for row in loaded)]
            assert texts == [row[name] for row in rows]
        assert [[t.decode() for t in row[f"{side}/tags"]] for row in loaded] == [row["tags"] for row in rows]


@pytest.mark.slow
def test_mlcroissant_notices_a_flipped_byte(built: Path, tmp_path: Path) -> None:
    import mlcroissant

    shutil.copytree(built / HUB, tmp_path / "hub")
    path = next((tmp_path / "hub/data").glob("train*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match="Download") as raised:
        list(mlcroissant.Dataset(str(tmp_path / "hub/croissant.json")).records("train"))
    assert "Hash of downloaded file" in str(raised.value.__cause__)


@pytest.mark.slow
def test_provenance_names_each_upstream_file_and_the_pipeline(project: Project, card: str) -> None:
    croissant = project.json(f"{HUB}/croissant.json")
    receipts = {
        (path.parent.name, file["file"]): file["sha256"]
        for path in (project.root / "data/raw").glob("*/receipt.json")
        for file in orjson.loads(path.read_bytes())["files"]
    }
    parts = project.json("data/ledger/export/hub.json")["parts"]
    named = {
        (part["source"], file["prov:label"]): file["sha256"]
        for part, entity in zip(parts, croissant["prov:wasDerivedFrom"], strict=True)
        for file in entity["prov:hadMember"]
    }
    assert named and named.items() <= receipts.items()
    (plan,) = {step["@id"].partition("#")[0] for step in croissant["prov:wasGeneratedBy"]}
    assert f"`{plan.removeprefix('urn:sha256:')}`" in card
    steps = [step["prov:label"] for step in croissant["prov:wasGeneratedBy"]]
    assert steps == ["download", "normalize", "screen", "merge", "split", "export"]
    assert croissant["prov:wasGeneratedBy"][3]["prov:wasInformedBy"] == {"@id": f"{plan}#screen"}
    actions = [rule["odrl:action"]["@id"] for rule in croissant["usageInfo"]["odrl:prohibition"]]
    assert "odrl:modify" in actions and "http://creativecommons.org/ns#CommercialUse" in actions


def test_the_pipeline_s_name_follows_code_plan_and_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from msgspec.structs import replace

    from stages import cards, params
    from tests.builds import ROOT

    settings = params.load(path=ROOT / "params.yaml")
    shutil.copytree(ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    before = cards.pipeline(settings)
    assert cards.pipeline(replace(settings, engine=params.Engine(workers=9))) == before
    assert cards.pipeline(replace(settings, formats=["all"])) == before
    assert cards.pipeline(replace(settings, split=replace(settings.split, seed=1))) != before
    assert {path.name for path in (tmp_path / "stages/cards/plans").iterdir()} == {
        "root.yaml", *(f"{path.parent.name}.yaml" for path in (ROOT / "pipelines").glob("*/dvc.yaml")),
    }  # fmt: skip
    for name in ("stages/cards/plans/root.yaml", "stages/merge.py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "# changed\n")
        assert cards.pipeline(settings) != before
        before = cards.pipeline(settings)
    (tmp_path / "stages/__pycache__").mkdir()
    (tmp_path / "stages/__pycache__/merge.pyc").write_bytes(b"x")
    assert cards.pipeline(settings) == before


def test_links_to_each_plan_lead_there() -> None:
    from tests.builds import ROOT

    for link in (ROOT / "stages/cards/plans").iterdir():
        plan = ROOT / ("dvc.yaml" if link.stem == "root" else f"pipelines/{link.stem}/dvc.yaml")
        assert link.resolve() == plan.resolve()


# --- the data package -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_frictionless_finds_the_merged_files_valid_and_a_broken_one_not(built: Path, tmp_path: Path) -> None:
    from frictionless import validate

    shutil.copytree(built / "data/merged", tmp_path / "merged")
    report = validate(str(tmp_path / "merged/datapackage.json"))
    assert report.valid, report.flatten(["title", "message"])
    rows = pq.read_metadata(tmp_path / "merged/merged_mental_health_dataset.parquet").num_rows
    assert [task.stats["rows"] for task in report.tasks] == [rows, rows]
    path = tmp_path / "merged/merged_mental_health_dataset.csv"
    path.write_bytes(path.read_bytes().replace(b"e", b"a", 1))
    assert not validate(str(tmp_path / "merged/datapackage.json")).valid
    path = tmp_path / "merged/merged_mental_health_dataset.json"
    document = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps(document[:-1]))
    assert len(validate(str(tmp_path / "merged/datapackage.json")).flatten(["title"])) > 1


@pytest.mark.slow
def test_the_data_package_names_bytes_hashes_and_licences(project: Project) -> None:
    package = project.json("data/merged/datapackage.json")
    for resource in package["resources"]:
        data = (project.root / "data/merged" / resource["path"]).read_bytes()
        assert resource["hash"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert resource.get("bytes", len(data)) == len(data)
    assert [field["name"] for field in package["resources"][0]["schema"]["fields"]] == [
        "input", "response", "rejected_response", "source", "type", "tags",
    ]  # fmt: skip
    for license in package["licenses"]:
        assert (project.root / "data/merged" / license["path"]).read_bytes() == licenses.text(license["name"])
    assert project.json("data/merged/OBLIGATIONS.json")["rows"].keys() == {one["name"] for one in package["licenses"]}
