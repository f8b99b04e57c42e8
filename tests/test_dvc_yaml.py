"""dvc.yaml declares what the stages really read and write, in both directions."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.test_build import ROOT, clone, dvc

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
SOURCES = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["sources"]
FORMATS = sorted(path.stem for path in (ROOT / "stages/formats").glob("*.py") if path.stem != "__init__")


def stage(name: str) -> dict[str, Any]:
    return DVC[name].get("do", DVC[name])


@pytest.mark.parametrize("source", SOURCES)
def test_merge_and_report_name_the_files_of_every_source(source: str) -> None:
    wanted = {
        "merge": [f"data/normalized/{source}.parquet"],
        "report": [f"data/ledger/normalize/{source}.json"],
    }
    for name, paths in wanted.items():
        missing = [path for path in paths if path not in stage(name)["deps"]]
        assert not missing, f"dvc.yaml: add to the deps of {name}: {', '.join(missing)}"


def test_every_format_has_a_stage_and_report_reads_its_ledger() -> None:
    have = {"openai", *DVC["export"]["foreach"]}
    assert have == set(FORMATS)
    wanted = {f"data/ledger/export/{name}.json" for name in FORMATS}
    assert wanted <= set(stage("report")["deps"]), "dvc.yaml: add the format's ledger to the deps of report"


@pytest.mark.parametrize("name", DVC)
def test_every_stage_says_what_it_does(name: str) -> None:
    assert stage(name).get("desc")


@pytest.mark.parametrize("name", DVC)
def test_a_stage_names_the_same_params_in_dvc_yaml_and_in_its_code(name: str) -> None:
    module = shlex.split(stage(name)["cmd"])[2]
    path = ROOT / (module.replace(".", "/") + ".py")
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.load"
    ]
    named = {ast.unparse(arg).lstrip("f").strip("'\"") for call in calls for arg in call.args}
    declared = {re.sub(r"\$\{\w+\}", "{key}", param) for param in stage(name).get("params", [])}
    assert named == declared


HOOK = """
import os, sys
root, log = os.environ["AUDIT_ROOT"] + os.sep, os.environ["AUDIT_LOG"]
seen = set()
def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(args[0]))
        if path.startswith(root) and path not in seen:
            seen.add(path)
            with open(log, "a") as file:
                file.write(path[len(root):] + chr(10))
sys.addaudithook(hook)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("audit"))
    dvc(folder, "repro", PYTHONPYCACHEPREFIX=str(folder.parent / "pycache"))
    return folder


def opened(folder: Path, command: str, work: Path) -> set[str]:
    """Files under the project that a stage's command opens, by audit hook."""
    work.mkdir(parents=True)
    (work / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    log = work / "opened"
    log.touch()
    env = {
        **os.environ, "PYTHONPATH": str(work), "PYTHONPYCACHEPREFIX": str(work / "pycache"),
        "AUDIT_ROOT": str(folder), "AUDIT_LOG": str(log),
    }  # fmt: skip
    subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=folder, env=env, check=True, capture_output=True)
    return set(log.read_text(encoding="utf-8").splitlines())


def covers(declared: set[str], path: str) -> bool:
    return any(path == one or path.startswith(one + "/") for one in declared)


@pytest.mark.slow
def test_each_stage_opens_what_it_declares_and_nothing_else(built: Path, tmp_path: Path) -> None:
    lock = yaml.safe_load((built / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    wrong = []
    for number, (name, entry) in enumerate(lock.items()):
        deps = {dep["path"] for dep in entry.get("deps", [])}
        outs = {out["path"] for out in entry.get("outs", [])}
        links = {os.path.relpath((built / dep).resolve(), built) for dep in deps if (built / dep).is_symlink()}
        seen = opened(built, entry["cmd"], tmp_path / str(number))
        seen = {path for path in seen if ".part" not in path and not path.startswith((".git", ".venv"))}
        undeclared = [p for p in seen if p != "params.yaml" and not covers(deps | outs | links, p)]
        unread = [d for d in deps if d.endswith(".py") and d not in seen]
        wrong += [f"{name} opens {path}, which it does not declare" for path in sorted(undeclared)]
        wrong += [f"{name} declares {path}, which it never opens" for path in sorted(unread)]
    assert not wrong, "\n".join(wrong)
