"""Axolotl: `datasets` blocks as in its YAML, prepared by its own loader; every row must hold a trained token."""

from __future__ import annotations

import tempfile
from typing import Any

import _runner
import _tiny

CHAT = {"type": "chat_template", "roles_to_train": ["assistant"]}
BLOCKS: dict[str, dict[str, Any]] = {
    "openai": {**CHAT, "field_messages": "messages"},
    "sharegpt": {
        **CHAT,
        "field_messages": "conversations",
        "message_property_mappings": {"role": "from", "content": "value"},
    },
    "alpaca": {"type": "alpaca"},
    "axolotl_segments": {"type": "input_output"},
    "dpo": {
        "type": "chat_template.default",
        "field_messages": "prompt",
        "field_chosen": "chosen",
        "field_rejected": "rejected",
        "split": "train",
    },
    "kto_text": {"type": {"field_prompt": "prompt", "field_completion": "completion", "field_label": "label"}},
}


LIMIT = 131_072  # tokens: no row is cut


def block(name: str) -> Any:
    def check(files: dict[str, list[str]]) -> dict[str, Any]:
        from axolotl.cli.config import load_cfg
        from axolotl.common.datasets import load_datasets, load_preference_datasets

        rows, tokens, untrained = {}, 0, 0
        for split, paths in files.items():
            with tempfile.TemporaryDirectory() as folder:
                rl = {"dpo": "dpo", "kto_text": "kto"}.get(name)
                data = {"path": paths[0], "ds_type": "json", "split": "train", **BLOCKS[name]}
                wanted = {
                    "base_model": _tiny.model_folder(), "output_dir": folder, "dataset_prepared_path": f"{folder}/p",
                    "sequence_len": LIMIT, "micro_batch_size": 1, "gradient_accumulation_steps": 1,
                    "learning_rate": 1e-4, "num_epochs": 1, "chat_template": "tokenizer_default",
                    "remove_unused_columns": False, "special_tokens": {"pad_token": "<pad>"},
                    "datasets": [data],
                    "sample_packing": False, "excess_length_strategy": "truncate", "dataset_num_proc": 1,
                }  # fmt: skip
                wanted |= {"rl": rl} if rl else {}
                path = f"{folder}/config.yaml"
                import yaml

                with open(path, "w") as file:
                    yaml.safe_dump(wanted, file)
                config = load_cfg(path)
                made = (load_preference_datasets if rl else load_datasets)(cfg=config).train_dataset
                rows[split] = len(made)
                if name in ("openai", "sharegpt"):
                    altered = _tiny.altered(made, paths, LIMIT)
                    assert altered is None, f"trains on {altered!r}"
                for row in made:
                    labels = row.get("labels")
                    if labels is not None:
                        tokens += len(labels)
                        untrained += all(label == -100 for label in labels)
        step = f"{tokens:,} tokens" if tokens else "rendered by its template"
        return {"rows": rows, "step": step, "untrained": untrained}

    return check


if __name__ == "__main__":
    # Axolotl makes the word "None" of a null in its KTO rows: it notices what is no JSON.
    flaws = {"kto_text": "cut line"}
    _runner.main({("axolotl", name): (block(name), flaws.get(name, "null text")) for name in BLOCKS})
