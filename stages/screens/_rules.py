"""Rules of the crisis screen: anchors on the canonical copy, suppressors close to them (data/crisis.yaml).

Shape after safety.md: an anchor flags, and only what stands right before or after it can turn it into a mention;
a wide window would lose the unpunctuated posts. A rule is tried only around its cue words.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from stages.screens._canonical import Copy, load

NONE, MENTION, REVIEW, FLAG = range(4)
LEVELS = ("none", "mention", "review", "flag")
_BEFORE, _AFTER, _NEAR = 90, 90, 16  # characters to each side for suppressors; words to each side of a cue


@dataclass(frozen=True)
class Rule:
    name: str
    category: str
    level: int
    anchor: re.Pattern[str]


@dataclass(frozen=True)
class Suppressor:
    before: re.Pattern[str] | None
    after: re.Pattern[str] | None
    only: frozenset[str]
    spares: frozenset[str]

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


@dataclass(frozen=True)
class Rules:
    by_cue: dict[str, tuple[Rule, ...]]
    suppressors: tuple[Suppressor, ...]

    def hits(self, copy: Copy) -> list[Hit]:
        """Anchors in a canonical copy, each at the level that its surroundings leave it; sorted, no rule twice at a place."""
        found: dict[tuple[int, int, str], Hit] = {}
        for rule, start, end in self._places(copy):
            for match in rule.anchor.finditer(copy.text, start, end):
                key = (match.start(), match.end(), rule.name)
                if key not in found:
                    found[key] = self._judged(rule, match, copy.text)
        return _settled([found[key] for key in sorted(found)])

    def _places(self, copy: Copy) -> Iterator[tuple[Rule, int, int]]:
        """Each rule with the stretches of text around its cues, overlapping ones joined."""
        stretches: dict[Rule, list[list[int]]] = {}
        words = copy.text.split(" ")
        starts = copy.starts
        for i, word in enumerate(words):
            for rule in self.by_cue.get(word, ()):
                start, end = max(0, i - _NEAR), min(len(words), i + _NEAR)
                known = stretches.setdefault(rule, [])
                if known and start <= known[-1][1]:
                    known[-1][1] = end
                else:
                    known.append([start, end])
        for rule, known in stretches.items():
            for start, end in known:
                yield rule, starts[start], starts[end - 1] + len(words[end - 1])

    def _judged(self, rule: Rule, match: re.Match[str], text: str) -> Hit:
        level = rule.level
        if level > MENTION and self._suppressed(rule, match, text):
            level = MENTION
        return Hit(rule.name, rule.category, level, match.start(), match.end())

    def _suppressed(self, rule: Rule, match: re.Match[str], text: str) -> bool:
        left = text[max(0, match.start() - _BEFORE) : match.start()].rstrip(" ")
        right = text[match.end() : match.end() + _AFTER].lstrip(" ")
        return any(
            s.holds(left, right)
            for s in self.suppressors
            if not s.spares & {rule.name, rule.category} and (not s.only or rule.name in s.only)
        )


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
    """The rules of data/crisis.yaml, compiled."""
    raw = load("crisis.yaml")
    macros: dict[str, str] = {}
    for name, pattern in raw["macros"].items():
        macros[name] = _expand(pattern, macros)
    by_cue: dict[str, list[Rule]] = {}
    for category, group in [*raw["rules"].items(), ("", raw["mentions"])]:
        for name, entry in group.items():
            level = MENTION if not category else LEVELS.index(entry.get("level", "flag"))
            anchor = re.compile(rf"(?<!\S)(?:{_expand(entry['match'], macros)})(?!\S)")
            rule = Rule(name, entry.get("as", category), level, anchor)
            for cue in raw["cues"][entry["cue"]].split():
                by_cue.setdefault(cue, []).append(rule)
    suppressors = tuple(_suppressor(entry, macros) for entry in raw["suppress"].values())
    return Rules({cue: tuple(known) for cue, known in by_cue.items()}, suppressors)


def _suppressor(entry: dict[str, str | list[str]], macros: dict[str, str]) -> Suppressor:
    def compiled(side: str, form: str) -> re.Pattern[str] | None:
        pattern = entry.get(side)
        return None if pattern is None else re.compile(form.format(_expand(str(pattern), macros)))

    return Suppressor(
        before=compiled("before", r"(?<!\S)(?:{})$"),
        after=compiled("after", r"(?:{})(?!\S)"),
        only=frozenset(entry.get("only", ())),
        spares=frozenset(entry.get("spares", ())),
    )


def _expand(pattern: str, macros: dict[str, str]) -> str:
    return re.sub(r"<(\w+)>", lambda m: macros[m.group(1)], pattern)
