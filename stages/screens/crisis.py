"""Crisis in what the person wrote: thoughts of suicide, self-harm or violence, abuse, or fear for another person.

Two detectors in one pass. Rules (data/crisis.yaml) find anchors and say where; a linear model (data/crisis_weights.tsv)
scores the worst stretch of words. A sure anchor flags. A weak one ("tired of living") flags where the score is at
least `promote`, and is for review otherwise, as is any text with a score of `review` or more. Negated, past, bereaved
and informational anchors are mentions. A score of `alone` or more flags without a sure anchor; its evidence is the
stretch of words that made the score (rule `model`), with no mention in it. Where nobody says "I" (news, advice), an
anchor of the writer's own danger flags from `alone` on.

Only the person is read: `input` and the user's turns, never an answer or a system text; and no record of a type in
which somebody else writes (`Crisis.not_persons`: a clinician's case notes, an experiment).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.params import Crisis
from stages.screens._canonical import Copy, canonical, table
from stages.screens._linear import Model, model, read, worst_stretch
from stages.screens._rules import FLAG, LEVELS, MENTION, NONE, REVIEW, Hit, rules

VERSION = 3
WEIGHTS = "crisis_weights.tsv"
CATEGORIES = (
    "suicidal_active",
    "attempt_recent",
    "suicidal_passive",
    "method_request",
    "self_harm",
    "violent_thoughts",
    "abuse_ongoing",
    "third_party_risk",
)
MODELLED = frozenset(CATEGORIES[:5])  # what the weights were taught
OWN = MODELLED - {"method_request"}  # what one tells of oneself
EVIDENCE = pa.struct(
    [
        pa.field("field", pa.string(), nullable=False),  # input or turns
        pa.field("turn", pa.int32()),  # number of the turn, from 0
        pa.field("start", pa.int32(), nullable=False),  # code points of the stored text, half-open
        pa.field("end", pa.int32(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
    ]
)
TYPE = pa.struct(
    [
        pa.field("flag", pa.bool_(), nullable=False),
        pa.field("review", pa.bool_(), nullable=False),  # wide: for a person to look at; true where flag is
        pa.field("severity", pa.string(), nullable=False),  # none, mention, review, flag
        pa.field("categories", pa.list_(pa.string()), nullable=False),  # of the most severe anchors
        pa.field("time", pa.string()),  # current, past; null where the text does not say
        pa.field("score", pa.int32(), nullable=False),  # of the linear model, in hundredths of a logit
        pa.field("evidence", pa.list_(EVIDENCE), nullable=False),  # the most severe anchors
    ]
)


@dataclass(frozen=True)
class Text:
    """One text that the person wrote, and where it stands."""

    row: int
    field: str
    turn: int | None
    content: str


@dataclass
class Finding:
    """What the texts of one record come to."""

    score: int
    level: int = NONE
    hits: list[tuple[Hit, dict[str, object]]] = field(default_factory=list)

    def add(self, level: int, score: int, hits: list[tuple[Hit, dict[str, object]]]) -> None:
        self.level, self.score = max(self.level, level), max(self.score, score)
        self.hits.extend(hits)

    def column(self) -> dict[str, object]:
        top = max((hit.level for hit, _ in self.hits), default=NONE)
        worst = [(hit, at) for hit, at in self.hits if hit.level == top]
        return {
            "flag": self.level == FLAG,
            "review": self.level >= REVIEW,
            "severity": LEVELS[self.level],
            "categories": [name for name in CATEGORIES if any(hit.category == name for hit, _ in worst)],
            "time": _time([hit for hit, _ in worst]),
            "score": self.score,
            "evidence": [at for _, at in worst],
        }


def screen(batch: pa.RecordBatch, params: Crisis) -> pa.StructArray:
    """A `TYPE` struct for each record; null where the person in need is not the writer."""
    person = pc.invert(pc.is_in(batch["type"], pa.array(params.not_persons, pa.string()))).to_numpy(
        zero_copy_only=False
    )
    texts = _texts(batch, person)
    weights = model(WEIGHTS, frozenset(rules().by_cue))
    findings = {int(row): Finding(weights.bias) for row in np.flatnonzero(person)}
    distinct = pa.array([text.content for text in texts], pa.string()).dictionary_encode()
    verdicts = _verdicts(distinct.dictionary, weights, params)
    for text, number in zip(texts, distinct.indices.to_pylist(), strict=True):
        level, score, hits = verdicts[number]
        findings[text.row].add(level, score, [(hit, _at(text, span, hit)) for hit, span in hits])
    return pa.array([findings[row].column() if row in findings else None for row in range(len(batch))], TYPE)


def _texts(batch: pa.RecordBatch, person: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[Text]:
    found = [
        Text(row, "input", None, content)
        for row, content in enumerate(batch["input"].to_pylist())
        if person[row] and content
    ]
    spoken = pc.and_(pc.is_valid(batch["turns"]), pa.array(person)).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(spoken).tolist():
        turns = enumerate(batch["turns"][row].as_py())
        found.extend(
            Text(row, "turns", i, turn["content"]) for i, turn in turns if turn["role"] == "user" and turn["content"]
        )
    return found


_Verdict = tuple[int, int, list[tuple[Hit, tuple[int, int]]]]


def _verdicts(texts: pa.StringArray, weights: Model, params: Crisis) -> list[_Verdict]:
    """Level, score, and hits with their spans, of each text; rules meet those with a cue word or a high score."""
    reading = read(texts, weights)
    return [
        _verdict(texts[i].as_py() if cue or score >= params.alone else "", score, weights, params)
        for i, (cue, score) in enumerate(zip(reading.cue.tolist(), reading.score.tolist(), strict=True))
    ]


def _verdict(text: str, score: int, weights: Model, params: Crisis) -> _Verdict:
    copy = canonical(text)
    told = not table().first_person.isdisjoint(copy.words)
    hits = [_weighed(hit, score, told, params) for hit in rules().hits(copy)]
    if score >= params.alone and not any(hit.level == FLAG for hit in hits):
        hits.extend(_by_model(copy, hits, weights))
    top = max((hit.level for hit in hits), default=NONE)
    level = max(top, REVIEW) if score >= params.review else top
    return level, score, [(hit, copy.source(hit.start, hit.end)) for hit in hits if hit.level == top]


def _weighed(hit: Hit, score: int, told: bool, params: Crisis) -> Hit:
    """The hit at the level that the score leaves it; `told` whether the writer speaks of themselves."""
    if hit.level == REVIEW and hit.category in MODELLED and not hit.hint:
        asked = params.promote if told else max(params.promote, params.alone)
        return replace(hit, level=FLAG) if score >= asked else hit
    if hit.level == FLAG and hit.category in OWN and not told and score < params.alone:
        return replace(hit, level=REVIEW)
    return hit


def _by_model(copy: Copy, hits: list[Hit], weights: Model) -> list[Hit]:
    """A flag for the worst stretch of words, under the gravest category that the anchors hint at."""
    start, end = worst_stretch(copy, weights)
    if any(hit.level == MENTION and hit.start < end and start < hit.end for hit in hits):
        return []
    hinted = {hit.category for hit in hits if hit.level > MENTION} & MODELLED
    category = next((name for name in CATEGORIES if name in hinted), "suicidal_passive")
    return [Hit("model", category, FLAG, start, end, past=False, hint=False)]


def _at(text: Text, span: tuple[int, int], hit: Hit) -> dict[str, object]:
    return {"field": text.field, "turn": text.turn, "start": span[0], "end": span[1], "rule": hit.rule}


def _time(hits: list[Hit]) -> str | None:
    if any(hit.level > MENTION for hit in hits):
        return "current"
    return "past" if any(hit.past for hit in hits) else None
