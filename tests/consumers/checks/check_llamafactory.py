"""LLaMA-Factory: the register as its dataset_dir; each entry loaded and tokenised by its own loader."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import _runner
import _tiny

STAGES = {"chat": "sft", "sharegpt": "sft", "alpaca": "sft", "dpo_text": "rm", "kto_text": "kto"}
FORMATS = {"chat": "openai"}
LIMIT = 2048  # tokens


def entry(name: str) -> Any:
    def check(files: dict[str, list[str]]) -> dict[str, Any]:
        from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
        from llamafactory.hparams import get_train_args

        register = json.loads(Path(JOB["formats"]["llama_factory"]["files"]["train"][0]).read_bytes())
        rows, tokens, untrained = {}, 0, 0
        for split, paths in files.items():
            with tempfile.TemporaryDirectory() as folder:
                mine = {f"mental_health_{name}_{split}": register[f"mental_health_{name}_{split}"]}
                (Path(folder) / "dataset_info.json").write_text(json.dumps(mine))
                target = Path(folder) / mine[f"mental_health_{name}_{split}"]["file_name"]
                target.parent.mkdir(exist_ok=True)
                shutil.copy(paths[0], target)
                wanted = {
                    "stage": STAGES[name], "model_name_or_path": _tiny.model_folder(), "do_train": True,
                    "dataset": f"mental_health_{name}_{split}", "dataset_dir": folder, "template": "chatml",
                    "finetuning_type": "full", "output_dir": folder, "cutoff_len": LIMIT, "report_to": "none",
                    "overwrite_cache": True, "preprocessing_num_workers": 1, "use_cpu": True, "pref_beta": 0.1,
                }  # fmt: skip
                model, data, training, _, _ = get_train_args(wanted)
                tokenizer = _tiny.tokenizer()
                template = get_template_and_fix_tokenizer(tokenizer, data)
                made = get_dataset(template, model, data, training, STAGES[name], tokenizer=tokenizer)["train_dataset"]
                rows[split] = len(made)
                if name in ("chat", "sharegpt"):
                    altered = _tiny.altered(made, paths, LIMIT)
                    assert altered is None, f"trains on {altered!r}"
                for row in made:
                    for key in ("labels", "chosen_labels"):
                        if key in row:
                            tokens += len(row[key])
                            untrained += all(label == -100 for label in row[key])
        return {"rows": rows, "step": f"{tokens:,} tokens", "untrained": untrained}

    return check


if __name__ == "__main__":
    import sys

    JOB = json.loads(Path(sys.argv[1]).read_text())
    flaws = {"chat": "message twice", "sharegpt": "message twice", "alpaca": "null text", "dpo_text": "null text"}
    _runner.main(
        {("llamafactory", FORMATS.get(name, name)): (entry(name), flaws.get(name, "null text")) for name in STAGES}
    )
