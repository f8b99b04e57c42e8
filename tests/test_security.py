"""What the code must never do, and where a token must never stand."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.download_project import COMMIT, PATIENCE, Project
from tests.hub_server import Fault, File, Hub, Repo, blob

ROOT = Path(__file__).parents[1]
TOKEN = "hf_plantedTokenThatMustNotShow"
CODE = sorted(path for folder in ("stages", "mhdata") for path in (ROOT / folder).rglob("*.py"))
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "os.system",
    "os.popen",
    "yaml.unsafe_load",
    "yaml.full_load",
    "subprocess.getoutput",
}


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"imports {name.name}" for name in node.names if name.name.partition(".")[0] in MODULES)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            yield f"imports {node.module}"
        if isinstance(node, ast.Call):
            if (name := ast.unparse(node.func)) in CALLS:
                yield f"calls {name}"
            for word in node.keywords:
                on = not (isinstance(word.value, ast.Constant) and not word.value.value)
                if word.arg in ("shell", "trust_remote_code", "allow_pickle") and on:
                    yield f"{word.arg}={ast.unparse(word.value)}"


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from pickle import loads", "eval(x)", "run(x, shell=True)", "f(trust_remote_code=True)",
     "np.load(x, allow_pickle=y)", "os.system(x)"],
)  # fmt: skip
def test_each_of_them_is_seen(text: str) -> None:
    assert list(faults(ast.parse(text)))


def test_no_pickle_no_eval_no_shell_no_code_of_upstream() -> None:
    assert len(CODE) > 50
    # The engine hands functions and batches of ours to workers of ours; no byte of upstream is read that way.
    own = {"stages/engine/processes.py: imports pickle"}
    found = {f"{path.relative_to(ROOT)}: {what}" for path in CODE for what in faults(ast.parse(path.read_text()))}
    assert found - own == set()


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil"])
def test_a_declared_path_that_leaves_its_folder_is_refused(tmp_path: Path, path: str) -> None:
    project = Project(tmp_path / "project", "local", {"src": {"files": {path: {}}}})
    code, said = project.run("src")
    assert code == 2 and "Traceback" not in said, said
    assert not list(tmp_path.rglob("evil"))


def test_a_planted_token_stands_in_nothing_that_is_written(tmp_path: Path) -> None:
    """Whatever the hub does: neither the outs, receipts, parts nor what is said on stdout and stderr."""
    block = {"revision": COMMIT, "files": {"x.csv": {"blob": blob(b"a,b\n")}}}
    at_api, at_file = {"route": "api", "times": -1}, {"route": "resolve", "times": -1}
    troubles = [
        [], [Fault("status", status=401, **at_api)], [Fault("status", status=403, **at_file)],
        [Fault("status", times=-1)], [Fault("cut", at=1, times=-1)], [Fault("loop", **at_file)],
        [Fault("not_json", **at_api)], [Fault("garbage", times=-1)],
    ]  # fmt: skip
    with Hub({"owner/name": Repo({"x.csv": File(b"a,b\n")}, COMMIT)}) as hub:
        for number, trouble in enumerate(troubles):
            folder = tmp_path / str(number)
            project = Project(folder, "hub", {"src": block}, HF_ENDPOINT=hub.endpoint, HF_TOKEN=TOKEN)
            hub.faults = trouble
            process = project.start("src")
            said = "".join(process.communicate(timeout=PATIENCE))
            assert (process.returncode == 0) == (not trouble)
            assert TOKEN not in said
            written = [path for path in folder.rglob("*") if path.is_file()]
            assert written and not [path for path in written if TOKEN.encode() in path.read_bytes()]
    assert any(TOKEN in str(seen.headers) for seen in hub.seen), "the token was used"


def test_no_registry_or_machine_stands_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    bad = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host")
    files = [name for name in listed.split("\0") if name.startswith("requirements")]
    assert files and not [name for name in files if bad.search((ROOT / name).read_text())]


def test_ruff_looks_for_holes() -> None:
    assert re.search(r'select = \[[^\]]*"S"', (ROOT / "pyproject.toml").read_text())
