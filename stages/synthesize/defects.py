"""The defect table: what was wrong with the original system's output, measured on any set of rows.

Measures and the original's figures are those of `benchmarks/synthesize.py`, which prints both side by side.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.llm.prose import Texts
from stages.params import Filters, NearDup, Topic
from stages.params import Topics as TopicsScreen
from stages.screens import topics as topics_screen
from stages.synthesize import checks
from stages.synthesize.similar import Index, Rarity

SHORT = 40  # words, of the original's rule for short questions
OPENINGS = (5, 8)
ANY_KEYWORD = TopicsScreen(min_score=1)
NEAR = NearDup()  # the thresholds of the table, whatever the params say


@dataclass(frozen=True)
class Pair:
    """One row as the table sees it. Rows without a topic leave the topic's measures out."""

    question: str
    answer: str
    topic: str | None = None
    crisis: bool = False


def measure(pairs: Sequence[Pair], topics: Sequence[Topic], filters: Filters) -> dict[str, Any]:
    """The table: counts of rows, shares rounded to four places, medians in words.

    `topics` gives the target; `filters` the banned openings, refusals and leftovers to look for.
    """
    asked, given = Texts.of([p.question for p in pairs]), Texts.of([p.answer for p in pairs])
    return {
        "rows": len(pairs),
        "topic_distance": topic_distance([p.topic for p in pairs if p.topic is not None], topics),
        "labels_without_keyword": labels_without_keyword(pairs),
        "question_words_median": _median(asked),
        "answer_words_median": _median(given),
        "questions_short": sum(len(q.split()) < SHORT for q in asked.raw.to_pylist()),
        "duplicates": _duplicates(asked),
        **_near(asked),
        **{f"questions_sharing_first_{n}": _sharing(asked, n) for n in OPENINGS},
        **{f"answers_sharing_first_{n}": _sharing(given, n) for n in OPENINGS},
        "banned_openings": sum(checks.starts(given, filters.banned_openings)),
        "refusals": _either(checks.contains(asked, filters.refusal), checks.contains(given, filters.refusal)),
        "leftovers": _either(checks.leftovers(asked, filters), checks.leftovers(given, filters)),
        "no_final_punctuation": sum(not a.rstrip().endswith(_ENDS) for a in given.raw.to_pylist()),
        **_crisis(pairs, asked, given),
    }


_ENDS = (".", "!", "?", '"', "”", "’", "'", ")", "…")


def topic_distance(labels: Sequence[str], topics: Sequence[Topic]) -> float | None:
    """Total variation between the labels' shares and the weights'; 0 is equal, 1 is apart."""
    whole = sum(topic.weight for topic in topics)
    if not labels or not whole:
        return None
    seen = Counter(label.strip() for label in labels)
    target = {topic.label: topic.weight / whole for topic in topics}
    names = sorted(seen.keys() | target.keys())
    return round(sum(abs(seen[name] / len(labels) - target.get(name, 0.0)) for name in names) / 2, 4)


def labels_without_keyword(pairs: Sequence[Pair]) -> float | None:
    """Share of labelled rows whose question holds no keyword of its topic, by the lexicon of the topics screen."""
    labelled = [pair for pair in pairs if pair.topic is not None]
    if not labelled:
        return None
    columns = {"input": [pair.question for pair in labelled], "type": ["synthetic"] * len(labelled)}
    found = pc.struct_field(topics_screen.screen(pa.record_batch(columns), ANY_KEYWORD), "topics").to_pylist()
    named = [{entry["topic"] for entry in entries} for entries in found]
    missing = sum((pair.topic or "").strip() not in names for pair, names in zip(labelled, named, strict=True))
    return round(missing / len(labelled), 4)


def _median(texts: Texts) -> float | None:
    counts = [len(value.split()) for value in texts.raw.to_pylist()]
    return statistics.median(counts) if counts else None


def _duplicates(texts: Texts) -> int:
    """Rows whose question, case and punctuation aside, an earlier row has."""
    return len(texts.words) - len({tuple(words) for words in texts.words})


def _near(texts: Texts) -> dict[str, int]:
    """For each measure the rows with a near-duplicate among the other rows."""
    index, paired = Index(NEAR, Rarity(texts.words)), {"rouge_l": set[str](), "tfidf": set[str]()}
    for place, words in enumerate(texts.words):
        for measure, others in index.near_by(words).items():
            if others:
                paired[measure] |= {str(place), *others}
        index.add(str(place), words)
    return {f"near_duplicates_{measure}": len(rows) for measure, rows in paired.items()}


def _sharing(texts: Texts, count: int) -> float:
    """Share of rows whose first `count` words another row has too."""
    openings = Counter(tuple(words[:count]) for words in texts.words)
    shared = sum(number for number in openings.values() if number > 1)
    return round(shared / len(texts.words), 4) if texts.words else 0.0


def _either(one: Sequence[bool], other: Sequence[bool]) -> int:
    return sum(a or b for a, b in zip(one, other, strict=True))


def _crisis(pairs: Sequence[Pair], asked: Texts, given: Texts) -> dict[str, int]:
    """Rows in crisis by topic or wording, what help their answers name, and all answers that name any."""
    hits = [pair.crisis or hit for pair, hit in zip(pairs, checks.crisis(asked), strict=True)]
    kinds = checks.referrals(given)
    named = [kind for hit, kind in zip(hits, kinds, strict=True) if hit]
    return {
        "crisis": len(named),
        "crisis_with_line_or_emergency": sum(kind in checks.AT_ONCE for kind in named),
        "crisis_with_any_referral": sum(kind != "none" for kind in named),
        "answers_with_any_referral": sum(kind != "none" for kind in kinds),
    }
