"""How alike texts begin: a tally that says whether one more text with its opening still fits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from stages.params import Opening


class Openings:
    """Openings of the texts accepted so far, out of `total` wanted ones."""

    def __init__(self, limits: Opening, total: int) -> None:
        self._words = limits.words
        self._same = max(1, math.floor(limits.max_share * total))
        self._sharing = {words: math.floor(share * total) for words, share in sorted(limits.sharing.items())}
        self._seen: dict[int, Counter[tuple[str, ...]]] = {n: Counter() for n in {limits.words, *limits.sharing}}
        self._sharers: Counter[int] = Counter()

    def refuses(self, words: Sequence[str]) -> str | None:
        """The reason why a text that begins so is one too many, or None."""
        if self._seen[self._words][tuple(words[: self._words])] >= self._same:
            return "opening_overused"
        for count, most in self._sharing.items():
            new = _new_sharers(self._seen[count][tuple(words[:count])])
            if new and self._sharers[count] + new > most:
                return "opening_shared"
        return None

    def add(self, words: Sequence[str]) -> None:
        for count, seen in self._seen.items():
            opening = tuple(words[:count])
            self._sharers[count] += _new_sharers(seen[opening])
            seen[opening] += 1

    def remove(self, words: Sequence[str]) -> None:
        for count, seen in self._seen.items():
            opening = tuple(words[:count])
            seen[opening] -= 1
            self._sharers[count] -= _new_sharers(seen[opening])


def _new_sharers(already: int) -> int:
    """How many more texts share an opening when one joins `already` texts that have it."""
    return (0, 2)[already] if already < 2 else 1
