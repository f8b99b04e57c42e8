"""plan: what is wanted. `python -m stages.synthesize.plan`

One slot per wanted row: exact numbers per topic, and attributes drawn from a seeded hash, so that a slot is the
same in every plan that holds it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from pathlib import Path

import msgspec
import orjson

from stages import errors, params
from stages.layout import DATA
from stages.llm import answers
from stages.llm.prompts import Prompt, choices
from stages.llm.request import draw
from stages.params import Synthesize, Topic

FOLDER = DATA / "synthesize"
PLAN, RESPONSES = FOLDER / "plan.jsonl", FOLDER / "responses.jsonl"
PROMPTS = Path(__file__).parent / "prompts"

# What may stand in each prompt file: values of the slot, and the band of words.
QUESTION = ("topic", "person", "setting", "event", "duration", "tone", "goal", "start", "low", "high")
ANSWER = ("topic", "begin", "shape", "low", "high", "crisis")
FIXED = ("person", "setting", "event", "duration", "tone", "goal", "shape")
VARIED = ("start", "begin")  # drawn anew for each attempt: most rejects are for how a text begins
VARIANTS = 6


class Slot(msgspec.Struct, frozen=True):
    """One wanted row."""

    slot: str  # t07-0042: topic 7 in the order of the params, its 42nd row
    topic: str
    crisis: bool  # the answer must carry a referral
    attributes: dict[str, str]
    varied: dict[str, list[str]]  # attribute -> its value in each attempt, in turn
    words: tuple[int, int]  # band that the question is asked to keep

    def at(self, attempt: int) -> dict[str, str]:
        """The attributes of one attempt."""
        return self.attributes | {name: values[attempt % len(values)] for name, values in self.varied.items()}


def main() -> None:
    settings = params.load("synthesize").synthesize
    load_prompts()
    slots = [] if settings.mode == "off" else plan(settings, choices(PROMPTS / "attributes.yaml", FIXED + VARIED))
    with answers.lines(PLAN) as file:
        for slot in slots:
            file.write(orjson.dumps(msgspec.to_builtins(slot), option=orjson.OPT_APPEND_NEWLINE))
    for notice in notices(settings):
        print(f"synthesize: {notice}", file=sys.stderr)


def plan(settings: Synthesize, lists: dict[str, list[str]]) -> list[Slot]:
    """All slots, in the order of topics.

    Raises ParamsError through `choices` when attributes.yaml is incomplete.
    """
    counts = quotas(settings.total, settings.topics, settings.min_per_topic)
    return [
        _slot(settings, lists, f"t{place:02d}-{number:04d}", topic.label)
        for place, (topic, count) in enumerate(zip(settings.topics, counts, strict=True), start=1)
        for number in range(1, count + 1)
    ]


def quotas(total: int, topics: Sequence[Topic], least: int = 0) -> list[int]:
    """Rows per topic by largest remainder, ties by order; none below `least` but topics of weight 0.

    >>> quotas(10, [Topic(name="a", weight=2), Topic(name="b", weight=1)])
    [7, 3]
    """
    weights = _whole([topic.weight for topic in topics])
    counts = _largest_remainder(total, weights)
    raised: set[int] = set()
    while short := {i for i, w in enumerate(weights) if w and counts[i] < least and i not in raised}:
        raised |= short
        free = _largest_remainder(total - least * len(raised), [0 if i in raised else w for i, w in enumerate(weights)])
        counts = [least if i in raised else free[i] for i in range(len(weights))]
    return counts


def _whole(weights: Sequence[float]) -> list[int]:
    """The weights in whole numbers of the same proportions: exact, since a float is a fraction."""
    exact = [Fraction(weight) for weight in weights]
    scale = lcm(*(weight.denominator for weight in exact)) if exact else 1
    return [int(weight * scale) for weight in exact]


def _largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    counts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for place in order[: total - sum(counts)]:
        counts[place] += 1
    return counts


def _slot(settings: Synthesize, lists: dict[str, list[str]], name: str, topic: str) -> Slot:
    def pick(key: str, *further: int) -> str:
        return lists[key][draw(settings.seed, name, key, *further) % len(lists[key])]

    return Slot(
        name,
        topic,
        topic in settings.policy.crisis_topics,
        {key: pick(key) for key in FIXED},
        {key: [pick(key, variant) for variant in range(VARIANTS)] for key in VARIED},
        _band(settings.length.question, draw(settings.seed, name, "words") % 3),
    )


def _band(whole: tuple[int, int], third: int) -> tuple[int, int]:
    """One third of a band of words, a little inside it: models keep to neither end."""
    low, high = whole
    inner = (high - low) // 10
    low, high = low + inner, high - inner
    step = (high - low) // 3
    return low + third * step, low + (third + 1) * step


def load_prompts() -> dict[str, Prompt]:
    """The prompt files, checked."""
    return {
        "question": Prompt(PROMPTS / "question.txt", QUESTION),
        "answer": Prompt(PROMPTS / "answer.txt", ANSWER),
        "crisis": Prompt(PROMPTS / "crisis.txt", ("topic",)),
        "json": Prompt(PROMPTS / "json.txt", ("slot",)),  # added where the answer is JSON
    }


def settings_sha256(settings: Synthesize) -> str:
    """Hash of the params that decide what is asked and accepted; not of the address, the limits or the mode."""
    tree = msgspec.to_builtins(settings)
    kept = {key: tree[key] for key in ("seed", "topics", "length", "sampling", "filters", "judge", "policy")}
    kept["model"] = [settings.endpoint.provider, settings.endpoint.model]
    return hashlib.sha256(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)).hexdigest()


def notices(settings: Synthesize) -> list[str]:
    """What a user should know of params that were taken all the same."""
    said = [f"topic {t.name!r}: blanks around the name are ignored" for t in settings.topics if t.name != t.label]
    labels = {topic.label for topic in settings.topics}
    if labels:
        said += [
            f"policy.crisis_topics: no topic is named {n!r}" for n in settings.policy.crisis_topics if n not in labels
        ]
    return said


def fixture(origin: str) -> Path:
    """Answers that came with the sources' files: for `sample` those of the scripted server, in git."""
    return DATA / origin / "synthesize" / "responses.jsonl"


def read() -> list[Slot]:
    """The slots that `plan` wrote."""
    return msgspec.convert(answers.read_lines(PLAN), list[Slot])


if __name__ == "__main__":
    errors.run(main)
