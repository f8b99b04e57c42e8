"""Near-duplicates by the definition and by exhaustion, on strings and Python sets; and texts with planted edits."""

from __future__ import annotations

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages import text
from stages.dedup.near import Found, Rules, Writer, find

FIELDS = ("input", "response", "rejected_response")
Row = tuple[str | None, str | None, str | None]


# --- the definition ----------------------------------------------------------------------------------------


def shingles(value: str | None) -> set[tuple[str, ...]]:
    words = text.words(pa.array([value or ""]))[0].as_py().split()
    if not words:
        rest = (value or "").strip()
        return {(f"no words: {rest}",)} if rest else set()
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def jaccard(one: set, two: set) -> Fraction:
    return Fraction(len(one & two), len(one | two)) if one | two else Fraction(1)


class Oracle:
    """All pairs of rows compared, one by one."""

    def __init__(self, rows: list[Row], rules: Rules) -> None:
        self.fields = [[shingles(value) for value in row] for row in rows]
        self.wholes = [set().union(*fields) for fields in self.fields]
        self.words = [[len(text.words(pa.array([value or ""]))[0].as_py().split()) for value in row] for row in rows]
        self.rules = rules
        pairs = list(itertools.combinations(range(len(rows)), 2))
        self.whole = {p: jaccard(self.wholes[p[0]], self.wholes[p[1]]) for p in pairs}
        self.input = {p: jaccard(self.fields[p[0]][0], self.fields[p[1]][0]) for p in pairs}
        self.response = {p: jaccard(self.fields[p[0]][1], self.fields[p[1]][1]) for p in pairs}
        self.near = {p for p in pairs if self.is_near(*p)}

    def is_near(self, a: int, b: int) -> bool:
        if not self.wholes[a] or self.whole[a, b] < self.rules.remove:
            return False
        for field in range(3):
            short = min(self.words[a][field], self.words[b][field]) < self.rules.short
            needed = Fraction(1) if short else self.rules.remove
            if jaccard(self.fields[a][field], self.fields[b][field]) < needed:
                return False
        return True

    def alike(self, bound: Fraction) -> set[tuple[int, int]]:
        """Pairs whose inputs or wholes reach the bound; a text of nothing is like no other."""
        inputs = {p for p, score in self.input.items() if score >= bound and self.fields[p[0]][0]}
        return inputs | {p for p, score in self.whole.items() if score >= bound and self.wholes[p[0]]}


def clusters(pairs: set[tuple[int, int]]) -> set[frozenset[int]]:
    label: dict[int, set[int]] = {}
    for a, b in pairs:
        both = label.get(a, {a}) | label.get(b, {b})
        label.update(dict.fromkeys(both, both))
    return {frozenset(members) for members in label.values()}


def alike(texts: list[str | None], bound: Fraction) -> Iterator[tuple[int, int, Fraction]]:
    """All pairs of texts whose similarity reaches the bound, by an inverted index of shingles as strings.

    Every text meets every other with which it shares a shingle: nothing is sampled, hashed or left out.
    """
    numbers: dict[tuple[str, ...], int] = {}
    own = [
        np.array(sorted({numbers.setdefault(s, len(numbers)) for s in shingles(value)}), np.int64) for value in texts
    ]
    owners = np.repeat(np.arange(len(own)), [len(ids) for ids in own])
    ids = np.concatenate(own)
    order = np.argsort(ids, kind="stable")
    holders, ends = owners[order], np.searchsorted(ids[order], np.arange(len(numbers)), side="right")
    sizes = np.array([len(ids) for ids in own])
    for one, mine in enumerate(own):
        met = np.concatenate(
            [np.zeros(0, np.int64), *(holders[ends[i - 1] if i else 0 : ends[i]] for i in mine.tolist())]
        )
        shared = np.bincount(met[met > one], minlength=len(own))
        union = sizes[one] + sizes - shared
        for two in np.flatnonzero(shared * bound.denominator >= union * bound.numerator).tolist():
            if shared[two]:
                yield one, two, Fraction(int(shared[two]), int(union[two]))


def most_alike(train: list[str], validation: list[str]) -> np.ndarray:
    """For each validation text its highest similarity with any train text, by an inverted index over all of these.

    Words are Python's own lower() and a plain pattern, not the pipeline's folding; nothing is sampled or hashed.
    """
    numbers: dict[str, int] = {}

    def runs(value: str) -> np.ndarray:
        words = re.findall(r"[^\W_]+", value.lower())
        codes = np.array([numbers.setdefault(word, len(numbers) + 1) for word in words], np.int64)
        padded = np.concatenate([codes, np.zeros(max(0, 3 - len(codes)), np.int64)])  # a text of one or two words
        return np.unique((padded[:-2] << 42) | (padded[1:-1] << 21) | padded[2:])

    own = [runs(value) for value in train]
    sizes = np.array([len(ids) for ids in own])
    ids, owners = np.concatenate(own), np.repeat(np.arange(len(own)), sizes)
    order = np.argsort(ids, kind="stable")
    ids, owners = ids[order], owners[order]
    found: dict[str, float] = {}
    for value in dict.fromkeys(validation):
        mine = runs(value)
        starts, ends = np.searchsorted(ids, mine, "left"), np.searchsorted(ids, mine, "right")
        met = np.concatenate([owners[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)])
        shared = np.bincount(met, minlength=len(own))
        found[value] = float((shared / (sizes + len(mine) - shared)).max())
    assert len(numbers) < 1 << 21
    return np.array([found[value] for value in validation])


# --- texts -------------------------------------------------------------------------------------------------

_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


def vocabulary(size: int = 3000) -> list[str]:
    draw = random.Random(11)
    words: dict[str, None] = {}
    while len(words) < size:
        words["".join(draw.choice(_SYLLABLES) for _ in range(draw.choice((1, 2, 2, 3))))] = None
    return list(words)


WORDS = vocabulary()


def sentence(draw: random.Random, length: int) -> list[str]:
    return [draw.choice(WORDS) for _ in range(length)]


def swapped(draw: random.Random, words: list[str], share: float) -> list[str]:
    """The words with a share of them replaced."""
    made = list(words)
    for place in draw.sample(range(len(words)), max(1, round(share * len(words)))):
        made[place] = f"new{draw.choice(WORDS)}"
    return made


def styled(draw: random.Random, words: list[str]) -> str:
    """The same words with other case and punctuation."""
    return " ".join(
        draw.choice((word, word.upper(), word.title())) + draw.choice(("", "", ",", "!", " -")) for word in words
    )


def corpus(seed: int, families: int = 60) -> list[Row]:
    """Families of rows that resemble each other in every way that matters: edits, answers, questions, templates."""
    draw = random.Random(seed)
    rows: list[Row] = []
    opening = sentence(draw, 30)
    for number in range(families):
        asked, answered = sentence(draw, draw.randint(1, 60)), sentence(draw, draw.randint(1, 150))
        base = (" ".join(asked), " ".join(answered), None)
        rows.append(base)
        kinds: list[Row] = [
            (styled(draw, asked), styled(draw, answered), None),
            (" ".join(swapped(draw, asked, 0.02)), " ".join(swapped(draw, answered, 0.02)), None),
            (" ".join(swapped(draw, asked, 0.05)), " ".join(swapped(draw, answered, 0.05)), None),
            (" ".join(swapped(draw, asked, 0.1)), " ".join(swapped(draw, answered, 0.1)), None),
            (base[0], " ".join(answered[: max(1, len(answered) * 4 // 5)]), None),
            (base[0], " ".join(sentence(draw, 40)), None),
            (" ".join(sentence(draw, 12)), base[1], None),
            (base[0], base[1], " ".join(sentence(draw, 10))),
            (" ".join(opening + asked), " ".join(opening + sentence(draw, 40)), None),
            (base[0], "", None),
            ("🙂", "👍" * (number % 3), None),
        ]
        rows += draw.sample(kinds, 4)
    return rows


# --- running the search ------------------------------------------------------------------------------------


def batch(rows: list[Row]) -> pa.RecordBatch:
    columns = [pa.array([row[field] for row in rows], pa.string()) for field in range(3)]
    return pa.record_batch(columns, names=list(FIELDS))


def search(
    folder: Path,
    rows: list[Row],
    rules: Rules | None = None,
    *,
    ranks: list[int] | None = None,
    removable: list[bool] | None = None,
    sizes: tuple[int, ...] = (1000,),
    units: int = 1,
) -> Found:
    """Spill rows in batches of the given sizes, in units of consecutive rows, and search."""
    numbers = np.array(range(len(rows)) if ranks is None else ranks, np.uint64)
    may = np.array([True] * len(rows) if removable is None else removable)
    bounds = [len(rows) * unit // units for unit in range(units + 1)]
    step = itertools.cycle(sizes)
    for unit, (start, stop) in enumerate(itertools.pairwise(bounds)):
        with Writer(folder, unit) as writer:
            while start < stop:
                end = min(stop, start + next(step))
                writer.add(batch(rows[start:end]), numbers[start:end], may[start:end])
                start = end
    return find(folder, rules or Rules())


def together(found: Found) -> dict[int, int]:
    """The rows that must stay with others, and the smallest row of the cluster of each."""
    rows, firsts = found.together.between(0, found.counts["rows"])
    return dict(zip(rows.tolist(), firsts.tolist(), strict=True))


def groups(found: Found) -> set[frozenset[int]]:
    """The clusters that must stay together."""
    members = defaultdict(set)
    for row, label in together(found).items():
        members[label].add(row)
    return {frozenset(rows) for rows in members.values()}


def removals(found: Found, names: list[int] | None = None) -> set[tuple[int, ...]]:
    """Every field of every removed row, with positions replaced by names."""
    name = names.__getitem__ if names else int
    near = zip(*(part.tolist() for part in found.near), strict=True)
    return {(name(row), name(kept), name(via), *rest) for row, kept, via, *rest in near}


# --- planted edits -----------------------------------------------------------------------------------------

EDITS = {
    "style": lambda draw, words: styled(draw, words),
    "1 %": lambda draw, words: " ".join(swapped(draw, words, 0.01)),
    "2 %": lambda draw, words: " ".join(swapped(draw, words, 0.02)),
    "5 %": lambda draw, words: " ".join(swapped(draw, words, 0.05)),
    "10 %": lambda draw, words: " ".join(swapped(draw, words, 0.1)),
    "cut": lambda draw, words: " ".join(words[: len(words) * 4 // 5]),
    "opening": lambda draw, words: " ".join(words[:30] + sentence(draw, len(words))),
}
SHARES = {  # share found: removed at 0.7, together at 0.5
    "style": ((1.0, 1.0), (1.0, 1.0)),
    "1 %": ((1.0, 1.0), (1.0, 1.0)),
    "2 %": ((1.0, 1.0), (1.0, 1.0)),
    "5 %": ((0.95, 1.0), (1.0, 1.0)),
    "10 %": ((0.0, 0.1), (0.8, 1.0)),
    "cut": ((1.0, 1.0), (1.0, 1.0)),
    "opening": ((0.0, 0.0), (0.0, 0.0)),
}


def planted(folder: Path, texts: list[list[str]], kind: str) -> tuple[float, float]:
    """Share of edited copies that are removed, and that stand beside their original."""
    draw = random.Random(kind)
    rows: list[Row] = [(" ".join(words), "", None) for words in texts]
    rows += [(EDITS[kind](draw, words), "", None) for words in texts]
    found = search(folder, rows)
    label = together(found)
    size = len(texts)
    gone = set(found.near.row.tolist())
    side = sum(label.get(size + n, -1) == label.get(n, -2) for n in range(size))
    return sum(size + n in gone for n in range(size)) / size, side / size
