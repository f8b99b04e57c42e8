"""params.yaml is refused as a whole, before any work, with the key and the nearest valid one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import params
from stages.errors import ParamsError

ROOT = Path(__file__).parents[1]


def load(tmp_path: Path, change: Any) -> params.Params:
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    change(tree)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return params.load(path=path)


def refused(tmp_path: Path, change: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        load(tmp_path, change)
    return str(caught.value)


def test_the_shipped_file_is_valid(tmp_path: Path) -> None:
    assert load(tmp_path, lambda tree: None).origin == "sample"


def test_an_unknown_key_is_named_with_the_nearest_valid_one(tmp_path: Path) -> None:
    said = refused(tmp_path, lambda tree: tree["split"].update(sead=1))
    assert "`split.sead`" in said and "`seed`" in said


def test_an_unknown_key_inside_a_source_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, lambda tree: tree["sources"]["trace"].update(keepall=True))
    assert "keepall" in said and "`keep_all`" in said


def test_an_unknown_key_at_the_top_is_named(tmp_path: Path) -> None:
    assert "`origin`" in refused(tmp_path, lambda tree: tree.update(orgin="hub"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["split"].update(seed="x"), ["split.seed", "int"]),
        (lambda t: t["split"].update(validation=1.5), ["split.validation", "1.0"]),
        (lambda t: t.update(origin="web"), ["origin", "web"]),
        (lambda t: t["sources"]["trace"].update(priority=0), ["priority", "1"]),
        (lambda t: t["sources"]["trace"].update(files={}), ["sources.trace.files"]),
        (lambda t: t["sources"]["trace"].update(files={"../x": {}}), ["../x"]),
        (lambda t: t["sources"].update({"Bad-Key": t["sources"]["trace"]}), ["Bad-Key"]),
        (lambda t: t["sources"]["trace"]["files"].update({"a.jsonl": {"sha256": "zz"}}), ["sha256"]),
        (lambda t: t.pop("split"), ["split"]),
        (lambda t: t.update(origin="smaple"), ["did you mean sample", "sample, hub, local"]),
        (lambda t: t["policy"]["default"].update(crisis="tga"), ["policy.default.crisis", "keep, tag, hold, redact"]),
        (lambda t: t["sources"]["trace"].update(enters=["chat", "pear"]), ["sources.trace.enters[1]", "pairs"]),
        (lambda t: t.update(formats="all"), ["formats", "write a list, [all]"]),
        (lambda t: t.update(formats=["opnai"]), ["formats", "did you mean openai"]),
        (lambda t: t.update(formats=["nope"]), ["formats", "known are alpaca", "all"]),
        (lambda t: t["export"]["services"].update(opanai={}), ["export.services", "did you mean openai"]),
        (lambda t: t["split"].update(seed=10**100), ["split.seed", str(2**53)]),
        (lambda t: t["card"].update(date="2025-02-31"), ["2025-02-31", "calendar"]),
        (lambda t: t["export"]["mixture"].update(weights={"trace": float("inf")}), [".inf", "line"]),
        (lambda t: t["merge"].update(remove=float("nan")), [".nan", "line"]),
        (lambda t: t["export"]["mixture"].update(rates={"trace": 1e30}), ["rates.trace", "100"]),
        (lambda t: t["synthesize"].update(total=10**12), ["synthesize.total", "100000"]),
        (lambda t: t["synthesize"]["filters"].update(leftovers=["ok", "(open"]), ["leftovers[1]", "RE2", "'(open'"]),
        (lambda t: t["synthesize"]["filters"].update(leftovers=["a(?=b)"]), ["leftovers[0]", "RE2"]),
        (lambda t: t["sources"]["reddit_ess"]["columns"].update(comment="post"), ["columns.post", "both 'post'"]),
        (lambda t: t["sources"]["trace"].update(files={"a" * 300: {}}), ["sources.trace.files", "230 bytes"]),
        (lambda t: t["sources"]["trace"].update(files={"receipt.json": {}}), ["receipt.json"]),
        (lambda t: t["card"].update(title="a\0b"), ["control character"]),
        (lambda t: t["engine"].update(workers=10**6), ["engine.workers", "1024"]),
        (lambda t: t["synthesize"]["topics"][2].update(weight="x"), ["synthesize.topics[2].weight", "float"]),
        (lambda t: t["sources"]["amod_counseling"].update(keep_all="yes"), ["keep_all", "true or false"]),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: Any, words: list[str]) -> None:
    said = refused(tmp_path, change)
    assert all(word in said for word in words), said


def test_a_missing_file_says_how_to_get_it_back(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="git checkout"):
        params.load(path=tmp_path / "params.yaml")


def test_broken_yaml_says_where(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: [1\nb: 2", encoding="utf-8")
    with pytest.raises(ParamsError, match="line 2"):
        params.load(path=tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("split: {seed: " + "1" * 5000 + "}", ["5,000 characters", "line 1"]),
        ("card: {version: 0x_}", ["'0x_'", "line 1"]),
        ("split: {seed: 1}\nsplit: {seed: 2}", ["'split' stands twice", "line 2"]),
        ("a: " + "[" * 30_000, ["nests"]),  # the C library dies of it
        ("#" * (2 << 20), ["2,097,152 bytes"]),
        ("", ["expected `object`"]),
    ],
)
def test_what_yaml_lets_through_is_one_sentence(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        params.load(path=path)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("old, new", [("\n", "\r\n"), ("# Every", "\ufeff# Every"), ('"2025-01-01"', "2025-01-01")])
def test_how_an_editor_saves_it_changes_nothing(tmp_path: Path, old: str, new: str) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace(old, new)
    (tmp_path / "params.yaml").write_bytes(text.encode())
    assert params.load(path=tmp_path / "params.yaml") == params.load(path=ROOT / "params.yaml")


def test_what_re2_alone_reads_is_taken(tmp_path: Path) -> None:
    read = load(tmp_path, lambda t: t["synthesize"]["filters"].update(leftovers=[r"\pL+", "[[:alpha:]]", "a{2}"]))
    assert len(read.synthesize.filters.leftovers) == 3


def test_a_block_that_a_stage_did_not_name_is_out_of_its_reach() -> None:
    settings = params.load("sources.trace", path=ROOT / "params.yaml")
    assert list(settings.sources) == ["trace"]
    with pytest.raises(AssertionError, match=r"split\.seed"):
        _ = settings.split.seed


def test_an_unknown_source_is_answered_with_the_nearest() -> None:
    with pytest.raises(ParamsError, match="trace"):
        params.load("sources.trase", path=ROOT / "params.yaml")


def test_the_order_of_sources_is_by_priority_and_not_by_their_place_in_the_file(tmp_path: Path) -> None:
    before = params.ordered(params.load(path=ROOT / "params.yaml"))
    turned = load(tmp_path, lambda t: t.update(sources=dict(reversed(t["sources"].items()))))
    assert params.ordered(turned) == before


def test_a_user_sees_one_sentence_and_no_traceback(project: Any) -> None:
    project.params(lambda tree: tree["split"].update(sead=1))
    done = project.run("split", code=2)
    assert done.stderr.startswith("error: params.yaml: unknown key `split.sead`")
    assert "Traceback" not in done.stderr


def test_dvc_writes_params_anew_and_reads_the_same(tmp_path: Path) -> None:
    """`dvc exp run -S` takes quotes away; the C reader refuses a bare address inside braces."""
    from dvc.utils.serialize import load_yaml, modify_yaml

    copy = shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    before = load_yaml(copy)
    with modify_yaml(copy) as tree:
        tree["profile"] = "noncommercial"
    assert load_yaml(copy) == before | {"profile": "noncommercial"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tree: tree["policy"]["amod_counseling"].update({"pii:emial": "drop"}), "did you mean pii:email"),
        (lambda tree: tree["policy"]["default"].update({"crysis": "tag"}), "did you mean crisis"),
        (lambda tree: tree["synthesize"]["policy"].update(crisis_topics=["Selfharm"]), "did you mean 'Self-harm'"),
        (lambda tree: tree["sources"].update(traze=tree["sources"].pop("trace")), "did you mean trace"),
    ],
)
def test_a_slip_in_a_name_does_not_switch_anything_off(tmp_path: Path, change: Any, says: str) -> None:
    assert says in refused(tmp_path, change)


def test_policy_knows_what_the_screens_find() -> None:
    from stages.screens.pii.spans import TYPES

    tags = yaml.safe_load((ROOT / "stages/screens/data/quality.yaml").read_text(encoding="utf-8"))
    found = {f"pii:{name}" for name in TYPES} | {f"quality:{tag}" for tag in (*tags, "short", "base64")}
    found |= {f"rejected-{name}" for name in found if name.startswith("quality")}
    assert found <= set(params.FINDINGS)


def test_threads_that_read_params_at_once_read_them_alike() -> None:
    program = """
import threading
from stages import params
start, read = threading.Barrier(16), []
def one():
    start.wait()
    read.append(params.load())
threads = [threading.Thread(target=one) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(read) == 16 and all(one == read[0] for one in read)
"""
    for _ in range(3):  # each a process whose first use it is
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
