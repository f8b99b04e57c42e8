"""Whole files and folders or none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.files import atomic, atomic_folder, read_json, sha256, write_json
from tests.download_project import ROOT


def fill(path: Path, text: str) -> None:
    with atomic_folder(path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep/file").write_text(text)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new/out.txt"
    with atomic(path) as part:
        part.write_text("old")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["out.txt"]


def test_a_folder_takes_the_place_of_the_old_one_or_leaves_it(tmp_path: Path) -> None:
    path = tmp_path / "out"
    fill(path, "old")
    with pytest.raises(RuntimeError), atomic_folder(path) as part:
        (part / "half").write_text("half")
        raise RuntimeError
    assert (path / "deep/file").read_text() == "old"
    fill(path, "new")
    assert (path / "deep/file").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_what_killed_writers_left_goes_and_what_a_live_one_writes_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getpid()):  # a container may give a dead writer's number to us
        (tmp_path / f".out.{pid}.part").mkdir()
        (tmp_path / f".out.{pid}.old.part").mkdir()
    (tmp_path / f".out.{os.getppid()}.part").mkdir()
    fill(tmp_path / "out", "x")
    assert {entry.name for entry in tmp_path.iterdir()} == {"out", f".out.{os.getppid()}.part"}


WRITER = """
import sys
from pathlib import Path
from stages.files import atomic_folder
for number in range(30):
    with atomic_folder(Path("out")) as folder:
        for name in "abc":
            (folder / name).write_text(sys.argv[1] + str(number))
"""


def test_writers_of_one_folder_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    writers = [subprocess.Popen([*command, name], cwd=tmp_path, env=env) for name in ("x", "y")]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len({(tmp_path / "out" / name).read_text() for name in "abc"}) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_json_is_sorted_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": "é", "a": [1]})
    assert (tmp_path / "x.json").read_bytes() == '{\n  "a": [\n    1\n  ],\n  "b": "é"\n}\n'.encode()
    assert read_json(tmp_path / "x.json") == {"a": [1], "b": "é"}


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
