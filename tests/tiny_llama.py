"""A language model of 150 KB written on the spot, and a real llama.cpp server for it.

`python -m tests.tiny_llama MODEL.gguf` serves it on a free port of the loopback and prints the address. The model
babbles in ASCII; what it proves is the protocol.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

WIDTH, LAYERS, HEADS, FORWARD, CONTEXT, SLOTS = 32, 2, 4, 64, 16384, 4
SPECIAL = ["<s>", "</s>", "<pad>"]
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "


def write(path: Path) -> None:
    """Write the model: arch llama, byte-level vocabulary, random weights; the same bytes each time."""
    import gguf

    tokens = SPECIAL + list(_bytes().values()) + ["ab"]  # llama.cpp refuses an empty list of merges
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in _tensors(len(tokens)).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _bytes() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = (byte for byte in range(256) if byte not in plain)
    stands = {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(other)}
    return dict(sorted(stands.items()))


def _tensors(count: int) -> dict[str, np.ndarray]:
    draw = np.random.RandomState(7)

    def weights(*shape: int) -> np.ndarray:
        return (draw.standard_normal(shape) * 0.3).astype(np.float32)

    output = weights(count, WIDTH)
    output *= 6
    # No token but printable ASCII and the end: JSON schemas then always find a token that fits.
    ascii_rows = [len(SPECIAL) + place for place, byte in enumerate(_bytes()) if 32 <= byte < 127]
    output[[row for row in range(count) if row not in ascii_rows and row != 1]] = 0
    tensors = {
        "token_embd.weight": weights(count, WIDTH),
        "output_norm.weight": np.ones(WIDTH, np.float32),
        "output.weight": output,
    }
    for layer in range(LAYERS):
        square = {f"blk.{layer}.attn_{name}.weight": weights(WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
        norms = {f"blk.{layer}.{name}_norm.weight": np.ones(WIDTH, np.float32) for name in ("attn", "ffn")}
        wide = {f"blk.{layer}.ffn_{name}.weight": weights(FORWARD, WIDTH) for name in ("gate", "up")}
        tensors |= square | norms | wide | {f"blk.{layer}.ffn_down.weight": weights(WIDTH, FORWARD)}
    return tensors


def serve(path: Path) -> None:
    """Serve the model until the process is ended."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel = CONTEXT, SLOTS  # the slots share the context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # more only wait for each other on a busy machine
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
