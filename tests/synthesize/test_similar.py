"""Near-duplicates and openings: the indexes say what comparing all pairs says."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.params import NearDup, Opening
from stages.synthesize.openings import Openings
from stages.synthesize.similar import Index, Rarity, common_subsequence
from tests import scripted_text

WORDS = st.lists(st.sampled_from(list("abcdefghij")), min_size=1, max_size=14)


def lcs(a: list[str], b: list[str]) -> int:
    """The textbook table."""
    row = [0] * (len(b) + 1)
    for word in a:
        last = row[:]
        for place, other in enumerate(b):
            row[place + 1] = last[place] + 1 if word == other else max(last[place + 1], row[place])
    return row[-1]


@given(WORDS, WORDS)
def test_the_bits_count_what_the_table_counts(a: list[str], b: list[str]) -> None:
    assert common_subsequence(a, b) == lcs(a, b)


def all_pairs(texts: list[list[str]], limits: NearDup) -> list[list[str]]:
    """For each text the earlier ones that either measure calls near, by comparing all."""
    rarity = Rarity(texts)
    vectors = [Index(limits, rarity)._text("", words).vector for words in texts]
    found = []
    for place, words in enumerate(texts):
        near = []
        for other in range(place):
            cosine = sum(weight * vectors[other].get(name, 0.0) for name, weight in vectors[place].items())
            rouge = 2 * lcs(words, texts[other]) / (len(words) + len(texts[other]))
            if cosine >= limits.tfidf - 1e-9 or rouge >= limits.rouge_l - 1e-9:
                near.append(str(other))
        found.append(near)
    return found


def by_index(texts: list[list[str]], limits: NearDup) -> list[list[str]]:
    index, found = Index(limits, Rarity(texts)), []
    for place, words in enumerate(texts):
        found.append(index.near(words))
        index.add(str(place), words)
    return found


THRESHOLDS = st.builds(NearDup, rouge_l=st.sampled_from([0.3, 0.5, 0.7, 1.0]), tfidf=st.sampled_from([0.3, 0.6, 1.0]))


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=12), THRESHOLDS)
def test_the_index_finds_what_comparing_all_pairs_finds(texts: list[list[str]], limits: NearDup) -> None:
    assert by_index(texts, limits) == all_pairs(texts, limits)


def test_the_same_on_texts_of_real_length() -> None:
    texts = [scripted_text.question(number, "Stress", 60, 90).lower().split() for number in range(60)]
    for limits in (NearDup(), NearDup(rouge_l=0.4, tfidf=0.25)):
        found = by_index(texts, limits)
        assert found == all_pairs(texts, limits)
    assert any(found)


def test_a_removed_text_is_no_longer_near() -> None:
    texts = [["a", "b", "c"], ["a", "b", "c"]]
    index = Index(NearDup(), Rarity(texts))
    index.add("one", texts[0])
    assert index.near(texts[1]) == ["one"]
    index.remove("one")
    assert index.near(texts[1]) == []
    index.remove("never there")


@given(st.lists(st.tuples(st.booleans(), WORDS), max_size=40))
def test_openings_keep_their_shares_whatever_comes_and_goes(steps: list[tuple[bool, list[str]]]) -> None:
    limits = Opening(words=2, max_share=0.1, sharing={1: 0.4, 3: 0.2})
    total, tally, kept = 20, Openings(limits, 20), []
    for add, words in steps:
        if add and tally.refuses(words) is None:
            tally.add(words)
            kept.append(words)
        elif not add and kept:
            tally.remove(kept.pop(0))
    for count, share in limits.sharing.items():
        seen = Counter(tuple(words[:count]) for words in kept)
        assert sum(number for number in seen.values() if number > 1) <= share * total
    assert all(number <= 0.1 * total for number in Counter(tuple(words[:2]) for words in kept).values())


def test_openings_say_which_share_is_full() -> None:
    tally = Openings(Opening(words=2, max_share=0.02, sharing={2: 1.0}), 50)
    tally.add(["a", "b", "c"])
    assert tally.refuses(["a", "b", "d"]) == "opening_overused"
    tally = Openings(Opening(words=2, max_share=1.0, sharing={2: 0.0}), 50)
    tally.add(["a", "b", "c"])
    assert tally.refuses(["a", "b", "d"]) == "opening_shared"
    assert tally.refuses(["a", "c"]) is None
