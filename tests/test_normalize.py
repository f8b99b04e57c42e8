"""normalize: records, ids and rejects, through real files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Project

AMOD = "amod_counseling"


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def pair(context: str, response: str = "An answer.") -> dict[str, str]:
    return {"Context": context, "Response": response}


def normalize(project: Project, source: str, files: dict[str, bytes], code: int = 0) -> str:
    project.raw(source, files)
    return project.run("normalize", source, code=code).stderr


def amod(project: Project, *rows: Any) -> list[dict[str, Any]]:
    normalize(project, AMOD, {"combined_dataset.json": lines(*rows)})
    return project.records(AMOD)


def test_an_id_does_not_change_with_other_rows_or_another_order(project: Project) -> None:
    rows = [pair("one"), pair("two"), pair("one"), pair("three", "x")]
    before = {(r["input"], r["response"]): r["id"] for r in amod(project, *rows[1:])}
    after = {(r["input"], r["response"]): r["id"] for r in amod(project, pair("new"), *reversed(rows[1:]))}
    assert before.items() <= after.items()


def test_equal_rows_have_ids_of_their_own_by_their_number(project: Project) -> None:
    ids = [record["id"] for record in amod(project, pair("one"), pair("one"), pair("one"))]
    assert len(set(ids)) == 3
    assert [record["id"] for record in amod(project, pair("zero"), pair("one"), pair("one"))][1:] == ids[:2]


def test_an_id_is_known(project: Project) -> None:
    """A golden value: an id that changes would break every reference to a row."""
    assert amod(project, pair("one"))[0]["id"] == "b9eb5eecbe93d49a11fa906a9ed9d62e"


def test_text_of_a_source_that_may_not_be_edited_stays_byte_equal(project: Project) -> None:
    text = " a\r\nb\u00a0\u2028 e\u0301 "
    record = amod(project, pair(text, text))[0]
    assert (record["input"], record["response"], record["origin"]["edits"]) == (text, text, [])


def test_where_edits_are_allowed_they_are_made_and_stand_on_the_row(project: Project) -> None:
    row = {"prompt": " a\r\nb ", "chosen": "e\u0301", "rejected": "x"}
    normalize(project, "human_like_dpo", {"data.json": json.dumps([row]).encode()})
    record = project.records("human_like_dpo")[0]
    assert (record["input"], record["response"]) == ("a\nb", "é")
    assert record["origin"]["edits"] == ["edges", "newlines", "nfc"]


def test_the_group_is_the_folded_input(project: Project) -> None:
    one, other, third = amod(project, pair("Hang out with.Seriously"), pair("hang out with. seriously", "b"), pair("x"))
    assert one["group"] == other["group"] != third["group"]


def test_every_bad_row_is_in_the_quarantine_with_reason_place_and_text(project: Project) -> None:
    content = lines(pair("good"), {"Context": "x"}, {"Context": 1, "Response": "y"}, pair(" \n"), pair("x", "\u0000"))
    content += b"no json\n" + b'{"Context":"\xff","Response":"y"}\n' + lines(pair("good 2"))
    normalize(project, AMOD, {"combined_dataset.json": content})
    rows = project.lines(f"data/quarantine/{AMOD}.jsonl")
    assert [(row["row"], row["reason"]) for row in rows] == [
        (1, "missing_field"), (2, "wrong_type"), (3, "empty_text"), (4, "nul"), (5, "not_json"), (6, "invalid_utf8"),
    ]  # fmt: skip
    assert all(row["message"] and row["raw"] and row["file"] == "combined_dataset.json" for row in rows)
    account = project.json(f"data/ledger/normalize/{AMOD}.json")
    assert (account["in"], account["out"], sum(account["rejected"].values())) == (8, 2, 6)


def test_an_overlong_text_is_rejected(project: Project) -> None:
    project.params(lambda tree: tree["sources"][AMOD].update(max_chars=10))
    assert [record["input"] for record in amod(project, pair("x" * 11), pair("x" * 10, "short"))] == ["x" * 10]


def test_a_file_of_which_too_much_is_rejected_stops_the_build_and_says_why(project: Project) -> None:
    said = normalize(project, AMOD, {"combined_dataset.json": lines(*[pair("x")] * 940, *[pair(" ")] * 60)}, code=1)
    assert "60 of 1000 rows of combined_dataset.json are rejected: empty_text 60" in said
    assert "Traceback" not in said
    assert not (project.root / f"data/normalized/{AMOD}.parquet").exists()


def test_a_small_file_stops_the_build_only_when_all_of_it_is_rejected(project: Project) -> None:
    assert len(amod(project, pair("x"), *[pair(" ")] * 9)) == 1
    said = normalize(project, AMOD, {"combined_dataset.json": lines(*[pair(" ")] * 9)}, code=1)
    assert "9 of 9 rows" in said


def test_a_changed_schema_is_named_before_the_first_row(project: Project) -> None:
    said = normalize(project, AMOD, {"combined_dataset.json": lines({"Question": "x", "Response": "y"})}, code=1)
    assert "no column 'Context'" in said and "(it has 'Question', 'Response')" in said


def test_no_file_gives_an_empty_table(project: Project) -> None:
    normalize(project, "reddit_ess", {})
    assert project.records("reddit_ess") == []


def test_mentalchat_tells_its_halves_by_file_and_keeps_the_instruction_once(project: Project) -> None:
    head = "instruction,input,output\n"
    files = {
        "Interview_Data_6K.csv": f'{head}"Help. \nDo it. ",a,b\n'.encode(),
        "Synthetic_Data_10K.csv": f'{head}"Help.\nDo it.",NA,"x\ny"\n'.encode(),
    }
    normalize(project, "mentalchat16k", files)
    interview, synthetic = project.records("mentalchat16k")
    assert (interview["type"], interview["tags"]) == ("interview", ["paraphrased"])
    assert (synthetic["type"], synthetic["tags"], synthetic["input"]) == ("synthetic", ["synthetic"], "NA")
    assert interview["system"] == synthetic["system"] == "Help.\nDo it."
    assert interview["origin"]["edits"] == ["blanks", "edges"]


def test_a_transcript_keeps_all_its_choices_and_its_marks(project: Project) -> None:
    text = "Choose.\nYou press <<A>>. You win.\nYou press <<B>> and rest.\n"
    rows = [{"text": text, "experiment": "../x/exp1.csv", "participant": "1"}]
    rows.append({"text": "No choice.", "experiment": "e", "participant": "1"})
    normalize(project, "psych_101", {"prompts_training.jsonl": lines(*rows)})
    record = project.records("psych_101")[0]
    assert (record["input"], record["response"]) == ("Choose.\nYou press <<A>>. You win.\nYou press ", "B")
    assert [turn["content"] for turn in record["turns"]] == [
        "Choose.\nYou press ", "A", ". You win.\nYou press ", "B", " and rest.\n",
    ]  # fmt: skip
    assert project.lines("data/quarantine/psych_101.jsonl")[0]["reason"] == "no_choice"


def test_participants_of_two_experiments_are_two_people(project: Project) -> None:
    rows = [{"text": "x <<A>>", "experiment": e, "participant": p} for e, p in (("e1", "2"), ("e12", "2"), ("e1", "2"))]
    normalize(project, "psych_101", {"prompts_training.jsonl": lines(*rows)})
    one, other, again = [record["group"] for record in project.records("psych_101")]
    assert one == again != other


def test_a_trace_row_keeps_its_meta_as_it_stands_and_its_roles_are_checked(project: Project) -> None:
    messages = [{"role": role, "content": role} for role in ("system", "user", "assistant")]
    rows = [
        {"messages": messages, "meta": {"example_id": "e1", "gold_labels": {"a": [1, None]}}},
        {"messages": messages[1:], "meta": {"example_id": "e2"}},
    ]
    files = {f"data/splits/{name}.jsonl": lines(rows[0]) for name in ("valid", "test")}
    normalize(project, "trace", {"data/splits/train.jsonl": lines(*rows), **files})
    record = project.records("trace")[0]
    assert (record["system"], record["input"], record["response"]) == ("system", "user", "assistant")
    assert json.loads(record["origin"]["meta"]) == rows[0]["meta"]
    assert record["origin"]["key"] == "e1"
    assert project.lines("data/quarantine/trace.jsonl")[0]["reason"] == "wrong_roles"


def test_a_label_becomes_a_label_and_never_a_reply(project: Project) -> None:
    content = b"clean_text,is_depression\ni m sad,1\na tweet,0\nodd,2\n"
    normalize(project, "depression_reddit", {"depression_dataset_reddit_cleaned.csv": content})
    records = project.records("depression_reddit")
    assert [(r["input"], r["response"], r["type"]) for r in records] == [
        ("i m sad", "depression", "classification"), ("a tweet", "not-depression", "classification"),
    ]  # fmt: skip
    assert project.lines("data/quarantine/depression_reddit.jsonl")[0]["reason"] == "unknown_label"


# --- RedditESS: pairs ------------------------------------------------------------------------------------


def comment(post: str, text: str, effective: Any, score: Any = 1, **more: Any) -> dict[str, Any]:
    return {"post": post, "comment": text, "effective": effective, "score": score, "post_id": post, **more}


def ess(project: Project, *rows: Any) -> list[dict[str, Any]]:
    normalize(project, "reddit_ess", {"redditess.jsonl": lines(*rows)})
    return project.records("reddit_ess")


def test_an_effective_comment_answers_and_an_ineffective_one_on_the_same_post_is_rejected(project: Project) -> None:
    records = ess(
        project,
        comment("p1", "This is a good and long answer.", True, 5),
        comment("p1", "This is a bad but long answer.", False, 1),
        comment("p2", "Another post has its own answer", False, 0),
        comment("p2", "Another post has its own reply.", True, 3),
    )
    assert [(r["response"], r["rejected_response"]) for r in records] == [
        ("This is a good and long answer.", "This is a bad but long answer."),
        ("Another post has its own reply.", "Another post has its own answer"),
    ]
    assert records[0]["tags"] == ["derived:pair", "weak-label"]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (comment("p", "short", True), comment("p", "a very much longer answer", False)),
        (comment("p", "an answer", True, 1), comment("p", "a better one", False, 2)),
        (comment("p", "an answer", True), comment("q", "an answer 2", False)),
    ],
)
def test_comments_that_do_not_fit_make_no_pair(project: Project, good: Any, bad: Any) -> None:
    records = ess(project, good, bad)
    assert [record["rejected_response"] for record in records] == [None]
    assert project.lines("data/quarantine/reddit_ess.jsonl")[0]["reason"] == "unpaired"


def test_deleted_and_moderators_comments_are_left_out(project: Project) -> None:
    rows = [
        comment("p", t, True) for t in ("[deleted]", "[removed]", "I am a bot, and this is automatic.", "A kind word.")
    ]
    assert [record["response"] for record in ess(project, *rows)] == ["A kind word."]
    account = project.json("data/ledger/normalize/reddit_ess.json")
    assert account["rejected"] == {"moderator": 1, "removed": 2}


def test_pairs_do_not_depend_on_the_order_of_the_file_and_have_a_limit(project: Project) -> None:
    project.params(lambda tree: tree["sources"]["reddit_ess"]["pairs"].update(max_per_post=2))
    rows = [comment("p", f"answer number {n}", n % 2 == 0, 10 - n) for n in range(8)]
    pairs = {(r["response"], r["rejected_response"]) for r in ess(project, *rows)}
    assert {(r["response"], r["rejected_response"]) for r in ess(project, *reversed(rows))} == pairs
    assert sum(rejected is not None for _, rejected in pairs) == 2


def test_a_users_own_columns_and_labels_are_declared(project: Project) -> None:
    def change(tree: Any) -> None:
        tree["sources"]["reddit_ess"] |= {
            "files": {"mine.csv": {}},
            "columns": {"post": "seeker_post", "comment": "response_post", "effective": "level", "post_id": "sp_id"},
            "labels": {"0": "ineffective", "1": "effective", "2": "effective"},
        }

    project.params(change)
    content = "sp_id,seeker_post,response_post,level\n1,a post,good words,2\n1,a post,bad words!,0\n"
    normalize(project, "reddit_ess", {"mine.csv": content.encode()})
    record = project.records("reddit_ess")[0]
    assert (record["input"], record["response"], record["rejected_response"]) == ("a post", "good words", "bad words!")


def test_an_undeclared_column_is_named(project: Project) -> None:
    project.params(lambda tree: tree["sources"]["reddit_ess"]["columns"].pop("comment"))
    said = normalize(project, "reddit_ess", {"redditess.jsonl": lines(comment("p", "x", True))}, code=2)
    assert "sources.reddit_ess.columns.comment is missing" in said


def test_a_quote_that_nothing_closes_stops_the_stage(project: Project) -> None:
    rows = [f"row number {i} talks of the weather,{i % 2}" for i in range(200)]
    rows[5] = '"' + rows[5]
    content = "\n".join(["clean_text,is_depression", *rows, ""]).encode()
    said = normalize(project, "depression_reddit", {"depression_dataset_reddit_cleaned.csv": content}, code=1)
    assert "row 5 opens a quote that nothing closes, and swallows 195 lines" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("content", [b"", b"   \n", b"[]\n"])
def test_a_file_without_a_row_stops_the_stage(project: Project, content: bytes) -> None:
    assert "data.json holds no row" in normalize(project, "human_like_dpo", {"data.json": content}, code=1)


def test_a_users_columns_may_have_any_name(project: Project) -> None:
    names = {"post": "post text", "comment": "文-x", "effective": "was.it", "post_id": "f0"}
    project.params(lambda tree: tree["sources"]["reddit_ess"].update(columns=names))
    rows = [
        {"post text": "a post", "文-x": f"comment {i} of some words", "was.it": i % 2 == 0, "f0": "p"} for i in range(4)
    ]
    normalize(project, "reddit_ess", {"redditess.jsonl": lines(*rows)})
    assert {record["input"] for record in project.records("reddit_ess")} == {"a post"}


def test_a_source_without_a_module_is_named(project: Project) -> None:
    project.params(lambda tree: tree["sources"].update(zebra=tree["sources"]["trace"]))
    project.raw("zebra", {"data/splits/train.jsonl": b"{}\n"})
    said = project.run("normalize", "zebra", code=2).stderr
    assert "sources.zebra has no module stages/sources/zebra.py" in said


def test_what_stands_in_the_way_and_missing_words_are_sentences(project: Project) -> None:
    project.raw("trace", {"data/splits/train.jsonl": b"{}\n"})
    assert "usage: python -m stages.normalize KEY" in project.run("normalize", code=2).stderr
    (project.root / "data/normalized").write_text("a file")
    assert "data/normalized: something else stands there" in project.run("normalize", "trace", code=1).stderr
