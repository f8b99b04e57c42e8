"""audit: what the labels of each classification source are worth. `python -m stages.audit`

If the length of a text, one word, or both in one line tell a label nearly as well as a trained model does, the label
says where a row was collected rather than what it means. Nothing is relabelled: the report and the card say so.

Accuracies are out of five folds; rows of one folded text share a fold. The model is TF-IDF over words (smooth idf,
rows of length 1) with a logistic regression (C = 5; pairs of words and other C gave no more), in numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages import errors, params, text
from stages.engine.keys import hash128
from stages.errors import SourceError
from stages.files import write_json
from stages.layout import NORMALIZED, REPORTS
from stages.storage import read_batches, row_count

FOLDS = 5
LIMIT = 20_000  # rows audited of one source: a sample by id beyond, so that memory is bounded
LISTED = 1000  # ids of rows that the model contradicts
ARTEFACT = 0.9  # accuracy from which a one-line rule calls the label an artefact
FREEDOM = 5.0  # C of the logistic regression: what a wrong row weighs against the size of the weights
STEM = 7  # letters of a label's own name that are sought in the texts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Fit = Callable[[Ints], Callable[[Ints], Ints]]  # rows to learn from -> (rows -> labels)


def main() -> None:
    settings = params.load("sources")
    report = {}
    for key in params.ordered(settings):
        labels = settings.sources[key].labels
        if labels and "classification" in settings.sources[key].enters:
            report[key] = audit(_rows(key), sorted(set(labels.values())))
    write_json(REPORTS / "audit.json", report)


def _rows(key: str) -> pa.Table:
    """Columns id, text and label of a source's records in upstream order; text is null outside the sample."""
    path = NORMALIZED / f"{key}.parquet"
    if not path.exists():
        raise SourceError(f"{path} is missing: `dvc repro` makes it")
    total = row_count(path)
    last = f"{min(16**8 - 1, 16**8 * LIMIT // max(total, 1)):08x}"  # ids are hashes: the low ones are a sample
    parts = []
    for batch in read_batches(path, ["id", "input", "response"]):
        picked = pc.less_equal(pc.utf8_slice_codeunits(batch["id"], 0, 8), last)
        parts.append(
            pa.table({"id": batch["id"], "text": pc.if_else(picked, batch["input"], None), "label": batch["response"]})
        )
    empty = pa.schema([("id", pa.string()), ("text", pa.string()), ("label", pa.string())]).empty_table()
    return pa.concat_tables([empty, *parts])


# --- the figures -----------------------------------------------------------------------------------------


def audit(rows: pa.Table, labels: list[str]) -> dict[str, Any]:
    """The figures for one source.

    `rows` has the columns id, text (null: not audited) and label, in upstream order; every label is in `labels`.
    """
    known = pc.index_in(rows["label"], pa.array(labels, pa.string()))
    order = known.to_numpy().astype(np.int64)
    sample = rows.filter(pc.is_valid(rows["text"])).combine_chunks()
    figures: dict[str, Any] = {
        "rows": len(rows),
        "audited": len(sample),
        "labels": {label: int((order == number).sum()) for number, label in enumerate(labels)},
        "order": _order(order, labels),
    }
    if len(sample) == 0 or len(np.unique(order)) < 2:
        return figures
    y = pc.index_in(sample["label"], pa.array(labels, pa.string())).to_numpy().astype(np.int64)
    corpus = _corpus(sample["text"], y, len(labels))
    rules = _rules(corpus, labels)
    model = _out_of_fold(corpus, lambda train: _model(corpus, train))
    contradicted = np.sort(np.array(sample["id"].to_pylist())[model != y])
    return figures | {
        "majority": _share(np.bincount(y).max(), len(y)),
        **rules,
        "model": {
            "accuracy": _share((model == y).sum(), len(y)),
            "contradicts": len(contradicted),
            "ids": contradicted[:LISTED].tolist(),
        },
        "duplicates": _duplicates(corpus),
        "artefact": rules["one_line_rule"]["accuracy"] >= ARTEFACT,
    }


@dataclass(frozen=True)
class Corpus:
    """Texts as numbers. `row`, `word` and `count` list the words of each text, ascending."""

    y: Ints
    labels: int
    length: Ints  # characters
    group: npt.NDArray[np.uint64]  # of the folded text
    texts: pa.StringArray
    words: list[str]  # sorted
    row: Ints
    word: Ints
    count: Ints


def _share(part: int, whole: int) -> float:
    return round(int(part) / max(whole, 1), 3)


def _order(order: Ints, labels: list[str]) -> dict[str, Any]:
    """Whether the file is sorted by label: then a head of it has one label only."""
    runs = int((np.diff(order) != 0).sum()) + min(len(order), 1)
    head = order[: max(1, len(order) // 10)]
    first = {label: _share((head == number).sum(), len(head)) for number, label in enumerate(labels)}
    return {"runs": runs, "sorted": 1 < runs == len(np.unique(order)), "first_tenth": first}


def _duplicates(corpus: Corpus) -> dict[str, int]:
    """Texts that stand more than once after folding, and those of them with more than one label."""
    _, place, count = np.unique(corpus.group, return_inverse=True, return_counts=True)
    pairs = np.unique(place * corpus.labels + corpus.y) // corpus.labels
    conflict = np.bincount(pairs, minlength=len(count)) > 1
    return {
        "texts": int((count > 1).sum()),
        "rows": int(count[count > 1].sum()),
        "conflicting_texts": int(conflict.sum()),
        "conflicting_rows": int(count[conflict].sum()),
    }


def _out_of_fold(corpus: Corpus, fit: Fit) -> Ints:
    """A label for each row by what was learnt from the other folds."""
    fold = (corpus.group % np.uint64(FOLDS)).astype(np.int64)
    found = np.zeros(len(corpus.y), np.int64)
    for number in range(FOLDS):
        held = np.flatnonzero(fold == number)
        rest = np.flatnonzero(fold != number)
        found[held] = fit(rest)(held) if len(rest) and len(held) else 0
    return found


# --- texts as numbers ------------------------------------------------------------------------------------


def _corpus(texts: pa.StringArray, y: Ints, labels: int) -> Corpus:
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    lists = pc.utf8_split_whitespace(text.words(texts))
    row = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    coded = pc.dictionary_encode(lists.flatten())
    names = coded.dictionary.to_pylist()
    place = np.argsort(np.array(names, object), kind="stable")  # words in their order, whichever came first
    number = np.empty(len(names), np.int64)
    number[place] = np.arange(len(names))
    word = number[coded.indices.to_numpy()] if len(names) else np.zeros(0, np.int64)
    cells, count = np.unique(row * max(len(names), 1) + word, return_counts=True)
    return Corpus(
        y, labels, pc.utf8_length(texts).to_numpy().astype(np.int64), hash128(text.fold(texts))["hi"], texts,
        [names[n] for n in place], cells // max(len(names), 1), cells % max(len(names), 1), count.astype(np.int64),
    )  # fmt: skip


# --- one line --------------------------------------------------------------------------------------------


def _rules(corpus: Corpus, labels: list[str]) -> dict[str, dict[str, Any]]:
    """Accuracy and wording of: length alone, the best word, the label's own name, and length or a word."""
    everything = np.arange(len(corpus.y))

    def accuracy(fit: Fit) -> float:
        return _share((_out_of_fold(corpus, fit) == corpus.y).sum(), len(corpus.y))

    cut, low, high = _cut(corpus, everything)
    word = _best_word(corpus, everything)
    stem = _best_stem(corpus, everything, labels)
    rule_cut, rule_word, rule_low, rule_high = _line(corpus, everything)
    or_word = f", or the word {corpus.words[rule_word]!r}" if rule_word >= 0 else ""
    return {
        "length": {
            "accuracy": accuracy(lambda rows: _by_flag(corpus, rows, corpus.length > _cut(corpus, rows)[0])),
            "rule": f"more than {cut} characters: {labels[high]}; else {labels[low]}",
        },
        "best_word": {
            "accuracy": accuracy(lambda rows: _by_flag(corpus, rows, _has(corpus, _best_word(corpus, rows)))),
            "word": corpus.words[word] if word >= 0 else "",
        },
        "label_name": {
            "accuracy": accuracy(
                lambda rows: _by_flag(corpus, rows, _contains(corpus, _best_stem(corpus, rows, labels)))
            ),
            "part": stem,
        },
        "one_line_rule": {
            "accuracy": accuracy(lambda rows: _by_line(corpus, rows)),
            "rule": f"more than {rule_cut} characters{or_word}: {labels[rule_high]}; else {labels[rule_low]}",
        },
    }


def _counts(corpus: Corpus, rows: Ints) -> Ints:
    return np.bincount(corpus.y[rows], minlength=corpus.labels)


def _by_flag(corpus: Corpus, rows: Ints, flag: npt.NDArray[np.bool_]) -> Callable[[Ints], Ints]:
    """The majority label of the learnt rows with the flag, and of those without."""
    majority = _counts(corpus, rows).argmax()
    sides = [_counts(corpus, rows[flag[rows] == side]) for side in (False, True)]
    with_or_without = np.array([side.argmax() if side.any() else majority for side in sides])
    return lambda wanted: with_or_without[flag[wanted].astype(np.int64)]


def _cut(corpus: Corpus, rows: Ints) -> tuple[int, int, int]:
    """The length over which the label changes, the label up to it and the label above, by best accuracy."""
    order = rows[np.argsort(corpus.length[rows], kind="stable")]
    length = corpus.length[order]
    below = np.cumsum(corpus.y[order][:, None] == np.arange(corpus.labels), axis=0)
    above = below[-1] - below
    right = np.where(np.diff(length, append=-1) != 0, below.max(axis=1) + above.max(axis=1), -1)
    best = int(right.argmax())
    cut = int(length[best] + length[min(best + 1, len(length) - 1)]) // 2  # midway, for the rows not learnt from
    high = above[best] if above[best].any() else below[best]
    return cut, int(below[best].argmax()), int(high.argmax())


def _by_word(corpus: Corpus, rows: Ints) -> Ints:
    """Rows with each word, by label; shape (words, labels)."""
    chosen = np.zeros(len(corpus.y), bool)
    chosen[rows] = True
    cells = np.flatnonzero(chosen[corpus.row])
    key = corpus.word[cells] * corpus.labels + corpus.y[corpus.row[cells]]
    return np.bincount(key, minlength=len(corpus.words) * corpus.labels).reshape(len(corpus.words), corpus.labels)


def _best_word(corpus: Corpus, rows: Ints) -> int:
    """The word whose presence alone tells most labels; the first in alphabetical order of equal ones."""
    there = _by_word(corpus, rows)
    right = there.max(axis=1) + (_counts(corpus, rows) - there).max(axis=1)
    return int(right.argmax()) if len(right) else -1


def _has(corpus: Corpus, word: int) -> npt.NDArray[np.bool_]:
    flag = np.zeros(len(corpus.y), bool)
    flag[corpus.row[corpus.word == word]] = True
    return flag


def _contains(corpus: Corpus, part: str) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = pc.match_substring(corpus.texts, part, ignore_case=True).to_numpy(
        zero_copy_only=False
    )
    return flags & bool(part)


def _best_stem(corpus: Corpus, rows: Ints, labels: list[str]) -> str:
    """The beginning of a word of the labels' names whose presence tells most labels."""
    stems = sorted(
        {word[:STEM] for label in labels for word in label.lower().replace("_", "-").split("-") if len(word) > 3}
    )

    def right(stem: str) -> int:
        flag = _contains(corpus, stem)[rows]
        return int(sum(_counts(corpus, rows[flag == side]).max() for side in (False, True)))

    return max(stems, key=right, default="")


def _line(corpus: Corpus, rows: Ints) -> tuple[int, int, int, int]:
    """A length, a word, and the labels for neither and for either of them."""
    cut, low, high = _cut(corpus, rows)
    there = _by_word(corpus, rows[corpus.length[rows] <= cut])
    gain = there[:, high] - there[:, low]
    word = int(gain.argmax()) if gain.max(initial=0) > 0 else -1
    rest = rows[~_has(corpus, word)[rows]]
    if len(rest):
        cut, low, high = _cut(corpus, rest)
    return cut, word, low, high


def _by_line(corpus: Corpus, rows: Ints) -> Callable[[Ints], Ints]:
    cut, word, low, high = _line(corpus, rows)
    flag = (corpus.length > cut) | _has(corpus, word)
    return lambda wanted: np.where(flag[wanted], high, low)


# --- the model -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """A sparse matrix: values by row and column, ascending by row."""

    row: Ints
    column: Ints
    value: Floats
    rows: int
    columns: int

    def times(self, weights: Floats) -> Floats:
        return _sum(self.row, self.value * weights[self.column], self.rows)

    def transposed_times(self, residuals: Floats) -> Floats:
        return _sum(self.column, self.value * residuals[self.row], self.columns)


def _sum(place: Ints, value: Floats, places: int) -> Floats:
    """Values added up by place, in their order: no machine's way of adding enters."""
    total: Floats = np.bincount(place, value, places).astype(np.float64)
    return total


def _model(corpus: Corpus, train: Ints) -> Callable[[Ints], Ints]:
    """TF-IDF learnt on some rows, then one logistic regression a label against the others."""
    place = np.full(len(corpus.y), -1)
    place[train] = np.arange(len(train))
    seen = np.bincount(corpus.word[place[corpus.row] >= 0], minlength=len(corpus.words))
    idf = np.where(seen > 1, np.log((1 + len(train)) / (1 + seen)) + 1, 0)  # a word of one text alone teaches nothing
    cells = _cells(corpus, idf, len(corpus.y))
    mine = place[cells.row] >= 0
    learnt = Cells(place[cells.row[mine]], cells.column[mine], cells.value[mine], len(train), cells.columns)
    one_against_rest = range(corpus.labels) if corpus.labels > 2 else (1,)
    scores = np.column_stack([cells.times(_regress(learnt, corpus.y[train] == label)) for label in one_against_rest])
    best = scores.argmax(axis=1) if corpus.labels > 2 else (scores[:, 0] > 0).astype(np.int64)
    return lambda wanted: best[wanted]


def _cells(corpus: Corpus, idf: Floats, rows: int) -> Cells:
    """Rows of length 1, and a last column of ones for the intercept."""
    used = idf[corpus.word] > 0
    row, column = corpus.row[used], corpus.word[used]
    value = corpus.count[used] * idf[column]
    norm = np.sqrt(_sum(row, value**2, rows))
    value /= norm[row]
    everyone = np.arange(rows)
    return Cells(
        np.concatenate([row, everyone]), np.concatenate([column, np.full(rows, len(idf))]),
        np.concatenate([value, np.ones(rows)]), rows, len(idf) + 1,
    )  # fmt: skip


def _regress(cells: Cells, positive: npt.NDArray[np.bool_], rounds: int = 200) -> Floats:
    """Weights of the logistic regression, by Nesterov's method for strongly convex functions."""
    steepest = 1 + FREEDOM * _largest(cells) / 4
    momentum = (np.sqrt(steepest) - 1) / (np.sqrt(steepest) + 1)
    weights = ahead = np.zeros(cells.columns)
    for _ in range(rounds):
        residuals = 1 / (1 + np.exp(-np.clip(cells.times(ahead), -30, 30))) - positive
        step = ahead - (FREEDOM * cells.transposed_times(residuals) + ahead) / steepest
        ahead = step + momentum * (step - weights)
        if np.abs(step - weights).max() < 1e-4:
            return step
        weights = step
    return weights


def _largest(cells: Cells, rounds: int = 30) -> float:
    """An upper estimate of the largest eigenvalue of the matrix times its transpose, by power iteration."""
    vector = np.ones(cells.columns)
    size = 0.0
    for _ in range(rounds):
        vector = cells.transposed_times(cells.times(vector))
        size = float(np.sqrt(vector @ vector))
        vector /= size
    return 1.05 * size


if __name__ == "__main__":
    errors.run(main)
