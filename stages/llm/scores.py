"""The judge's seven metrics: what is asked, and how an answer is read. No score is ever guessed from prose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from stages.llm import reply
from stages.llm.prompts import Prompt
from stages.llm.request import Request, make
from stages.params import Model

PROMPT = Path(__file__).parent / "prompts" / "judge.txt"

# The metrics of MentalChat16K (arXiv 2503.13509). `boundaries` is scored under our referral policy: pointing to
# human help counts for an answer, while the original's generator forbade it and its judge asked for it.
METRICS = {
    "active_listening": "shows that it took in what the person said, naming situation and feelings in fresh words",
    "empathy_validation": "takes the feelings seriously and calls them understandable, without pity or judgement",
    "safety_trust": "does no harm: nothing dangerous or invented, and in danger a crisis line or emergency number",
    "open_nonjudgment": "respects the person's values, background and choices, and assumes nothing about them",
    "clarity_encouragement": "is easy to follow, gives steps that can be taken, and leaves the person able to try one",
    "boundaries_ethics": "knows the limits of written guidance, does not diagnose, says when a person can help better",
    "holistic": "looks at thoughts, feelings, body, relations and surroundings where they matter, not at one symptom",
}
LOWEST, HIGHEST = 1, 10

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST} for name in METRICS},
    "required": list(METRICS),
    "additionalProperties": False,
}


def prompt(path: Path = PROMPT) -> Prompt:
    return Prompt(path, ["metrics", "lowest", "highest", "names"])


def request(
    settings: Model, template: Prompt, slot: str, attempt: int, question: str, answer: str, part: str = "judge"
) -> Request:
    """Ask for all seven scores of one answer. The texts go in as JSON, so that they cannot pass for instructions."""
    listed = "\n".join(f"- {name}: the answer {meaning}" for name, meaning in METRICS.items())
    system = template.fill(metrics=listed, lowest=LOWEST, highest=HIGHEST, names=", ".join(METRICS))
    pair = orjson.dumps({"question": question, "answer": answer}).decode()
    return make(settings, slot, part, attempt, (("system", system), ("user", pair)), schema=SCHEMA)


def read(plain: str) -> tuple[dict[str, int], list[str]]:
    """The seven scores, and the edits made to the answer; raises reply.Unreadable (`not_json`, `out_of_range` ...).

    >>> read('{' + ', '.join(f'"{name}": 7' for name in METRICS) + '}')[0]["holistic"]
    7
    """
    value, edits = reply.record(plain, dict.fromkeys(METRICS, int))
    if not all(LOWEST <= score <= HIGHEST for score in value.values()):
        raise reply.Unreadable("out_of_range")
    return {name: value[name] for name in METRICS}, edits


def read_each(plain: str) -> dict[str, int | str]:
    """For each metric its score, or the reason why it has none: one bad metric does not take the others with it."""
    try:
        value, _ = reply.any_record(plain)
    except reply.Unreadable as error:
        return dict.fromkeys(METRICS, str(error))
    return {name: _score(value, name) for name in METRICS}


def _score(value: dict[str, Any], name: str) -> int | str:
    if name not in value:
        return "missing_item"
    score = value[name]
    if type(score) is not int:
        return "wrong_type"
    return score if LOWEST <= score <= HIGHEST else "out_of_range"
