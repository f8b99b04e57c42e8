"""The whole search, against the definition applied to all pairs; real files where MHDATA_REAL says where they are."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import engine
from stages.dedup import candidates
from stages.dedup.near import Rules, Writer, find, ranks
from stages.dedup.spill import FIELDS, Spill, sketch
from stages.dedup.verify import PAIR
from stages.params import Engine
from tests.near_oracle import (
    EDITS,
    SHARES,
    Oracle,
    Row,
    batch,
    clusters,
    corpus,
    groups,
    planted,
    removals,
    search,
    sentence,
    swapped,
    together,
)  # fmt: skip

ROOT = Path(__file__).parents[2]
RULES = Rules()
HALF, MOST = Fraction(1, 2), Fraction(7, 10)


# --- against all pairs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_leaves_is_what_comparing_all_pairs_would_remove(tmp_path: Path, seed: int) -> None:
    rows = corpus(seed)
    oracle, found = Oracle(rows, RULES), search(tmp_path, rows)
    expected = clusters(oracle.near)
    assert len(expected) > 30
    assert set(found.near.row.tolist()) == {row for group in expected for row in group if row != min(group)}
    for row, kept, via, inter, union, _ in removals(found):
        assert kept == min(next(group for group in expected if row in group))
        assert (min(row, via), max(row, via)) in oracle.near
        assert Fraction(inter, union) == oracle.whole[min(row, via), max(row, via)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_stays_together_is_what_comparing_all_pairs_would_join(tmp_path: Path, seed: int) -> None:
    rows = corpus(seed)
    oracle, found = Oracle(rows, RULES), search(tmp_path, rows)
    made, wanted = groups(found), clusters(oracle.alike(HALF))
    assert all(any(group <= whole for whole in wanted) for group in made)
    label = together(found)
    apart = {pair for pair in oracle.alike(HALF) if label.get(pair[0], -1) != label.get(pair[1], -2)}
    assert not apart & oracle.alike(MOST)
    assert len(apart) <= 0.01 * len(oracle.alike(HALF))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_no_two_parts_hold_a_pair_that_reaches_the_bound_of_removal(tmp_path_factory, seed: int) -> None:
    rows = corpus(seed, families=12)
    found = search(tmp_path_factory.mktemp("law"), rows)
    label = together(found)
    for a, b in Oracle(rows, RULES).alike(MOST):
        assert label.get(a, -1) == label.get(b, -2), (rows[a], rows[b])


# --- what counts as the same -------------------------------------------------------------------------------

QUESTION = "My partner and I argue every evening about money and I no longer know how to bring it up without a fight"
ANSWER = (
    "It sounds exhausting to have the same argument every day. Try to choose a calm moment, say what you feel rather "
    "than what the other does, and agree on one small thing to change before you talk again"
)


def near(tmp_path: Path, *rows: Row, rules: Rules = RULES, removable: list[bool] | None = None) -> list[int]:
    return search(tmp_path, list(rows), rules, removable=removable).removed.tolist()


def test_other_case_and_punctuation_is_the_same(tmp_path: Path) -> None:
    assert near(tmp_path, (QUESTION, ANSWER, None), (QUESTION.upper() + "?!", ANSWER.replace(".", " ..."), None)) == [1]


def test_another_answer_to_the_same_question_is_no_duplicate(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows: list[Row] = [(QUESTION, " ".join(sentence(draw, 60)), None) for _ in range(80)]
    found = search(tmp_path, rows)
    assert found.removed.tolist() == []
    assert groups(found) == {frozenset(range(80))}


def test_a_long_question_does_not_make_two_short_answers_the_same(tmp_path: Path) -> None:
    long = " ".join([QUESTION, *sentence(random.Random(2), 200)])
    assert near(tmp_path, (long, "Yes, I would do that.", None), (long, "No, I would not do that.", None)) == []
    assert near(tmp_path / "2", (long, "🙂", None), (long, "🙁", None)) == []
    assert near(tmp_path / "3", (long, "👍", None), (long, "", None)) == []
    assert near(tmp_path / "4", (long, "Yes!", None), (long, "yes", None)) == [1]


def test_one_word_in_a_short_field_matters_and_in_a_long_one_does_not(tmp_path: Path) -> None:
    eight = "i have never had any thoughts of suicide"
    assert near(tmp_path, (eight, ANSWER, None), (eight.replace("suicide", "leaving"), ANSWER, None)) == []
    assert near(tmp_path / "2", (QUESTION, ANSWER, None), (QUESTION.replace("evening", "night"), ANSWER, None)) == [1]
    rules = Rules(short=1)
    assert near(
        tmp_path / "3", (eight, ANSWER, None), (eight.replace("suicide", "leaving"), ANSWER, None), rules=rules
    ) == [1]


def test_another_rejected_response_makes_another_row(tmp_path: Path) -> None:
    other = " ".join(sentence(random.Random(4), 8))
    assert near(tmp_path, (QUESTION, ANSWER, None), (QUESTION, ANSWER, other)) == []
    assert near(tmp_path / "2", (QUESTION, ANSWER, other), (QUESTION, ANSWER, other.upper())) == [1]


def test_question_and_answer_in_the_other_fields_are_not_the_same_row(tmp_path: Path) -> None:
    found = search(tmp_path, [(QUESTION, ANSWER, None), (ANSWER, QUESTION, None)])
    assert found.removed.tolist() == []
    assert groups(found) == {frozenset({0, 1})}


def test_rows_that_hold_nothing_but_an_input_are_looked_through_once(tmp_path: Path) -> None:
    rows: list[Row] = [(" ".join(filter(None, row)), None, None) for row in corpus(7)]
    stranger: Row = ("zzz", " ".join(sentence(random.Random(7), 40)), None)
    alone, beside = search(tmp_path / "alone", rows), search(tmp_path / "beside", [*rows, stranger])
    assert len(alone.near.row) > 50 and len(groups(alone)) > 30
    assert removals(alone) == removals(beside) and groups(alone) == groups(beside)
    assert 2 * alone.counts["candidates"] == beside.counts["candidates"] > 0


def test_rows_without_text_are_like_no_other(tmp_path: Path) -> None:
    found = search(tmp_path, [("", "", None), ("", "", None), ("", ANSWER, None), ("", QUESTION, None)])
    assert found.removed.tolist() == []
    assert groups(found) == set()


def test_a_row_of_a_source_that_keeps_near_duplicates_stays_but_stands_beside_its_like(tmp_path: Path) -> None:
    rows: list[Row] = [(QUESTION, ANSWER, None)] * 3
    for removable, gone in (([True, False, True], [2]), ([False, True, False], []), ([False] * 3, [])):
        found = search(tmp_path / str(removable), rows, removable=removable)
        assert found.removed.tolist() == gone
        assert groups(found) == {frozenset({0, 1, 2})}


def test_the_same_answer_under_another_question_is_reported_and_leaves_only_if_asked(tmp_path: Path) -> None:
    other = " ".join(sentence(random.Random(5), 30))
    rows: list[Row] = [(QUESTION, ANSWER, None), (other, ANSWER + " soon", None), (QUESTION + " now", ANSWER, None)]
    found = search(tmp_path / "report", rows)
    assert found.near.row.tolist() == [2]
    assert found.answers.row.tolist() == [1]
    assert found.removed.tolist() == [2]
    pairs = {(a, b) for a, b in found.same_answers[["a", "b"]].tolist()}
    assert pairs == {(0, 1)}  # 2 has the answer of 0 word for word, and 0 speaks for it
    assert near(tmp_path / "drop", *rows, rules=Rules(answers="drop")) == [1, 2]
    assert near(tmp_path / "kept", *rows, rules=Rules(answers="drop"), removable=[True, False, True]) == [2]
    assert near(tmp_path / "short", *[(r[0], "I am sorry.", None) for r in rows], rules=Rules(answers="drop")) == [2]


def test_the_pair_that_joined_a_row_is_told_with_the_words_that_differ(tmp_path: Path) -> None:
    draw = random.Random(9)
    question, answer = sentence(draw, 40), sentence(draw, 60)
    chain = [answer]
    for step in range(3):  # each changes two words more: ends of the chain are no longer near
        made = list(chain[-1])
        for place in (5 + 17 * step, 12 + 17 * step):
            made[place] = "changed"
        chain.append(made)
    rows: list[Row] = [(" ".join(question), " ".join(words), None) for words in chain]
    order = [2, 0, 3, 1]
    found = search(tmp_path, rows, ranks=[order.index(row) for row in range(4)])
    oracle = Oracle(rows, RULES)
    assert found.near.kept.tolist() == [2] * len(found.near.row)
    for row, _, via, inter, union, differing in removals(found):
        assert differing == 2 * abs(row - via)
        assert Fraction(inter, union) == oracle.whole[min(row, via), max(row, via)]
    assert {(row, via) for row, _, via, *_ in removals(found)} == {(0, 1), (1, 2), (3, 2)}


def test_a_replaced_word_counts_once_and_repeats_count_each_time(tmp_path: Path) -> None:
    draw = random.Random(10)
    words = sentence(draw, 100)
    found = search(
        tmp_path, [(" ".join(words + ["so"] * 4), ANSWER, None), (" ".join([*words[:-1], "so"]), ANSWER, None)]
    )
    assert found.near.differing.tolist() == [4]


# --- order, batches, units, tasks --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [4, 5])
def test_any_order_of_rows_gives_the_same(tmp_path: Path, seed: int) -> None:
    rows = corpus(seed, families=40)
    first = search(tmp_path / "first", rows)
    names = list(range(len(rows)))
    random.Random(seed).shuffle(names)
    again = search(tmp_path / "again", [rows[name] for name in names], ranks=names)
    assert removals(again, names) == removals(first)
    assert {frozenset(names[row] for row in group) for group in groups(again)} == groups(first)

    def answers(found, name) -> set:
        fields = [field for field in PAIR.names if field not in "ab"]
        return {(frozenset((name(p["a"]), name(p["b"]))), *(int(p[f]) for f in fields)) for p in found.same_answers}

    assert answers(again, names.__getitem__) == answers(first, int)
    assert {names[row] for row in again.answers.row} == set(first.answers.row.tolist())


def digest(found) -> str:
    arrays = [
        *found.near,
        *found.answers,
        *found.together.between(0, found.counts["rows"]),
        np.sort(found.same_answers),
    ]
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def test_batches_units_and_the_order_of_tasks_have_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = corpus(6)

    def backwards(function, tasks):
        return [function(task) for task in list(tasks)[::-1]]

    expected = digest(search(tmp_path / "a", rows))
    assert digest(search(tmp_path / "b", rows, sizes=(1, 7, 64))) == expected
    assert digest(search(tmp_path / "c", rows, units=5, sizes=(3, 50))) == expected
    assert digest(find(tmp_path / "a", RULES, backwards)) == expected
    for name, value in (("ENTRIES", 20), ("CUT", 7), ("PIECE", 50), ("SPAN", 40)):
        monkeypatch.setattr(candidates, name, value)
    assert digest(search(tmp_path / "d", rows, units=2)) == expected


def test_two_workers_find_the_same(tmp_path: Path) -> None:
    rows = corpus(6)
    expected = digest(search(tmp_path, rows))
    with engine.started(Engine(workers=2), engine.SMALL) as each:
        assert digest(find(tmp_path, RULES, each)) == expected


def test_a_sketch_does_not_know_its_neighbours() -> None:
    rows = corpus(7, families=10)
    whole = sketch(batch(rows))
    at = 0
    for number, row in enumerate(rows):
        alone = sketch(batch([row]))
        assert alone.counts.tolist() == whole.counts[[number]].tolist()
        assert alone.same.tolist() == whole.same[[number]].tolist()
        assert (alone.keys[:, :, 0] == whole.keys[:, :, number]).all()
        assert (alone.words == whole.words[at : at + len(alone.words)]).all()
        at += len(alone.words)


def test_the_hash_seed_and_the_locale_have_no_say(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.near_oracle import corpus, search; "
        "from tests.dedup.test_near import digest; print(digest(search(Path(sys.argv[1]), corpus(8))))"
    )
    told = set()
    for seed, zone in (("0", "UTC"), ("77", "Asia/Kolkata")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed)],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        told.add(done.stdout)
    assert len(told) == 1


def test_ranks_follow_priority_then_id() -> None:
    ids = [f"{number:032x}" for number in (5 << 84, 1 << 84, 15 << 124)]
    assert np.argsort(np.concatenate([ranks(2, pa.array(ids)), ranks(1, pa.array(ids))])).tolist() == [4, 3, 5, 1, 0, 2]
    with pytest.raises(ValueError, match="65536"):
        ranks(65536, pa.array(ids))


def test_of_equal_ranks_the_first_row_stays(tmp_path: Path) -> None:
    found = search(tmp_path, [(QUESTION, ANSWER, None)] * 3, ranks=[7, 7, 7])
    assert (found.near.row.tolist(), found.near.kept.tolist()) == ([1, 2], [0, 0])


# --- sizes -------------------------------------------------------------------------------------------------


def template(draw: random.Random, fixed: int, free: int) -> list[str]:
    return FORM[:fixed] + sentence(draw, free)


FORM = sentence(random.Random(12), 400)


def test_many_rows_from_one_template_take_pairs_in_proportion_and_lose_none(tmp_path: Path) -> None:
    """Similarity about 0.4: nearly every row shares a bucket with every other. In it, true duplicates are found."""
    draw = random.Random(13)
    for count in (300, 900):
        rows = [template(draw, 120, 90) for _ in range(count)]
        twins = [swapped(draw, row, 0.02) for row in rows[: count // 3]]
        made: list[Row] = [(" ".join(row), "", None) for row in rows + twins]
        found = search(tmp_path / str(count), made)
        gone = {(row, kept) for row, kept, *_ in removals(found)}
        assert gone == {(count + number, number) for number in range(count // 3)}
        assert found.counts["cut_short"] > 0 or count == 300
        assert found.counts["candidates"] < 2500 * len(made)


def test_a_template_that_makes_all_rows_alike_makes_one_cluster(tmp_path: Path) -> None:
    draw = random.Random(14)
    made: list[Row] = [(" ".join(template(draw, 300, 60)), "", None) for _ in range(700)]
    found = search(tmp_path, made, removable=[False] * len(made))
    assert groups(found) == {frozenset(range(700))}
    assert found.counts["compared"] < 20 * len(made)


def test_a_question_asked_a_thousand_times_is_compared_once(tmp_path: Path) -> None:
    draw = random.Random(15)
    rows: list[Row] = [(QUESTION, " ".join(sentence(draw, 100)), None) for _ in range(1000)]
    found = search(tmp_path, rows)
    assert groups(found) == {frozenset(range(1000))}
    assert found.counts["compared"] < 1100


def test_one_very_long_row_passes(tmp_path: Path) -> None:
    draw = random.Random(16)
    long = sentence(draw, 300_000)
    rows: list[Row] = [
        ("one", " ".join(long), None),
        ("two", "short", None),
        ("one", " ".join(swapped(draw, long, 0.01)), None),
    ]
    found = search(tmp_path, rows)
    assert found.near.row.tolist() == [2]
    assert found.near.differing.tolist() == [3000]


def test_no_rows_and_no_units(tmp_path: Path) -> None:
    assert find(tmp_path, RULES).removed.tolist() == []
    found = search(tmp_path / "empty", [])
    assert (found.removed.tolist(), together(found)) == ([], {})


# --- files -------------------------------------------------------------------------------------------------


def test_a_unit_that_fails_leaves_nothing_and_one_written_twice_counts_once(tmp_path: Path) -> None:
    def write(fail: bool) -> None:
        with Writer(tmp_path, 0) as writer:
            writer.add(batch([(QUESTION, ANSWER, None)]), np.zeros(1, np.uint64))
            if fail:
                raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write(True)
    assert list(tmp_path.iterdir()) == []
    write(False)
    write(False)
    assert Spill(tmp_path).rows == 1
    assert [path.name for path in tmp_path.iterdir()] == ["unit-000000"]


def test_what_is_spilled_is_read_back_by_position(tmp_path: Path) -> None:
    rows = corpus(17, families=20)
    search(tmp_path, rows, units=3, sizes=(10,))
    spill, whole = Spill(tmp_path), sketch(batch(rows))
    assert spill.rows == len(rows)
    some = np.array(sorted(random.Random(1).sample(range(len(rows)), 30)))
    where = spill.where(some)
    assert (where["counts"] == whole.counts[some]).all()
    assert (spill.rows_at(some)["same"] == whole.same[some]).all()
    assert (spill.keys_at(2, 31, some) == whole.keys[2, 31, some]).all()
    assert (spill.marks(1, some) == whole.marks[some, 1]).all()
    ends = np.cumsum(whole.counts.reshape(-1).astype(int))
    for row, position in enumerate(some.tolist()):
        for field in range(len(FIELDS)):
            told = spill.sequences(some[[row]], where[[row]], (field,)).hashes
            stop = ends[3 * position + field]
            assert told.tolist() == whole.words[stop - whole.counts[position, field] : stop].tolist()


# --- planted edits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EDITS)
def test_planted_edits_are_found_as_the_bounds_promise(tmp_path: Path, kind: str) -> None:
    draw = random.Random(18)
    removed, together = planted(tmp_path, [sentence(draw, draw.randint(80, 300)) for _ in range(200)], kind)
    (low, high), (least, most) = SHARES[kind]
    assert low <= removed <= high
    assert least <= together <= most
