"""RedditESS: comments on posts, labelled effective or not. No public release: a user's file, columns by params.

An effective comment becomes a record; an ineffective one on the same post its rejected_response (field.md, R5):
neither deleted nor by a moderator or bot, lengths within `pairs.length_ratio`, a score not above the effective
one's, each used once, at most `pairs.max_per_post` pairs a post. The label says "rewarded" more than "good".
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stages import text
from stages.engine import Each
from stages.engine.keys import KeySpill, PlaceSpill, hash128, run_starts
from stages.errors import ParamsError
from stages.params import Pairs, Source
from stages.readers import RAW_JSON
from stages.sources import drafts

GROUP = "input"
REPAIRS = text.REPAIRS
CHOICES = ("removed", "moderator", "paired", "unpaired")  # ineffective comments have no record of their own

TEXTS, FACTS = ("post", "comment"), ("effective", "score", "post_id", "comment_id", "subreddit")
YES, NO = ("true", "1", "1.0", "yes", "effective"), ("false", "0", "0.0", "no", "ineffective")
REMOVED = r"^\[(deleted|removed)\b.*\]$"
MODERATOR = r"(?i)\bI am a bot\b|\bbeep boop\b|\bmoderators? of (this|/?r/\w+)|\bremoved by (the )?mod"


def raw(params: Source) -> pa.Schema:
    names = params.columns or {}
    for field in (*TEXTS, "effective"):
        if field not in names:
            raise ParamsError(
                f"params.yaml: sources.reddit_ess.columns.{field} is missing: name your file's column for it"
            )
    for field in names:
        if field not in TEXTS + FACTS:
            raise ParamsError(f"params.yaml: sources.reddit_ess.columns.{field} is unknown: {', '.join(TEXTS + FACTS)}")
    schema = [pa.field(names[field], pa.string(), nullable=False) for field in TEXTS]
    schema.append(pa.field(names["effective"], pa.string(), nullable=False, metadata=RAW_JSON.metadata))
    optional = [names[field] for field in FACTS[1:] if field in names]
    return pa.schema(schema + [pa.field(name, pa.string(), metadata=RAW_JSON.metadata) for name in optional])


def draft(batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch:
    names = params.columns or {}
    facts: dict[str, list[Any]] = {f: [_plain(v) for v in batch[names[f]].to_pylist()] for f in FACTS if f in names}
    facts["effective"] = [_verdict(value, params.labels) for value in facts["effective"]]
    unknown = pa.array([value is None for value in facts["effective"]], pa.bool_())
    comment = batch[names["comment"]]
    removed = pc.match_substring_regex(pc.utf8_trim_whitespace(comment), REMOVED)
    moderator = pc.match_substring_regex(comment, MODERATOR)
    reject = pc.if_else(
        unknown, "unknown_label", pc.if_else(removed, "removed", pc.if_else(moderator, "moderator", None))
    )
    rows = [dict(zip(facts, values, strict=True)) for values in zip(*facts.values(), strict=True)]
    return drafts(
        len(batch),
        input=batch[names["post"]],
        response=comment,
        type="social-support",
        tags=["weak-label"],
        group=batch[names["post"]],
        key=pa.array(facts["comment_id"], pa.string()) if "comment_id" in facts else None,
        meta=pa.array([orjson.dumps(row).decode() for row in rows], pa.string()),
        reject=reject.cast(pa.string()),
        message=pc.if_else(unknown, "effective is neither yes nor no", reject).cast(pa.string()),
    )


def _plain(value: str | None) -> str | None:
    """The text of a JSON scalar: its quotes gone, null as None; a CSV cell stays as it is, an empty one is None."""
    if value is None or value in ("null", ""):
        return None
    return str(orjson.loads(value)) if value.startswith('"') and value.endswith('"') else value


def _verdict(value: str | None, labels: dict[str, str] | None) -> bool | None:
    word = (labels or {}).get(value or "", value or "").strip().lower()
    return True if word in YES else False if word in NO else None


# --- pairing: one record from two rows -----------------------------------------------------------------


class Facts(msgspec.Struct):
    """What draft() wrote into meta."""

    effective: bool
    post_id: str | None = None
    score: str | None = None


# One comment as the pairing sees it: its post, whether it helped, and where its text lies in the file of its unit.
INDEX = np.dtype(
    [
        ("hi", "u8"), ("lo", "u8"), ("place", "i8"), ("effective", "?"), ("score", "f8"), ("length", "i8"),
        ("digest_hi", "u8"), ("digest_lo", "u8"), ("unit", "u4"), ("start", "i8"), ("size", "i8"),
    ]
)  # fmt: skip
FATE = np.dtype([("place", "i8"), ("reason", "u1"), ("unit", "u4"), ("start", "i8"), ("size", "i8")])
REASONS = (None, "paired", "unpaired")  # no reason: a record, with a worse comment where `size` is not -1
PAIRED, UNPAIRED = 1, 2


class Comment(NamedTuple):
    """A row of INDEX, without its post."""

    place: int
    effective: bool
    score: float
    length: int
    digest_hi: int
    digest_lo: int
    unit: int
    start: int
    size: int


def index(batch: pa.RecordBatch, texts: BinaryIO) -> np.ndarray:
    """What pairing asks of comments (dtype INDEX, place and unit unset); their texts are appended to `texts`."""
    facts = [msgspec.json.decode(meta, type=Facts) for meta in batch["meta"].to_pylist()]
    posts = [fact.post_id for fact in facts]
    if None in posts:
        folded = text.fold(batch["input"]).to_pylist()
        posts = [post or fold for post, fold in zip(posts, folded, strict=True)]
    data = batch["response"].cast(pa.binary())
    found = np.zeros(len(batch), INDEX)
    for prefix, hashes in (("", hash128(pa.array(posts, pa.string()))), ("digest_", hash128(data))):
        found[f"{prefix}hi"], found[f"{prefix}lo"] = hashes["hi"], hashes["lo"]
    found["effective"] = [fact.effective for fact in facts]
    found["score"] = [_number(fact.score) for fact in facts]
    found["length"] = pc.utf8_length(batch["response"]).to_numpy()
    found["size"] = pc.binary_length(data).to_numpy()
    found["start"] = texts.tell() + np.cumsum(found["size"]) - found["size"]
    texts.write(b"".join(data.to_pylist()))
    return found


def gather(index: Iterable[np.ndarray], total: int, folder: Path, params: Source, each: Each) -> PlaceSpill:
    """What becomes of each of `total` comments (dtype FATE): a record, or a part of another one, with the reason."""
    comments, fates = KeySpill(folder / "comments", INDEX), PlaceSpill(folder / "fates", FATE, total)
    for found in index:
        comments.add(found)
    for made in each(functools.partial(_pair, limits=params.pairs or Pairs()), comments.partitions()):
        fates.add(made)
    return fates


def _number(score: str | None) -> float:
    try:
        return float(score or 0)
    except ValueError:
        return 0.0


def _pair(part: np.ndarray, limits: Pairs) -> np.ndarray:
    """What becomes of each comment of some posts (dtype INDEX, sorted by post): dtype FATE."""
    fates = np.zeros(len(part), FATE)
    fates["place"], fates["size"] = part["place"], -1
    starts = np.unique(run_starts(part, ("hi", "lo")))
    own = list(INDEX.names or ())[2:]
    for start, stop in itertools.pairwise([*starts.tolist(), len(part)]):
        rows = [Comment(*row) for row in part[own][start:stop].tolist()]
        numbers = {row.place: start + number for number, row in enumerate(rows)}
        # best first against worst first; equal scores by content, so that the order in the file does not matter
        good = sorted((c for c in rows if c.effective), key=lambda c: (-c.score, c.digest_hi, c.digest_lo, c.place))
        bad = sorted((c for c in rows if not c.effective), key=lambda c: (c.score, c.digest_hi, c.digest_lo, c.place))
        for comment in good[: limits.max_per_post]:
            worse = next((c for c in bad if _fits(comment, c, limits)), None)
            if worse is not None:
                bad.remove(worse)
                for name in ("unit", "start", "size"):
                    fates[name][numbers[comment.place]] = getattr(worse, name)
                fates["reason"][numbers[worse.place]] = PAIRED
        fates["reason"][[numbers[c.place] for c in bad]] = UNPAIRED
    return fates


def _fits(good: Comment, bad: Comment, limits: Pairs) -> bool:
    short, long = sorted((good.length, bad.length))
    content = (good.digest_hi, good.digest_lo) != (bad.digest_hi, bad.digest_lo)
    return good.score >= bad.score and long <= limits.length_ratio * short and content


def render(batch: pa.RecordBatch, first: int, fates: np.ndarray, texts: Callable[[int], Path]) -> pa.RecordBatch:
    """Drafts of comments from place `first` on as drafts of records; those that are none carry the reason."""
    rejected: list[str | None] = [None] * len(batch)
    tags = batch["tags"]
    paired = fates[fates["size"] >= 0]
    for unit in np.unique(paired["unit"]).tolist():
        some = paired[paired["unit"] == unit]
        with texts(unit).open("rb") as file:
            for place, start, size in zip(*(some[name].tolist() for name in ("place", "start", "size")), strict=True):
                file.seek(start)
                rejected[place - first] = str(file.read(size), "utf-8")
    if len(paired):
        lists = tags.to_pylist()
        for place in (paired["place"] - first).tolist():
            lists[place] = sorted([*lists[place], "derived:pair"])
        tags = pa.array(lists, pa.list_(pa.string()))
    reject = pa.array(REASONS, pa.string()).take(pa.array(fates["reason"]))
    changes = {
        "rejected_response": pa.array(rejected, pa.string()), "tags": tags, "reject": reject, "message": reject,
    }  # fmt: skip
    return pa.RecordBatch.from_arrays([changes.get(n, batch[n]) for n in batch.schema.names], schema=batch.schema)
