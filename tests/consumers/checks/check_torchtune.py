"""torchtune: its dataset builders over the whole file, every row tokenised."""

from __future__ import annotations

import tempfile
from typing import Any

import _runner
import _tiny


class Tokens:
    """A ModelTokenizer over the tiny one: messages to tokens and a mask of those not trained on."""

    def __init__(self) -> None:
        self._made = _tiny.plain()

    def tokenize_messages(self, messages: list[Any], **more: Any) -> tuple[list[int], list[bool]]:
        tokens: list[int] = []
        mask: list[bool] = []
        for message in messages:
            ids = [2, *self._made.encode(message.text_content).ids, 3]
            tokens += ids
            mask += [message.masked] * len(ids)
        return tokens, mask

    def __call__(self, sample: Any, inference: bool = False) -> Any:
        messages = sample.pop("messages")
        sample["tokens"], sample["mask"] = self.tokenize_messages(messages)
        return sample


def _walked(make: Any, files: dict[str, list[str]]) -> dict[str, Any]:
    rows, tokens, untrained = {}, 0, 0
    with tempfile.TemporaryDirectory() as cache:
        for split, paths in files.items():
            data = make(data_files=paths, cache_dir=cache)
            for n in range(len(data)):
                row = data[n]
                for name in ("labels", "chosen_labels", "rejected_labels"):
                    if name in row:
                        tokens += len(row[name])
                        untrained += all(label == -100 for label in row[name])
            rows[split] = len(data)
    return {"rows": rows, "step": f"{tokens:,} tokens", "untrained": untrained}


def chat(column: str, style: str) -> Any:
    def check(files: dict[str, list[str]]) -> dict[str, Any]:
        from torchtune.datasets import chat_dataset

        return _walked(
            lambda **more: chat_dataset(
                Tokens(), source="json", conversation_column=column, conversation_style=style, split="train", **more
            ),
            files,
        )

    return check


def alpaca(files: dict[str, list[str]]) -> dict[str, Any]:
    from torchtune.datasets import alpaca_dataset

    return _walked(lambda **more: alpaca_dataset(Tokens(), source="json", train_on_input=False, **more), files)


def instruct(files: dict[str, list[str]]) -> dict[str, Any]:
    from torchtune.datasets import instruct_dataset

    columns = {"input": "prompt", "output": "completion"}
    return _walked(lambda **more: instruct_dataset(Tokens(), source="json", column_map=columns, **more), files)


def preference(files: dict[str, list[str]]) -> dict[str, Any]:
    from torchtune.datasets import preference_dataset

    return _walked(lambda **more: preference_dataset(Tokens(), source="json", **more), files)


if __name__ == "__main__":
    _runner.main(
        {
            ("torchtune", "openai"): (chat("messages", "openai"), "message twice"),
            ("torchtune", "sharegpt"): (chat("conversations", "sharegpt"), "message twice"),
            ("torchtune", "alpaca"): (alpaca, "null text"),
            ("torchtune", "prompt_completion"): (instruct, "null text"),
            ("torchtune", "preference"): (preference, "null text"),
        }
    )
