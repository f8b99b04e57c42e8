"""RedditESS: comments on posts, labelled effective or not. No public release: a user's file, columns by params.

An effective comment becomes a record; an ineffective one on the same post its rejected_response (field.md, R5):
neither deleted nor by a moderator or bot, lengths within `pairs.length_ratio`, a score not above the effective
one's, each used once, at most `pairs.max_per_post` pairs a post. The label says "rewarded" more than "good".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from stages import text
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


class Comment(NamedTuple):
    """One comment as the pairing sees it: no text, but its place in the spill."""

    place: int
    effective: bool
    score: float
    length: int
    digest: bytes
    start: int
    size: int


def gather(rows: Callable[[], Iterator[pa.RecordBatch]], folder: Path, params: Source) -> Iterator[pa.RecordBatch]:
    """Drafts of comments to drafts of records; comments that became part of another row carry the reason."""
    store = folder / "comments.bin"
    posts = _index(rows(), store)
    partners, reasons = _pair(posts, params.pairs or Pairs())
    with store.open("rb") as file:
        place = 0
        for batch in rows():
            yield _render(batch, place, partners, reasons, file)
            place += len(batch)


def _index(batches: Iterator[pa.RecordBatch], store: Path) -> dict[bytes, list[Comment]]:
    posts: dict[bytes, list[Comment]] = {}
    place = start = 0
    with store.open("wb") as file:
        for batch in batches:
            folded = text.fold(batch["input"]).to_pylist()
            for post, comment, meta in zip(
                folded, batch["response"].to_pylist(), batch["meta"].to_pylist(), strict=True
            ):
                facts = msgspec.json.decode(meta, type=Facts)
                data = comment.encode()
                post_key = xxhash.xxh3_128_digest((facts.post_id or post).encode())
                entry = Comment(
                    place,
                    facts.effective,
                    _number(facts.score),
                    len(comment),
                    xxhash.xxh3_128_digest(data),
                    start,
                    len(data),
                )
                posts.setdefault(post_key, []).append(entry)
                start += file.write(data)
                place += 1
    return posts


def _number(score: str | None) -> float:
    try:
        return float(score or 0)
    except ValueError:
        return 0.0


def _pair(posts: dict[bytes, list[Comment]], limits: Pairs) -> tuple[dict[int, Comment], dict[int, str]]:
    """Place of an effective comment -> its worse one, and place of an ineffective one -> why it is no record."""
    partners: dict[int, Comment] = {}
    reasons: dict[int, str] = {}
    for comments in posts.values():
        # best first against worst first; equal scores by content, so that the order in the file does not matter
        good = sorted((c for c in comments if c.effective), key=lambda c: (-c.score, c.digest, c.place))
        bad = sorted((c for c in comments if not c.effective), key=lambda c: (c.score, c.digest, c.place))
        for comment in good[: limits.max_per_post]:
            worse = next((c for c in bad if _fits(comment, c, limits)), None)
            if worse is not None:
                bad.remove(worse)
                partners[comment.place] = worse
                reasons[worse.place] = "paired"
        reasons.update((c.place, "unpaired") for c in bad)
    return partners, reasons


def _fits(good: Comment, bad: Comment, limits: Pairs) -> bool:
    short, long = sorted((good.length, bad.length))
    return good.score >= bad.score and long <= limits.length_ratio * short and good.digest != bad.digest


def _render(
    batch: pa.RecordBatch, first: int, partners: dict[int, Comment], reasons: dict[int, str], file: Any
) -> pa.RecordBatch:
    places = range(first, first + len(batch))
    rejected = [_text(file, partners[place]) if place in partners else None for place in places]
    paired = np.array([value is not None for value in rejected], bool)
    tags = [
        sorted([*tags, "derived:pair"]) if p else tags
        for tags, p in zip(batch["tags"].to_pylist(), paired, strict=True)
    ]
    reject = pa.array([reasons.get(place) for place in places], pa.string())
    changes = {
        "rejected_response": pa.array(rejected, pa.string()),
        "tags": pa.array(tags, pa.list_(pa.string())),
        "reject": reject,
        "message": reject,
    }
    return pa.RecordBatch.from_arrays([changes.get(n, batch[n]) for n in batch.schema.names], schema=batch.schema)


def _text(file: Any, comment: Comment) -> str:
    file.seek(comment.start)
    return str(file.read(comment.size), "utf-8")
