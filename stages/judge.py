"""judge: seven scores per answer by a judge model. `python -m stages.judge`

Rates rows of `synthesize`, or answers of a user's own, several times each, through the same stored answers as
the generator. Whatever the mode, the rows also go out as files for inspect_ai and promptfoo.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from stages import errors, params
from stages.errors import DamagedError, SourceError
from stages.files import write_json
from stages.layout import DATA
from stages.llm import answers, scores, session, tables
from stages.llm.endpoint import access
from stages.llm.prompts import Prompt
from stages.llm.reply import Unreadable
from stages.llm.request import Request, draw
from stages.llm.rounds import Candidate, Settled
from stages.llm.scores import METRICS
from stages.params import Judge

FOLDER = DATA / "judge"
RESPONSES = FOLDER / "responses.jsonl"

# The benchmark of MentalChat16K is drawn from a file that carries no licence to pass on: the user brings it.
EVALQ, COLUMN = "evalq.csv", "Questions"
LONGER_THAN, DRAWN, DRAW_SEED = 50, 200, 42


class Item(msgspec.Struct, frozen=True):
    """One answer to be rated."""

    id: str
    question: str
    answer: str
    model: str | None = None  # who wrote the answer


def main() -> None:
    whole = params.load("origin", "judge")
    settings, place, template = whole.judge, DATA / whole.origin / "judge", scores.prompt()
    items = sample(load(settings, place), settings)
    if settings.mode != "off" and not items:
        raise SourceError(f"judge: nothing to rate: build rows with synthesize, or put {place / 'answers.jsonl'} there")
    export(items)
    tables.write_rows(FOLDER / "questions.jsonl", benchmark(place / EVALQ))
    repeats = settings.repeats if settings.mode != "off" else 0
    slots = {f"{item.id}.{number}": item for item in items for number in range(1, repeats + 1)}
    job = session.Job(
        "judge",
        list(slots),
        lambda: Recipe(settings, slots, template),
        RESPONSES,
        place / "responses.jsonl",
        lambda: access(settings.endpoint),
        quota=False,
    )
    session.run(job, settings)
    held = answers.read(RESPONSES)
    settled = job.settle(held.answers, settings.limits)
    rated = [_rated(item, settings.repeats, settled) for item in items] if repeats else []
    tables.write_rows(FOLDER / "scores.jsonl", rated)
    figures = tables.report(settings, len(slots), settled, held, 0)
    kept = {key: figures[key] for key in ("answers", "models", "open")}
    write_json(FOLDER / "report.json", kept | summary(rated, settings) | {"prompt_sha256": template.sha256})


def load(settings: Judge, place: Path) -> list[Item]:
    """All answers to be rated, by the param `of`. No file, no answers.

    Raises SourceError for a row without question or answer, and for an id that is there twice.
    """
    path = DATA / "synthesize" / "rows.jsonl" if settings.of == "synthesize" else place / "answers.jsonl"
    try:
        rows = answers.read_lines(path) if path.exists() else []
    except DamagedError as error:
        raise SourceError(f"{error.what}: mend or remove that line") from None
    items = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not all(isinstance(row.get(k), str) and row[k] for k in ("question", "answer")):
            raise SourceError(f"{path}: line {number} needs the texts `question` and `answer`: mend or remove it")
        name = str(row.get("slot") or row.get("id") or f"a{number:05d}")
        items.append(Item(name, row["question"], row["answer"], row.get("model")))
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise SourceError(f"{path}: the id {twice[0]!r} is there twice: give each answer an id of its own")
    return items


def sample(items: Sequence[Item], settings: Judge) -> list[Item]:
    """`sample` of the items, by seeded hash of their ids, in their own order."""
    if not settings.sample or len(items) <= settings.sample:
        return list(items)
    drawn = sorted(items, key=lambda item: draw(settings.seed, "sample", item.id))[: settings.sample]
    chosen = {item.id for item in drawn}
    return [item for item in items if item.id in chosen]


class Recipe:
    """One rating per slot (see stages.llm.rounds); a slot is an item and the number of the repeat."""

    parts: tuple[str, ...] = ("judge",)

    def __init__(self, settings: Judge, slots: Mapping[str, Item], template: Prompt) -> None:
        self._settings, self._slots, self._template = settings, slots, template

    def request(self, slot: str, part: str, attempt: int, held: Mapping[str, Any], truncated: int) -> Request:
        item = self._slots[slot]
        return scores.request(self._settings, self._template, slot, attempt, item.question, item.answer)

    def read(self, slot: str, part: str, plain: str) -> tuple[dict[str, Any], list[str]]:
        each = scores.read_each(plain)
        if not any(isinstance(score, int) for score in each.values()):
            raise Unreadable(str(next(iter(each.values()))))
        return {"scores": each}, []

    def judge(self, part: str, candidates: Sequence[Candidate]) -> list[str | None]:
        return [None] * len(candidates)

    def release(self, slot: str) -> None:
        """Ratings do not depend on each other."""


def _rated(item: Item, repeats: int, settled: Settled) -> dict[str, Any]:
    """The scores of one item: per repeat and metric a number, or null with the reason."""
    rows = {row.slot: row for row in settled.rows}
    last = {reject.slot: reject.reason for reject in settled.rejected}
    ratings = []
    for number in range(1, repeats + 1):
        slot = f"{item.id}.{number}"
        missing = dict.fromkeys(METRICS, last.get(slot, "unanswered"))
        each = rows[slot].texts["scores"] if slot in rows else missing
        ratings.append(
            {
                "scores": {name: each[name] if isinstance(each[name], int) else None for name in METRICS},
                "reasons": {name: each[name] for name in METRICS if not isinstance(each[name], int)},
                "reported": rows[slot].answers["judge"].reported if slot in rows else None,
            }
        )
    return {"id": item.id, "model": item.model, "ratings": ratings}


# --- figures ---------------------------------------------------------------------------------------------


def summary(rated: Sequence[Mapping[str, Any]], settings: Judge) -> dict[str, Any]:
    """Means over items (each the mean of its repeats) with bootstrap intervals of 95 %, and what could not be read."""
    cells = [rating["scores"][name] for row in rated for rating in row["ratings"] for name in METRICS]
    reasons = Counter(reason for row in rated for rating in row["ratings"] for reason in rating["reasons"].values())
    by_metric = {name: [_mean(_scores(row, name)) for row in rated] for name in METRICS}
    whole = [_mean(list(values)) if None not in values else None for values in zip(*by_metric.values(), strict=True)]
    return {
        "rows": len(rated),
        "repeats": settings.repeats,
        "metrics": {name: _interval(values, settings, name) for name, values in by_metric.items()},
        "overall": _interval(whole, settings, "overall"),
        "repeat_range": _round(_mean([_range(row, name) for row in rated for name in METRICS])),
        "unread": {
            "share": round(sum(cell is None for cell in cells) / len(cells), 4) if cells else 0.0,
            "reasons": dict(sorted(reasons.items())),
        },
    }


def _scores(row: Mapping[str, Any], name: str) -> list[float]:
    return [rating["scores"][name] for rating in row["ratings"] if rating["scores"][name] is not None]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _range(row: Mapping[str, Any], name: str) -> float | None:
    """How far the repeats of one metric are apart."""
    found = _scores(row, name)
    return max(found) - min(found) if found else None


def _interval(values: Sequence[float | None], settings: Judge, name: str) -> dict[str, Any]:
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return {"mean": None, "low": None, "high": None, "items": 0}
    generator = np.random.Generator(np.random.PCG64(draw(settings.seed, "bootstrap", name)))
    means = [known[generator.integers(0, len(known), len(known))].mean() for _ in range(settings.bootstrap)]
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": _round(known.mean()), "low": _round(low), "high": _round(high), "items": len(known)}


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


# --- files for others --------------------------------------------------------------------------------------


def export(items: Sequence[Item]) -> None:
    """The items for inspect_ai (`json_dataset`) and as a promptfoo configuration that rates the answers as they are."""
    inspect = [
        {"id": i.id, "input": i.question, "target": i.answer, "metadata": {"model": i.model, "metrics": list(METRICS)}}
        for i in items
    ]
    tables.write_rows(FOLDER / "inspect.jsonl", inspect)
    rubrics = [
        {"type": "llm-rubric", "metric": name, "value": f"To the message «{{{{question}}}}», the answer {meaning}."}
        for name, meaning in METRICS.items()
    ]
    promptfoo = {
        "description": "Seven metrics for counselling answers",
        "prompts": ["{{answer}}"],
        "providers": ["echo"],
        "defaultTest": {"assert": rubrics},
        "tests": [{"description": i.id, "vars": {"question": i.question, "answer": i.answer}} for i in items],
    }
    write_json(FOLDER / "promptfoo.json", promptfoo)


def benchmark(path: Path) -> list[dict[str, Any]]:
    """The 200 questions of MentalChat16K, from the user's own copy of the file they were drawn from; none without it.

    The recipe: questions of more than 50 words, then what pandas draws with `sample(200, random_state=42)`.
    Raises SourceError when the file has no column `Questions` or too few long questions.
    """
    if not path.exists():
        return []
    csv.field_size_limit(1 << 24)
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        if COLUMN not in (table.fieldnames or ()):
            raise SourceError(f"{path} has no column {COLUMN!r}: take the authors' file as it is")
        questions = [row[COLUMN] for row in table]
    long = [text for text in questions if text and len(text.split()) > LONGER_THAN]
    if len(long) < DRAWN:
        raise SourceError(
            f"{path} has {len(long)} questions of more than {LONGER_THAN} words, and {DRAWN} are drawn: it is not whole"
        )
    places = np.random.RandomState(DRAW_SEED).choice(len(long), size=DRAWN, replace=False)
    return [{"id": f"q{n:03d}", "question": long[place]} for n, place in enumerate(places.tolist(), start=1)]


if __name__ == "__main__":
    errors.run(main)
