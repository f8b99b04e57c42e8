"""Draw real rows to be labelled by eye for the crisis screen; the texts go to a folder outside the repository.

    MHDATA_REAL=... python -m benchmarks.screens_crisis_draw OUT_FOLDER

Each source's distinct inputs stand in three strata by fixed word lists (strong words, cue words, neither), in order of a
hash of the text. Draws are dealt from there one after the other: a new one takes of each stratum the first rows that no
label knows yet. `dev` and `more` are to tune by; `first` to `sixth` were each read after a freeze of the rules and tuned
by since; `test` is the one read after the last freeze and tuned by never. All but `test` of the CC0 posts train the
model. A label's weight is rows of the stratum / rows drawn from it. The strata never follow the screen's own rules, so that the
estimate stays unbiased when the rules change.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.text import fold

csv.field_size_limit(10**9)

STRONG = re.compile(
    r"suicid|kill(?:ing|ed)? (?:my ?self|me\b|him|her|them|people|some)|\bkms\b|want(?:ed|ing)? to (?:die|be dead)"
    r"|wanna die|wish i (?:wa|were|was|could) ?(?:s )?(?:dead|die|never)|end(?:ing)? (?:my|it all|this all|things)"
    r"|self.?harm|self.?injur|cut(?:ting)? (?:my|again|deep)|better off dead|better off without me"
    r"|hurt(?:ing)? my ?self"
    r"|harm(?:ing)? my ?self|overdos|hang(?:ing)? my ?self|(?:take|taking|took) my (?:own )?life|never wake up"
    r"|(?:nt|n t|n.t|not) want to (?:live|be alive|exist|wake|be here|be on this)|rape|molest|abus(?:e|es|ed|ing|ive)\b"
    r"|(?:hits|beats|hit|beat|choke[sd]?|punche[sd]) me|homicid|ready to die|no reason to live|tried to die|sh blade"
)
CUE = re.compile(
    r"\b(?:die|dies|died|dying|dead|death|kill\w*|end|ended|ending|goodbye|bye|disappear\w*|gone|leave this"
    r"|give up|giving up"
    r"|gave up"
    r"|anymore|any more|can ?(?:no|n)?.?t go on|go on|point|worthless|hopeless|pills?|gun|knife|blade|razor|rope|noose"
    r"|bridge|jump\w*|cut\w*|burn\w*|harm\w*|hurt\w*|alive|live|living|life|exist\w*|pain|hit|hits|beat\w*|threat\w*"
    r"|violen\w*"
    r"|murder\w*|weapon|attack\w*|scared|afraid|plan|method|burden|escape|wake up|sleep forever|scars?|lethal|final"
    r"|last"
    r"|done with|tired of|sick of|hospital|psych ward|crisis|hotline|note|safe|unsafe|danger\w*)\b"
)
SHARES = {  # source -> stratum -> rows of a draw; no strong one is left
    "depression_reddit": {"neither": 150},
    "epitome": {"cue": 120, "neither": 60},
    "amod_counseling": {"neither": 40},
    "mentalchat16k": {"cue": 20, "neither": 20},
}
LABELS = Path(__file__).resolve().parents[1] / "tests/data/crisis/real_labels.jsonl"


def _column(path: str, column: str) -> Callable[[Path], Iterator[str]]:
    def read(root: Path) -> Iterator[str]:
        with (root / path).open(newline="", encoding="utf-8") as lines:
            yield from (row[column] for row in csv.DictReader(lines))

    return read


def _amod(root: Path) -> Iterator[str]:
    with (root / "amod_counseling/combined_dataset.json").open(encoding="utf-8") as lines:
        yield from (json.loads(line)["Context"] for line in lines)


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    "depression_reddit": _column("depression_reddit/depression_dataset_reddit_cleaned.csv", "clean_text"),
    "epitome": _column("candidates/epitome/emotional-reactions-reddit.csv", "seeker_post"),
    "amod_counseling": _amod,
    "mentalchat16k": _column("mentalchat16k/Interview_Data_6K.csv", "input"),
}
# The same questions by another route: takes its labels from amod_counseling.
COPIES = {"counsel_chat": ("amod_counseling", _column("counsel_chat/data/20200325_counsel_chat.csv", "questionText"))}


def key(texts: list[str]) -> list[str]:
    """16 hex digits for each text, equal for texts that fold alike."""
    return [hashlib.sha256(text.encode()).hexdigest()[:16] for text in fold(pa.array(texts, pa.string())).to_pylist()]


def distinct(texts: list[str]) -> dict[str, str]:
    """Key -> first text with it."""
    found: dict[str, str] = {}
    for name, text in zip(key(texts), texts, strict=True):
        found.setdefault(name, text)
    return found


def stratum(text: str) -> str:
    low = text.lower().replace("’", "'")
    return "strong" if STRONG.search(low) else "cue" if CUE.search(low) else "neither"


def labels() -> list[dict[str, Any]]:
    """What was read: source, text_sha256_16, draw, stratum, weight, label, categories, time."""
    return [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]


def draw(source: str, root: Path) -> Iterator[dict[str, str]]:
    """Rows to label next: source, text_sha256_16, draw, stratum, weight and (for reading only) text."""
    texts = distinct(list(READERS[source](root)))
    known = {row["text_sha256_16"] for row in labels() if row["source"] == source}
    for name, wanted in SHARES.get(source, {}).items():
        members = sorted((k for k, t in texts.items() if stratum(t) == name), key=lambda k: k[::-1])
        chosen = [k for k in members if k not in known][:wanted]
        weight = f"{len(members)}/{len(chosen)}"
        for k in chosen:
            row = {"source": source, "text_sha256_16": k, "draw": "test", "stratum": name, "weight": weight}
            yield row | {"text": texts[k]}


def main() -> None:
    root, out = Path(os.environ["MHDATA_REAL"]), Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for source in READERS:
        with (out / f"{source}.jsonl").open("w", encoding="utf-8") as lines:
            for row in draw(source, root):
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
