"""params.yaml is refused as a whole, before any work, with the key and the nearest valid one."""

from __future__ import annotations

import shutil
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
        (lambda tree: tree["policy"]["amod_counseling"].update({"pii:emial": "drop"}), "did you mean `pii:email`"),
        (lambda tree: tree["policy"]["default"].update({"crysis": "tag"}), "did you mean `crisis`"),
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
    assert found <= set(params.FINDINGS)
