"""The shares of the split: three sides, each stable when another share or the data changes."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

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
