"""What the pii screen finds in real texts: a draw to label by eye, the score of the labels, and the cost.

    MHDATA_REAL=... python -m benchmarks.screens_pii draw OUT_FOLDER    texts to label, outside the repository
    MHDATA_REAL=... python -m benchmarks.screens_pii score              precision and recall by class and source
    MHDATA_REAL=... python -m benchmarks.screens_pii cost               CPU seconds by MB of text and source

The distinct texts of a source (by fold) fall in two draws by their hash, and in strata: `flagged` (the screen as it is
finds something personal or a hint), then, by fixed patterns, `strong` (long numbers, @, links), `named` (titles, names'
cues, capitals inside a sentence), `cue` (digits, platforms, other words) and `neither`. Within a stratum the first by
hash are drawn to be labelled. A label weighs texts of its stratum / labelled texts of it, so that labels stay of use
when the rules change and texts move between strata.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from stages.params import Pii
from stages.screens.pii import screen
from stages.text import fold
from tests.records import batch
from tests.screens.pii_labels import DATA, Label, found, score, text_hash, total

csv.field_size_limit(10**9)

STRATA: dict[str, re.Pattern[str]] = {
    "strong": re.compile(
        r"@\w|://|www\.|\w\.(?:com|org|net|gov|edu|ca|io)\b|\bu/\w{3}|(?:\d[^\w\n]{0,3}){7}|\w#\d{4}\b"
        r"|(?:\w+ ?[\[(] ?at ?[\])])",
        re.I,
    ),
    "named": re.compile(
        r"\b(?:Dr|Mr|Mrs|Ms|Prof)\b|\b[Nn]ame is|\bnamed\b|\bcalled [A-Z]|(?<=[a-z,] )[A-Z][a-z]{2,}"
        r"|[~-] ?[A-Z][a-z]+\W*$|, [A-Z]{3,}"
    ),
    "cue": re.compile(
        r"\d{3}|discord|snap|insta|telegram|skype|kik\b|twitter|username|\bstreet\b|address|\bborn\b|\bssn\b|insurance|phone"
        r"|\bmy (?:friend|sister|brother|boyfriend|girlfriend|ex|husband|wife|cousin) [a-z]{3,}\b",
        re.I,
    ),
    "neither": re.compile(""),
}
# Texts of each stratum of a source that are drawn, and at most how many of a source with long texts.
SHARES = {"flagged": 75, "strong": 90, "named": 45, "cue": 12, "neither": 12}
FEWER = {"trace": 8, "psych_101": 6, "mentalchat16k_interview": 20, "mentalchat16k_synthetic": 20}
LINKS_ONLY = ("psych_101",)  # what the screen's params leave to the e-mail and URL gate, by type of record


def _csv(path: str, *columns: str, encoding: str = "utf-8") -> Callable[[Path], Iterator[str]]:
    def read(root: Path) -> Iterator[str]:
        with (root / path).open(newline="", encoding=encoding) as lines:
            for row in csv.DictReader(lines):
                yield from (row[column] for column in columns)

    return read


def _json_lines(path: str, texts: Callable[[dict], list[str]]) -> Callable[[Path], Iterator[str]]:
    def read(root: Path) -> Iterator[str]:
        with (root / path).open(encoding="utf-8") as lines:
            for line in lines:
                yield from texts(json.loads(line))

    return read


def _dpo(root: Path) -> Iterator[str]:
    for row in json.loads((root / "human_like_dpo/data.json").read_text(encoding="utf-8")):
        yield from (row["prompt"], row["chosen"], row["rejected"])


TEXTS: dict[str, Callable[[Path], Iterator[str]]] = {
    "amod_counseling": _json_lines("amod_counseling/combined_dataset.json", lambda r: [r["Context"], r["Response"]]),
    "counsel_chat": _csv("counsel_chat/data/20200325_counsel_chat.csv", "questionText", "answerText"),
    "mentalchat16k_interview": _csv("mentalchat16k/Interview_Data_6K.csv", "input", "output"),
    "mentalchat16k_synthetic": _csv("mentalchat16k/Synthetic_Data_10K.csv", "input", "output"),
    "human_like_dpo": _dpo,
    "depression_reddit": _csv("depression_reddit/depression_dataset_reddit_cleaned.csv", "clean_text"),
    "epitome": _csv("candidates/epitome/emotional-reactions-reddit.csv", "seeker_post", "response_post"),
    "trace": _json_lines(
        "trace/data/splits/train.jsonl", lambda r: [m["content"] for m in r["messages"] if m["role"] != "system"]
    ),
    "psych_101": _json_lines("psych_101/prompts_training.jsonl", lambda r: [r["text"]]),
}


class Drawn(NamedTuple):
    source: str
    draw: str
    stratum: str
    weight: float
    text: str
    found: list[Label]


def real() -> Path:
    """Folder of the real upstream files."""
    if "MHDATA_REAL" not in os.environ:
        sys.exit("MHDATA_REAL is not set: name the folder that holds the upstream files, one folder a source")
    return Path(os.environ["MHDATA_REAL"])


def distinct(source: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Texts of a source with the hash of their fold; a text that another source had is left out."""
    texts = [text for text in TEXTS[source](real()) if text]
    for text, folded in zip(texts, fold(pa.array(texts, pa.string())).to_pylist(), strict=True):
        key = hashlib.sha256(folded.encode()).hexdigest()
        if key not in seen:
            seen.add(key)
            yield key, text


def strata() -> Iterator[tuple[str, str, str, list[tuple[str, list[Label]]]]]:
    """Source, draw, stratum and its texts in order of their hash, each with what the screen finds."""
    seen: set[str] = set()
    for source in TEXTS:
        groups: dict[tuple[str, str], list[tuple[str, str, list[Label]]]] = {}
        texts = list(distinct(source, seen))
        for (key, text), hits in zip(texts, found([text for _, text in texts], source in LINKS_ONLY), strict=True):
            stratum = next(name for name, pattern in STRATA.items() if pattern.search(text))
            if any(hit.tier != "public" for hit in hits):
                stratum = "flagged"
            groups.setdefault(("dev" if int(key[0], 16) < 8 else "test", stratum), []).append((key, text, hits))
        for (draw, stratum), members in sorted(groups.items()):
            yield source, draw, stratum, [(text, hits) for _, text, hits in sorted(members)]


class Known(NamedTuple):
    stratum: str  # by which it was drawn
    spans: list[Label]


def labels() -> dict[str, Known]:
    """Labels of real texts by the text's hash."""
    rows = map(json.loads, (DATA / "real_labels.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["hash"]: Known(row["stratum"], [Label(*span) for span in row["spans"]]) for row in rows}


def labelled() -> Iterator[Drawn]:
    """The labelled texts with their weights; one that an earlier version flagged stands for itself alone."""
    known = labels()
    for source, draw, stratum, members in strata():
        chosen = [(text, hits, known[text_hash(text)].stratum) for text, hits in members if text_hash(text) in known]
        once = sum(was == "flagged" != stratum for _, _, was in chosen)
        for text, hits, was in chosen:
            weight = 1.0 if was == "flagged" != stratum else (len(members) - once) / (len(chosen) - once)
            yield Drawn(source, draw, stratum, weight, text, hits)


def write_draw(folder: str) -> None:
    """One JSON line a drawn text that has no label yet, to be labelled by eye."""
    known = labels()
    with (Path(folder) / "pii_draw.jsonl").open("w", encoding="utf-8") as out:
        for source, draw, stratum, members in strata():
            share = min(SHARES[stratum], FEWER.get(source, SHARES[stratum]))
            missing = share - sum(text_hash(text) in known for text, _ in members)
            for text, _ in [item for item in members if text_hash(item[0]) not in known][: max(0, missing)]:
                row = {"source": source, "draw": draw, "stratum": stratum, "hash": text_hash(text), "text": text}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_scores() -> None:
    """Weighed precision and recall by draw, source and type; n is the number of labels."""
    known, rows = labels(), list(labelled())
    print(f"{len(rows)} of {len(known)} labelled texts are at hand")
    for draw in ("dev", "test"):
        everything = []
        for source in TEXTS:
            here = [row for row in rows if (row.source, row.draw) == (source, draw)]
            counts = Counter(row.stratum for row in here)
            scores = [score(known[text_hash(row.text)].spans, row.found, row.weight) for row in here]
            everything += scores
            _print(f"{draw} {source}: {len(here)} texts {dict(sorted(counts.items()))}", total(scores))
        _print(f"{draw} all", total(everything))


def _print(title: str, scores: dict) -> None:
    print(title)
    for kind, one in scores.items():
        print(
            f"    {kind:12} recall {one.recall:.3f} precision {one.precision:.3f} n={one.labels}"
            f"  false {one.false:.0f}  public spared {one.spared:.0f} hit {one.harmed:.0f}"
        )


def write_cost() -> None:
    """CPU seconds by MB and findings by type, over all texts of a source as records of one field."""
    for source in TEXTS:
        texts = [text for text in TEXTS[source](real()) if text]
        kind = "behavioral-experiment" if source in LINKS_ONLY else "counseling"
        records = batch(*({"input": text, "type": kind} for text in texts))
        screen(records.slice(0, 20), Pii())
        start = time.process_time()
        column = screen(records, Pii())
        seconds = time.process_time() - start
        size = sum(len(text.encode()) for text in texts) / 1e6
        kinds = Counter(f"{span['type']}/{span['tier']}" for row in column.to_pylist() for span in row["spans"])
        print(f"{source:24} {size:6.1f} MB  {seconds / size:.3f} s/MB  {dict(sorted(kinds.items()))}")


if __name__ == "__main__":
    commands = {"draw": write_draw, "score": write_scores, "cost": write_cost}
    commands[sys.argv[1]](*sys.argv[2:])
