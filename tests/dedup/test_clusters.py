from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup.clusters import components, joined
from tests.near_oracle import clusters

EDGES = st.lists(
    st.tuples(st.integers(0, 25), st.integers(0, 25), st.integers(1, 3)).filter(lambda e: e[0] != e[1]), max_size=40
)


def arrays(edges: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(edges, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


@settings(deadline=None)
@given(EDGES)
def test_components_are_those_of_a_plain_union(edges: list[tuple[int, int, int]]) -> None:
    nodes, labels = components(*arrays(edges)[:2])
    expected = {node: min(group) for group in clusters({(a, b) for a, b, _ in edges}) for node in group}
    assert dict(zip(nodes.tolist(), labels.tolist(), strict=True)) == expected


@settings(deadline=None)
@given(EDGES)
def test_every_row_but_the_smallest_joins_by_a_pair_of_its_own_on_a_shortest_chain(edges) -> None:
    first, second, strength = arrays(edges)
    found = joined(first, second, strength)
    groups = clusters({(a, b) for a, b, _ in edges})
    assert sorted(found.row.tolist()) == sorted(node for group in groups for node in group if node != min(group))
    distance = {node: 0 if node == min(group) else 99 for group in groups for node in group}
    for _ in range(26):
        for a, b, _ in edges:
            distance[a], distance[b] = min(distance[a], distance[b] + 1), min(distance[b], distance[a] + 1)
    for row, kept, pair in zip(found.row.tolist(), found.kept.tolist(), found.pair.tolist(), strict=True):
        a, b, _ = edges[pair]
        assert distance[a + b - row] == distance[row] - 1
        assert kept == min(next(group for group in groups if row in group))


@settings(deadline=None)
@given(EDGES, st.randoms(use_true_random=False))
def test_the_order_of_pairs_has_no_say(edges, draw) -> None:
    edges = list({(min(a, b), max(a, b)): (a, b, s) for a, b, s in edges}.values())
    other = [(b, a, s) if draw.random() < 0.5 else (a, b, s) for a, b, s in draw.sample(edges, len(edges))]

    def told(of) -> list[tuple[int, int, set[int]]]:
        found = joined(*arrays(of))
        return [(r, k, set(of[p][:2])) for r, k, p in zip(*(part.tolist() for part in found), strict=True)]

    assert told(edges) == told(other)


def test_the_strongest_of_the_shortest_chains_joins() -> None:
    # 3 reaches 0 by 1 or by 2; the pair with 2 is stronger. 4 hangs on 3 alone.
    found = joined(np.array([0, 0, 1, 2, 3]), np.array([1, 2, 3, 3, 4]), np.array([70, 70, 75, 80, 99]))
    assert dict(zip(found.row.tolist(), found.pair.tolist(), strict=True)) == {1: 0, 2: 1, 3: 3, 4: 4}
