"""A built sample to spoil, and its stages as processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mhdata import graph
from mhdata.graph import Stage
from mhdata.workspace import Workspace
from tests.builds import digests

HOOK = Path(__file__).parent / "hook"  # a folder with a sitecustomize.py


class Sample:
    """A copy of a built clone: its stages, their outs, and the bytes that they must have."""

    def __init__(self, built: Path, folder: Path) -> None:
        self.folder = folder
        if not folder.exists():
            shutil.copytree(built, folder, symlinks=True, ignore=shutil.ignore_patterns(".git", "cache", "tmp"))
        self.stages = graph.load(Workspace(folder)).stages
        self.whole = digests(built)

    def remove_outs(self, stage: Stage) -> None:
        """What DVC does before it runs a stage."""
        for out in map(self.folder.joinpath, stage.outs):
            shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)

    def start(self, stage: Stage, **more: Any) -> subprocess.Popen[str]:
        """Run a stage in a process group of its own."""
        words = [sys.executable, *stage.command.split()[1:]]
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **more.pop("env", {})}
        return subprocess.Popen(
            words, cwd=self.folder, env=env, text=True, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more,
        )  # fmt: skip

    def run(self, stage: Stage, preexec: Callable[[], None] | None = None, **env: str) -> tuple[int, str]:
        """Run a stage to its end: exit code and stderr. Of a group of processes none is left."""
        running = self.start(stage, preexec_fn=preexec, env=env)
        _, said = running.communicate(timeout=300)
        return running.returncode, said

    def not_whole(self) -> list[str]:
        """Files under a final name that are not what they are in a whole build."""
        found = digests(self.folder).items()
        return sorted(path for path, digest in found if self.whole.get(path) != digest and ".part" not in path)

    def heal(self, stage: Stage) -> str:
        """Run the stage again with nothing cleaned; what is then wrong, or nothing."""
        code, said = self.run(stage)
        if code:
            return f"the rerun ended with {code}: {said.strip()[-300:]}"
        now = digests(self.folder)
        if now != self.whole:
            return f"other bytes after the rerun: {sorted(set(now.items()) ^ set(self.whole.items()))[0][0]}"
        if parts := [str(part.relative_to(self.folder)) for part in (self.folder / "data").rglob("*.part")]:
            return f"left behind after the rerun: {', '.join(parts)}"
        return ""


def broken(code: int, said: str) -> str:
    """What is wrong with how a stage ended, whatever stopped it: anything but success or one sentence."""
    if "Traceback" in said:
        return f"a traceback: {said.strip().splitlines()[-1][:300]}"
    sentences = [line for line in said.splitlines() if line.startswith("error: ")]
    if code < 0 or (code and len(sentences) != 1):
        return f"ended with {code} and {len(sentences)} sentences: {said.strip()[-300:]}"
    return ""
