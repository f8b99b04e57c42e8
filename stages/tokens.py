"""How long texts are: in tokens of a declared tokenizer, or in characters where none is declared."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ParamsError

CHARACTERS = "characters"  # what params.Export.unit says where no tokenizer is declared

# Where tiktoken keeps its rank files: TIKTOKEN_CACHE_DIR/<sha1 of the address it would fetch them from>.
_RANKS = "https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"

Counter = Callable[[pa.Array], np.ndarray]


def counter(tokenizer: str | None) -> Counter:
    """A function from texts to their lengths (int64; null has none).

    >>> counter(None)(pa.array(["één", "", None])).tolist()
    [3, 0, 0]
    """
    return _tokens(tokenizer) if tokenizer else _characters


class Lengths:
    """Counts lengths, for their quantiles; longer ones than `LONGEST` count as that."""

    LONGEST = 1 << 20

    def __init__(self) -> None:
        self._counts = np.zeros(1, np.int64)

    def add(self, lengths: np.ndarray) -> None:
        self._count(np.bincount(np.minimum(lengths, self.LONGEST), minlength=len(self._counts)))

    def join(self, other: Lengths) -> None:
        """Count what another counted too."""
        self._count(np.pad(other._counts, (0, max(0, len(self._counts) - len(other._counts)))))

    def _count(self, found: np.ndarray) -> None:
        found[: len(self._counts)] += self._counts
        self._counts = found

    def quantiles(self) -> dict[str, int]:
        """The length that so many percent of the rows do not pass.

        >>> lengths = Lengths()
        >>> lengths.add(np.arange(1, 101))
        >>> lengths.quantiles()
        {'p50': 50, 'p90': 90, 'p99': 99, 'max': 100}
        """
        below = np.cumsum(self._counts)
        wanted = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        return {name: int(np.searchsorted(below, np.ceil(share * below[-1]))) for name, share in wanted.items()}


def _characters(texts: pa.Array) -> np.ndarray:
    return pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _tokens(name: str) -> Counter:
    _find_ranks(name)
    try:
        tiktoken = importlib.import_module("tiktoken")
    except ImportError:
        raise ParamsError(
            f"export.tokenizer is {name}, which needs tiktoken: run `pip install tiktoken`, or set it to null"
        ) from None
    encode = tiktoken.get_encoding(name).encode_ordinary  # checks the rank file's hash

    def count(texts: pa.Array) -> np.ndarray:
        return np.array([len(encode(text)) if text else 0 for text in texts.to_pylist()], np.int64)

    return count


def _find_ranks(name: str) -> None:
    """A build fetches nothing: the rank file must be at hand."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", "")
    file = hashlib.sha1(_RANKS.format(name=name).encode(), usedforsecurity=False).hexdigest()
    if not folder or not (Path(folder) / file).is_file():
        raise ParamsError(
            f"export.tokenizer is {name}, but its rank file is not at hand: set TIKTOKEN_CACHE_DIR to a folder that "
            f"holds it as {file}, or set the tokenizer to null and count characters"
        )
