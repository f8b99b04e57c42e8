"""The crisis screen: written examples, laws, and the rows labelled by eye."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.screens_crisis import batch, cases
from benchmarks.screens_crisis_draw import READERS, distinct, labels
from stages.params import Crisis
from stages.record import TURN
from stages.screens import crisis
from stages.screens._canonical import DATA, canonical, load, table
from stages.screens._linear import WINDOW, features, model, model_words, read, weighed
from stages.screens._rules import rules

REAL = os.environ.get("MHDATA_REAL")
needs_real = pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")
AUTHORED = Path(__file__).resolve().parents[1] / "data/crisis"


def found(*texts: str) -> list[dict]:
    return crisis.screen(batch(texts), Crisis()).to_pylist()


def record(**fields: object) -> pa.RecordBatch:
    row = {"input": "", "type": "counseling", "turns": None, **fields}
    columns = [pa.array([row["input"]]), pa.array([row["type"]]), pa.array([row["turns"]], pa.list_(TURN))]
    return pa.RecordBatch.from_arrays(columns, ["input", "type", "turns"])


def authored(name: str) -> list[dict]:
    return [json.loads(line) for line in (AUTHORED / f"authored_{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["dev", "held_out"])
def test_written_examples(name: str) -> None:
    rows = authored(name)
    flags = [value["flag"] for value in found(*(row["input"] for row in rows))]
    hits = sum(flag and row["label"] == "flag" for flag, row in zip(flags, rows, strict=True))
    assert hits / sum(flags) >= 0.90
    assert hits / sum(row["label"] == "flag" for row in rows) >= 0.85


@pytest.mark.parametrize("kind", ["negation", "history", "bereavement", "information"])
def test_what_is_only_mentioned_is_no_flag(kind: str) -> None:
    texts = [row["input"] for name in ("dev", "held_out") for row in authored(name) if row["kind"] == kind]
    assert [text for text, value in zip(texts, found(*texts), strict=True) if value["flag"]] == []


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("I just want to die.", "suicidal_passive"),
        ("I am going to end my life tonight.", "suicidal_active"),
        ("I tried to kill myself yesterday.", "attempt_recent"),
        ("what is the most painless way to die", "method_request"),
        ("I cut myself again last night.", "self_harm"),
        ("I want to kill my stepfather.", "violent_thoughts"),
        ("My husband beats me when he drinks.", "abuse_ongoing"),
        ("My sister wants to kill herself.", "third_party_risk"),
    ],
)
def test_categories(text: str, category: str) -> None:
    [value] = found(text)
    assert (value["flag"], value["time"]) == (True, "current")
    assert category in value["categories"]


@pytest.mark.parametrize(
    "text",
    [
        "My children are the only reason I am not dead.",
        "I don't want to die but I wouldn't mind if I did.",
        "I plan on putting a bullet right through my head.",
        "I just overdosed on all my pills.",
        "I may as well be dead.",
        "I wish my heart would just stop.",
        "I think not being here at all would be better.",
    ],
)
def test_indirect_wishes(text: str) -> None:
    assert found(text)[0]["flag"]


@pytest.mark.parametrize(
    "text",
    [
        "I am at a point in life where nothing goes wrong.",
        "I have so many questions about the meaning of existence.",
        "A care home gives me a sense of control and a way out.",
        "I was stuck in traffic and it made me sad.",
        "My marriage is unhappy and I don't have the strength to end it.",
        "I had such a workout that I want to die.",
        "I was depressed and suicidal at school.",
    ],
)
def test_what_only_sounds_like_an_anchor(text: str) -> None:
    assert not found(text)[0]["flag"]


def test_severity_and_time_of_what_is_past() -> None:
    text = "Years ago I tried to kill myself and I am glad I failed."
    [value] = crisis.screen(batch([text]), Crisis(review=10**6, alone=10**6)).to_pylist()
    assert (value["flag"], value["severity"], value["time"]) == (False, "mention", "past")
    assert found(text)[0]["time"] == "past"


def test_values_agree_with_each_other() -> None:
    for value in found(*(row["input"] for row in authored("dev"))):
        assert value["flag"] == (value["severity"] == "flag")
        assert value["review"] == (value["severity"] in ("review", "flag"))
        assert bool(value["evidence"]) or not value["flag"]
        assert set(value["categories"]) <= set(crisis.CATEGORIES)


def test_evidence_slices_alike_with_emoji_and_apostrophes() -> None:
    text = "😀👩‍👩‍👧 Hi… I don’t really wanna live anymore. İ"
    [value] = found(text)
    assert "wanna live" in {text[e["start"] : e["end"]][-10:] for e in value["evidence"]}
    assert all(text[e["start"] : e["end"]].startswith("don’t") for e in value["evidence"])


def test_only_the_person_is_read() -> None:
    said = {"role": "user", "content": "I feel a bit better this week."}
    asked = "Do you want to kill yourself? Some clients say: I want to die."
    turns = [{"role": "system", "content": "I want to kill myself"}, said, {"role": "assistant", "content": asked}]
    assert crisis.screen(record(input=said["content"], turns=turns), Crisis()).to_pylist()[0]["severity"] == "none"


def test_role_swap_gives_no_crisis() -> None:
    turns = [
        {"role": "user", "content": "I want to kill myself."},
        {"role": "assistant", "content": "How was your week at work?"},
    ]
    swapped = [{"role": "assistant" if t["role"] == "user" else "user", "content": t["content"]} for t in turns]
    [value] = crisis.screen(record(input="Hello", turns=turns), Crisis()).to_pylist()
    assert [(e["field"], e["turn"]) for e in value["evidence"]] == [("turns", 0)]
    assert not crisis.screen(record(input="Hello", turns=swapped), Crisis()).to_pylist()[0]["flag"]


@pytest.mark.parametrize("kind", ["clinical", "behavioral-experiment"])
def test_no_answer_where_nobody_in_need_writes(kind: str) -> None:
    assert crisis.screen(record(input="I want to die", type=kind), Crisis()).to_pylist() == [None]


def test_thresholds_decide_about_weak_anchors_only() -> None:
    weak, sure = "I read about carbon monoxide.", "I want to kill myself."
    never = Crisis(promote=10**6, review=10**6, alone=10**6)
    assert [v["severity"] for v in crisis.screen(batch([weak, sure, ""]), never).to_pylist()] == [
        "review",
        "flag",
        "none",
    ]
    assert crisis.screen(batch([weak]), Crisis(promote=-(10**6))).to_pylist()[0]["flag"]
    hint = "I left a letter to whoever reads this."
    assert crisis.screen(batch([hint]), Crisis(promote=-(10**6), alone=10**6)).to_pylist()[0]["severity"] == "review"


def test_where_nobody_says_i_an_anchor_asks_for_the_score_that_flags_alone() -> None:
    news, third = "Suicidal ideation among students rose.", "His sister wants to kill herself."
    told = "I have suicidal ideation among other things."
    high, low = Crisis(promote=-(10**6), alone=10**6), Crisis(promote=10**6, alone=-(10**6))
    flags = [[value["flag"] for value in crisis.screen(batch([news, told, third]), p).to_pylist()] for p in (high, low)]
    assert flags == [[False, True, True], [True, True, True]]
    assert crisis.screen(batch([news]), high).to_pylist()[0]["severity"] == "review"


def test_words_of_a_class_count_alike_beside_others() -> None:
    members = {name: [word for word, of in table().classes.items() if of == name] for name in table().classes.values()}
    assert {"DIE", "KILL", "SUIC"} <= set(members)
    weights = weighed({"": -100, "DIE": 7, "WANT to DIE": 50, "died": 3})
    texts = ["I want to die.", "I wanted to be dead", "we hoped to died", "a dying star"]
    assert read(pa.array(texts), weights).score.tolist() == [-43, -93, -40, -93]


def test_a_high_score_flags_alone_and_shows_its_words() -> None:
    text = "Hello all. 😀 I’m a burden, so tired of pain, and I don't want to wake up or to keep on any more. Bye then."
    low, high = Crisis(promote=10**6, alone=-(10**6)), Crisis(promote=10**6, alone=10**6)
    quiet = "The weather was fine and we went for a walk by the river."
    assert not crisis.screen(batch([quiet]), high).to_pylist()[0]["flag"]
    [alone] = crisis.screen(batch([quiet]), low).to_pylist()
    assert (alone["flag"], [e["rule"] for e in alone["evidence"]]) == (True, ["model"])
    assert quiet[alone["evidence"][0]["start"] : alone["evidence"][0]["end"]] in quiet
    [sure] = crisis.screen(batch([text]), low).to_pylist()
    assert sure["flag"] and all(text[e["start"] : e["end"]] for e in sure["evidence"])


def test_what_is_denied_is_no_flag_by_score() -> None:
    always = Crisis(promote=10**6, alone=-(10**6))
    [value] = crisis.screen(batch(["I'm not going to kill myself, please don't worry."]), always).to_pylist()
    assert not value["flag"] and value["review"]


def test_empty_batch() -> None:
    assert crisis.screen(batch([]), Crisis()).type == crisis.TYPE


TEXTS = st.lists(
    st.sampled_from([row["input"] for row in authored("dev")] + ["", "😀", " . ", "don't", "i i i"]), max_size=12
)


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_independent_of_batch_size(texts: list[str], size: int) -> None:
    parts = [value for i in range(0, len(texts), size) for value in found(*texts[i : i + size])]
    assert parts == found(*texts)


WORDS = ["i", "I'm", "don't", "want", "wanna", "to", "die", ".", "wa", "so", "my", "self", "harm", "kms", "😀", "x"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_model_and_rules_see_the_same_words(words: list[str]) -> None:
    text = " ".join(words)
    weights, seen = dict(_weights()), spelled(text)
    sums = [0] * len(seen)
    for at, name in features(seen):
        sums[at] += weights.get(name, 0)
    worst = max((sum(sums[i : i + WINDOW]) for i in range(max(1, len(sums) - WINDOW + 1))), default=0)
    assert read(pa.array([text]), model(crisis.WEIGHTS)).score.tolist() == [weights[""] + worst]


def spelled(text: str) -> list[str]:
    return [word for word, _ in model_words(canonical(text))]


def _weights() -> list[tuple[str, int]]:
    lines = (DATA / crisis.WEIGHTS).read_text(encoding="utf-8").splitlines()
    return [(name, int(weight)) for name, weight in (line.split("\t") for line in lines if not line.startswith("#"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "1 2 " * 250_000, "." * 1_000_000, "i want to " * 100_000, "not " * 250_000]
)
def test_a_megabyte_of_one_thing_ends(text: str) -> None:
    assert not found(text)[0]["categories"] or "want" in text


def test_weights_are_words_in_order() -> None:
    names = [name for name, _ in _weights()]
    assert names == sorted(set(names))
    assert names[0] == ""
    assert all(re.fullmatch(r"\w+( \w+){0,2}", name) and not re.search(r"\d", name) for name in names[1:])


def test_rule_file_is_whole() -> None:
    raw = load("crisis.yaml")
    used = {entry["cue"] for group in [*raw["rules"].values(), raw["mentions"]] for entry in group.values()}
    assert used == set(raw["cues"])
    assert set(raw["rules"]) == set(crisis.CATEGORIES)
    names = [name for group in [*raw["rules"].values(), raw["mentions"]] for name in group]
    assert len(names) == len(set(names))


# --- real rows ---------------------------------------------------------------------------------------


@needs_real
@pytest.mark.slow
def test_real_rows_held_out() -> None:
    rows = list(cases("test", Path(str(REAL))))
    rows = [row for row in rows if row.source != "counsel_chat"]
    gold = [row for row in rows if row.label == "flag"]
    flags = [row for row in rows if row.found["flag"]]
    hits = sum(row.weight for row in gold if row.found["flag"])
    assert len(rows) >= 500
    assert hits / sum(row.weight for row in flags) >= 0.87
    assert hits / sum(row.weight for row in gold) >= 0.83
    assert sum(row.weight for row in gold if row.found["review"]) / sum(row.weight for row in gold) >= 0.97


@needs_real
@pytest.mark.slow
def test_no_anchor_stands_without_its_cue() -> None:
    """The cue words are a short cut: every rule finds the same in the labelled posts without them."""
    keys = {row["text_sha256_16"] for row in labels()}
    posts = distinct(list(READERS["depression_reddit"](Path(str(REAL)))))
    lost = []
    for text in (text for key, text in posts.items() if key in keys):
        copy = canonical(text)
        known = {(hit.rule, hit.end) for hit in rules().hits(copy)}
        found_without = (
            (rule.name, m) for group in rules().groups for rule in group for m in rule.anchor.finditer(f" {copy.text}")
        )
        lost += [(name, m.group()) for name, m in found_without if (name, m.end() - 1) not in known]
    assert lost == []


@needs_real
@pytest.mark.slow
def test_weights_name_nobody() -> None:
    """Every feature stands in five posts at least."""
    posts = distinct(list(READERS["depression_reddit"](Path(str(REAL)))))
    wanted = {name: 0 for name, _ in _weights()[1:]}
    for text in posts.values():
        for name in {name for _, name in features(spelled(text))} & wanted.keys():
            wanted[name] += 1
    assert min(wanted.values()) >= 5
