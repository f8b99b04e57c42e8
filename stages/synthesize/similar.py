"""Near-duplicates of words: ROUGE-L and TF-IDF cosine, exact at their thresholds, without comparing all pairs.

Both measures can only reach a threshold t when two texts share one of the rarer words (or pairs of words) of
the earlier text: words are ranked by rarity, and of each text only so many of its rarest are indexed that
what is left out cannot reach t by itself (prefix filter: Bayardo et al. 2007, "Scaling Up All Pairs
Similarity Search"). What the index brings up is then measured exactly.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.params import NearDup

# What is not indexed of a text may reach 1/SLACK of the threshold. 1 would do; with more, the index alone, which is
# vectorised, tells nearly all pairs apart, and few are left to measure one by one.
SLACK = 4.0


class Rarity:
    """Document frequencies of words and pairs of words in a corpus of split texts."""

    def __init__(self, corpus: Iterable[Sequence[str]]) -> None:
        self._documents = 0
        self._seen: Counter[str] = Counter()
        for words in corpus:
            self._documents += 1
            self._seen.update(set(features(words)))

    def weight(self, feature: str) -> float:
        """Smoothed inverse document frequency, as scikit-learn defines it: ln((1 + n) / (1 + df)) + 1."""
        return math.log((1 + self._documents) / (1 + self._seen[feature])) + 1

    def rank(self, feature: str) -> tuple[int, str]:
        """Sorts rarest first, the same way on every machine."""
        return self._seen[feature], feature


def features(words: Sequence[str]) -> list[str]:
    """Words and pairs of neighbours."""
    return [*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]


@dataclass(frozen=True)
class _Text:
    owner: str
    words: Sequence[str]
    counts: Counter[str]
    vector: dict[str, float]  # TF-IDF over `features`, length 1


class Index:
    """Texts that were accepted so far. Order of additions is order of seniority."""

    def __init__(self, thresholds: NearDup, rarity: Rarity) -> None:
        self._thresholds, self._rarity = thresholds, rarity
        self._texts: list[_Text | None] = []
        self._place: dict[str, int] = {}
        self._cosine = _Postings()  # feature -> texts with it among their indexed ones, and its weight there
        self._overlap = _Postings()  # word -> texts with it among their indexed ones, and how often
        self._left_cosine = array("d")  # per text: length of the part of the vector that is not indexed
        self._left_words = array("d")  # per text: words that are not indexed
        self._length = array("d")  # per text: words

    def add(self, owner: str, words: Sequence[str]) -> None:
        text = self._text(owner, words)
        place = len(self._texts)
        self._texts.append(text)
        self._place[owner] = place
        self._left_cosine.append(self._index_cosine(place, text))
        self._left_words.append(self._index_words(place, text))
        self._length.append(len(words))

    def remove(self, owner: str) -> None:
        place = self._place.pop(owner, None)
        if place is not None:
            self._texts[place] = None

    def near(self, words: Sequence[str]) -> list[str]:
        """Owners of the texts that either measure calls near-duplicates of this one, oldest first."""
        by_cosine, by_rouge = self._near(words)
        return self._owners(sorted({*by_cosine, *by_rouge}))

    def near_by(self, words: Sequence[str]) -> dict[str, list[str]]:
        """The same, apart by measure: `tfidf` and `rouge_l`."""
        by_cosine, by_rouge = self._near(words)
        return {"tfidf": self._owners(by_cosine), "rouge_l": self._owners(by_rouge)}

    def _near(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        text = self._text("", words)
        return self._by_cosine(text), self._by_rouge(text)

    def _owners(self, places: list[int]) -> list[str]:
        return [other.owner for place in places if (other := self._texts[place]) is not None]

    def _text(self, owner: str, words: Sequence[str]) -> _Text:
        vector = {f: count * self._rarity.weight(f) for f, count in sorted(Counter(features(words)).items())}
        norm = math.sqrt(sum(value * value for value in vector.values())) or 1.0
        return _Text(owner, words, Counter(words), {f: value / norm for f, value in vector.items()})

    # --- TF-IDF cosine -----------------------------------------------------------------------------------

    def _index_cosine(self, place: int, text: _Text) -> float:
        left = 1.0
        for feature in sorted(text.vector, key=self._rarity.rank):
            if left < (self._thresholds.tfidf / SLACK) ** 2:
                break
            weight = text.vector[feature]
            self._cosine.add(feature, place, weight)
            left -= weight * weight
        return math.sqrt(max(left, 0.0))

    def _by_cosine(self, text: _Text) -> list[int]:
        threshold = self._thresholds.tfidf
        found = self._cosine.sum(text.vector, len(self._texts), np.multiply)
        doubtful = np.flatnonzero((found > 0) & (found + np.asarray(self._left_cosine) >= threshold - 1e-9))
        return [place for place in doubtful.tolist() if self._cosine_with(place, text) >= threshold - 1e-9]

    def _cosine_with(self, place: int, text: _Text) -> float:
        other = self._texts[place]
        return 0.0 if other is None else sum(w * other.vector.get(f, 0.0) for f, w in text.vector.items())

    # --- ROUGE-L -----------------------------------------------------------------------------------------

    def _index_words(self, place: int, text: _Text) -> float:
        # F1 >= t needs t/2 (m + n) common words, and n is at least their number: so t/(2-t) of m.
        needed = self._thresholds.rouge_l / (2 - self._thresholds.rouge_l) * len(text.words)
        left = len(text.words)
        for word in sorted(text.counts, key=self._rarity.rank):
            if left < needed / SLACK:
                break
            self._overlap.add(word, place, text.counts[word])
            left -= text.counts[word]
        return float(left)

    def _by_rouge(self, text: _Text) -> list[int]:
        threshold, length = self._thresholds.rouge_l, len(text.words)
        found = self._overlap.sum(text.counts, len(self._texts), np.minimum)
        bound = threshold / 2 * (np.asarray(self._length) + length) - 1e-9
        doubtful = np.flatnonzero((found > 0) & (found + np.asarray(self._left_words) >= bound))
        return [place for place in doubtful.tolist() if self._rouge_with(place, text)]

    def _rouge_with(self, place: int, text: _Text) -> bool:
        other = self._texts[place]
        if other is None:
            return False
        needed = self._thresholds.rouge_l / 2 * (len(text.words) + len(other.words)) - 1e-9
        common = sum(min(count, other.counts[word]) for word, count in text.counts.items())
        return common >= needed and common_subsequence(text.words, other.words) >= needed


class _Postings:
    """For each feature the places it stands at, and a number for each."""

    def __init__(self) -> None:
        self._places: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
        self._values: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))

    def add(self, feature: str, place: int, value: float) -> None:
        self._places[feature].append(place)
        self._values[feature].append(value)

    def sum(self, wanted: Mapping[str, float], count: int, meet: Callable[..., np.ndarray]) -> np.ndarray:
        """For each place (shape (count,)) the sum over wanted features of `meet` of its number and the wanted one."""
        hits = [feature for feature in wanted if feature in self._places]
        if not hits:
            return np.zeros(count)
        places = np.concatenate([np.frombuffer(self._places[f], np.int64) for f in hits])
        values = np.concatenate([meet(np.frombuffer(self._values[f], np.float64), wanted[f]) for f in hits])
        return np.bincount(places, values, count)


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, one bit per word of `a` (Hyyrö 2004, bit-parallel LCS).

    >>> common_subsequence("a b c d".split(), "b x d".split())
    2
    """
    masks: defaultdict[str, int] = defaultdict(int)
    for place, word in enumerate(a):
        masks[word] |= 1 << place
    whole = (1 << len(a)) - 1
    row = whole
    for word in b:
        matched = row & masks.get(word, 0)
        row = ((row + matched) | (row - matched)) & whole
    return len(a) - row.bit_count()
