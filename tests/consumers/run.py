"""Runs the consumers on a project's exports, and holds what they say against the ledgers."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.consumers.environments import ENVIRONMENTS, python

CHECKS = Path(__file__).parent / "checks"
MERGED = "data/merged/merged_mental_health_dataset"


def exports(project: Path) -> dict[str, Any]:
    """The files and rows of each format by split, from the ledgers."""
    found: dict[str, Any] = {}
    for path in sorted((project / "data/ledger/export").glob("*.json")):
        ledger = json.loads(path.read_bytes())
        files: dict[str, list[str]] = {}
        for file in ledger["files"]:
            if file["split"]:
                files.setdefault(file["split"], []).append(str(project / "data/exports" / file["path"]))
            elif file["path"].endswith(".csv"):
                whole = {"train": [str(project / "data/exports" / file["path"])]}
                found["huggingface csv"] = {"files": whole, "rows": {"train": file["rows"]}}
        rows = {split: sum(f["rows"] for f in ledger["files"] if f["split"] == split) for split in files}
        found[path.stem] = {"files": files, "rows": rows, "all": ledger["files"]}
    found["llama_factory"] = {"files": {"train": [str(project / "data/exports/dataset_info.json")]}, "rows": {}}
    return found | _merged(project)


def _merged(project: Path) -> dict[str, Any]:
    ledgers = [json.loads(path.read_bytes()) for path in (project / "data/ledger/merge").glob("*.json")]
    rows = {"train": sum(ledger["out"] for ledger in ledgers)}
    return {
        f"merged {kind}": {"files": {"train": [str(project / f"{MERGED}.{kind}")]}, "rows": rows}
        for kind in ("json", "csv", "parquet")
        if ledgers
    }


def run(project: Path, names: Iterable[str]) -> list[dict[str, Any]]:
    """The results of the environments, with a `verdict` each: ok, or what is wrong."""
    job = {"formats": exports(project), "project": str(project)}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "job.json").write_text(json.dumps(job), encoding="utf-8")
        for name in names:
            results += _run(name, Path(folder))
    return [result | {"verdict": verdict(result)} for result in results]


def _run(name: str, folder: Path) -> list[dict[str, Any]]:
    out, script = folder / f"{name}.jsonl", CHECKS / f"{ENVIRONMENTS[name].script}.py"
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "WANDB_MODE": "disabled",
               "DO_NOT_TRACK": "1", "AXOLOTL_DO_NOT_TRACK": "1"}  # fmt: skip
    env = {**os.environ, **offline, "CUDA_VISIBLE_DEVICES": "", "HF_HOME": str(folder / "hf"), "PYTHONPATH": ""}
    command = [str(python(name)), str(script), str(folder / "job.json"), str(out)]
    done = subprocess.run(command, env=env, cwd=folder, check=False, capture_output=True, text=True)
    results = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
    if done.returncode:
        error = {"error": f"the script ended with {done.returncode}: {done.stderr[-600:]}"}
        results.append({"tool": name, "version": "", "format": "", "flaw": "", "expected": {}, "whole": error,
                        "broken": error, "broken_rows": {}})  # fmt: skip
    return results


def verdict(result: dict[str, Any]) -> str:
    """What is wrong with a result, or ok."""
    whole, broken = result["whole"], result["broken"]
    if "error" in whole:
        return whole["error"]
    if result["expected"] and whole["rows"] != result["expected"]:
        return f"loaded {whole['rows']}, the ledger says {result['expected']}"
    if whole.get("untrained"):
        return f"{whole['untrained']} rows without a trained token"
    noticed = "error" in broken or broken["rows"] != result["broken_rows"] or broken.get("untrained")
    return "ok" if noticed else f"does not notice: {result['flaw']}"


def _noticed(broken: dict[str, Any]) -> str:
    untrained = broken.get("untrained")
    return f"{untrained} rows without a trained token" if untrained else f"rows {broken['rows']}"


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    head = ("format", "consumer", "version", "rows", "step", "verdict", "broken copy")
    lines = [head, tuple("---" for _ in head)]
    for one in sorted(results, key=lambda one: (one["format"], one["tool"])):
        rows = " + ".join(str(n) for n in one["whole"].get("rows", {}).values())
        said = one["broken"].get("error") or _noticed(one["broken"])
        step = one["whole"].get("step", "")
        said = f"{one['flaw']}: {said[:60]}"
        lines.append((one["format"], one["tool"], one["version"], rows, step, one["verdict"], said))
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
