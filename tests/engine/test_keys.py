from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.engine import keys
from stages.engine.keys import KeySpill, PlaceSpill

RECORD = np.dtype([("hi", "u8"), ("lo", "u4"), ("side", "u1")])
# Hashes over the whole range, hashes that share their first bits, one hash of many records.
HASHES = st.integers(0, 2**64 - 1) | st.integers(2**63, 2**63 + 40) | st.sampled_from([0, 7, 2**63 + 1, 2**64 - 1])
SIZE = 8  # records that a partition may have, here


def records(hashes: list[int]) -> np.ndarray:
    made = np.zeros(len(hashes), RECORD)
    made["hi"], made["lo"] = hashes, np.arange(len(hashes))[::-1]
    return made


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(HASHES, max_size=60), max_size=6))
def test_partitions_are_small_hold_each_hash_whole_and_come_in_order(parts: list[list[int]]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(keys, "PART", SIZE * RECORD.itemsize),
        mock.patch.object(keys, "IN_MEMORY", 50),
    ):
        spill = KeySpill(Path(folder) / "keys", RECORD)
        for part in parts:
            spill.add(records(part))
        found = list(spill.partitions())
        assert not list(Path(folder).rglob("*.bin"))
    added = np.concatenate([records(part) for part in [[], *parts]])
    assert np.array_equal(np.concatenate(found), np.sort(added, order=RECORD.names))
    hashes = [set(part["hi"].tolist()) for part in found]
    assert sum(map(len, hashes)) == len(set(added["hi"].tolist()))
    if sum(map(len, parts)) >= 150:  # went to disk whatever the lengths of the parts
        assert all(len(part) <= SIZE or len(own) == 1 for part, own in zip(found, hashes, strict=True))


def test_a_partition_does_not_grow_with_the_keys(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).integers(0, 2**64, (4, keys.IN_MEMORY), np.uint64)
    with mock.patch.object(keys, "PART", 1 << 16):
        spill = KeySpill(tmp_path / "keys", RECORD)
        for hashes in rows:
            spill.add(records(hashes.tolist()))
        sizes = [part.nbytes for part in spill.partitions()]
        assert sum(sizes) == rows.size * RECORD.itemsize > 2 * keys.PARTITIONS * keys.PART
        assert max(sizes) <= keys.PART


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 999), max_size=400), st.lists(st.integers(0, 1000), max_size=8))
def test_places_come_in_their_order_however_they_are_partitioned(places: list[int], stops: list[int]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(keys, "PART", SIZE * 16),
        mock.patch.object(keys, "IN_MEMORY", 50),
    ):
        spill = PlaceSpill(Path(folder) / "places", np.dtype([("place", "i8")]), 1000)
        spill.add(np.array(places, "i8").astype([("place", "i8")]))
        taken, last = [], 0
        for stop in [*sorted(stops), 1000]:
            part = spill.take(stop)["place"].tolist()
            assert all(last <= place < stop for place in part)
            taken, last = taken + part, stop
    assert taken == sorted(places)
