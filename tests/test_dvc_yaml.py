"""dvc.yaml declares what the stages really read and write, in both directions."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builds import ROOT

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
SOURCES = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["sources"]
FORMATS = sorted(path.stem for path in (ROOT / "stages/formats").glob("*.py") if path.stem != "__init__")


def stage(name: str) -> dict[str, Any]:
    return DVC[name].get("do", DVC[name])


@pytest.mark.parametrize("source", SOURCES)
def test_merge_and_report_name_the_files_of_every_source(source: str) -> None:
    wanted = {
        "merge": [f"data/normalized/{source}.parquet", f"data/screened/{source}.parquet"],
        "report": [f"data/ledger/normalize/{source}.json", f"data/ledger/screen/{source}.json"],
    }
    if "classification" in SOURCES[source]["enters"]:
        wanted["audit"] = [f"data/normalized/{source}.parquet"]
    for name, paths in wanted.items():
        missing = [path for path in paths if path not in stage(name)["deps"]]
        assert not missing, f"dvc.yaml: add to the deps of {name}: {', '.join(missing)}"


def test_every_format_has_a_stage_and_report_reads_its_ledger() -> None:
    have = {*DVC["export"]["foreach"], *(name[7:] for name in DVC if name.startswith("export_"))}
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


def alone(built: Path, entry: dict[str, Any], work: Path) -> Path:
    """A folder with nothing but params.yaml and the declared deps of one stage."""
    folder = work / "alone"
    for path in ["params.yaml", *(dep["path"] for dep in entry.get("deps", []))]:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if (built / path).is_dir():
            shutil.copytree(built / path, target, dirs_exist_ok=True)
        else:
            shutil.copy(built / path, target)
    return folder


def run_alone(folder: Path, command: str, work: Path) -> tuple[str, set[str]]:
    """Run a stage's command there; what it said if it failed, and the files it opened, by audit hook."""
    (work / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    log = work / "opened"
    log.touch()
    env = {
        **os.environ, "PYTHONPATH": str(work), "PYTHONPYCACHEPREFIX": str(work / "pycache"),
        "AUDIT_ROOT": str(folder), "AUDIT_LOG": str(log),
    }  # fmt: skip
    words = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(words, cwd=folder, env=env, check=False, capture_output=True, text=True)
    return done.stderr if done.returncode else "", set(log.read_text(encoding="utf-8").splitlines())


def content(path: Path) -> Any:
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
    return path.read_bytes()


@pytest.mark.slow
def test_each_stage_needs_what_it_declares_and_nothing_else(built: Path, tmp_path: Path) -> None:
    """With its declared deps alone in a folder, each stage makes the same bytes; and it opens all code it declares."""
    lock = yaml.safe_load((built / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    wrong = []
    for number, (name, entry) in enumerate(lock.items()):
        work = tmp_path / str(number)
        folder = alone(built, entry, work)
        said, opened = run_alone(folder, entry["cmd"], work)
        if said:
            wrong.append(f"{name} needs more than it declares: {said[-400:]}")
            continue
        outs = [out["path"] for out in entry.get("outs", [])]
        wrong += [f"{name} makes another {out}" for out in outs if content(folder / out) != content(built / out)]
        deps = [dep["path"] for dep in entry.get("deps", [])]
        wrong += [
            f"{name} declares {dep}, which it never opens" for dep in deps if dep[-3:] == ".py" and dep not in opened
        ]
        shutil.rmtree(work)
    assert not wrong, "\n".join(wrong)
