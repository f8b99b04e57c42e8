"""A tokenizer and a model made on the spot: a thousand tokens of bytes, one layer."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<pad>", "<bos>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = 1000
ENGLISH = Path(__file__).parents[3] / "README.md"  # what its merges are learned from


def plain():
    """The tokenizer of the `tokenizers` library."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train([str(ENGLISH)], trainer)
    return made


@cache
def folder() -> str:
    """A folder with the tokenizer of `transformers`."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain(), pad_token="<pad>", bos_token="<bos>", eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"], chat_template=TEMPLATE,
    )  # fmt: skip
    path = tempfile.mkdtemp(prefix="tiny-")
    tokenizer.save_pretrained(path)
    return path


def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder())


@cache
def model_folder() -> str:
    """The same folder with a model in it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=4096, pad_token_id=0, bos_token_id=1, eos_token_id=3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder())
    return folder()


def model(head: str = "AutoModelForCausalLM", **more):
    import transformers

    return getattr(transformers, head).from_pretrained(model_folder(), **more)


def lines(paths: list[str]) -> list:
    """The rows of JSON Lines files."""
    return [json.loads(line) for path in paths for line in Path(path).read_bytes().split(b"\n") if line]


def said(line: dict, reader) -> str:
    """A row of openai or sharegpt through the chat template: what is to be trained on."""
    roles = {"human": "user", "gpt": "assistant", "system": "system"}
    messages = line.get("messages") or [
        {"role": roles[one["from"]], "content": one["value"]} for one in line["conversations"]
    ]
    return reader.apply_chat_template(messages, tokenize=False)


def altered(rows, paths: list[str], limit: int) -> str | None:
    """The first of the rows that were tokenised, uncut, to something that no line of the files says."""
    reader = tokenizer()
    known = {said(line, reader) for line in lines(paths)}
    found = (reader.decode(row["input_ids"]) for row in rows if len(row["input_ids"]) < limit)
    return next((text for text in found if text not in known), None)
