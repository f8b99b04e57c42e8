"""Every route keeps to the OpenAPI document: schemathesis with all its checks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.mhdata.conftest import Doors, copy
from tests.mhdata.http_server import TOKEN, Server

MERGED = [f"data/merged/merged_mental_health_dataset.{kind}" for kind in ("parquet", "json", "csv")]
OPENAI = [f"data/exports/mental_health_openai{side}.jsonl" for side in ("", "_train", "_validation")]


@pytest.fixture
def quick(built: Path, tmp_path: Path) -> Doors:
    """The built workspace with stages that do nothing: hundreds of forced builds cost seconds."""
    doors = copy(built, tmp_path / "quick")
    shutil.rmtree(doors.root / "pipelines", ignore_errors=True)
    stages = {
        "merge": _stage(["params.yaml"], MERGED),
        "datapackage": _stage(MERGED, ["data/merged/datapackage.json"]),
        "split": _stage(MERGED[:1], ["data/split/split.parquet"]),
        "export_openai": _stage(["data/split/split.parquet"], [*OPENAI, "data/ledger/export/openai.json"]),
        "report": _stage(OPENAI, ["data/exports/manifest.json"]),
    }
    (doors.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    params = yaml.safe_load((doors.root / "params.yaml").read_text())
    params["formats"] = ["openai"]
    (doors.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (doors.root / "dvc.lock").unlink()
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=doors.root, check=True)
    return doors


def _stage(deps: list[str], outs: list[str]) -> dict[str, object]:
    return {"cmd": "true", "deps": deps, "outs": [{out: {"persist": True}} for out in outs]}


@pytest.mark.slow
def test_schemathesis_finds_nothing(quick: Doors, tmp_path: Path) -> None:
    with Server(quick.root, log=tmp_path / "server.txt") as server:
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--checks", "all",
             "--max-examples", os.environ.get("MHDATA_EXAMPLES", "4"), "--seed", "1", "--no-color",
             "--request-timeout", "600", "--max-response-time", "600", "--suppress-health-check", "too_slow",
             "--header", f"Authorization: Bearer {TOKEN}"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        report = done.stdout + done.stderr
        print(report)
        assert done.returncode == 0, report
        assert re.search(r"[1-9]\d\d generated, [1-9]\d\d passed", report), report
        jobs = server.get("/api/jobs?limit=100")["items"]
        assert jobs and not [job for job in jobs if job["state"] == "failed"]
        assert "Traceback" not in server.said
