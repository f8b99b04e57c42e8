"""A corpus of any size in the upstream schemas of the real sources: `python -m benchmarks.corpus ROWS FOLDER`

Each source gets its share of the rows, in its real container (JSON array, JSON Lines, CSV), with text of its own
(benchmarks/prose.py) and with lengths, duplicates, near-duplicates, Unicode, personal data and bad rows in about the
proportions that were measured in the real files; broken rows, of which those files hold next to none, are 1 in 1,000.
Rows come in blocks of 2,000 that depend on (seed, source, block) alone: a larger corpus starts with a smaller one,
and no text occurs in two blocks. Duplicates stand in the block of their original.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring_ascii as ascii_json
from pathlib import Path

import numpy as np
import orjson

from benchmarks.prose import draws, lognormal, shares, texts

BLOCK = 2000
SHARES = {  # of 1,000 rows
    "human_like_dpo": 240,
    "amod_counseling": 150,
    "mentalchat16k": 190,
    "trace": 20,
    "psych_101": 7,
    "reddit_ess": 193,
    "depression_reddit": 200,
}
BAD = 1000  # one row in so many
INSTRUCTION = (
    "You are a helpful mental health counselling assistant, please answer the mental health questions based on "
    "the patient's description. \nThe assistant gives helpful, comprehensive, and appropriate answers to the "
    "user's questions. "
)
EMOJI = ("😊", "😂", "🌱", "👩‍💻", "🤔", "🎉", "❤️", "☕", "🙌🏽", "🌊")
CONTACTS = (
    " You can call me on (312) 555-0{n:03d} after six.",
    " Write to first.last{n}@mail.example.org if you like.",
    " See https://www.example.org/articles/{n} for more.",
    " Call or text 988, or go to https://988lifeline.org at any hour.",
)
RISK = " I do not want to be alive any more and I have thought about how I would do it."


class Dice:
    """Numbers for one block of one source; each call gives fresh ones."""

    def __init__(self, *seeds: int) -> None:
        self._seeds, self._calls = seeds, 0

    def _next(self) -> tuple[int, ...]:
        self._calls += 1
        return (*self._seeds, self._calls)

    def shares(self, count: int) -> np.ndarray:
        return shares(count, *self._next())

    def below(self, count: int, bound: int) -> np.ndarray:
        return (draws(count, *self._next()) % np.uint64(bound)).astype(np.int64)

    def texts(self, count: int, median: float, sigma: float, least: float = 15, most: float = 33_000) -> list[str]:
        lengths = np.clip(lognormal(count, median, sigma, *self._next()), least, most)
        return texts(lengths, *self._next())

    def hits(self, count: int, share: float) -> list[int]:
        """The places that a share of rows falls on."""
        return np.flatnonzero(self.shares(count) < share).tolist()


def spaced(text: str) -> str:
    """The same words with other blanks: what a second scrape of one page looks like."""
    return text.replace(". ", ".").replace(", ", ",\u00a0")


def reworded(text: str, number: int) -> str:
    """The same text with one word in fifty another."""
    words = text.split(" ")
    for place in range(number % 50, len(words), 50):
        words[place] = "perhaps"
    return " ".join(words)


def copied(dice: Dice, rows: list[list[str]], share: float, change: Callable[[str, int], str]) -> None:
    """Put changed copies of other rows of the block in the place of a share of them."""
    others = dice.below(len(rows), len(rows)).tolist()
    for place in dice.hits(len(rows), share):
        rows[place] = [change(text, place) for text in rows[others[place]]]


def sprinkled(dice: Dice, column: list[str], share: float, addition: str) -> None:
    numbers = dice.below(len(column), 1000).tolist()
    for place in dice.hits(len(column), share):
        column[place] += addition.format(n=numbers[place])


# --- sources: the rows of one block ------------------------------------------------------------------------


def dpo(dice: Dice, count: int) -> list[list[str]]:
    pool = dice.texts(max(1, count * 74 // 100), 61, 0.24, most=119)
    prompts = [pool[n].rstrip(".!?") + "?" for n in dice.below(count, len(pool)).tolist()]
    chosen, rejected = dice.texts(count, 717, 0.47), dice.texts(count, 548, 0.44)
    emoji = dice.below(count, len(EMOJI)).tolist()
    for place in dice.hits(count, 0.96):
        chosen[place] += f" {EMOJI[emoji[place]]} Right?"
    for place in dice.hits(count, 0.54):
        rejected[place] = "As an artificial intelligence language model, I do not have feelings. " + rejected[place]
    for place in dice.hits(count, 0.013):
        chosen[place] = "As an AI language model, I cannot say. " + chosen[place]
    rows = [list(row) for row in zip(prompts, chosen, rejected, strict=True)]
    copied(dice, rows, 0.005, reworded)
    return rows


def amod(dice: Dice, count: int) -> list[list[str]]:
    pool = dice.texts(max(1, count * 2 // 5), 232, 0.73, most=2_700)
    sprinkled(dice, pool, 0.04, RISK)
    contexts = [pool[n] for n in dice.below(count, len(pool)).tolist()]
    answers = dice.texts(count, 836, 0.7)
    for place in dice.hits(count, 0.07):
        answers[place] = answers[place].replace("\n", "\r\n")
    for place in dice.hits(count, 0.12):
        answers[place] = f"\n   {answers[place]}  "
    for share, addition in zip((0.014, 0.0003, 0.05, 0.01), CONTACTS, strict=True):
        sprinkled(dice, answers, share, addition)
    for place in dice.hits(count, 0.0006):
        answers[place] += ' <img src="data:image/png;base64,' + "iVBORw0KGgoAAAANSUhEUgAA" * 1250 + '">'
    rows = [list(row) for row in zip(contexts, answers, strict=True)]
    copied(dice, rows, 0.216, lambda text, number: text)
    copied(dice, rows, 0.25, lambda text, number: spaced(text))
    for place in dice.hits(count, 0.5):
        rows[place][1] = rows[place][1].replace(", ", ",\u00a0")
    for place in dice.hits(count, 0.0011):
        rows[place][1] = ""
    return rows


def mentalchat(dice: Dice, count: int, interview: bool) -> list[list[str]]:
    inputs = dice.texts(count, *((362, 0.35) if interview else (373, 0.24)))
    outputs = dice.texts(count, *((1375, 0.64) if interview else (2062, 0.14)))
    if interview:
        sprinkled(dice, inputs, 0.088, " [Name] told me so.")
        sprinkled(
            dice, outputs, 0.02, " Bitte sprechen Sie mit Ihrer Ärztin über das Gefühl und über die nächsten Wochen."
        )
    sprinkled(dice, inputs, 0.01, RISK)
    rows = [[INSTRUCTION, *row] for row in zip(inputs, outputs, strict=True)]
    copied(dice, rows, 0.009, lambda text, number: text)
    copied(dice, rows, 0.004, reworded)
    return rows


def trace(dice: Dice, count: int) -> list[list[str]]:
    systems = ["You write programs. " * 22, "You read notes of sessions. " * 22]
    users = dice.texts(count, 335, 0.2)
    for place, text in zip(range(0, count, 2), dice.texts((count + 1) // 2, 4_900, 0.4, most=12_000), strict=True):
        users[place] = text
    rows = [[systems[n % 2], user, answer] for n, (user, answer) in enumerate(zip(users, dice.texts(count, 1_930, 0.26), strict=True))]  # fmt: skip
    copied(dice, rows, 0.147, reworded)
    return rows


CHOICES = [f"You press <<{key}>> and receive {points} points.\n" for key in "ABCDEFGHJK" for points in range(100)]


def psych(dice: Dice, count: int) -> list[list[str]]:
    openings = dice.texts(count, 700, 0.4)
    many = np.clip(lognormal(count, 90, 1.05, *dice._next()), 3, 2_400).astype(np.int64)
    places = dice.below(int(many.sum()), len(CHOICES)).tolist()
    ends = np.cumsum(many).tolist()
    games = [
        "".join(CHOICES[n] for n in places[end - size : end]) for end, size in zip(ends, many.tolist(), strict=True)
    ]
    people, tasks = dice.below(count, 5_000).tolist(), dice.below(count, 76).tolist()
    rows = zip(openings, games, tasks, people, strict=True)
    return [
        [f"{opening}\n\n{game}", f"author2020task{task}/exp1.csv", str(person)] for opening, game, task, person in rows
    ]


def reddit(dice: Dice, count: int) -> list[list[str]]:
    posts = dice.texts(count // 35 + 1, 700, 0.8)
    sprinkled(dice, posts, 0.15, RISK)
    comments = dice.texts(count, 143, 0.99, most=9_200)
    for share, addition in zip((0.004, 0.002, 0.01, 0.02), CONTACTS, strict=True):
        sprinkled(dice, comments, share, addition)
    for place in dice.hits(count, 0.02):
        comments[place] = "[removed]"
    effective, scores = dice.hits(count, 0.4), dice.below(count, 120).tolist()
    kinds = dict.fromkeys(effective, "1")
    return [[posts[n // 35], text, kinds.get(n, "0"), str(scores[n])] for n, text in enumerate(comments)]


def depression(dice: Dice, count: int) -> list[list[str]]:
    plain = str.maketrans("", "", ".,?!'’\n")
    posts = [text.lower().translate(plain) for text in dice.texts(count, 110, 1.29, most=19_800)]
    sprinkled(dice, posts, 0.04, " https t co {n}abc")
    rows = [[text] for text in posts]
    copied(dice, rows, 0.0105, lambda text, number: text)
    copied(dice, rows, 0.0045, reworded)
    return rows


# --- containers: how a block is written ------------------------------------------------------------------------


def lines(rows: Iterator[str], dice: Dice, count: int) -> bytes:
    """JSON Lines; one line in a thousand is cut short, another is no UTF-8."""
    made = [row.encode() for row in rows]
    for place in dice.hits(count, 0.5 / BAD):
        made[place] = made[place][: len(made[place]) // 2]
    for place in dice.hits(count, 0.5 / BAD):
        made[place] = made[place][:-5] + b"\xff" + made[place][-5:]
    return b"\n".join(made) + b"\n"


def cells(rows: list[list[str]], dice: Dice, count: int) -> bytes:
    """CSV; some rows lack a cell, others are no UTF-8."""
    for place in dice.hits(count, 0.5 / BAD):
        rows[place] = rows[place][:-1]
    for place in dice.hits(count, 0.5 / BAD):
        rows[place][0] += "\udcff"
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogateescape")


Made = tuple[str, bytes, bytes, bytes]  # file, what stands before its first block, the block, what stands between two


def human_like_dpo_block(dice: Dice, block: int, count: int, total: int) -> Iterator[Made]:
    names = ("prompt", "chosen", "rejected")
    bad = set(dice.hits(count, 1 / BAD))
    items = []
    for n, row in enumerate(dpo(dice, count)):
        fields = list(zip(names, row, strict=True))[: 2 if n in bad else 3]
        items.append(" {\n" + ",\n".join(f'  "{name}":{ascii_json(text)}' for name, text in fields) + "\n }")
    yield "data.json", b"[\n", ",\n".join(items).encode(), b",\n"


def amod_counseling_block(dice: Dice, block: int, count: int, total: int) -> Iterator[Made]:
    rows = ((ascii_json(c).replace("/", "\\/"), ascii_json(r).replace("/", "\\/")) for c, r in amod(dice, count))
    yield "combined_dataset.json", b"", lines((f'{{"Context":{c},"Response":{r}}}' for c, r in rows), dice, count), b""


def mentalchat16k_block(dice: Dice, block: int, count: int, total: int) -> Iterator[Made]:
    interview = block * BLOCK < total * 2 // 5
    file = "Interview_Data_6K.csv" if interview else "Synthetic_Data_10K.csv"
    yield file, b"instruction,input,output\n", cells(mentalchat(dice, count, interview), dice, count), b""


def trace_block(dice: Dice, block: int, count: int, total: int) -> Iterator[Made]:
    keys = draws(count, *dice._next()).tolist()
    rows = []
    for key, row in zip(keys, trace(dice, count), strict=True):
        roles = zip(("system", "user", "assistant"), row, strict=True)
        meta = {
            "task_type": "teaching_program",
            "example_id": f"{key:016x}",
            "gold_labels": {"method": "net", "level": "L1"},
        }
        rows.append(orjson.dumps({"messages": [{"role": r, "content": c} for r, c in roles], "meta": meta}).decode())
    file = ("train", "train", "train", "valid", "test")[block % 5] if block >= 3 else ("train", "valid", "test")[block]
    parts = [(file, rows)] if total > 3 * BLOCK else [("train", rows[2:]), ("valid", rows[:1]), ("test", rows[1:2])]
    for name, some in parts:
        yield f"data/splits/{name}.jsonl", b"", lines(iter(some), dice, len(some)), b""


def psych_101_block(dice: Dice, block: int, count: int, total: int) -> Iterator[Made]:
    names = ("text", "experiment", "participant")
    rows = (orjson.dumps(dict(zip(names, row, strict=True))).decode() for row in psych(dice, count))
    yield "prompts_training.jsonl", b"", lines(rows, dice, count), b""


def reddit_ess_block(dice: Dice, block: int, count: int, total: int) -> Iterator[Made]:
    rows = (
        json.dumps(
            {
                "post_id": f"p{block}-{n // 35}", "comment_id": f"c{block}-{n}", "post": post, "comment": comment,
                "effective": flag == "1", "score": int(score), "subreddit": "anxiety",
            },
            ensure_ascii=False,
        )
        for n, (post, comment, flag, score) in enumerate(reddit(dice, count))
    )  # fmt: skip
    yield "redditess.jsonl", b"", lines(rows, dice, count), b""


def depression_reddit_block(dice: Dice, block: int, count: int, total: int) -> Iterator[Made]:
    label = "1" if block * BLOCK < total // 2 else "0"  # the real file is sorted by label
    rows = [[*row, label] for row in depression(dice, count)]
    yield "depression_dataset_reddit_cleaned.csv", b"clean_text,is_depression\n", cells(rows, dice, count), b""


BLOCKS = {source: globals()[f"{source}_block"] for source in SHARES}


def write(folder: Path, rows: int, seed: int = 1) -> dict[str, int]:
    """Write a corpus of about `rows` rows under `folder`/<source>/; return the bytes of each source."""
    return {source: _write(folder / source, number, rows * share // 1000, seed) for number, (source, share) in enumerate(SHARES.items())}  # fmt: skip


def _write(folder: Path, number: int, rows: int, seed: int) -> int:
    source = folder.name
    files: dict[str, io.BufferedWriter] = {}
    size = 0
    for block, start in enumerate(range(0, rows, BLOCK)):
        dice = Dice(seed, number, block)
        for name, head, content, gap in BLOCKS[source](dice, block, min(BLOCK, rows - start), rows):
            if name not in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                files[name] = (folder / name).open("wb", buffering=1 << 20)
                content = head + content
            else:
                content = gap + content
            size += files[name].write(content)
    for name, file in files.items():
        size += file.write(b"\n]\n" if name == "data.json" else b"")
        file.close()
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    made = write(wanted.folder, wanted.rows, wanted.seed)
    for source, size in made.items():
        print(f"{source:20} {size:14,} bytes")
    print(f"{'all':20} {sum(made.values()):14,} bytes")


if __name__ == "__main__":
    main()
