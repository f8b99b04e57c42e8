from __future__ import annotations

import hashlib
import random
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.dedup import minhash
from stages.dedup.minhash import BANDS, EMPTY, bands, densify, minima, signatures
from stages.dedup.shingles import BITS, Sequences, sequences, sets, shingles
from tests.near_oracle import jaccard, sentence
from tests.near_oracle import shingles as told

WORD = st.sampled_from(
    ["i", "feel", "fine", "Fine.", "don't", "naïve", "日本", "e\u0301", "🙂", "a" * 70, "12", "—", " "]
)
TEXT = st.lists(WORD, max_size=9).map(" ".join) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)


def score(one: str | None, two: str | None) -> Fraction:
    """Similarity by the hashed sets."""
    found = sets(sequences(pa.array([one, two], pa.string())))
    low = np.uint64((1 << BITS) - 1)
    first, second = (set((keys & low).tolist()) for keys in (found.keys[: found.ends[0]], found.keys[found.ends[0] :]))
    return jaccard(first, second)


@settings(deadline=None)
@given(TEXT, TEXT)
@example("", "")
@example("one two", "one two three")
@example("🙂", "👍")
@example("?", " ? ")
def test_hashed_sets_resemble_each_other_as_the_sets_of_strings_do(one: str, two: str) -> None:
    assert score(one, two) == jaccard(told(one), told(two))


@settings(deadline=None)
@given(st.lists(TEXT | st.none(), min_size=1, max_size=12), st.integers(1, 11))
def test_a_text_is_hashed_alike_in_any_batch(texts: list[str | None], cut: int) -> None:
    whole = sequences(pa.array(texts, pa.string()))
    parts = [sequences(pa.array(part, pa.string())) for part in (texts[:cut], texts[cut:])]
    assert np.concatenate([part.hashes for part in parts]).tolist() == whole.hashes.tolist()
    assert np.concatenate([part.counts for part in parts]).tolist() == whole.counts.tolist()
    assert whole.counts.sum() == len(whole.hashes)


def test_a_slice_of_an_array_is_hashed_as_its_copy() -> None:
    texts = pa.array(["one two three four", "🙂", None, "five six seven", "eight"])
    for start in range(5):
        cut = texts.slice(start, 2)
        assert sequences(cut).hashes.tolist() == sequences(pa.array(cut.to_pylist(), pa.string())).hashes.tolist()


def test_words_of_every_length_differ_in_any_letter() -> None:
    seen = set()
    for length in range(1, 200):
        for place in {0, length // 2, length - 1}:
            word = "a" * place + "b" + "a" * (length - place - 1)
            seen.add(int(sequences(pa.array([word])).hashes[0]))
        seen.add(int(sequences(pa.array(["a" * length])).hashes[0]))
    assert len(seen) == sum(len({0, length // 2, length - 1}) + 1 for length in range(1, 200))


def test_no_shingle_reaches_into_the_next_text_or_the_next_set() -> None:
    values, counts = shingles(Sequences(np.arange(1, 11, dtype=np.uint32), np.array([1, 0, 2, 3, 4])))
    assert counts.tolist() == [1, 0, 1, 1, 2]
    alone = [
        shingles(Sequences(np.array(w, np.uint32), np.array([len(w)])))[0].tolist() for w in ([1], [2, 3], [4, 5, 6])
    ]
    assert [[v] for v in values.tolist()[:3]] == alone
    assert len(set(values.tolist())) == 5


def test_a_set_may_hold_several_texts() -> None:
    texts = sequences(pa.array(["one two three", "one two three", "four five six", "four five six"]))
    found = sets(texts, np.array([0, 0, 0, 1]))
    assert found.ends.tolist() == [2, 3]


def test_too_many_sets_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="65537 sets"):
        sets(Sequences(np.zeros(65537, np.uint32), np.ones(65537, np.int64)))


def test_a_long_text_without_spaces_takes_one_step_not_one_for_each_letter() -> None:
    assert sequences(pa.array(["a" * 1_000_000 + " b"])).counts.tolist() == [2]


# --- signatures --------------------------------------------------------------------------------------------


def test_signatures_are_these_on_every_machine() -> None:
    draw = random.Random(3)
    texts = [" ".join(sentence(draw, length)) for length in (0, 1, 2, 3, 4, 9, 40, 300, 2000)] + ["🙂 Naïve—don't"]
    digest = hashlib.sha256(signatures(pa.array(texts)).astype("<u4").tobytes()).hexdigest()
    assert digest == "464cf862a142666bdd01d5cd4a7df29fae8468fd945eb4aafd1f24bc0b13d57d"


def test_signatures_agree_as_often_as_the_texts_are_similar() -> None:
    """Over many pairs, the share of bins that agree is the Jaccard similarity, for short texts too."""
    draw = random.Random(5)
    for length in (4, 6, 12, 40, 120, 600):
        texts, expected = [], 0.0
        for _ in range(150):
            words = sentence(draw, length)
            cut = draw.randint(1, length)
            one, two = " ".join(words), " ".join(words[:cut] + sentence(draw, draw.randint(0, 3)))
            texts += [one, two]
            expected += float(jaccard(told(one), told(two))) / 150
        dense = signatures(pa.array(texts))
        assert abs((dense[::2] == dense[1::2]).mean() - expected) < 0.03, length


def test_both_ways_to_fill_empty_bins_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(6)
    bins = minima(sets(sequences(pa.array([" ".join(sentence(draw, n)) for n in range(0, 400, 3)]))))
    mixed = densify(bins)
    for few in (0, minhash.BINS):
        monkeypatch.setattr(minhash, "_FEW", few)
        assert (densify(bins) == mixed).all()
    assert (mixed[0] == EMPTY).all()
    assert (mixed[1:] != EMPTY).all()


def test_a_union_has_the_smaller_of_both_minima() -> None:
    texts = ["one two three four five", "four five six seven one"]
    apart = minima(sets(sequences(pa.array(texts))))
    assert (minima(sets(sequences(pa.array(texts)), np.array([0, 0])))[0] == apart.min(axis=0)).all()


def test_bands_are_equal_where_their_four_bins_are() -> None:
    draw = random.Random(8)
    words = sentence(draw, 200)
    dense = signatures(pa.array([" ".join(words), " ".join(words[:150]), " ".join(words[20:])]))
    keys = bands(dense)
    assert keys.shape == (BANDS, 3)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        same = (dense[one] == dense[two]).reshape(BANDS, 4).all(axis=1)
        assert (same == (keys[:, one] == keys[:, two])).all()
        assert same.any()
