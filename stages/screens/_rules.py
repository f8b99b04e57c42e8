"""Rules of the crisis screen: anchors on the canonical copy, suppressors close to them (data/crisis.yaml).

Shape after safety.md: an anchor flags, and only what stands right before or after it can turn it into a mention;
a wide window would lose the unpunctuated posts. A rule is tried only around its cue words.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from stages.screens._canonical import Copy, load

NONE, MENTION, REVIEW, FLAG = range(4)
LEVELS = ("none", "mention", "review", "flag")
LEVELS_OF_RULES = {"mention": MENTION, "hint": REVIEW, "review": REVIEW, "flag": FLAG}
_BEFORE, _AFTER, _NEAR = 90, 90, 10  # characters to each side for suppressors; words to each side of a cue


@dataclass(frozen=True)
class Rule:
    name: str
    category: str
    level: int
    pattern: str
    past: bool  # what it finds lies in the past
    hint: bool  # a review that no score makes a flag

    @functools.cached_property
    def anchor(self) -> re.Pattern[str]:
        """With the space before it. Compiled when a text first holds a cue: few do, and start-up stays short."""
        return re.compile(self.pattern)


@dataclass(frozen=True)
class Suppressor:
    patterns: tuple[str | None, str | None]  # of what stands before and after
    only: frozenset[str]  # names of the rules that it is for; none: all
    spares: frozenset[str]  # names of rules and categories that it is not for
    past: bool

    @functools.cached_property
    def before(self) -> re.Pattern[str] | None:
        return None if self.patterns[0] is None else re.compile(self.patterns[0])

    @functools.cached_property
    def after(self) -> re.Pattern[str] | None:
        return None if self.patterns[1] is None else re.compile(self.patterns[1])

    def is_for(self, rule: Rule) -> bool:
        return not self.spares & {rule.name, rule.category} and (not self.only or rule.name in self.only)

    def holds(self, left: str, right: str) -> bool:
        return (self.before is None or self.before.search(left) is not None) and (
            self.after is None or self.after.match(right) is not None
        )


@dataclass(frozen=True)
class Hit:
    rule: str
    category: str
    level: int
    start: int  # in the canonical text
    end: int
    past: bool
    hint: bool


@dataclass(frozen=True)
class Rules:
    """`groups` are the rules that share their cue words; `by_cue` numbers the groups of each word."""

    groups: tuple[tuple[Rule, ...], ...]
    by_cue: dict[str, tuple[int, ...]]
    suppressors: tuple[Suppressor, ...]

    def hits(self, copy: Copy) -> list[Hit]:
        """Anchors in a canonical copy, each at the level that its surroundings leave it, in order, none twice."""
        found: dict[tuple[int, int, str], Hit] = {}
        padded = " " + copy.text
        for group, start, end in self._places(copy):
            for rule in self.groups[group]:
                for match in rule.anchor.finditer(padded, start, end + 1):
                    key = (match.start(), match.end() - 1, rule.name)
                    if key not in found:
                        found[key] = self._judged(rule, match.start(), match.end() - 1, copy.text)
        return _settled([found[key] for key in sorted(found)])

    def _places(self, copy: Copy) -> Iterator[tuple[int, int, int]]:
        """Each group with the stretches of text around its cues, overlapping ones joined."""
        words, by_cue = copy.words, self.by_cue
        stretches: dict[int, list[list[int]]] = {}
        for i in [i for i, word in enumerate(words) if word in by_cue]:
            start, end = max(0, i - _NEAR), min(len(words), i + _NEAR)
            for group in by_cue[words[i]]:
                known = stretches.setdefault(group, [])
                if known and start <= known[-1][1]:
                    known[-1][1] = end
                else:
                    known.append([start, end])
        for group, known in stretches.items():
            for start, end in known:
                yield group, copy.starts[start], copy.starts[end - 1] + len(words[end - 1])

    def _judged(self, rule: Rule, start: int, end: int, text: str) -> Hit:
        suppressor = self._suppressor(rule, start, end, text) if rule.level > MENTION else None
        level = MENTION if suppressor else rule.level
        past = suppressor.past if suppressor else rule.past
        return Hit(rule.name, rule.category, level, start, end, past, rule.hint)

    def _suppressor(self, rule: Rule, start: int, end: int, text: str) -> Suppressor | None:
        left = text[max(0, start - _BEFORE) : start].rstrip(" ")
        right = text[end : end + _AFTER].lstrip(" ")
        return next((s for s in self.suppressors if s.is_for(rule) and s.holds(left, right)), None)


def _settled(hits: list[Hit]) -> list[Hit]:
    """A review inside words that another rule explains as a mention is one too ("committed suicide")."""
    mentions = [(hit.start, hit.end) for hit in hits if hit.level == MENTION]
    return [
        replace(hit, level=MENTION)
        if hit.level == REVIEW and any(start < hit.end and hit.start < end for start, end in mentions)
        else hit
        for hit in hits
    ]


@functools.cache
def rules() -> Rules:
    """The rules of data/crisis.yaml."""
    raw = load("crisis.yaml")
    macros: dict[str, str] = {}
    for name, pattern in raw["macros"].items():
        macros[name] = _expand(pattern, macros)
    groups: dict[str, list[Rule]] = {name: [] for name in raw["cues"]}
    for category, entries in [*raw["rules"].items(), ("", raw["mentions"])]:
        for name, entry in entries.items():
            groups[entry["cue"]].append(_rule(name, category, entry, macros))
    by_cue: dict[str, list[int]] = {}
    for number, words in enumerate(raw["cues"].values()):
        for word in words.split():
            by_cue.setdefault(word, []).append(number)
    return Rules(
        groups=tuple(tuple(group) for group in groups.values()),
        by_cue={word: tuple(numbers) for word, numbers in by_cue.items()},
        suppressors=tuple(_suppressor(entry, macros) for entry in raw["suppress"].values()),
    )


def _rule(name: str, category: str, entry: dict[str, Any], macros: dict[str, str]) -> Rule:
    level = entry.get("level", "flag") if category else "mention"
    pattern = rf" (?:{_expand(entry['match'], macros)})(?!\S)"  # a leading space: found fast
    return Rule(name, category, LEVELS_OF_RULES[level], pattern, entry.get("past", False), level == "hint")


def _suppressor(entry: dict[str, Any], macros: dict[str, str]) -> Suppressor:
    def side(name: str, form: str) -> str | None:
        pattern = entry.get(name)
        return None if pattern is None else form.format(_expand(str(pattern), macros))

    return Suppressor(
        patterns=(side("before", r"(?<!\S)(?:{})$"), side("after", r"(?:{})(?!\S)")),
        only=frozenset(entry.get("only", ())),
        spares=frozenset(entry.get("spares", ())),
        past=bool(entry.get("past", False)),
    )


def _expand(pattern: str, macros: dict[str, str]) -> str:
    return re.sub(r"<(\w+)>", lambda m: macros[m.group(1)], pattern)
