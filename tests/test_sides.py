"""The shares of the split: three sides, each stable when another share or the data changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import engine, storage
from stages import split as stage
from stages.layout import MERGED_TABLE, SPLIT_TABLE
from stages.params import Split
from stages.split import SIDES, sides_of
from tests.conftest import Project
from tests.test_merge import build, split
from tests.test_normalize import pair

GROUPS = [f"group {n}" for n in range(2000)]
SHARE = st.floats(0, 0.5)


def side_of(groups: list[str], settings: Split) -> list[str]:
    return [SIDES[number] for number in sides_of(pa.array(groups), settings)]


@given(validation=SHARE, test=SHARE, other=SHARE, seed=st.integers(-(2**63), 2**63))
def test_a_change_of_one_share_moves_no_row_of_the_other(
    validation: float, test: float, other: float, seed: int
) -> None:
    before = side_of(GROUPS[:200], Split(seed=seed, validation=validation, test=test))
    after = side_of(GROUPS[:200], Split(seed=seed, validation=validation, test=other))
    assert [side == "validation" for side in before] == [side == "validation" for side in after]
    if other >= test:
        assert all(new == "test" for old, new in zip(before, after, strict=True) if old == "test")


def test_shares_are_met() -> None:
    sides = side_of(GROUPS, Split(seed=1, validation=0.2, test=0.1))
    assert abs(sides.count("validation") / len(sides) - 0.2) < 0.04
    assert abs(sides.count("test") / len(sides) - 0.1) < 0.03
    assert set(side_of(GROUPS, Split(seed=1, validation=0.5, test=0.5))) == {"validation", "test"}
    assert set(side_of(GROUPS, Split(seed=1, validation=0.0))) == {"train"}


@pytest.mark.slow
def test_the_split_is_the_same_for_any_worker_count_and_its_rows_for_any_stretch(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("params.yaml", "data/merged", "data/ledger", "data/benchmarks"):
        copy = shutil.copytree if (built / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy(built / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    pq.write_table(pq.read_table(MERGED_TABLE), MERGED_TABLE, row_group_size=20)
    monkeypatch.setattr(engine, "SMALL", 0)
    monkeypatch.setattr(storage, "STRETCH", 1)
    tables = []
    for workers in (1, 2):
        Project(tmp_path).params(lambda tree, n=workers: tree.update(engine={"kind": "local", "workers": n}))
        shutil.rmtree("data/ledger/split")
        stage.main()
        tables.append(SPLIT_TABLE.read_bytes())
        assert pq.read_table(SPLIT_TABLE).equals(pq.read_table(built / SPLIT_TABLE))
        for name in (f"data/ledger/split/{key}.json" for key in ("trace", "psych_101")):
            assert Path(name).read_bytes() == (built / name).read_bytes()
    assert tables[0] == tables[1]


def test_a_test_share_makes_a_third_side(project: Project) -> None:
    build(project, amod_counseling=[pair(f"question {n // 2}", f"answer {n}") for n in range(120)])
    before = split(project)
    project.params(lambda tree: tree["split"].update(test=0.3))
    after = split(project)
    assert set(after.values()) == {"train", "validation", "test"}
    assert {id for id, side in before.items() if side == "validation"} == {
        id for id, side in after.items() if side == "validation"
    }
    details = project.json("data/ledger/split/amod_counseling.json")["details"]
    assert details["test"] > 0
