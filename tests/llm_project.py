"""A folder with a params.yaml, in which the generator's stages run as DVC runs them: from the root, one by one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEFAULTS = ROOT / "tests/data/generator.yaml"
SOURCE = {"dataset": "none", "license": "CC0-1.0", "priority": 1, "files": {"none.jsonl": {}}}
QUICK = {"base_s": 0.001, "cap_s": 0.05}
PATIENCE = 600  # seconds: a loaded machine fails no test


class Project:
    """The folder. `set` changes params; `run` runs stages in this process, `start` one in its own."""

    def __init__(self, folder: Path, url: str = "http://127.0.0.1:9/v1") -> None:
        self.folder = folder
        tree = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
        for block in ("synthesize", "paraphrase", "judge"):
            tree[block]["mode"] = "off"  # YAML 1.1 reads the word as a truth value
            tree[block]["endpoint"]["base_url"] = url
            tree[block]["retry"] |= QUICK
        self.tree: dict[str, Any] = {
            "origin": "sample", "sources": {"none": SOURCE}, "split": {"seed": 1}, "formats": ["openai"], **tree,
        }  # fmt: skip
        self.set({})

    def set(self, changes: Mapping[str, Any], block: str = "synthesize") -> None:
        """Change params by dotted names, and write them."""
        for name, value in changes.items():
            *path, last = name.split(".")
            place = self.tree[block]
            for key in path:
                place = place[key]
            place[last] = value
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.tree, sort_keys=False), encoding="utf-8")

    def run(self, monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
        """Run the main of each stage, `synthesize.plan` and so on, in this process."""
        import importlib

        monkeypatch.chdir(self.folder)
        for name in modules:
            importlib.import_module(f"stages.{name}").main()

    def start(self, module: str, **env: str) -> subprocess.Popen[str]:
        """Start a stage in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", f"stages.{module}"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, module: str, **env: str) -> tuple[int, str]:
        """Run a stage in a process of its own: exit code and what it said."""
        process = self.start(module, **env)
        _, said = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def rows(self, path: str) -> list[Any]:
        return [orjson.loads(line) for line in (self.folder / path).read_bytes().splitlines() if line.strip()]

    def report(self, source: str = "synthesize") -> Any:
        return orjson.loads((self.folder / f"data/{source}/report.json").read_bytes())

    def digests(self, *folders: str) -> dict[str, str]:
        """sha256 of every file under the folders, by path."""
        paths = (path for name in folders for path in sorted((self.folder / name).rglob("*")) if path.is_file())
        return {str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


STAGES = ("synthesize.plan", "synthesize.generate", "synthesize.build")
PARAPHRASE = ("paraphrase.pages", "paraphrase.generate", "paraphrase.build")
OUTS = ("data/synthesize", "data/paraphrase", "data/normalized", "data/ledger")
