"""together (its whole local checks), mistral-common (fine-tuning validation and encoding), polars, duckdb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import _runner


def together(files: dict[str, list[str]]) -> dict[str, Any]:
    from together.utils.files import check_file

    rows = {}
    for split, paths in files.items():
        reports = [check_file(Path(path)) for path in paths]
        for report in reports:
            assert report["is_check_passed"], report.get("message")
        rows[split] = sum(report["num_samples"] for report in reports)
    return {"rows": rows, "step": "check_file passed"}


def mistral(files: dict[str, list[str]]) -> dict[str, Any]:
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.protocol.instruct.validator import ValidationMode
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    data = Path(str(MistralTokenizer._data_path())) / "tekken_240911.json"
    tokenizer = MistralTokenizer.from_file(str(data), mode=ValidationMode.finetuning)
    rows, tokens = {}, 0
    for split, paths in files.items():
        rows[split] = 0
        for path in paths:
            for line in Path(path).read_bytes()[:-1].split(b"\n"):
                request: Any = ChatCompletionRequest(messages=json.loads(line)["messages"])
                tokens += len(tokenizer.encode_chat_completion(request).tokens)
                rows[split] += 1
    return {"rows": rows, "step": f"{tokens:,} tokens"}


def polars(files: dict[str, list[str]]) -> dict[str, Any]:
    import polars as pl

    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    rows = {split: sum(len(read[Path(p).suffix](p)) for p in paths) for split, paths in files.items()}
    return {"rows": rows, "step": "frame"}


def duckdb(files: dict[str, list[str]]) -> dict[str, Any]:
    import duckdb as db

    read = {
        ".parquet": "read_parquet(?)",
        ".csv": "read_csv(?, strict_mode=true, all_varchar=true, header=true, max_line_size=30000000)",
        ".jsonl": "read_json(?, format='newline_delimited', maximum_object_size=30000000)",
    }
    rows = {}
    for split, paths in files.items():
        query = f"SELECT * FROM {read[Path(paths[0]).suffix]}"
        rows[split] = sum(len(db.execute(query, [path]).fetchall()) for path in paths)
    return {"rows": rows, "step": "read every row"}


if __name__ == "__main__":
    tables = ("hub", "merged parquet", "merged csv", "huggingface csv")
    _runner.main(
        {
            ("together", "openai"): (together, "extra key"),
            ("together", "prompt_completion"): (together, "null text"),
            ("together", "openai_preference"): (together, "null text"),
            ("mistral-common", "openai"): (mistral, "empty text"),
            **{("polars", name): (polars, "cut file") for name in (*tables, "classification")},
            **{("duckdb", name): (duckdb, "cut file") for name in (*tables, "classification")},
        }
    )
