"""The defect table: planted defects are found, all of them and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from stages.params import Synthesize
from stages.synthesize import defects
from stages.synthesize.defects import Pair
from tests import scripted_text
from tests.llm_project import DEFAULTS, STAGES
from tests.llm_server import Body, Scripted, completion
from tests.synthesize.test_faults import seed
from tests.synthesize.test_run import TOTAL, live, spool

__all__ = ["spool"]  # a fixture

SETTINGS = msgspec.convert(
    yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))["synthesize"] | {"mode": "off"}, Synthesize
)
NONE = ("duplicates", "near_duplicates_rouge_l", "banned_openings", "refusals", "leftovers", "questions_short")
TOPICS = [topic.label for topic in SETTINGS.topics]


def clean(count: int) -> list[Pair]:
    """Rows with no defect, in the proportions of the topics."""
    named = [topic for topic in SETTINGS.topics for _ in range(round(topic.weight / 1223.5 * count))]
    return [
        Pair(
            scripted_text.question(number, topic.label, 80, 120),
            scripted_text.answer(number, topic.label, 150, 220, crisis=topic.label in SETTINGS.policy.crisis_topics),
            topic.label,
            topic.label in SETTINGS.policy.crisis_topics,
        )
        for number, topic in enumerate(named)
    ]


def measured(pairs: list[Pair]) -> dict[str, Any]:
    return defects.measure(pairs, SETTINGS.topics, SETTINGS.filters)


def test_each_planted_defect_is_counted() -> None:
    pairs = clean(150)
    base = measured(pairs)
    assert not any(base[name] for name in (*NONE, "no_final_punctuation"))

    def plant(places: range, change: Callable[[Pair], Pair]) -> None:
        for place in places:
            pairs[place] = change(pairs[place])

    def answer(text: Callable[[str], str]) -> Callable[[Pair], Pair]:
        return lambda pair: Pair(pair.question, text(pair.answer), pair.topic, pair.crisis)

    def question(text: Callable[[str], str]) -> Callable[[Pair], Pair]:
        return lambda pair: Pair(text(pair.question), pair.answer, pair.topic, pair.crisis)

    plant(range(0, 4), answer(lambda t: "I'm really glad. " + t))
    plant(range(4, 7), answer(lambda t: "As an AI, I suggest this. " + t))
    plant(range(7, 12), question(lambda t: "[message 9] " + t))
    plant(range(12, 14), answer(lambda t: t + " Yours, [Your Name]"))
    plant(range(14, 20), question(lambda t: " ".join(t.split()[:30])))
    plant(range(20, 21), question(lambda _: pairs[21].question))
    plant(range(22, 23), question(lambda _: pairs[23].question.replace("the", "that", 2)))
    plant(range(24, 27), answer(lambda t: t + " and then"))
    crisis = [place for place, pair in enumerate(pairs) if pair.crisis]
    plant(range(crisis[0], crisis[0] + 1), answer(lambda t: scripted_text.answer(9, "Stress", 60, 61, crisis=False)))
    found = measured(pairs)
    assert found["banned_openings"] == 4
    assert found["refusals"] == 3
    assert found["leftovers"] == 7
    assert found["questions_short"] == 6
    assert found["duplicates"] == 1
    assert found["near_duplicates_rouge_l"] == 4
    assert found["no_final_punctuation"] == 5
    assert found["crisis"] == base["crisis"]
    assert found["crisis_with_line_or_emergency"] == base["crisis_with_line_or_emergency"] - 1


@pytest.mark.parametrize(("shared", "share"), [(0, 0.0), (2, 0.2), (10, 1.0)])
def test_openings_are_shared_by_as_many_rows_as_were_planted(shared: int, share: float) -> None:
    pairs = [Pair(f"{word} one two three four five six seven eight nine", "b") for word in "abcdefghij"]
    for place in range(shared):
        pairs[place] = Pair("same one two three four " + "xyzuvwklmn"[place] + " x y z", "b")
    table = measured(pairs)
    assert table["questions_sharing_first_5"] == share
    assert table["questions_sharing_first_8"] == 0.0


def test_the_distance_of_topics() -> None:
    labels = [topic.label for topic in SETTINGS.topics for _ in range(int(2 * topic.weight))]
    assert defects.topic_distance(labels, SETTINGS.topics) == 0.0
    assert defects.topic_distance(["Alzheimer's"] * 5, SETTINGS.topics) == round(1 - 1 / 1223.5, 4)
    assert defects.topic_distance([], SETTINGS.topics) is None


def test_labels_without_a_keyword_of_their_topic() -> None:
    pairs = [Pair("The panic attacks are back.", "b", "Anxiety"), Pair("The panic attacks are back.", "b", "Marriage")]
    assert defects.labels_without_keyword(pairs) == 0.5
    assert defects.labels_without_keyword([Pair("a", "b")]) is None


# What the server says wrongly, by the reason it must get: (slot, part) and the completion.
GOOD = scripted_text.answer(77, "Anxiety", 150, 200, crisis=False)
ASKED = scripted_text.question(77, "Anxiety", 90, 120)


def said(text: str, finish: str = "stop") -> Callable[[Body], Body]:
    return lambda body: completion(body, text, choices=[{"message": {"content": text}, "finish_reason": finish}])


spoken: dict[str, str] = {}  # what the server said to a slot that comes before

PLANTED: dict[str, tuple[str, str, Callable[[Body], Body]]] = {
    "leftover": ("t01-0001", "question", said("Patient: " + ASKED)),
    "refusal": ("t01-0002", "answer", said("As an AI, I would say this. " + GOOD)),
    "length": ("t01-0003", "question", said("I feel bad.")),
    "banned_opening": ("t01-0004", "answer", said("It sounds like a lot. " + GOOD)),
    "no_referral": ("t05-0001", "answer", said(GOOD)),
    "copies_question": ("t01-0005", "answer", lambda body: said(f"{GOOD} {body['messages'][-1]['content']}")(body)),
    "loop": ("t01-0006", "answer", said("We could sit down and talk for a while when it is late. " * 14)),
    "truncated": ("t01-0007", "answer", said("Half of an", "length")),
    "content_filter": ("t02-0001", "answer", said("x", "content_filter")),
    "no_choices": ("t02-0002", "question", lambda body: completion(body, choices=[])),
    "no_content": ("t02-0003", "question", lambda body: completion(body, choices=[{"message": {"content": None}}])),
    "nul": ("t02-0004", "question", said("a\0b")),
    "think_block": ("t02-0005", "answer", said("<think>unfinished")),
    "empty": ("t03-0001", "question", said("   ")),
    "near_duplicate": ("t03-0002", "question", lambda body: said(spoken["t01-0008"].replace("the ", "that ", 2))(body)),
    "language": ("t04-0001", "question", said("und dann sass ich " + " ".join(f"wort{n}" for n in range(70)))),
}  # fmt: skip


def test_planted_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each defect gets its own reason, once, and the next attempt fills the row."""
    wrong = {seed(slot, part): make for slot, part, make in PLANTED.values()}

    def reply(body: Body) -> Body:
        whole = wrong.get(body["seed"], completion)(body)
        if body["seed"] == seed("t01-0008", "question"):
            spoken["t01-0008"] = whole["choices"][0]["message"]["content"]
        return whole

    with Scripted(reply=reply) as server:
        project = live(tmp_path, server, {"total": 24, "limits.concurrency": 1})
        project.run(monkeypatch, *STAGES)
        report = project.report()
        assert report["rejected"] == dict.fromkeys(sorted(PLANTED), 1)
        assert report["rows"] == 24 > TOTAL
        rejects = project.rows("data/synthesize/rejected.jsonl")
        assert Counter((r["slot"], r["part"], r["reason"]) for r in rejects) == Counter(
            (slot, part, reason) for reason, (slot, part, _) in PLANTED.items()
        )
        table = report["defects"]
        assert not any(table[name] for name in (*NONE, "near_duplicates_tfidf"))
        assert table["crisis_with_line_or_emergency"] == table["crisis"] > 0


def test_of_two_near_duplicates_in_one_round_the_later_slot_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever answer comes first."""
    for concurrency in (1, 8):
        pair = {seed("t01-0002", "question"), seed("t02-0001", "question")}
        with Scripted(reply=lambda body: completion(body, ASKED if body["seed"] in pair else None)) as server:  # noqa: B023
            folder = tmp_path / str(concurrency)
            folder.mkdir()
            project = live(folder, server, {"limits.concurrency": concurrency})
            project.run(monkeypatch, *STAGES)
            rejects = project.rows("data/synthesize/rejected.jsonl")
            assert [(r["slot"], r["reason"]) for r in rejects] == [("t02-0001", "near_duplicate")]


def test_openings_of_answers_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three answers begin alike; one of sixteen rows may not share its first five words with another."""
    alike = {seed(f"t01-000{number}", "answer") for number in (1, 2, 3)}

    def reply(body: Body) -> Body:
        whole = completion(body)
        if body["seed"] in alike:
            message = whole["choices"][0]["message"]
            message["content"] = "Small steps are what helps here. " + message["content"]
        return whole

    with Scripted(reply=reply) as server:
        project = live(tmp_path, server, {"filters.opening": {"words": 5, "max_share": 1.0, "sharing": {5: 0.1}}})
        project.run(monkeypatch, *STAGES)
        rejects = project.rows("data/synthesize/rejected.jsonl")
        assert [(r["slot"], r["reason"]) for r in rejects] == [
            ("t01-0002", "opening_shared"),
            ("t01-0003", "opening_shared"),
        ]
        assert project.report()["defects"]["answers_sharing_first_5"] == 0.0
