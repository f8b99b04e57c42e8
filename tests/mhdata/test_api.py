"""The Python functions."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mhdata
from mhdata import formats, results
from stages.errors import ParamsError, PipelineError, RefusedError
from tests.mhdata.conftest import ROOT, Doors


def test_all_names_are_there_and_documented() -> None:
    for name in mhdata.__all__:
        assert getattr(mhdata, name).__doc__, name
        if name[0].islower():
            assert "Example" in getattr(mhdata, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mhdata.nothing  # noqa: B018
    assert (ROOT / "mhdata/py.typed").exists()


def test_merge_of_what_is_up_to_date(doors: Doors) -> None:
    heard: list[Any] = []
    made = mhdata.merge_all_datasets(root=doors.root, on_event=heard.append)
    assert made.rebuilt is False and heard
    assert made.rows == made.statistics.rows == pq.read_metadata(made.path).num_rows
    assert len(json.loads(made.json_path.read_text(encoding="utf-8"))) == made.rows
    assert made.csv_path.exists() and mhdata.merged_dataset_exists(root=doors.root)
    assert made.path == mhdata.get_merged_dataset_path(root=doors.root)
    assert made.json_path == mhdata.get_merged_dataset_path("json", root=doors.root)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.rows = 0  # type: ignore[misc]
    assert json.loads(json.dumps(results.as_json(made)))["statistics"]["rows"] == made.rows


def test_prepare_gives_files(doors: Doors) -> None:
    made = mhdata.prepare_for_openai(root=doors.root)
    (one,) = made.formats.values()
    assert one.path == doors.root / "data/exports/mental_health_openai.jsonl" and not made.rebuilt
    assert {file.split for file in one.files} == {None, "train", "validation"}
    assert mhdata.prepared_datasets_exist(root=doors.root) == dict.fromkeys(formats.selected(_where(doors)), True)
    assert mhdata.prepared_datasets_exist(["kto"], root=doors.root) == {"kto": False}
    with pytest.raises(RefusedError, match="kto is not among"):
        mhdata.prepare(["kto"], root=doors.root)


def _where(doors: Doors) -> Any:
    from mhdata.workspace import Workspace

    return Workspace(doors.root)


def test_load_merged_is_the_table(doors: Doors) -> None:
    table = mhdata.load_merged(format="arrow", root=doors.root)
    written = pq.read_table(mhdata.get_merged_dataset_path(root=doors.root))
    assert table.drop_columns("split").to_pylist() == written.to_pylist()
    sides = pq.read_table(doors.root / "data/split/split.parquet")
    assert table["split"].to_pylist() == sides["side"].to_pylist()


@pytest.mark.parametrize("split", [None, "train", "validation", "test"])
@pytest.mark.parametrize("sources", [None, ["trace"], ["trace", "amod_counseling"]])
def test_load_merged_selects(doors: Doors, split: str | None, sources: list[str] | None) -> None:
    rows = mhdata.load_merged(format="arrow", root=doors.root).to_pylist()
    wanted = [row for row in rows if split in (None, row["split"]) and (sources is None or row["source"] in sources)]
    assert mhdata.load_merged(split=split, sources=sources, format="arrow", root=doors.root).to_pylist() == wanted


def test_load_merged_maps_memory(doors: Doors) -> None:
    before = pa.total_allocated_bytes()
    table = mhdata.load_merged(format="arrow", root=doors.root)
    assert table.nbytes > 100_000 and pa.total_allocated_bytes() - before < 10_000
    dataset = mhdata.load_merged(split="train", root=doors.root)
    assert Counter(dataset["split"]) == {"train": dataset.num_rows}
    assert Path(dataset.cache_files[0]["filename"]).is_relative_to(doors.root / ".dvc/tmp")


def test_load_merged_follows_the_table(doors: Doors, tmp_path: Path) -> None:
    import os

    mhdata.load_merged(format="arrow", root=doors.root)
    path = mhdata.get_merged_dataset_path(root=doors.root)
    (old,) = (doors.root / ".dvc/tmp/mhdata/arrow").glob("*-all.arrow")
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1000))
    mhdata.load_merged(format="arrow", root=doors.root)
    (new,) = (doors.root / ".dvc/tmp/mhdata/arrow").glob("*-all.arrow")
    assert new != old
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_load_merged_refuses_what_is_not_there(doors: Doors) -> None:
    with pytest.raises(ParamsError, match="no split 'dev'"):
        mhdata.load_merged(split="dev", root=doors.root)
    with pytest.raises(ParamsError, match="no source 'tracee'"):
        mhdata.load_merged(sources=["tracee"], root=doors.root)
    with pytest.raises(ValueError, match="choose of datasets, arrow"):
        mhdata.load_merged(format="pandas", root=doors.root)  # type: ignore[call-overload]


def test_without_a_build_there_is_one_sentence(tmp_path: Path, doors: Doors) -> None:
    import shutil

    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(doors.root / name, tmp_path)
    (tmp_path / "stages").mkdir()
    assert not mhdata.merged_dataset_exists(root=tmp_path)
    with pytest.raises(PipelineError, match="no merged table yet"):
        mhdata.load_merged(root=tmp_path)
    with pytest.raises(PipelineError, match=r"holds no dvc\.yaml"):
        mhdata.merged_dataset_exists(root=tmp_path.parent)


def test_formats_are_added_without_touching_another_byte() -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    changed = formats.added(text, ["kto", "mlx"])
    assert changed.replace(", kto, mlx]", "]", 1) == text
    assert formats.added("formats: []\n", ["kto"]) == "formats: [kto]\n"
    assert formats.added("a: 1\nformats:\n- openai", ["kto"]) == "a: 1\nformats:\n- openai\n- kto"
    with pytest.raises(ParamsError, match="no list `formats`"):
        formats.added("a: 1\n", ["kto"])
