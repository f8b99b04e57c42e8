"""Inspect: the pool as a dataset, and an evaluation of some of it with its mock model.

The evaluation counts tokens with tiktoken: it runs where TIKTOKEN_CACHE_DIR holds the rank files.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import _runner


def pool(files: dict[str, list[str]]) -> dict[str, Any]:
    from inspect_ai import Task, eval
    from inspect_ai.dataset import json_dataset
    from inspect_ai.scorer import f1
    from inspect_ai.solver import generate

    rows = {}
    for split, paths in files.items():
        data = json_dataset(paths[0])
        rows[split] = len(data)
        assert all(sample.input and sample.target for sample in data)
    if not os.environ.get("TIKTOKEN_CACHE_DIR"):
        return {"rows": rows, "step": "read every sample"}
    with tempfile.TemporaryDirectory() as logs:
        task = Task(dataset=data, solver=generate(), scorer=f1())
        (log,) = eval(task, model="mockllm/model", limit=20, log_dir=logs, display="none")
    assert log.status == "success", log.error
    return {"rows": rows, "step": f"evaluated {log.results.completed_samples}"}


if __name__ == "__main__":
    _runner.main({("inspect-ai", "inspect_ai"): (pool, "null text")})
