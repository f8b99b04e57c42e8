"""What of one text stands word for word in another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence


def longest_run(a: Sequence[str], b: Sequence[str], enough: int) -> int:
    """Words of the longest run that stands in both, counted only from `enough` up; 0 where there is none so long.

    >>> longest_run("we went home to sleep".split(), "then we went home again".split(), 3)
    3
    """
    starts: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place in range(len(a) - enough + 1):
        starts[tuple(a[place : place + enough])].append(place)
    longest = 0
    for place in range(len(b) - enough + 1):
        for start in starts.get(tuple(b[place : place + enough]), ()):
            length = enough
            while start + length < len(a) and place + length < len(b) and a[start + length] == b[place + length]:
                length += 1
            longest = max(longest, length)
    return longest
