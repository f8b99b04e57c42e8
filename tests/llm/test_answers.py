"""Answers outlive whatever happens: crashes, torn lines, bad bytes, a second process, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from stages.errors import PipelineError
from stages.llm import answers
from stages.llm.answers import Answer, Open, Spool
from tests.llm_project import ROOT


def answer(number: int, text: str = "a text", **changes: object) -> Answer:
    whole = {
        "key": f"{number:064x}", "slot": "t01-0001", "part": "question", "attempt": 0, "provider": "p", "model": "m",
        "reported": "m", "text": text, "finish_reason": "stop", "tokens_in": 3, "tokens_out": 4, "estimated": False,
    }  # fmt: skip
    return msgspec.convert(whole | changes, Answer)


def test_the_out_is_sorted_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "out" / "responses.jsonl"
    made = {a.key: a for a in (answer(3), answer(1), answer(2, "two\nlines"))}
    answers.write(path, made)
    held = answers.read(path)
    assert held.answers == made
    assert list(held.places.values()) == [0, 1, 2]
    assert list(held.answers) == sorted(made)


def test_an_empty_out_has_a_byte_and_no_rows(tmp_path: Path) -> None:
    """DVC warns at files of no bytes."""
    answers.write(tmp_path / "out.jsonl", {})
    assert (tmp_path / "out.jsonl").read_bytes() == b"\n"
    assert answers.read(tmp_path / "out.jsonl").answers == {}
    assert answers.read_lines(tmp_path / "out.jsonl") == []


def test_the_spool_keeps_answers_and_what_may_have_been_billed(tmp_path: Path) -> None:
    path = tmp_path / "spool" / "synthesize.jsonl"
    with Spool(path) as spool:
        for number in range(3):
            spool.sent(Open(f"{number:064x}", "p", "m", 100, 50))
        spool.store(answer(0))
        spool.void(f"{1:064x}")
    with Spool(path) as spool:
        assert list(spool.held.answers) == [f"{0:064x}"]
        assert [request.key for request in spool.held.open] == [f"{2:064x}"]


def test_only_the_owner_may_read_the_spool(tmp_path: Path) -> None:
    path = tmp_path / "spool" / "synthesize.jsonl"
    with Spool(path):
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", [b"{", b'{"answer": {"key": "ab', '{"x": "\u00e9'.encode()[:-1], b"\0" * 70_000])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "s.jsonl"
    with Spool(path) as spool:
        spool.store(answer(1))
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with Spool(path) as spool:
        assert list(spool.held.answers) == [f"{1:064x}"]
        assert spool.held.bad_lines == 0
        spool.store(answer(2))
    assert path.read_bytes().startswith(whole)
    with Spool(path) as spool:
        assert len(spool.held.answers) == 2


def test_a_spool_that_is_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"answer": ')
    with Spool(path) as spool:
        assert spool.held.answers == {}
    assert path.read_bytes() == b""


def test_a_bad_line_in_the_middle_is_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with Spool(path) as spool:
        for number in range(4):
            spool.store(answer(number, f"text {number}"))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"text 1", b"text 7")  # still JSON, but not what was stored
    lines[2] = b"\xff\xfe not a line\n"
    path.write_bytes(b"".join(lines))
    with Spool(path) as spool:
        assert list(spool.held.answers) == [f"{0:064x}", f"{3:064x}"]
        assert spool.held.bad_lines == 2


def test_the_first_answer_for_a_key_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with Spool(path) as spool:
        spool.store(answer(1, "first"))
        spool.store(answer(1, "second"))
    with Spool(path) as spool:
        assert spool.held.answers[f"{1:064x}"].text == "first"


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    script = f"from stages.llm.answers import Spool; from pathlib import Path; Spool(Path({str(path)!r}))"
    with Spool(path):
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=env)
    assert f"in use by process {os.getpid()}" in done.stderr
    with Spool(path):
        pass
    with Spool(path), pytest.raises(PipelineError, match="in use by process"):
        Spool(path)


def test_a_full_disk_leaves_whole_lines_only(tmp_path: Path) -> None:
    """The limit on the size of files stands for the disk."""
    path = tmp_path / "s.jsonl"
    script = f"""
import resource, signal
from pathlib import Path
from stages.llm.answers import Open, Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path({str(path)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    for number in range(100):
        spool.sent(Open("k" * 64, "p", "m", 1, 1))
except OSError as error:
    print("stopped", number, error.errno)
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.startswith("stopped")
    data = path.read_bytes()
    assert len(data) <= 1000
    assert data.endswith(b"\n")
    assert data.count(b"\n") == int(done.stdout.split()[1])


def test_the_place_of_the_spool_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MHDATA_SPOOL", raising=False)
    assert answers.spool_path("synthesize") == Path("data/.spool/synthesize.jsonl")
    monkeypatch.setenv("MHDATA_SPOOL", str(tmp_path))
    assert answers.spool_path("synthesize") == tmp_path / "synthesize.jsonl"
