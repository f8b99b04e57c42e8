from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.audit import LIMIT, _rows, audit
from tests.conftest import Project
from tests.records import batch

LABELS = ["no", "yes"]
WORDS = [f"w{i}" for i in range(200)]


def table(rows: list[tuple[str, str]]) -> pa.Table:
    ids = [f"{i:032x}" for i in range(len(rows))]
    columns = [ids, [text for text, _ in rows], [label for _, label in rows]]
    return pa.table([pa.array(column, pa.string()) for column in columns], ["id", "text", "label"])


def sentence(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


def corpus(count: int = 300, seed: int = 1) -> list[tuple[str, str]]:
    """Texts whose length and words say nothing of their label."""
    draw = random.Random(seed)
    return [(sentence(draw, draw.randint(5, 30)), draw.choice(LABELS)) for _ in range(count)]


def test_labels_that_mean_nothing_score_by_chance() -> None:
    found = audit(table(corpus(600)), LABELS)
    for name in ("length", "best_word", "one_line_rule", "model"):
        assert 0.4 < found[name]["accuracy"] < 0.6, name
    assert found["artefact"] is False


def test_copies_never_teach_their_own_label() -> None:
    """With rows drawn at random into folds, five copies of each text would give nearly 1."""
    found = audit(table([row for row in corpus(120) for _ in range(5)]), LABELS)
    assert found["model"]["accuracy"] < 0.65


def test_length_that_gives_the_label_away() -> None:
    draw = random.Random(2)
    rows = [(sentence(draw, 40), "yes") for _ in range(90)] + [(sentence(draw, 8), "no") for _ in range(60)]
    found = audit(table(rows), LABELS)
    assert found["majority"] == 0.6
    assert found["length"]["accuracy"] == found["one_line_rule"]["accuracy"] == 1.0
    assert found["length"]["rule"].endswith("characters: yes; else no")
    assert found["artefact"] is True


def test_a_word_and_the_labels_own_name() -> None:
    rows = [(f"{text} yesterday", label) if label == "yes" else (text, label) for text, label in corpus(200)]
    found = audit(table(rows), LABELS)
    assert found["best_word"] == {"accuracy": 1.0, "word": "yesterday"}
    renamed = [(text, {"yes": "not_yesterdays", "no": "other"}[label]) for text, label in rows]
    found = audit(table(renamed), ["not_yesterdays", "other"])
    assert found["label_name"] == {"accuracy": 1.0, "part": "yesterd"}


def test_one_line_joins_length_and_a_word() -> None:
    draw = random.Random(3)
    long = [(sentence(draw, 40), "yes") for _ in range(60)]
    short = [(sentence(draw, draw.randint(3, 9)) + " signal", "yes") for _ in range(40)]
    none = [(sentence(draw, draw.randint(3, 11)), "no") for _ in range(100)]
    found = audit(table([*long, *short, *none]), LABELS)
    assert found["one_line_rule"]["accuracy"] == 1.0 and "'signal': yes; else no" in found["one_line_rule"]["rule"]
    assert found["length"]["accuracy"] < 0.9


def test_the_model_learns_what_no_single_word_tells() -> None:
    draw = random.Random(4)
    happy, unhappy = WORDS[:40], WORDS[40:80]
    rows = []
    for _ in range(400):
        label = draw.choice(LABELS)
        words = draw.sample(happy if label == "yes" else unhappy, 3) + draw.sample(WORDS[80:], 9)
        draw.shuffle(words)
        rows.append((" ".join(words), label))
    found = audit(table(rows), LABELS)
    assert found["model"]["accuracy"] > 0.95 > 0.75 > found["best_word"]["accuracy"]
    assert found["model"]["contradicts"] == len(found["model"]["ids"])


def test_more_than_two_labels() -> None:
    draw = random.Random(5)
    rows = [(f"{sentence(draw, 10)} {label}x", label) for label in ("a", "b", "c") * 60]
    found = audit(table(rows), ["a", "b", "c"])
    assert found["model"]["accuracy"] > 0.95 and found["majority"] == 0.333


def test_rows_the_model_contradicts_are_listed() -> None:
    draw = random.Random(6)
    rows = [(f"{sentence(draw, 8)} {'good' if label == 'yes' else 'bad'}", label) for label in LABELS * 100]
    rows[17] = (rows[17][0], "no")  # its text says yes
    found = audit(table(rows), LABELS)
    assert f"{17:032x}" in found["model"]["ids"] and found["model"]["contradicts"] < 10


def test_duplicates_with_conflicting_labels_are_found_under_folding() -> None:
    rows = [*corpus(50), ("So tired.", "yes"), ("so  TIRED", "no"), ("So sad!", "yes"), ("so sad", "yes")]
    duplicates = audit(table(rows), LABELS)["duplicates"]
    assert duplicates == {"texts": 2, "rows": 4, "conflicting_texts": 1, "conflicting_rows": 2}


def test_order_of_labels_in_the_file() -> None:
    rows = sorted(corpus(100), key=lambda row: row[1])
    order = audit(table(rows), LABELS)["order"]
    assert order["sorted"] is True and order["runs"] == 2 and order["first_tenth"] == {"no": 1.0, "yes": 0.0}
    random.Random(0).shuffle(rows)
    assert audit(table(rows), LABELS)["order"]["sorted"] is False


def test_order_of_rows_changes_nothing_else() -> None:
    rows = table(corpus(150))
    turned = rows.take(list(reversed(range(len(rows)))))
    first, second = audit(rows, LABELS), audit(turned, LABELS)
    assert {k: v for k, v in first.items() if k != "order"} == {k: v for k, v in second.items() if k != "order"}


@pytest.mark.parametrize("rows", [[], [("one", "yes")], [("one", "yes"), ("two", "yes")]])
def test_too_little_to_judge(rows: list[tuple[str, str]]) -> None:
    found = audit(table(rows), LABELS)
    assert found["rows"] == len(rows) and "model" not in found


@pytest.mark.parametrize("rows", [[("one", "yes"), ("two", "no")], [("", "yes"), ("!!!", "no"), ("x", "no")]])
def test_very_few_rows_still_give_figures(rows: list[tuple[str, str]]) -> None:
    found = audit(table(rows), LABELS)
    assert 0 <= found["model"]["accuracy"] <= 1


# --- the stage -------------------------------------------------------------------------------------------


def write(project: Project, rows: list[dict[str, Any]]) -> Path:
    path = project.root / "data/normalized/depression_reddit.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_batches([batch(*rows)]), path)
    return path


def test_the_stage_reports_each_source_with_labels(project: Project) -> None:
    kinds = {"yes": "depression", "no": "not-depression"}
    write(project, [{"input": t, "response": kinds[label], "type": "classification"} for t, label in corpus(60)])
    project.run("audit", PYTHONHASHSEED="1")
    first = (project.root / "data/reports/audit.json").read_bytes()
    report = project.json("data/reports/audit.json")
    assert list(report) == ["depression_reddit"] and report["depression_reddit"]["audited"] == 60
    project.run("audit", PYTHONHASHSEED="2", LC_ALL="C")
    assert (project.root / "data/reports/audit.json").read_bytes() == first


def test_missing_records_are_a_sentence(project: Project) -> None:
    done = project.run("audit", code=1)
    assert "data/normalized/depression_reddit.parquet is missing" in done.stderr and "Traceback" not in done.stderr


def test_a_large_source_is_audited_by_a_sample_of_ids(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    count = LIMIT * 2
    ids = [f"{i * (16**8 // count):08x}{i:024x}" for i in range(count)]
    write(project, [{"id": ids[i], "input": "a", "response": "depression"} for i in range(count)])
    monkeypatch.chdir(project.root)
    rows = _rows("depression_reddit")
    kept = len(rows) - rows["text"].null_count
    assert len(rows) == count and LIMIT <= kept <= LIMIT + 1


@pytest.mark.slow
def test_the_depression_source_comes_out_as_what_it_is(real: Path) -> None:
    with (real / "depression_reddit/depression_dataset_reddit_cleaned.csv").open(newline="") as file:
        rows = [
            (row["clean_text"], ("not-depression", "depression")[int(row["is_depression"])])
            for row in csv.DictReader(file)
        ]
    found = audit(table(rows), ["depression", "not-depression"])
    assert found["majority"] == 0.504
    assert 0.88 <= found["length"]["accuracy"] <= 0.90
    assert found["label_name"] == {"accuracy": 0.705, "part": "depress"}
    assert found["one_line_rule"]["accuracy"] >= 0.955 and found["artefact"] is True
    assert 0.96 <= found["model"]["accuracy"] <= 0.97
    assert found["order"] == {"runs": 2, "sorted": True, "first_tenth": {"depression": 1.0, "not-depression": 0.0}}
    assert found["duplicates"]["conflicting_texts"] == 0
