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

from mhdata import graph
from mhdata.workspace import Workspace
from tests.builds import ROOT, clone
from tests.conftest import Project
from tests.record_fixture import TOTAL

WORK = Workspace(ROOT)
# The exports of each file of pipelines/ are one stage `export`, so its name here is the folder's.
DVC = {
    Path(file).parent.name if name == "export" else name: entry
    for file in graph.files(WORK)
    for name, entry in yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["stages"].items()
}
SOURCES = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["sources"]
FORMATS = sorted(path.stem for path in (ROOT / "stages/formats").glob("*.py") if path.stem != "__init__")


def stage(name: str) -> dict[str, Any]:
    return DVC[name].get("do", DVC[name])


@pytest.mark.parametrize("source", SOURCES)
def test_merge_and_report_name_the_files_of_every_source(source: str) -> None:
    wanted = {
        "merge": [f"data/normalized/{source}.parquet", f"data/screened/{source}.parquet"],
        "report": [f"data/ledger/normalize/{source}.json", f"data/ledger/screen/{source}.json"],
        "card": [f"data/ledger/normalize/{source}.json"],
    }
    if "classification" in SOURCES[source]["enters"]:
        wanted["audit"] = [f"data/normalized/{source}.parquet"]
    for name, paths in wanted.items():
        missing = [path for path in paths if path not in stage(name)["deps"]]
        assert not missing, f"dvc.yaml: add to the deps of {name}: {', '.join(missing)}"


def test_every_format_has_a_stage_and_report_reads_its_ledger() -> None:
    have = graph.load(WORK).formats
    assert sorted(have) == FORMATS
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


# --- what a stage opens ------------------------------------------------------------------------------------

HOOK = """
import os, sys
root, log = os.environ["AUDIT_ROOT"] + os.sep, os.environ["AUDIT_LOG"]
seen = set()
def hook(event, args):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(args[0]))
        if path.startswith(root) and path not in seen:
            seen.add(path)
            with open(log, "a") as file:
                file.write(path[len(root):] + chr(10))
sys.addaudithook(hook)
"""
# Not declared: params.yaml (by key), what has no final name yet, and the store of answers that were paid for.
ELSEWHERE = re.compile(r"params\.yaml|stages|data/\.parts(/.*)?|data/\.spool(/.*)?|(.*/)?\.[^/]+\.part(/.*)?")


def everything_on(folder: Path) -> Workspace:
    """A clone in which no stage is idle: all formats, all sources, the generator from its stored answers."""

    def change(tree: dict[str, Any]) -> None:
        tree["formats"] = ["all"]
        for source in tree["sources"].values():
            source["enabled"] = True
        tree["synthesize"] |= {"mode": "replay", "total": TOTAL}
        tree["paraphrase"]["mode"] = "replay"

    project = Project(clone(folder))
    project.params(change)
    return Workspace(folder)


def opened(stage: graph.Stage, where: Workspace, work: Path) -> set[str]:
    """Run a stage's command; the paths under the root that it opened or listed, by audit hook."""
    (work / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    log = work / "opened"
    log.write_text("", encoding="utf-8")
    env = {
        **os.environ, "PYTHONPATH": str(work),
        "PYTHONDONTWRITEBYTECODE": "1",  # from a .pyc of the clone, the source would not be opened
        "AUDIT_ROOT": str(where.root), "AUDIT_LOG": str(log),
    }  # fmt: skip
    words = [sys.executable, *shlex.split(stage.command)[1:]]
    done = subprocess.run(words, cwd=where.root, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{stage.name}: {done.stderr}"
    return set(log.read_text(encoding="utf-8").splitlines())


def within(path: str, places: tuple[str, ...]) -> bool:
    """Whether a path is one of the places, in one, or a folder on the way to one."""
    return any(path == p or path.startswith(f"{p}/") or p.startswith(f"{path}/") for p in places)


@pytest.mark.slow
def test_each_stage_opens_what_it_declares_and_nothing_else(tmp_path: Path) -> None:
    where = everything_on(tmp_path / "all")
    stages = graph.load(where)
    wrong = []
    for name in stages.upstream([]):
        stage = stages.stages[name]
        # What shutil.rmtree opens inside a folder of its own comes without that folder's name, and is gone.
        paths = {path for path in opened(stage, where, tmp_path) if (where.root / path).exists()}
        own = (*stage.deps, *stage.outs)
        wrong += [f"{name} opens {path}" for path in paths if not ELSEWHERE.fullmatch(path) and not within(path, own)]
        code = [dep for dep in stage.deps if dep.startswith("stages/")]
        wrong += [
            f"{name} never opens {dep}"
            for dep in code
            if not any(within(path, (dep,)) for path in paths if path != "stages")
        ]
    assert not wrong, "\n".join(sorted(wrong))


def test_each_lock_holds_the_stages_of_its_plan_and_no_others() -> None:
    plans: dict[str, set[str]] = {}
    for entry in graph.load(WORK).stages.values():
        plans.setdefault(entry.file.replace(".yaml", ".lock"), set()).add(entry.name)
    locks = [ROOT / "dvc.lock", *ROOT.glob("pipelines/*/dvc.lock")]
    held = {str(path.relative_to(ROOT)): set(yaml.safe_load(path.read_text())["stages"]) for path in locks}
    assert held == plans, "take out what no dvc.yaml has any more, and run `dvc repro`"
