"""Fixtures: a project folder to run stages in, as a user would, and the real upstream files where they are at hand."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import orjson
import pytest
import yaml

# No timed assertion: a loaded machine fails no test.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

# A shell that starts us in the background lets SIGINT be ignored, and so would all processes under test.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
CODE = ("stages", "mhdata", "params.yaml", "dvc.yaml", "pipelines")


@pytest.fixture(autouse=True)
def _same_folder() -> Iterator[None]:
    """Every test leaves the process in the folder where it found it."""
    before = Path.cwd()
    yield
    after = Path.cwd()
    os.chdir(before)
    assert after == before, f"this test left the process in {after}"


class Project:
    """A folder with params.yaml and the code, where stages run as processes of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def params(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change params.yaml in place."""
        path = self.root / "params.yaml"
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(tree)
        path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")

    def run(self, *words: str, code: int | None = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m stages.<words>`; fail unless it ends with the exit code."""
        done = subprocess.run(
            [sys.executable, "-m", f"stages.{words[0]}", *words[1:]],
            cwd=self.root, capture_output=True, text=True, env={**os.environ, **env}, check=False,
        )  # fmt: skip
        if code is not None:
            assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def part(self, root: Path, *names: str) -> Project:
        """A project of its own at `root`: the code (linked), this one's params.yaml, copies of some of its data."""
        root.mkdir()
        for name in ("stages", "mhdata", "dvc.yaml", "pipelines"):
            (root / name).symlink_to(ROOT / name)
        shutil.copy(self.root / "params.yaml", root)
        for name in names:
            shutil.copytree(self.root / "data" / name, root / "data" / name)
        return Project(root)

    def raw(self, source: str, files: dict[str, bytes]) -> None:
        """Put upstream files into data/raw/<source> with the receipt that download would write."""
        import hashlib

        entries = []
        (self.root / "data/raw" / source).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = self.root / "data/raw" / source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            entries.append({"file": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
        receipt = {"source": source, "revision": "0" * 40, "files": entries, "license_files": []}
        (self.root / "data/raw" / source / "receipt.json").write_bytes(orjson.dumps(receipt))

    def json(self, path: str) -> Any:
        return orjson.loads((self.root / path).read_bytes())

    def lines(self, path: str) -> list[Any]:
        return [orjson.loads(line) for line in (self.root / path).read_bytes().splitlines()]

    def records(self, source: str) -> list[dict[str, Any]]:
        """The records of a source, as dicts."""
        import pyarrow.parquet as pq

        return pq.read_table(self.root / f"data/normalized/{source}.parquet").to_pylist()

    def table(self, path: str) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        return pq.read_table(self.root / path).to_pylist()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project: the code (linked) and a params.yaml of its own."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("stages", "mhdata"):
        if (ROOT / name).exists():
            (root / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    shutil.copytree(ROOT / "data/benchmarks", root / "data/benchmarks")
    shutil.copy(ROOT / "data/deny.txt", root / "data/deny.txt")
    return Project(root)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the working tree in which `dvc repro` has built the sample. Read only: tests share it."""
    from tests.builds import build, once

    return once(tmp_path_factory, "built", build)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real upstream files."""
    folder = os.environ.get("MHDATA_REAL")
    if not folder:
        pytest.skip("MHDATA_REAL is not set: it names the folder of real upstream files")
    return Path(folder)


@pytest.fixture(scope="session")
def real_built(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that has built the real files by `origin: local`; EPITOME stands in for RedditESS. Read only."""
    from tests.builds import clone, dvc, once

    def change(tree: Any) -> None:
        tree["origin"] = "local"
        tree["sources"]["reddit_ess"] |= {
            "files": {"emotional-reactions-reddit.csv": {}},
            "columns": {
                "post": "seeker_post", "comment": "response_post", "effective": "level", "post_id": "sp_id",
            },
            "labels": {"0": "ineffective", "1": "effective", "2": "effective"},
        }  # fmt: skip

    def make(folder: Path) -> None:
        clone(folder)
        for source in (folder / "data/local").iterdir():
            if (real / source.name).is_dir():
                shutil.copytree(real / source.name, source, dirs_exist_ok=True)
        (folder / "data/local/reddit_ess").mkdir(parents=True, exist_ok=True)
        shutil.copy(real / "candidates/epitome/emotional-reactions-reddit.csv", folder / "data/local/reddit_ess")
        Project(folder).params(change)
        dvc(folder, "repro")

    return once(tmp_path_factory, "real", make)


# Files in the order in which workers take them: those that build first, so that nobody waits for a build that stands in
# `built` or `real_built`; then the longest, so that all workers end together; then all others as they come.
FIRST = (
    "mhdata/test_building.py", "e2e/test_real.py", "test_hub.py",
    "remotes/test_kinds.py", "mhdata/test_http.py", "remotes/test_faults.py", "remotes/test_private.py",
    "e2e/test_harness.py", "e2e/test_ci.py", "e2e/test_hub_build.py", "mhdata/test_web.py", "test_publish.py",
    "dedup/test_near_real.py", "versions/test_diff.py", "mhdata/test_watch.py",
    "screens/test_pii.py", "test_dvc_yaml.py", "mhdata/test_reading.py", "engine/test_cluster.py",
    "synthesize/test_run.py", "mhdata/test_http_schema.py", "dedup/test_near.py", "versions/test_takedown.py",
    "synthesize/test_faults.py", "consumers/test_consumers.py", "mhdata/test_browse.py", "formats/test_units.py",
    "test_report.py", "e2e/test_faults.py", "formats/test_entering.py", "screens/test_crisis.py",
)  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: many tests wait, for a server, a lock, or the end of a patience."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The order of FIRST; in each file slow tests last: a quick failure shows first."""
    places = {ROOT / "tests" / name: place for place, name in enumerate(FIRST)}
    items.sort(
        key=lambda item: (places.get(item.path, len(places)), item.get_closest_marker("slow") is not None),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """In CI a skip is a failure: what a test needs must be there."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
