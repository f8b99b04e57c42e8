"""Make the stored answers in data/sample anew: `python -m tests.record_fixture`, after a prompt changed."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.llm_project import PARAPHRASE, ROOT, STAGES, Project
from tests.llm_server import Scripted

TOTAL = 40


def main() -> None:
    with Scripted() as server, tempfile.TemporaryDirectory() as name:
        project = Project(Path(name), server.url)
        project.set({"mode": "live", "total": TOTAL})
        project.set({"mode": "live"}, "paraphrase")
        shutil.copytree(ROOT / "data/sample/paraphrase", project.folder / "data/sample/paraphrase")
        (project.folder / "data/sample/paraphrase/responses.jsonl").unlink(missing_ok=True)
        os.environ.pop("MHDATA_SPOOL", None)
        with contextlib.chdir(project.folder):
            for stage in (*STAGES, *PARAPHRASE):
                importlib.import_module(f"stages.{stage}").main()
        for source in ("synthesize", "paraphrase"):
            shutil.copy(
                project.folder / f"data/{source}/responses.jsonl", ROOT / f"data/sample/{source}/responses.jsonl"
            )


if __name__ == "__main__":
    main()
