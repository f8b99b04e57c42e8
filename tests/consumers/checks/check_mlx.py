"""mlx-lm: its own loader on the folder, and every row through the chat template."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import _runner
import _tiny


def folder(files: dict[str, list[str]]) -> dict[str, Any]:
    from mlx_lm.tuner.datasets import load_local_dataset

    tokenizer = _tiny.tokenizer()
    settings = SimpleNamespace(mask_prompt=True, prompt_feature="prompt", completion_feature="completion")
    train, valid, test = load_local_dataset(Path(files["train"][0]).parent, tokenizer, settings)
    tokens = 0
    for data in (train, valid, test):
        for n in range(len(data)):
            ids, start = data.process(data[n])
            assert start < len(ids), "nothing to train on"
            tokens += len(ids)
    found = {"train": len(train), "validation": len(valid), "test": len(test)}
    return {"rows": {split: found[split] for split in files}, "step": f"{tokens:,} tokens"}


def completions(files: dict[str, list[str]]) -> dict[str, Any]:
    """mlx-lm reads train.jsonl and valid.jsonl: the validation file under that name."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        for split, name in (("train", "train.jsonl"), ("validation", "valid.jsonl")):
            shutil.copy(files[split][0], Path(place) / name)
        return folder({"train": [f"{place}/train.jsonl"], "validation": [f"{place}/valid.jsonl"]})


if __name__ == "__main__":
    _runner.main(
        {("mlx-lm", "mlx"): (folder, "null text"), ("mlx-lm", "prompt_completion"): (completions, "null text")}
    )
