"""The export block of params.yaml refuses what it cannot mean."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from stages import params
from stages.errors import ParamsError
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("export", "said"),
    [
        ({"mixture": {"weights": {"trace": 1}, "rates": {"trace": 1}}}, "keep one of them"),
        ({"mixture": {"total": 5}}, "total is given without weights"),
        (
            {"mixture": {"weights": {"trase": 1}}},
            "export.mixture.weights: there is no source 'trase': did you mean trace",
        ),
        ({"mixture": {"weights": {"trace": 0}}}, "export.mixture.weights"),
        ({"mixture": {"caps": {"trase": 1}}}, "did you mean trace"),
        ({"sources": ["trase"]}, "export.sources: there is no source 'trase'"),
        ({"system": "pool"}, "system_pool is empty"),
        ({"system": "own"}, "export.system"),
        ({"labels": ["a", "a"]}, "holds a name twice"),
        ({"shard_mb": 600}, "export.shard_mb"),
        ({"tokenizer": "gpt2"}, "export.tokenizer"),
        ({"services": {"openai": {"min_row": 1}}}, "did you mean `min_rows`"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Any, export: dict[str, Any], said: str) -> None:
    tree = params.tree(ROOT / "params.yaml")
    tree["export"] |= export
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        params.load(path=path)
    assert said in str(caught.value)


def test_validation_and_test_make_no_more_than_all(tmp_path: Any) -> None:
    tree = params.tree(ROOT / "params.yaml")
    tree["split"] |= {"validation": 0.7, "test": 0.4}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    with pytest.raises(ParamsError, match="more than 1"):
        params.load(path=path)
