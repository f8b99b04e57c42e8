"""The real upstream files again, this time through the Hub's protocol: the same rows as from the user's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from tests.builds import clone, dvc
from tests.hub_server import Hub, repinned, repos

SAME = ("merged_mental_health_dataset.json", "merged_mental_health_dataset.csv", "duplicates.parquet")
STAND_IN = "emotional-reactions-reddit.csv"  # for RedditESS, which has no Hub copy


@pytest.mark.slow
def test_the_hub_gives_the_rows_that_the_users_folder_gives(real: Path, real_built: Path, tmp_path: Path) -> None:
    folder = clone(tmp_path / "clone")
    (folder / "data/local/reddit_ess").mkdir(parents=True, exist_ok=True)
    shutil.copy(real / "candidates/epitome" / STAND_IN, folder / "data/local/reddit_ess")
    params = real_built / "params.yaml"  # its sources, and pins of the files at hand
    (folder / "params.yaml").write_text(repinned(params, real), encoding="utf-8")
    with Hub(repos(params, real)) as hub:
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "120"}
        dvc(folder, "repro", "merge", HF_ENDPOINT=hub.endpoint, **quiet)
    for name in SAME:
        assert (folder / "data/merged" / name).read_bytes() == (real_built / "data/merged" / name).read_bytes(), name
    for receipt in (folder / "data/raw").glob("*/receipt.json"):
        found = orjson.loads(receipt.read_bytes())
        assert found["origin"] == ("local" if receipt.parent.name == "reddit_ess" else "hub") or not found["files"]
