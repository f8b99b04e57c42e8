"""Quality: tags that say why a row may be unfit (data/quality.yaml), and integers to set further limits by.

Tags of the record stand in `tags`; those of a rejected answer apart, since there they are no fault of the row.
Repetition after Gopher (Rae et al. 2021, A.1.1), readability after ARI (Senter & Smith 1967): stored, never a tag,
for short posts and templates repeat by design.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.params import Quality
from stages.screens import TRANSCRIPT
from stages.screens._canonical import load
from stages.screens._words import Hashes, Ints, Words, words

VERSION = 1
FIELDS = ("input", "response", "rejected_response")
LABELLED = "classification"  # the response is a label, no text

TYPE = pa.struct(
    [
        pa.field("tags", pa.list_(pa.string())),  # of input and response, sorted
        pa.field("rejected_tags", pa.list_(pa.string())),  # of rejected_response, sorted
        *(pa.field(f"{name}_words", pa.int32()) for name in FIELDS),
        # Of the answer, or of the input where the response is no text; null for experiments. Percent of words in the
        # most frequent pair of words; percent of 5- and of 10-word runs that stood before in the same text.
        pa.field("top_pair", pa.int8()),
        pa.field("repeated_5", pa.int8()),
        pa.field("repeated_10", pa.int8()),
        # Tenths of words per sentence, and of the automated readability index; null without sentence ends.
        pa.field("sentence_words", pa.int32()),
        pa.field("ari", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Rule:
    tag: str
    fields: tuple[str, ...]
    pattern: str  # RE2


def screen(batch: pa.RecordBatch, params: Quality) -> pa.StructArray:
    """Tags and figures of each record."""
    kind = batch["type"]
    labelled = pc.equal(kind, LABELLED)
    no_answer = pc.or_(labelled, pc.equal(kind, TRANSCRIPT))
    texts = {name: batch[name] for name in FIELDS}
    texts["response"] = pc.if_else(no_answer, None, texts["response"])
    main = pc.if_else(labelled, texts["input"], texts["response"])
    figures = _figures(main)
    counts = {name: _counts(texts[name]) for name in FIELDS if name != "response"}
    counts["response"] = pc.if_else(no_answer, None, figures["words"])
    short = pc.less(figures["words"], params.short_words)
    rejected_short = pc.less(counts["rejected_response"], params.short_words)
    columns = [
        _tags(texts, ("input", "response"), short),
        _tags(texts, ("rejected_response",), rejected_short),
        *(counts[name] for name in FIELDS),
        *(figures[name] for name in ("top_pair", "repeated_5", "repeated_10", "sentence_words", "ari")),
    ]
    return pa.StructArray.from_arrays(
        [column.cast(f.type) for column, f in zip(columns, TYPE, strict=True)], fields=list(TYPE)
    )


# --- tags ------------------------------------------------------------------------------------------------


@functools.cache
def _rules() -> tuple[Rule, ...]:
    entries = load("quality.yaml")
    return tuple(
        Rule(tag, tuple(entry["in"]), "|".join(f"(?:{pattern})" for pattern in entry["any"]))
        for tag, entry in sorted(entries.items())
    )


def _tags(texts: dict[str, pa.StringArray], fields: tuple[str, ...], short: pa.BooleanArray) -> pa.ListArray:
    """Sorted tags of each record over some of its texts."""
    found: dict[str, npt.NDArray[np.bool_]] = {"short": _true(short), "base64": np.zeros(len(short), bool)}
    for name in fields:
        found["base64"] |= _base64(texts[name])
        for rule in _rules():
            if name in rule.fields:
                hits = _true(pc.match_substring_regex(texts[name], rule.pattern))
                found[rule.tag] = found[rule.tag] | hits if rule.tag in found else hits
    names = sorted(found)
    flags = np.column_stack([found[name] for name in names])
    offsets = np.concatenate([[0], np.cumsum(flags.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(names, pa.string()).take(pa.array(np.nonzero(flags)[1]))
    )


def _true(flags: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    return pc.fill_null(flags, False).to_numpy(zero_copy_only=False)


_RUN = re.compile(r"[A-Za-z0-9+/]{80,}")
_MIXED = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))


def _base64(texts: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Encoded binary: a run of 80 letters and digits with both cases and a digit ("HAHAHA..." has not)."""
    flags = _true(pc.match_substring_regex(texts, _RUN.pattern))
    for place in np.flatnonzero(flags):
        runs = _RUN.findall(texts[int(place)].as_py())
        flags[place] = any(all(part.search(run) for part in _MIXED) for run in runs)
    return flags


# --- figures ---------------------------------------------------------------------------------------------


def _counts(texts: pa.StringArray) -> pa.Int64Array:
    counted = [part.counts() for part in words(texts)]
    return pc.if_else(pc.is_valid(texts), pa.array(np.concatenate([np.zeros(0, np.int64), *counted])), None)


def _figures(texts: pa.StringArray) -> dict[str, pa.Array]:
    """Figures of each text by name; all null for a null text."""
    sentences = pc.fill_null(pc.count_substring_regex(texts, r"[.!?]+(?:[\s\"'”’)]|$)"), 0).to_numpy()
    parts: dict[str, list[Ints]] = {name: [] for name in ("words", "top_pair", "repeated_5", "repeated_10", "letters")}
    for part in words(texts):
        counts = part.counts()
        parts["words"].append(counts)
        parts["top_pair"].append(_top_pair(part, counts))
        for size in (5, 10):
            parts[f"repeated_{size}"].append(_repeated(part, size))
        parts["letters"].append(np.bincount(part.row, part.ends - part.starts, len(counts)).astype(np.int64))
    whole = {name: np.concatenate([np.zeros(0, np.int64), *arrays]) for name, arrays in parts.items()}
    some = np.maximum(whole["words"], 1)
    per_sentence = 10 * whole["words"] // np.maximum(sentences, 1)
    unread = (sentences == 0) | (whole["words"] == 0)
    figures = {name: pa.array(whole[name]) for name in ("words", "top_pair", "repeated_5", "repeated_10")}
    figures["sentence_words"] = pa.array(per_sentence, mask=unread)
    figures["ari"] = pa.array(471 * whole["letters"] // (10 * some) + per_sentence // 2 - 214, mask=unread)
    return {name: pc.if_else(pc.is_valid(texts), column, None) for name, column in figures.items()}


def _runs(part: Words, size: int) -> tuple[Ints, Hashes]:
    """Text and hash of each run of `size` words within a text."""
    last = len(part.row) - size + 1
    if last <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    hashes = np.zeros(last, np.uint64)
    for place in range(size):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + part.hashes[place : place + last]
    within = part.row[:last] == part.row[size - 1 :]
    return part.row[:last][within], hashes[within]


def _keys(row: Ints, hashes: Hashes) -> Hashes:
    """Text number in the high 24 bits, hash in the low 40: enough for the runs of one text."""
    return (row.astype(np.uint64) << np.uint64(40)) | (hashes >> np.uint64(24))


def _top_pair(part: Words, counts: Ints) -> Ints:
    keys, found = np.unique(_keys(*_runs(part, 2)), return_counts=True)
    top = np.zeros(len(counts), np.int64)
    np.maximum.at(top, (keys >> np.uint64(40)).astype(np.int64), found)
    return np.where(top > 1, np.minimum(100, 200 * top // np.maximum(counts, 1)), 0)


def _repeated(part: Words, size: int) -> Ints:
    row, hashes = _runs(part, size)
    texts = part.last - part.first
    distinct = (np.unique(_keys(row, hashes)) >> np.uint64(40)).astype(np.int64)
    total = np.bincount(row, minlength=texts)
    return 100 * (total - np.bincount(distinct, minlength=texts)) // np.maximum(total, 1)
