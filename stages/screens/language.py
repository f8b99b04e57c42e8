"""Language of what the person wrote and of the answers, by py3langid restricted to the declared languages.

The model's automaton is walked over all texts of a batch at once, one numpy step a byte position, and its weights
are integers: no label depends on a machine's arithmetic. Long texts are judged by three samples (start, middle,
end); a sample that is clearly another language than the whole is told too: bilingual answers are common.
Method: naive Bayes over byte n-grams, Lui & Baldwin (2011), as py3langid 0.4.0 scores it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ParamsError
from stages.params import Language

VERSION = 1
STORED = Path(__file__).with_name("data") / "language_model.arrow"  # by benchmarks/screens_language_model.py
ARRAYS = ("start", "step", "feature", "weights", "prior")
UNKNOWN = "und"
FIELDS = ("input", "response", "rejected_response")

TYPE = pa.struct(
    [
        field
        for name in FIELDS
        for field in (
            pa.field(name, pa.string()),  # ISO 639-1 code or und; null where the record has no such text
            pa.field(f"{name}_confidence", pa.int8()),  # percent
            pa.field(f"{name}_other", pa.string()),  # a further language that fills a whole sample of the text
        )
    ]
)

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_SAMPLE, _SAMPLES = 192, 3  # bytes, and how many of them at most
_SURE = 90  # percent: a sample's language counts as a further one from here
# Percent left for the first declared language, the corpus's own. Slang and names look like nothing in particular:
# from _LIKELY on a text is taken for the corpus's own language, from _DOUBT on for und.
_LIKELY, _DOUBT = 20, 10
_SCALE = 256  # of weights and of logarithms of counts, as integers: sums over a sample stay below 2**31
_FEATURES = 1 << 17  # more than the model has
_BLOCK = 512  # samples weighed at once: bounds memory
_LOGS = np.rint(np.log1p(np.arange(_SAMPLE + 1)) * _SCALE).astype(np.int32)

# Letters told by the first byte of a code point. A Chinese, Japanese or Korean one says as much as three letters;
# C2, CC, CD, E2, EF and F0 to F4 begin punctuation, marks, symbols and emoji.
_LETTERS = np.zeros(256, np.uint8)
_LETTERS[[*range(65, 91), *range(97, 123), *range(0xC3, 0xCC), *range(0xCE, 0xE2)]] = 1
_LETTERS[0xE3:0xEE] = 3


@dataclass(frozen=True)
class Model:
    """The automaton and, for the declared languages, integer weights."""

    codes: tuple[str, ...]
    start: npt.NDArray[np.int32]  # state -> where its row begins in `step`
    step: npt.NDArray[np.int32]  # row start + byte -> next state
    feature: npt.NDArray[np.int32]  # state -> feature or -1
    weights: npt.NDArray[np.int16]  # feature x code
    prior: Ints


def screen(batch: pa.RecordBatch, params: Language) -> pa.StructArray:
    """The language of each text of each record."""
    columns: list[pa.Array] = []
    for name in FIELDS:
        columns += _column(batch.column(name), params)
    return pa.StructArray.from_arrays(columns, fields=list(TYPE))


def _column(texts: pa.StringArray, params: Language) -> tuple[pa.Array, pa.Array, pa.Array]:
    model = _model(params.languages)
    absent = pc.is_null(texts).to_numpy(zero_copy_only=False)
    letters, samples = _sample(texts.fill_null(""))
    scores = _scores(samples, model)
    whole, sizes = _sums(scores, samples.row, len(texts)), _sums(samples.sizes, samples.row, len(texts))
    best, confidence = _decide(_percents(whole + model.prior, sizes), model.codes.index(params.languages[0]))
    best[letters < params.min_letters] = -1
    best[(confidence < params.min_confidence) & (best != model.codes.index(params.languages[0]))] = -1
    further = np.where(best < 0, -1, _further(_percents(scores + model.prior, samples.sizes), samples.row, best))
    codes = np.array([*model.codes, UNKNOWN], object)
    return (
        pa.array(codes[best], pa.string(), mask=absent),
        pa.array(confidence, pa.int8(), mask=absent),
        pa.array(codes[further], pa.string(), mask=absent | (further < 0)),
    )


@functools.lru_cache(maxsize=2)
def _model(languages: tuple[str, ...]) -> Model:
    stored = _stored()
    if not set(languages) <= set(stored.codes):
        return from_package(languages)
    columns = [place for place, code in enumerate(stored.codes) if code in languages]
    return replace(
        stored,
        codes=tuple(stored.codes[place] for place in columns),
        weights=stored.weights if len(columns) == len(stored.codes) else stored.weights[:, columns],
        prior=stored.prior[columns],
    )


def _stored() -> Model:
    """The model of the default languages, from the file beside this module."""
    with pa.OSFile(str(STORED)) as file:
        batch = pa.ipc.open_file(file).get_batch(0)
    codes = tuple(batch["codes"].flatten().to_pylist())
    arrays = {name: batch[name].flatten().to_numpy() for name in ARRAYS}
    arrays["weights"] = arrays["weights"].reshape(-1, len(codes))
    return Model(codes, **arrays)


def from_package(languages: tuple[str, ...]) -> Model:
    """The model as the package has it: every language that it knows, and 0.7 s of CPU to unpack."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    if unknown := [code for code in languages if code not in identifier.labels]:
        known = ", ".join(sorted(identifier.labels))
        raise ParamsError(f"screens.language.languages: py3langid knows no {unknown[0]!r}; it knows {known}")
    identifier.set_languages(languages)
    return Model(
        codes=tuple(identifier.nb_classes),
        start=np.array(identifier.tk_row, np.int32) << 8,
        step=np.array(identifier.tk_nextmove, np.int32),
        feature=np.array(identifier.tk_output, np.int32),
        weights=np.rint(identifier.nb_ptc.astype(np.float64) * _SCALE).astype(np.int16),
        prior=np.rint(identifier.nb_pc.astype(np.float64) * _SCALE * _SCALE).astype(np.int64),
    )


@dataclass(frozen=True)
class Samples:
    """Samples of texts, one after another in `data`."""

    data: Bytes
    starts: Ints
    sizes: Ints
    row: Ints  # the text that each sample is of, ascending


def _sample(texts: pa.StringArray) -> tuple[Ints, Samples]:
    """Letters in the samples of each text, and its samples: evenly spread, cut at code points, runs squeezed."""
    texts = _calm(texts)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    data = memoryview(texts.buffers()[2] or b"")
    lengths = np.diff(offsets)
    count = np.clip(-(-lengths // _SAMPLE), 0, _SAMPLES)
    row = np.repeat(np.arange(len(texts)), count)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    size = np.minimum(_SAMPLE, -(-lengths // np.maximum(count, 1)))[row]
    starts = offsets[:-1][row] + nth * (lengths[row] - size) // np.maximum(count - 1, 1)[row]
    whole = np.frombuffer(data, np.uint8)
    for _ in range(3):
        inside = (whole[starts] & 0xC0) == 0x80
        starts, size = starts + inside, size - inside
    pieces = [data[start:end] for start, end in zip(starts.tolist(), (starts + size).tolist(), strict=True)]
    picked, size = _squeeze(np.frombuffer(b"".join(pieces), np.uint8), size)
    starts = np.cumsum(size) - size
    letters = np.add.reduceat(_LETTERS[picked], starts, dtype=np.int64) if len(row) else starts
    return np.bincount(row, letters, len(texts)).astype(np.int64), Samples(picked, starts, size, row)


def _calm(texts: pa.StringArray) -> pa.StringArray:
    """Texts all in capitals, in lower case: the model knows few n-grams in capitals."""
    loud = pc.and_(pc.invert(pc.match_substring_regex(texts, "[a-z]")), pc.utf8_is_upper(texts))
    return pc.replace_with_mask(texts, loud, pc.utf8_lower(texts.filter(loud)))


def _squeeze(data: Bytes, sizes: Ints) -> tuple[Bytes, Ints]:
    """Keep two of any run of one ASCII byte: "sooooo" is no word of any language, "soo" is nearly one."""
    surplus = 2 + np.flatnonzero((data[2:] == data[1:-1]) & (data[2:] == data[:-2]) & (data[2:] < 128))
    ends = np.cumsum(sizes)
    sample = np.searchsorted(ends, surplus, side="right")
    within = surplus - (ends - sizes)[sample] >= 2  # no run goes on from one sample into the next
    return np.delete(data, surplus[within]), sizes - np.bincount(sample[within], minlength=len(sizes))


def _sums(values: Ints, row: Ints, rows: int) -> Ints:
    """Sum what belongs to one text."""
    total = np.zeros((rows, *values.shape[1:]), np.int64)
    np.add.at(total, row, values)
    return total


def _percents(scores: Ints, sizes: Ints) -> Ints:
    """Whole percents per class, tempered by the root of the bytes as py3langid does."""
    root = np.sqrt(np.maximum(sizes, 1))[:, None]
    odds = np.exp((scores - scores.max(axis=1, keepdims=True)) / (_SCALE * _SCALE * root))
    percents: Ints = np.floor(100 * odds / odds.sum(axis=1, keepdims=True)).astype(np.int64)
    return percents


def _decide(percents: Ints, home: int) -> tuple[Ints, Ints]:
    """The class of each text, or -1, and its percent."""
    best = percents.argmax(axis=1)
    best[percents[:, home] >= _LIKELY] = home
    confidence = percents[np.arange(len(best)), best]
    best[(best != home) & (percents[:, home] >= _DOUBT)] = -1
    return best, confidence


def _further(percents: Ints, row: Ints, best: Ints) -> Ints:
    """The first language other than the text's own that one of its samples is sure of, or -1."""
    language = percents.argmax(axis=1)
    found = np.flatnonzero((language != best[row]) & (percents.max(axis=1, initial=0) >= _SURE))[::-1]
    further = np.full(len(best), -1)
    further[row[found]] = language[found]  # backwards, so that the first is written last
    return further


def _scores(samples: Samples, model: Model) -> Ints:
    """Sum over features of log(1 + count) times weight, for each sample and language."""
    scores = np.zeros((len(samples.row), len(model.codes)), np.int64)
    for first in range(0, len(samples.row), _BLOCK):
        last = min(first + _BLOCK, len(samples.row))
        where, features = _walk(samples.data, samples.starts[first:last], samples.sizes[first:last], model)
        keys, counts = np.unique(where * _FEATURES + features, return_counts=True)
        if len(keys):
            row = keys // _FEATURES
            heads = np.flatnonzero(np.diff(row, prepend=-1))
            terms = model.weights[keys % _FEATURES] * _LOGS[counts, None]
            scores[first + row[heads]] = np.add.reduceat(terms, heads, axis=0)
    return scores


def _walk(data: Bytes, starts: Ints, sizes: Ints, model: Model) -> tuple[Ints, npt.NDArray[np.int32]]:
    """Run the automaton over samples side by side; give (sample, feature) for every n-gram found."""
    order = np.argsort(-sizes, kind="stable")
    starts, sizes = starts[order], sizes[order]
    state = np.zeros(len(order), np.int32)
    where = np.empty(int(sizes.sum()), np.int64)
    found = np.empty(len(where), np.int32)
    done = 0
    for position in range(int(sizes.max(initial=0))):
        going = int(np.searchsorted(-sizes, -position))  # longer samples come first
        state = model.step[model.start[state[:going]] + data[starts[:going] + position]]
        found[done : done + going] = model.feature[state]
        where[done : done + going] = order[:going]
        done += going
    hit = found >= 0
    return where[hit], found[hit]
