"""Two versions of the sample: as built, and with a pin, a reject rule, the policy, a source and the seed changed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.builds import dvc
from tests.conftest import Project

STAGES = (
    "download trace", "download amod_counseling", "download reddit_ess", "normalize trace", "normalize amod_counseling",
    "normalize reddit_ess", "normalize depression_reddit", "screen trace", "screen amod_counseling",
    "screen reddit_ess", "screen depression_reddit", "merge", "split",
)  # fmt: skip


class Two(NamedTuple):
    """Two built folders; the second is a git repository in which the first is tagged v1."""

    old: Path
    new: Path


@pytest.fixture(scope="session")
def two(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Two:
    new = tmp_path_factory.mktemp("versions") / "new"
    shutil.copytree(built, new, symlinks=True)
    commit(new, "v1")
    change(new)
    for words in STAGES:
        Project(new).run(*words.split())
    return Two(built, new)


def commit(folder: Path, tag: str) -> None:
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", tag)
    git(folder, "tag", tag)


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


def change(folder: Path) -> None:
    """One source's pin with a changed, a removed and a copied row; a reject rule; policy; a source; the seed."""

    def params(tree: Any) -> None:
        tree["sources"]["trace"]["revision"] = "0" * 40
        tree["sources"]["depression_reddit"]["max_chars"] = 120
        tree["sources"]["reddit_ess"]["enabled"] = False
        tree["policy"]["default"]["quality:placeholder"] = "drop"
        tree["split"]["seed"] = 7

    Project(folder).params(params)
    trace = folder / "data/sample/trace/data/splits/valid.jsonl"
    lines = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    lines[0]["messages"][-1]["content"] += " <b>Ask</b> the team first."
    del lines[2]
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    amod = folder / "data/sample/amod_counseling/combined_dataset.json"
    merged = Project(folder).table("data/merged/merged_mental_health_dataset.parquet")
    other = next(row for row in merged if row["source"] == "mentalchat16k")
    row = json.dumps({"Context": other["input"], "Response": other["response"]})
    amod.write_text(amod.read_text(encoding="utf-8").rstrip("\n") + f"\n{row}\n", encoding="utf-8")


@pytest.fixture
def pushed(two: Two, tmp_path: Path) -> Path:
    """A copy of the second folder whose version v1 stands on a remote alone."""
    folder = tmp_path / "pushed"
    shutil.copytree(two.new, folder, symlinks=True)
    dvc(folder, "remote", "add", "-d", "here", str(tmp_path / "remote"))
    outs = ("duplicates.parquet", "dropped.parquet", "merged_mental_health_dataset.parquet")
    dvc(folder, "push", "data/split/split.parquet", *(f"data/merged/{name}" for name in outs))
    shutil.rmtree(folder / ".dvc/cache")
    return folder
