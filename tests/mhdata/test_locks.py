"""Who holds the workspace, and DVC's rwlock after a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from mhdata import locks
from mhdata.workspace import Workspace
from tests.mhdata.conftest import PATIENCE, until


@pytest.fixture
def where(tmp_path: Path) -> Workspace:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return Workspace(tmp_path)


def hold(where: Workspace, wait: bool = False, **more: object) -> object:
    return locks.held(where, "merge", wait, waiting=lambda holder: None, **more)  # type: ignore[arg-type]


def test_the_second_is_refused_and_told_who_the_first_is(where: Workspace) -> None:
    assert locks.holder(where) is None
    with hold(where):  # type: ignore[attr-defined]
        found = locks.holder(where)
        assert found is not None and (found.pid, found.target, found.alive) == (os.getpid(), "merge", True)
        with pytest.raises(locks.BusyError, match=f"mhdata merge` .process {os.getpid()}") as busy, hold(where):  # type: ignore[attr-defined]
            pass
        assert busy.value.code == 3
    assert locks.holder(where) is None


def test_waiting_ends_when_the_first_is_done(where: Workspace) -> None:
    got = threading.Event()

    def second() -> None:
        with hold(where, wait=True):  # type: ignore[attr-defined]
            got.set()

    with hold(where):  # type: ignore[attr-defined]
        thread = threading.Thread(target=second)
        thread.start()
        assert not got.wait(0.5)
    assert got.wait(PATIENCE)
    thread.join()


def test_waiting_can_be_cancelled(where: Workspace) -> None:
    with hold(where), pytest.raises(locks.BusyError), hold(where, wait=True, cancelled=lambda: True):  # type: ignore[attr-defined]
        pass


def test_a_child_that_holds_the_lock_keeps_it_after_its_parent(where: Workspace) -> None:
    program = (
        "import subprocess, sys\nfrom pathlib import Path\nfrom mhdata import locks\n"
        "from mhdata.workspace import Workspace\n"
        "with locks.held(Workspace(Path(sys.argv[1])), 'build', False, waiting=print) as lock:\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=sys.stdin, pass_fds=(lock,),"
        " stdout=subprocess.DEVNULL)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(where.root)], stdin=subprocess.PIPE)
    parent.wait()
    found = locks.holder(where)
    assert found is not None and found.pid == parent.pid and not found.alive
    assert parent.stdin is not None
    parent.stdin.close()
    until(lambda: locks.holder(where) is None, "the child's end")


ALIVE = os.getpid()  # a process that is no DVC: a number that the system gave again


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"read": {"/x": [{"pid": 1, "cm', "is torn"),
        ("", "is torn"),
        ("[]", "is torn"),
        ('{"write": {"/x": {"cmd": "dvc"}}}', "is torn"),
        (json.dumps({"write": {"/x": {"pid": ALIVE, "cmd": "dvc repro"}}, "read": {}}), f"names process {ALIVE}"),
        (json.dumps({"write": {}, "read": {"/x": [{"pid": 7, "cmd": "dvc"}, {"pid": 5, "cmd": "dvc"}]}}), "5, 7"),
    ],
    ids=["torn", "empty", "no lock", "no process", "an alive one", "dead ones"],
)
def test_a_lock_left_behind_is_removed(where: Workspace, text: str, says: str) -> None:
    path = where.root / ".dvc/tmp/rwlock"
    path.write_text(text)
    assert says in str(locks.trouble(where))
    assert says in str(locks.mend(where))
    assert not path.exists() and locks.mend(where) is None


@pytest.mark.parametrize("text", ["{}", '{"read": {}, "write": {}}', '{"write": {"/x": {}}, "read": {"/y": []}}'])
def test_a_lock_that_names_nobody_stays(where: Workspace, text: str) -> None:
    path = where.root / ".dvc/tmp/rwlock"
    path.write_text(text)
    assert locks.mend(where) is None and path.read_text() == text


def test_a_lock_stays_while_a_dvc_lives_in_the_workspace(where: Workspace) -> None:
    path = where.root / ".dvc/tmp/rwlock"
    path.write_text('{"torn')
    (where.root / "data").mkdir()
    living = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()", "dvc", "repro"], cwd=where.root / "data",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert living.stdout is not None
    living.stdout.readline()
    assert [one.pid for one in locks.dvc_processes(where)] == [living.pid]
    assert locks.mend(where) is None and path.exists()
    living.communicate(b"\n")
    assert locks.mend(where) is not None


def test_a_dvc_that_ends_while_it_is_looked_at_holds_nothing(where: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a look at its words and one at its folder."""
    ended = psutil.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    ended.info = {"pid": ended.pid, "cmdline": ["dvc", "repro"], "cwd": None}
    monkeypatch.setattr(psutil, "process_iter", lambda attributes: [ended])
    assert locks.dvc_processes(where) == []
    ended.wait()
    assert locks.dvc_processes(where) == []


LOCK = "schema: '2.0'\nstages:\n  a:\n    cmd: python -m a\n    outs:\n    - path: data/a\n      md5: ab\n"
MARKS = f"<<<<<<< HEAD\n{LOCK}=======\n>>>>>>> other\n"


@pytest.mark.parametrize("text", ["", LOCK[:15], LOCK[:30], "stages: {}\n", "\0\0\0"])
@pytest.mark.parametrize("name", ["dvc.lock", "pipelines/screen/dvc.lock"])
def test_gits_lock_takes_the_place_of_one_that_a_killed_dvc_tore(where: Workspace, name: str, text: str) -> None:
    path = where.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".yaml").write_text("stages: {}\n")
    path.write_text(LOCK)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=where.root, check=True)
    assert locks.mend(where) is None
    path.write_text(text)
    assert f"{name} is torn" in str(locks.mend(where)) and path.read_text() == LOCK
    path.write_text(MARKS)
    assert locks.mend(where) is None and path.read_text() == MARKS


def test_a_torn_lock_that_git_does_not_know_goes(where: Workspace) -> None:
    (where.root / "dvc.yaml").write_text("stages: {}\n")
    (where.root / "dvc.lock").write_text("")
    assert "removed" in str(locks.mend(where)) and not (where.root / "dvc.lock").exists()
