"""TRL: the whole file through the trainer's own preparation, and two training steps on a tiny model."""

from __future__ import annotations

import tempfile
from typing import Any

import _runner
import _tiny

COMMON = {
    "max_steps": 2, "per_device_train_batch_size": 2, "report_to": [], "save_strategy": "no", "use_cpu": True,
    "bf16": False, "gradient_checkpointing": False, "disable_tqdm": True, "logging_strategy": "no",
}  # fmt: skip


def _datasets(files: dict[str, list[str]]) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=files, cache_dir=tempfile.mkdtemp())


def _trained(
    name: str, files: dict[str, list[str]], head: str = "AutoModelForCausalLM", **settings: Any
) -> dict[str, Any]:
    import trl

    data = _datasets(files)
    more = {"num_labels": 1} if head != "AutoModelForCausalLM" else {}
    with tempfile.TemporaryDirectory() as folder:
        config = getattr(trl, f"{name}Config")(output_dir=folder, **COMMON, **settings)
        trainer = getattr(trl, f"{name}Trainer")(
            model=_tiny.model(head, **more), args=config, train_dataset=data["train"],
            eval_dataset=data["validation"], processing_class=_tiny.tokenizer(),
        )  # fmt: skip
        loss = trainer.train().training_loss
    if "messages" in data["train"].column_names:
        altered = _tiny.altered(trainer.train_dataset, files["train"], settings["max_length"])
        assert altered is None, f"trains on {altered!r}"
    rows = {"train": len(trainer.train_dataset), "validation": len(trainer.eval_dataset)}
    assert loss == loss, "the loss is no number"
    return {"rows": rows, "step": f"2 steps, loss {loss:.2f}"}


def sft(files: dict[str, list[str]]) -> dict[str, Any]:
    return _trained("SFT", files, max_length=100_000)


def dpo(files: dict[str, list[str]]) -> dict[str, Any]:
    return _trained("DPO", files, max_length=100_000)


def kto(files: dict[str, list[str]]) -> dict[str, Any]:
    return _trained("KTO", files, max_length=100_000)


def reward(files: dict[str, list[str]]) -> dict[str, Any]:
    return _trained("Reward", files, "AutoModelForSequenceClassification", max_length=100_000)


def classifier(files: dict[str, list[str]]) -> dict[str, Any]:
    """transformers' own Trainer on text and label."""
    import transformers

    tokenizer = _tiny.tokenizer()
    data = _datasets(files).map(lambda row: tokenizer(row["text"], truncation=True, max_length=256), batched=True)
    model = _tiny.model("AutoModelForSequenceClassification", num_labels=2)
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            model=model, args=transformers.TrainingArguments(output_dir=folder, **COMMON),
            train_dataset=data["train"], data_collator=transformers.DataCollatorWithPadding(tokenizer),
        )  # fmt: skip
        loss = trainer.train().training_loss
    return {"rows": {name: len(split) for name, split in data.items()}, "step": f"2 steps, loss {loss:.2f}"}


if __name__ == "__main__":
    _runner.main(
        {
            ("trl SFT", "openai"): (sft, "null text"),
            ("trl SFT", "prompt_completion"): (sft, "null text"),
            ("trl DPO", "dpo"): (dpo, "null text"),
            ("trl DPO", "dpo_text"): (dpo, "null text"),
            ("trl DPO", "preference"): (dpo, "null text"),
            ("trl Reward", "preference"): (reward, "null text"),
            ("trl KTO", "kto"): (kto, "null text"),
            ("trl KTO", "kto_text"): (kto, "null text"),
            ("transformers Trainer", "classification"): (classifier, "null text"),
        }
    )
