"""Precision and recall of the referral screen on real answers labelled by eye, and referrals of crisis rows by source.

    MHDATA_REAL=... python -m benchmarks.screens_referral [dev|test|rest | --table]

Labels say what an answer names as help for somebody; `test` was read after the last change of the patterns but for
three (a hotline that made fun of the writer, what a hospital offers, who is no professional). `rest` has all other answers
of the real files for which the screen told of a line or an emergency service, most of them to no crisis at all, and a
share of those with a word of that field; the patterns were mended by it afterwards. Shares are weighed.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pyarrow as pa

from benchmarks.screens_crisis import batch
from benchmarks.screens_crisis_draw import key
from stages.params import Crisis, Referral
from stages.screens import crisis, referral

LABELS = Path(__file__).resolve().parents[1] / "tests/data/crisis/referral_labels.jsonl"
OTHER = "other"  # neither a line nor an emergency service; a professional or none
Pairs = Iterator[tuple[str, str]]


def _columns(path: str, question: str, answer: str, encoding: str = "utf-8") -> Callable[[Path], Pairs]:
    def read(root: Path) -> Pairs:
        with (root / path).open(newline="", encoding=encoding) as lines:
            yield from ((row[question], row[answer] or "") for row in csv.DictReader(lines))

    return read


def _amod(root: Path) -> Pairs:
    with (root / "amod_counseling/combined_dataset.json").open(encoding="utf-8") as lines:
        yield from ((row["Context"], row["Response"] or "") for row in map(json.loads, lines))


def _dpo(root: Path) -> Pairs:
    rows = json.loads((root / "human_like_dpo/data.json").read_text(encoding="utf-8"))
    yield from ((row["prompt"], row["chosen"]) for row in rows)


READERS: dict[str, Callable[[Path], Pairs]] = {
    "amod_counseling": _amod,
    "counsel_chat": _columns("counsel_chat/data/20200325_counsel_chat.csv", "questionText", "answerText"),
    "mentalchat16k": _columns("mentalchat16k/Interview_Data_6K.csv", "input", "output"),
    "mentalchat16k_synthetic": _columns("mentalchat16k/Synthetic_Data_10K.csv", "input", "output"),
    "human_like_dpo": _dpo,
    "epitome": _columns("candidates/epitome/emotional-reactions-reddit.csv", "seeker_post", "response_post", "latin-1"),
}


@dataclass(frozen=True)
class Case:
    """A labelled answer with what the screen says of it."""

    source: str
    label: str
    weight: Fraction
    text: str
    found: str | None


def answers(texts: Iterable[str]) -> pa.RecordBatch:
    """Records as far as the referral screen looks at them."""
    return pa.RecordBatch.from_arrays([pa.array(list(texts), pa.string())], ["response"])


def kinds(texts: list[str]) -> list[str | None]:
    return [value["kind"] for value in referral.screen(answers(texts), Referral()).to_pylist()]


def cases(draw: str, root: Path) -> Iterator[Case]:
    labels = [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]
    for source, read in READERS.items():
        rows = [row for row in labels if row["source"] == source and row["draw"] == draw]
        texts = [answer for _, answer in read(root)] if rows else []
        known = dict(zip(key(texts), texts, strict=True))
        chosen = [known[row["text_sha256_16"]] for row in rows]
        for row, text, kind in zip(rows, chosen, kinds(chosen), strict=True):
            yield Case(source, row["label"], Fraction(row["weight"]), text, kind)


def report(found: list[Case]) -> Iterator[str]:
    groups = {
        "line or emergency": referral.KINDS[:2],
        "any": referral.KINDS,
        **{kind: (kind,) for kind in referral.KINDS},
    }
    yield "| named | n | of them | precision | recall |\n|---|---|---|---|---|"
    only = any(case.label == OTHER for case in found)
    for name, members in list(groups.items())[: 1 if only else None]:
        gold = [case for case in found if case.label in members]
        said = [case for case in found if case.found in members]
        hits = float(sum((case.weight for case in gold if case.found in members), Fraction()))
        precision, recall = (hits / float(sum(case.weight for case in side)) for side in (said, gold))
        yield f"| {name} | {len(found)} | {len(gold)} | {precision:.3f} | {recall:.3f} |"


def table(root: Path) -> Iterator[str]:
    """Crisis rows by source, and what their answers name."""
    yield "| source | rows | crisis rows | distinct inputs | line or emergency | professional | none |"
    yield "|---|---|---|---|---|---|---|"
    for source, read in READERS.items():
        rows = list(read(root))
        flags = crisis.screen(batch(question for question, _ in rows), Crisis()).field("flag").to_pylist()
        named = kinds([answer for _, answer in rows])
        count = Counter(kind for kind, flag in zip(named, flags, strict=True) if flag and kind)
        whole = sum(count.values())
        shares = [count["crisis_line"] + count["emergency"], count["professional"], count["none"]]
        inputs = len({question for (question, _), flag in zip(rows, flags, strict=True) if flag})
        cells = " | ".join(f"{share} ({share / whole:.1%})" if whole else "0" for share in shares)
        yield f"| {source} | {len(rows)} | {whole} | {inputs} | {cells} |"


def main() -> None:
    root, draw = Path(os.environ["MHDATA_REAL"]), next((a for a in sys.argv[1:] if not a.startswith("-")), "test")
    for line in table(root) if "--table" in sys.argv else report(list(cases(draw, root))):
        print(line)


if __name__ == "__main__":
    main()
