"""Invented messages and answers, a function of a number: what the scripted server says.

A small grammar (tests/data/scripted.yaml) whose sentences are put together from parts.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml

GRAMMAR: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "data/scripted.yaml").read_text(encoding="utf-8"))
TOPICS: dict[str, str] = GRAMMAR["topics"]


def question(number: int, topic: str, low: int, high: int) -> str:
    """A message on a topic with `low` to `high` words."""
    return _text(random.Random(f"ask {number}"), topic, GRAMMAR["ask"], low, high, [])


def answer(number: int, topic: str, low: int, high: int, *, crisis: bool) -> str:
    """An answer on a topic; one to a crisis names lines and numbers after its first sentence."""
    return _text(random.Random(f"tell {number}"), topic, GRAMMAR["tell"], low, high, GRAMMAR["help"] if crisis else [])


def _text(draw: random.Random, topic: str, parts: dict[str, list[str]], low: int, high: int, second: list[str]) -> str:
    named = TOPICS.get(topic, topic.lower())
    first = _sentence(draw, draw.choice(parts["start"]), named)
    lead = draw.choice(GRAMMAR["leads"])
    sentences = [f"{lead}, {first if first.startswith('I ') else first[0].lower() + first[1:]}"]
    if second:
        sentences.append(draw.choice(second))
    last = _sentence(draw, draw.choice(parts["end"]), named)
    goal = draw.randint(low, high)
    while True:
        for template in draw.sample(parts["middle"], len(parts["middle"])):
            if len(" ".join([*sentences, last]).split()) >= goal:
                return " ".join([*sentences, last])
            sentences.append(_sentence(draw, template, named))


def _sentence(draw: random.Random, template: str, topic: str) -> str:
    values: dict[str, str] = {"topic": topic}
    for name, entries in GRAMMAR["words"].items():
        values[name], values[f"{name}2"] = draw.sample(entries, 2)
    values |= {name.capitalize(): value[0].upper() + value[1:] for name, value in values.items()}
    return template.format(**values)
