"""Tools of the project's own environment: json, csv, pandas, pyarrow, datasets."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import _runner

csv.field_size_limit(sys.maxsize)

JSONL = (
    "openai", "mlx", "sharegpt", "alpaca", "prompt_completion", "dpo", "dpo_text", "preference", "openai_preference",
    "kto", "kto_text", "gemini", "bedrock", "classification", "axolotl_segments", "inspect_ai", "promptfoo",
)  # fmt: skip


def first(files: dict[str, list[str]]) -> str:
    return next(iter(files.values()))[0]


def strict_json(files: dict[str, list[str]]) -> dict[str, Any]:
    """Every line is JSON with the keys and types of the first, and none is blank."""
    rows, shapes = {}, set()
    for split, paths in files.items():
        rows[split] = 0
        for path in paths:
            data = Path(path).read_bytes()
            assert data.endswith(b"\n") and not data.startswith(b"\xef\xbb\xbf") and b"\r" not in data
            for line in data[:-1].split(b"\n"):
                shapes.add(shape(json.loads(line.decode("utf-8"))))
                rows[split] += 1
    assert len(shapes) == 1, f"{len(shapes)} shapes of row"
    return {"rows": rows, "step": "same keys and types in every row"}


def shape(value: Any) -> Any:
    """Keys and types; a list has the shapes of its members, which may be many of one."""
    if isinstance(value, dict):
        return tuple((key, shape(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return ("list", tuple(sorted({str(shape(inner)) for inner in value})))
    return type(value).__name__


def with_datasets(files: dict[str, list[str]]) -> dict[str, Any]:
    import tempfile

    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        kind = "parquet" if first(files).endswith(".parquet") else "json"
        loaded = load_dataset(kind, data_files=files, cache_dir=cache)
        for split in loaded.values():
            for row in split:
                assert row
    return {"rows": {name: len(split) for name, split in loaded.items()}, "step": "read every row"}


def from_folder(files: dict[str, list[str]]) -> dict[str, Any]:
    """load_dataset on the folder of the Hub export, as it would be on the Hub."""
    import tempfile

    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        loaded = load_dataset(str(Path(first(files)).parents[1]), cache_dir=cache)
        text = {name: sum(len(row["input"]) for row in split) for name, split in loaded.items()}
    return {"rows": {name: len(split) for name, split in loaded.items()}, "step": f"{sum(text.values()):,} characters"}


def from_disk(files: dict[str, list[str]]) -> dict[str, Any]:
    from datasets import load_from_disk

    folder = Path(first(files)).parents[1]
    if (folder / "dataset_dict.json").exists():
        loaded = load_from_disk(str(folder))
        rows = {name: len(split) for name, split in loaded.items()}
        assert all(row["output"].strip() for split in loaded.values() for row in split)
    else:  # a broken copy: the file alone
        from datasets import Dataset

        rows = {name: len(Dataset.from_file(paths[0])) for name, paths in files.items()}
    return {"rows": rows, "step": "read every row"}


def with_pandas(files: dict[str, list[str]]) -> dict[str, Any]:
    import pandas

    read = pandas.read_parquet if first(files).endswith(".parquet") else lambda p: pandas.read_json(p, lines=True)
    return {"rows": {split: sum(len(read(path)) for path in paths) for split, paths in files.items()}, "step": "frame"}


def csv_rows(files: dict[str, list[str]]) -> dict[str, Any]:
    rows = {}
    for split, paths in files.items():
        with open(paths[0], encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            found = list(reader)
        assert all(None not in row and None not in row.values() for row in found), "a ragged row"
        rows[split] = len(found)
    return {"rows": rows, "step": "strict reader"}


def csv_pandas(files: dict[str, list[str]]) -> dict[str, Any]:
    import pandas

    rows = {split: len(pandas.read_csv(paths[0], keep_default_na=False)) for split, paths in files.items()}
    return {"rows": rows, "step": "frame"}


def json_array(files: dict[str, list[str]]) -> dict[str, Any]:
    rows = {split: len(json.loads(Path(paths[0]).read_bytes())) for split, paths in files.items()}
    return {"rows": rows, "step": "one document"}


def with_pyarrow(files: dict[str, list[str]]) -> dict[str, Any]:
    import pyarrow.parquet as pq

    return {
        "rows": {split: sum(len(pq.read_table(p)) for p in paths) for split, paths in files.items()},
        "step": "table",
    }


if __name__ == "__main__":
    checks: _runner.Checks = {("json", name): (strict_json, "null text") for name in JSONL}
    checks |= {("datasets", name): (with_datasets, "lone surrogate") for name in JSONL}
    checks |= {("pandas", name): (with_pandas, "cut line") for name in ("openai", "classification", "promptfoo")}
    checks |= {
        ("datasets", "hub"): (from_folder, "cut file"),
        ("pandas", "hub"): (with_pandas, "cut file"),
        ("pyarrow", "hub"): (with_pyarrow, "cut file"),
        ("datasets", "huggingface"): (from_disk, "cut file"),
        ("csv", "huggingface csv"): (csv_rows, "cut file"),
        ("pandas", "huggingface csv"): (csv_pandas, "cut file"),
        ("json", "merged json"): (json_array, "cut file"),
        ("csv", "merged csv"): (csv_rows, "cut file"),
        ("pandas", "merged csv"): (csv_pandas, "cut file"),
        ("pyarrow", "merged parquet"): (with_pyarrow, "cut file"),
        ("pandas", "merged parquet"): (with_pandas, "cut file"),
    }
    _runner.main(checks)
