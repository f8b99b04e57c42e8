"""The download stage from folders: the sample, and the user's own files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.download_project import COMMIT, ROOT, Project
from tests.hub_server import blob

REAL = os.environ.get("MHDATA_REAL")
ROWS, LAW = b'{"a": 1}\n', b"be kind\n"
PIN = {"bytes": len(ROWS), "sha256": hashlib.sha256(ROWS).hexdigest(), "blob": blob(ROWS)}
BLOCK = {"revision": COMMIT, "files": {"data/rows.jsonl": PIN}, "license_files": {"LICENSE": {"blob": blob(LAW)}}}


def project(folder: Path, origin: str, given: dict[str, bytes], **changes: Any) -> Project:
    """A project with one source, `src`, and its files in the folder of that origin."""
    made = Project(folder, origin, {"src": BLOCK | changes})
    for path, data in {"README.md": b"what belongs here\n", **given}.items():
        made.put(f"data/{origin}/src/{path}", data)
    return made


WHOLE = {"data/rows.jsonl": ROWS, "LICENSE": LAW}


def test_the_sample_is_copied_and_no_pin_speaks_of_it(tmp_path: Path) -> None:
    made = project(tmp_path, "sample", {"data/rows.jsonl": b"ours\n", "other.txt": b"not declared\n"})
    made.succeeds("src")
    assert set(made.raw("src")) == {"data/rows.jsonl", "receipt.json"}
    receipt = made.receipt("src")
    assert (receipt["origin"], receipt["state"], receipt["revision"], receipt["notes"]) == (
        "sample",
        "complete",
        None,
        [],
    )
    hashes = {"sha256": hashlib.sha256(b"ours\n").hexdigest(), "blob": blob(b"ours\n")}
    entry = {"file": "data/rows.jsonl", "bytes": 5, "pin": "sample", "verified": "nothing"}
    assert receipt["files"] == [entry | hashes]


def test_the_users_own_copy_of_the_pinned_files(tmp_path: Path) -> None:
    made = project(tmp_path, "local", WHOLE)
    assert made.succeeds("src") == ""
    receipt = made.receipt("src")
    assert {key: data for key, data in made.raw("src").items() if key != "receipt.json"} == WHOLE
    assert receipt["revision"] == COMMIT, "every byte is shown to be that revision's"
    assert [(entry["pin"], entry["verified"]) for entry in receipt["files"] + receipt["license_files"]] == [
        ("matches", "pin"),
        ("matches", "pin"),
    ]


@pytest.mark.parametrize("listed", [b"", b"./"])
def test_another_copy_is_taken_visibly(tmp_path: Path, listed: bytes) -> None:
    rows = b"other rows\n"
    sums = hashlib.sha256(rows).hexdigest().encode() + b"  " + listed + b"data/rows.jsonl\n"
    made = project(tmp_path, "local", WHOLE | {"data/rows.jsonl": rows, "SHA256SUMS": sums})
    said = made.succeeds("src")
    assert "note: source src, file data/rows.jsonl is not the pinned file" in said
    receipt = made.receipt("src")
    assert (receipt["files"][0]["pin"], receipt["files"][0]["verified"]) == ("differs", "sums")
    assert receipt["revision"] is None
    assert PIN["sha256"] in receipt["notes"][0]
    assert hashlib.sha256(rows).hexdigest() in receipt["notes"][0]


def test_a_file_without_any_hash_is_unknown(tmp_path: Path) -> None:
    made = project(tmp_path, "local", WHOLE, files={"data/rows.jsonl": {}})
    made.succeeds("src")
    entry = made.receipt("src")["files"][0]
    assert (entry["pin"], entry["verified"], entry["sha256"]) == ("unknown", "nothing", PIN["sha256"])


STOPS: dict[str, tuple[dict[str, bytes], list[str]]] = {
    "no file": ({"LICENSE": LAW}, ["data/local/src/data/rows.jsonl", "no file is there", "sources.src.enabled: false"]),
    "no licence": ({"data/rows.jsonl": ROWS}, ["licence LICENSE", "data/local/src/LICENSE", COMMIT]),
    "a folder in its place": ({"LICENSE": LAW, "data/rows.jsonl/x": b""}, ["a folder is there"]),
    "a pointer": (
        WHOLE | {"data/rows.jsonl": b"version https://git-lfs.github.com/spec/v1\n"},
        ["a Git-LFS pointer", "git lfs pull"],
    ),
    "a web page": (WHOLE | {"data/rows.jsonl": b"\n<!DOCTYPE html><html>"}, ["a web page"]),
    "another sum": (WHOLE | {"SHA256SUMS": b"a" * 64 + b"  data/rows.jsonl\n"}, ["a" * 64, str(PIN["sha256"])]),
    "sums of others": (WHOLE | {"SHA256SUMS": b"a" * 64 + b"  else.jsonl\n"}, ["data/rows.jsonl", "else.jsonl"]),
    "empty sums": (WHOLE | {"SHA256SUMS": b"\n"}, ["a line for", "nothing"]),
    "sums that are a folder": (WHOLE | {"SHA256SUMS/x": b""}, ["SHA256SUMS", "a folder is there"]),
    "no sums": (WHOLE | {"SHA256SUMS": b"\nnonsense\n"}, ["SHA256SUMS, line 2", "sha256sum"]),
}


@pytest.mark.parametrize("name", STOPS)
def test_stops_with_one_sentence(tmp_path: Path, name: str) -> None:
    files, words = STOPS[name]
    sentence = project(tmp_path, "local", files).fails("src")
    for word in ["source src, ", ": expected ", ", but ", "; ", *words]:
        assert word in sentence
    assert str(tmp_path) not in sentence


def test_a_missing_sample_says_how_to_bring_it_back(tmp_path: Path) -> None:
    assert "git checkout data/sample/src" in project(tmp_path, "sample", {}).fails("src")


@pytest.mark.parametrize("origin", ["sample", "local", "hub"])
def test_an_optional_source_may_have_no_file(tmp_path: Path, origin: str) -> None:
    made = project(tmp_path, origin, {}, optional=True, revision=None)
    assert "note: source src is optional and has no file" in made.succeeds("src")
    assert set(made.raw("src")) == {"receipt.json"}
    receipt = made.receipt("src")
    assert (receipt["state"], receipt["files"]) == ("absent", [])
    assert "it adds no rows" in receipt["notes"][0]


def test_an_optional_source_has_all_its_files_or_none(tmp_path: Path) -> None:
    two = {"a.csv": {}, "b.csv": {}}
    made = project(tmp_path, "local", {"a.csv": ROWS}, optional=True, files=two, license_files={})
    assert "b.csv" in made.fails("src")
    made.put("data/local/src/b.csv", ROWS)
    made.succeeds("src")
    assert made.receipt("src")["state"] == "complete"


def test_a_source_without_a_revision_is_local_under_hub(tmp_path: Path) -> None:
    made = project(tmp_path, "hub", {}, revision=None)
    for path, data in WHOLE.items():
        made.put(f"data/local/src/{path}", data)
    made.succeeds("src", HF_ENDPOINT="http://127.0.0.1:9")
    assert (made.receipt("src")["origin"], made.receipt("src")["state"]) == ("local", "complete")


@pytest.mark.parametrize("origin", ["sample", "local", "hub"])
def test_a_disabled_source_is_an_empty_folder_with_a_receipt(tmp_path: Path, origin: str) -> None:
    made = project(tmp_path, origin, {}, enabled=False)
    made.succeeds("src", HF_ENDPOINT="http://127.0.0.1:9")
    assert set(made.raw("src")) == {"receipt.json"}
    assert made.receipt("src")["state"] == "disabled"


def test_same_bytes_in_another_folder_under_another_sky(tmp_path: Path) -> None:
    taken = []
    for name, env in (("one", {}), ("two", {"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"})):
        made = project(tmp_path / name, "local", WHOLE | {"data/rows.jsonl": "ş\n".encode()})
        made.succeeds("src", **env)
        taken.append(made.raw("src"))
        assert str(tmp_path) not in taken[-1]["receipt.json"].decode()
    assert taken[0] == taken[1]


def test_an_older_folder_and_a_killed_ones_remains_go(tmp_path: Path) -> None:
    made = project(tmp_path, "local", WHOLE)
    made.put("data/raw/src/old.csv", b"old\n")
    made.put("data/raw/.src.999999999.part/data/rows.jsonl", b"half")
    made.succeeds("src")
    assert set(made.raw("src")) == {"data/rows.jsonl", "LICENSE", "receipt.json"}


@pytest.mark.skipif(os.geteuid() == 0 and sys.platform != "linux", reason="root may write anywhere")
def test_a_size_limit_is_one_sentence(tmp_path: Path) -> None:
    made = project(tmp_path, "local", WHOLE | {"data/rows.jsonl": bytes(1 << 20)})
    command = ["sh", "-c", f"ulimit -f 100; exec {sys.executable} -m stages.download src"]
    done = subprocess.run(command, cwd=tmp_path, env=made.environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert "size limit" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "data/raw/src").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [(["srk"], "no source 'srk': did you mean src"), ([], "usage: python -m stages.download"), (["a", "b"], "usage")],
)
def test_another_word_than_a_source_is_refused(tmp_path: Path, words: list[str], said: str) -> None:
    made = project(tmp_path, "local", WHOLE)
    command = [sys.executable, "-m", "stages.download", *words]
    done = subprocess.run(command, cwd=tmp_path, env=made.environment(), capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sample_needs_no_heavy_module(tmp_path: Path) -> None:
    made = project(tmp_path, "sample", WHOLE)
    code = (
        "import sys; from stages import download; download.main('src'); "
        "print([name for name in ('pyarrow', 'numpy', 'httpx2', 'huggingface_hub', 'filelock') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=made.environment(), capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.skipif(REAL is None, reason="MHDATA_REAL is not set")
def test_the_real_files_from_data_local(tmp_path: Path) -> None:
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())["sources"]
    made = Project(tmp_path, "local", shipped)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/local").symlink_to(Path(REAL or ""))
    pins = {}
    for key in (key for key in shipped if shipped[key].get("enabled", True)):
        made.succeeds(key)
        pins[key] = [entry["pin"] for entry in made.receipt(key)["files"]]
        for entry in made.receipt(key)["files"]:
            assert made.raw(key)[entry["file"]] == (Path(REAL or "") / key / entry["file"]).read_bytes()
    assert pins == {
        "amod_counseling": ["matches"],
        "mentalchat16k": ["differs", "differs"],
        "trace": ["matches"] * 3,
        "human_like_dpo": ["differs"],
        "reddit_ess": [],
        "psych_101": ["unknown"],
        "depression_reddit": ["matches"],
    }
