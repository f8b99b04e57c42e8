from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import engine, params, screen, screens
from stages.errors import LawError
from stages.params import Screens, Topics
from tests.conftest import ROOT, Project
from tests.records import batch

OPTIONAL = ("names_spacy", "toxicity_detoxify")
TEXTS = [
    "I can't sleep and my anxiety gets worse.",
    "Desde que murió mi madre no tengo ganas de levantarme.",
    "",
    "Visit www.example.org 👩‍👩‍👧 or write to [Name].",
]


def rows(count: int = 40) -> list[dict[str, Any]]:
    return [{"input": TEXTS[i % 4] + f" {i}", "response": TEXTS[(i + 1) % 4] * 3} for i in range(count)]


def turn_off(*names: str) -> Any:
    return lambda tree: tree.setdefault("screens", {}).update({name: {"enabled": False} for name in names})


def records(project: Project, source: str = "trace", count: int = 40, group: int = 16) -> pa.Table:
    """Records of a source in their place, in several row groups; three screens on, which is faster than all."""
    project.params(turn_off("pii", "crisis", "referral"))
    path = project.root / f"data/normalized/{source}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_batches([batch(*rows(count))])
    pq.write_table(table, path, row_group_size=group)
    return table


def screened(project: Project, source: str = "trace") -> pa.Table:
    return pq.read_table(project.root / f"data/screened/{source}.parquet")


def sha256(project: Project) -> str:
    return hashlib.sha256((project.root / "data/screened/trace.parquet").read_bytes()).hexdigest()


def test_one_row_of_attributes_a_record_in_order(project: Project) -> None:
    table = records(project)
    project.run("screen", "trace")
    found = screened(project)
    assert found["id"].to_pylist() == table["id"].to_pylist()
    assert found.column_names == ["id", "language", "quality", "topics", "screen_version"]
    assert len(set(found["screen_version"].to_pylist())) == 1


def test_all_default_screens_together_copy_no_text(project: Project) -> None:
    records(project)
    project.params(lambda tree: tree.pop("screens"))
    project.run("screen", "trace")
    on = [name for name in Screens.__struct_fields__ if name not in OPTIONAL]
    assert screened(project).column_names == ["id", *on, "screen_version"]
    whole = str(screened(project).to_pylist())
    assert "anxiety gets" not in whole and "levantarme" not in whole and "example.org" not in whole


def test_ledger_accounts_for_every_row_and_counts_tags(project: Project) -> None:
    records(project)
    project.run("screen", "trace")
    account = project.json("data/ledger/screen/trace.json")
    assert (account["in"], account["out"], account["rejected"], account["duplicates"]) == (40, 40, {}, 0)
    assert account["details"]["language"]["input=es"] == 10
    assert account["details"]["quality"]["tags=url"] == 20  # in the input of ten rows, in the answer of ten others
    assert account["details"]["topics"]["topics=Anxiety"] == 10


def test_a_source_without_rows_gives_an_empty_table(project: Project) -> None:
    records(project, count=0)
    project.run("screen", "trace")
    assert screened(project).num_rows == 0
    assert project.json("data/ledger/screen/trace.json")["out"] == 0


def test_a_source_without_records_is_a_sentence(project: Project) -> None:
    done = project.run("screen", "trace", code=1)
    assert done.stderr.startswith("error: data/normalized/trace.parquet is missing") and "Traceback" not in done.stderr


def test_a_screen_that_is_off_is_never_imported(project: Project) -> None:
    (project.root / "stages").unlink()
    shutil.copytree(ROOT / "stages", project.root / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    (project.root / "stages/screens/topics.py").write_text("raise SystemError('imported')\n")
    project.params(turn_off("topics"))
    records(project)
    project.run("screen", "trace")
    assert "topics" not in screened(project).column_names


def test_turning_one_off_leaves_the_others_as_they_were(project: Project) -> None:
    records(project)
    project.run("screen", "trace")
    all_on = screened(project)
    project.params(turn_off("language"))
    project.run("screen", "trace")
    fewer = screened(project)
    assert fewer["quality"].equals(all_on["quality"]) and fewer["topics"].equals(all_on["topics"])
    assert fewer["screen_version"][0] != all_on["screen_version"][0]


def test_an_edit_of_a_rule_file_or_of_params_changes_the_version(project: Project) -> None:
    (project.root / "stages").unlink()
    shutil.copytree(ROOT / "stages", project.root / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    records(project, count=4)
    versions = []
    rule = project.root / "stages/screens/data/quality.yaml"
    for change in (
        lambda: None,
        lambda: rule.write_text(rule.read_text() + "\n# one more line\n"),
        lambda: project.params(lambda tree: tree.setdefault("screens", {}).update(quality={"short_words": 7})),
    ):
        change()
        project.run("screen", "trace")
        versions.append(screened(project)["screen_version"][0].as_py())
    assert len(set(versions)) == 3


def test_every_rule_file_belongs_to_a_screen() -> None:
    files = {p for p in screens.FOLDER.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    owned = {path for name in Screens.__struct_fields__ for path in screens.rules(name)}
    assert files == owned


def test_version_follows_params_of_screens_that_are_on() -> None:
    base = screens.version(Screens())
    assert base != screens.version(Screens(topics=Topics(min_score=5)))
    off = Topics(enabled=False)
    assert screens.version(Screens(topics=off)) == screens.version(Screens(topics=Topics(enabled=False, min_score=5)))


@pytest.mark.parametrize("seed", ["0", "1"])
def test_same_bytes_for_any_hash_seed(project: Project, seed: str) -> None:
    records(project)
    project.run("screen", "trace", PYTHONHASHSEED=seed, TZ="Asia/Tokyo", LC_ALL="C")
    first = sha256(project)
    project.run("screen", "trace", PYTHONHASHSEED="99")
    assert sha256(project) == first


@pytest.mark.slow
def test_same_bytes_for_any_worker_count_and_batch_size(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    records(project, count=100)
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(engine, "SMALL", 0)
    seen = set()
    for workers, size in ((1, 1024), (1, 7), (2, 1024)):
        project.params(lambda tree, n=workers: tree.update(engine={"kind": "local", "workers": n}))
        monkeypatch.setattr(screen, "ROWS", size)
        screen.main("trace")
        seen.add(sha256(project))
    assert len(seen) == 1


def test_a_screen_must_answer_for_each_record(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short:
        VERSION, TYPE = 1, pa.struct([pa.field("x", pa.int32())])

        @staticmethod
        def screen(records: pa.RecordBatch, settings: object) -> pa.StructArray:
            return pa.array([{"x": 1}] * (len(records) - 1), Short.TYPE)

    monkeypatch.setattr(screens, "load", lambda name: Short)
    with pytest.raises(LawError, match=r"gave 2 values .* for 3 records"):
        screen.attributes(batch(*rows(3)), Screens())


# --- optional screens ------------------------------------------------------------------------------------


def test_absent_package_is_a_sentence_before_any_work(project: Project) -> None:
    records(project)
    project.params(lambda tree: tree.setdefault("screens", {}).update(names_spacy={"enabled": True}))
    done = project.run("screen", "trace", code=2)
    assert "screens.names_spacy needs spacy" in done.stderr and "requirements-ner.txt" in done.stderr
    assert not (project.root / "data/screened/trace.parquet").exists()


STUB = """
class Entity:
    def __init__(self, start, end, label):
        self.start_char, self.end_char, self.label_ = start, end, label

class Document:
    def __init__(self, text):
        place = text.find("Anna")
        self.ents = [Entity(place, place + 4, "PERSON"), Entity(0, 2, "ORG")] if place >= 0 else []

class Model:
    def pipe(self, texts):
        return map(Document, texts)

def load(name):
    if name != "mine":
        raise OSError(name)
    return Model()
"""


def with_spacy(project: Project, model: str) -> None:
    (project.root / "spacy.py").write_text(STUB)
    project.params(turn_off("pii", "crisis", "referral"))
    project.params(lambda tree: tree.setdefault("screens", {}).update(names_spacy={"enabled": True, "model": model}))


def test_names_by_a_model_are_spans(project: Project) -> None:
    with_spacy(project, "mine")
    table = pa.Table.from_batches([batch({"input": "👩‍👧 Anna left", "response": "Who is Anna?"}, {"input": "hello"})])
    path = project.root / "data/normalized/trace.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    project.run("screen", "trace")
    names = screened(project)["names_spacy"].to_pylist()
    assert names[0]["names"] == [{"field": "input", "start": 4, "end": 8}, {"field": "response", "start": 7, "end": 11}]
    assert names[1]["names"] == []


def test_absent_model_is_a_sentence(project: Project) -> None:
    with_spacy(project, "other")
    records(project)
    done = project.run("screen", "trace", code=2)
    assert "spaCy finds no model 'other'" in done.stderr and "Traceback" not in done.stderr


def test_absent_checkpoint_is_a_sentence(project: Project) -> None:
    (project.root / "detoxify.py").write_text("")
    records(project)
    project.params(lambda tree: tree.setdefault("screens", {}).update(toxicity_detoxify={"enabled": True}))
    done = project.run("screen", "trace", code=2)
    assert "screens.toxicity_detoxify.checkpoint" in done.stderr


def test_toxicity_is_percent_by_text(project: Project) -> None:
    (project.root / "detoxify.py").write_text(
        "class Detoxify:\n"
        "    def __init__(self, checkpoint, huggingface_config_path): pass\n"
        "    def predict(self, text): return {'toxicity': 0.914 if 'idiot' in text else 0.03}\n"
    )
    (project.root / "model.ckpt").touch()
    table = pa.Table.from_batches([batch({"input": "you idiot", "response": "I hear you."}, {"input": "hello"})])
    path = project.root / "data/normalized/trace.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    model = {"enabled": True, "checkpoint": "model.ckpt", "config": "."}
    project.params(lambda tree: tree.setdefault("screens", {}).update(toxicity_detoxify=model))
    project.run("screen", "trace")
    assert screened(project)["toxicity_detoxify"].to_pylist() == [
        {"input": 91, "response": 3, "rejected_response": None},
        {"input": 3, "response": None, "rejected_response": None},
    ]


def test_optional_screens_are_off_by_default() -> None:
    assert not set(OPTIONAL) & set(screens.enabled(params.Screens()))
    assert all((Path(screens.FOLDER) / f"{name}.py").exists() for name in OPTIONAL)
