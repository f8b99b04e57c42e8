"""Lengths in tokens of a declared tokenizer."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.errors import ParamsError
from tests.formats.exporting import row

RANKS = "fb374d419588a4632f3f557e76b4b70aebbca790"  # what tiktoken calls o200k_base's file


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiktoken whose tokens are words, with its rank file at hand."""
    encoding = SimpleNamespace(encode_ordinary=str.split)
    monkeypatch.setitem(sys.modules, "tiktoken", SimpleNamespace(get_encoding=lambda name: encoding))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    (tmp_path / RANKS).touch()


def test_a_declared_tokenizer_counts_limits_and_reports(exported: Any, words: None) -> None:
    rows = [row(1, response="one two three"), row(2, response="one two three four five")]
    made = exported(rows, "openai", tokenizer="o200k_base", max_tokens=6)
    ledger = made.ledger("openai")
    assert made.rejected("openai") == {"too_long": 1}
    assert (ledger["unit"], ledger["files"][0]["tokens"], ledger["files"][0]["characters"]) == ("o200k_base", 5, None)


def test_a_mixture_in_tokens_is_reported_in_rows_and_tokens(exported: Any, words: None) -> None:
    rows = [row(n, source=("s", "trace")[n % 2]) for n in range(40)]
    mixture = {"weights": {"trace": 1, "s": 1}, "unit": "tokens"}
    made = exported(rows, "openai", tokenizer="o200k_base", mixture=mixture)
    achieved = made.ledger("openai")["mixture"]["achieved"]
    assert achieved["trace"] == {"rows": 20, "rows_share": 0.5, "o200k_base": 80, "o200k_base_share": 0.5}


def test_a_tokenizer_that_is_not_at_hand_is_an_error_and_never_fetched(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", folder)
        with pytest.raises(ParamsError, match="TIKTOKEN_CACHE_DIR"):
            exported([row(1)], "openai", tokenizer="o200k_base")
    (tmp_path / RANKS).touch()
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(ParamsError, match="pip install tiktoken"):
        exported([row(1)], "openai", tokenizer="o200k_base")
