"""The same bytes from a real Ray cluster of two nodes, also when one of them is killed in the middle of a stage.

`python -m benchmarks.cluster` does the same on larger corpora and on the real files, for every step of every stage.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.project import SOURCES, Project
from stages import engine
from stages.engine import cluster
from stages.errors import ParamsError
from stages.params import MADE, Engine
from tests.ray_nodes import Cluster, begun, free_port, started, struck

ROWS = 6000
# Stages that are tasks on a cluster, and what they make.
STAGES = {
    ("normalize", "human_like_dpo"): ("normalized/human_like_dpo.parquet", "quarantine/human_like_dpo.jsonl"),
    ("screen", "human_like_dpo"): ("screened/human_like_dpo.parquet", "ledger/screen/human_like_dpo.json"),
    ("merge",): ("merged", "ledger/merge"),
    ("split",): ("split", "ledger/split"),
    ("export", "openai"): ("exports", "ledger/export"),
}


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    with started() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A generated corpus, built on this machine alone."""
    project = Project(tmp_path_factory.mktemp("local"), workers=1, core=False)
    project.fill(ROWS)
    for source in SOURCES:
        project.stage("normalize", source)
    for source in (*SOURCES, *MADE):
        project.stage("screen", source)
    for stage in (("merge",), ("split",), ("export", "openai")):
        project.stage(*stage)
    return project


def on_cluster(local: Project, folder: Path, address: str) -> Project:
    """The same project, set to run on a cluster."""
    shutil.copytree(local.root / "data", folder / "data", symlinks=True)
    project = Project(folder, core=False)
    project.params(lambda tree: tree.update(engine={"kind": "ray", "address": address, "workers": 2}))
    return project


def digests(project: Project, paths: tuple[str, ...]) -> dict[str, str]:
    files = sorted(file for path in paths for file in _files(project.root / "data" / path))
    return {str(f.relative_to(project.root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


@pytest.mark.slow
def test_two_nodes_make_the_same_bytes_and_so_does_one_when_the_other_is_killed(
    local: Project, two_nodes: Cluster, tmp_path: Path
) -> None:
    project = on_cluster(local, tmp_path, two_nodes.address)
    killed = False
    for stage, outs in STAGES.items():
        for _ in range(10):  # a short step on a busy machine may end before it is seen at work
            for out in outs:
                found = project.root / "data" / out
                shutil.rmtree(found) if found.is_dir() else found.unlink()
            process = begun(project.root, *stage)
            killed |= stage == ("merge",) and struck(process, two_nodes.second, "sketch")
            said = process.communicate(timeout=600)[1]
            assert process.returncode == 0, said
            assert digests(project, outs) == digests(local, outs)
            if killed or stage != ("merge",):
                break
    assert killed
    two_nodes.replace()


@pytest.mark.slow
def test_an_error_on_a_node_is_the_same_sentence(local: Project, two_nodes: Cluster, tmp_path: Path) -> None:
    said = []
    for project in (local, on_cluster(local, tmp_path / "ray", two_nodes.address)):
        copy = tmp_path / f"copy-{len(said)}"
        shutil.copytree(project.root, copy, symlinks=True)
        raw = next((copy / "data/raw/reddit_ess").glob("*.jsonl"))
        raw.write_text('{"other": "a"}\n' * 20, encoding="utf-8")
        process = begun(copy, "normalize", "reddit_ess")
        said.append(process.communicate(timeout=600)[1])
        assert process.returncode == 1
    assert said[0] == said[1]
    assert said[0].startswith("error: reddit_ess")
    assert said[0].count("\n") == 1


def test_without_ray_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(ParamsError, match=r"pip install -r requirements-ray\.txt"),
        engine.started(Engine(kind="ray"), 0),
    ):
        pass


def test_where_no_cluster_answers_the_address_is_named_at_once() -> None:
    address = f"127.0.0.1:{free_port()}"
    with (
        pytest.raises(ParamsError, match=rf"no Ray cluster answers at {address}"),
        engine.started(Engine(kind="ray", address=address), 0),
    ):
        pass
