"""Oumi: its JSON Lines datasets, every row as a conversation or a preference pair, tokenised."""

from __future__ import annotations

from typing import Any

import _runner
import _tiny


def sft(files: dict[str, list[str]]) -> dict[str, Any]:
    from oumi.datasets import TextSftJsonLinesDataset

    tokenizer, rows, tokens = _tiny.tokenizer(), {}, 0
    for split, paths in files.items():
        data = TextSftJsonLinesDataset(dataset_path=paths[0], tokenizer=tokenizer)
        for n in range(len(data)):
            tokens += len(tokenizer.apply_chat_template(data.conversation(n).to_dict()["messages"], tokenize=False))
        rows[split] = len(data)
    return {"rows": rows, "step": f"{tokens:,} characters of template"}


def dpo(files: dict[str, list[str]]) -> dict[str, Any]:
    from oumi.datasets import TextDpoJsonlinesDataset

    rows, tokens = {}, 0
    for split, paths in files.items():
        data = TextDpoJsonlinesDataset(dataset_path=paths[0], tokenizer=_tiny.tokenizer())
        for n in range(len(data)):
            tokens += sum(len(ids) for ids in data[n].values() if isinstance(ids, list))
        rows[split] = len(data)
    return {"rows": rows, "step": f"{tokens:,} tokens"}


if __name__ == "__main__":
    _runner.main(
        {
            ("oumi", "openai"): (sft, "null text"),
            ("oumi", "alpaca"): (sft, "null text"),
            ("oumi", "dpo_text"): (dpo, "null text"),
        }
    )
