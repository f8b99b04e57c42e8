"""A project folder to measure in: the code, params of its own, and a generated corpus as verified upstream files."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import yaml

from benchmarks import corpus
from benchmarks.measure import Usage, run
from stages import params, record
from stages.layout import MERGED_TABLE

ROOT = Path(__file__).parents[1]
CODE = ("stages", "mhdata", "data/deny.txt", "data/benchmarks", "dvc.yaml", "pipelines")
SOURCES = tuple(corpus.SHARES)
SPENT = {  # the words of a stage -> what no later stage reads once it has run
    **{("normalize", source): (f"data/raw/{source}", f"data/quarantine/{source}.jsonl") for source in SOURCES},
    ("merge",): (
        "data/normalized",
        "data/screened",
        *(f"{MERGED_TABLE.with_suffix(kind)}" for kind in (".json", ".csv")),
    ),
}


class Project:
    """A folder in which stages run as a user runs them.

    `lean`: what no later stage reads is removed after each stage, for a corpus that the disk holds but once.
    """

    def __init__(self, root: Path, workers: int = 1, core: bool = True, lean: bool = False) -> None:
        self.root, self._lean = root, lean
        root.mkdir(parents=True, exist_ok=True)
        for name in CODE:
            if (ROOT / name).exists() and not (root / name).exists():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).symlink_to(ROOT / name)
        shutil.copy(ROOT / "params.yaml", root / "params.yaml")
        self.params(lambda tree: _settings(tree, workers, core))
        (root / "data/normalized").mkdir(parents=True, exist_ok=True)
        for key in params.MADE:  # tables of the language model's rows: none here
            pq.write_table(record.SCHEMA.empty_table(), root / f"data/normalized/{key}.parquet")

    def params(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change params.yaml in place."""
        path = self.root / "params.yaml"
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(tree)
        path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")

    def fill(self, rows: int) -> int:
        """Put a corpus where `download` would have put it, with its receipts; return its bytes."""
        sizes = corpus.write(self.root / "data/raw", rows)
        for source in SOURCES:
            folder = self.root / "data/raw" / source
            names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in (".json", ".jsonl", ".csv"))  # fmt: skip
            entries = [
                {"file": name, "bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)}
                for name in names
                if name != "receipt.json"
            ]
            receipt = {"source": source, "revision": "0" * 40, "files": entries, "license_files": []}
            (folder / "receipt.json").write_bytes(orjson.dumps(receipt))
        return sum(sizes.values())

    def stage(self, *words: str, **env: str) -> Usage:
        """Run `python -m stages.<words>` and measure it."""
        command = [sys.executable, "-m", f"stages.{words[0]}", *words[1:]]
        usage = run(command, self.root, self.root / "log.txt", **env)
        for name in SPENT.get(words, ()) if self._lean else ():
            path = self.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return usage


def _settings(tree: dict[str, Any], workers: int, core: bool) -> None:
    for block in ("synthesize", "paraphrase", "judge"):
        tree.pop(block, None)
    tree["engine"] = {"kind": "local", "workers": workers}
    tree["formats"] = ["openai"]
    tree["sources"] = {key: block for key, block in tree["sources"].items() if key in SOURCES}
    if core:  # what the core job is: no screens, exact duplicates only, no benchmarks to look for
        tree["screens"] = {name: {"enabled": False} for name in ("language", "pii", "crisis", "referral", "quality", "topics")}  # fmt: skip
        tree["merge"]["near"] = False
        tree["decontaminate"] = {"benchmarks": []}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
