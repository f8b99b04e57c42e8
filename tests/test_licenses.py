"""Licences as code: profiles, obligations of a mix, what goes out with the rows, what may not go out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages import licenses, params
from stages.errors import ParamsError
from stages.licenses import travel
from stages.licenses.table import LEVELS, PERMISSIONS
from stages.licenses.travel import Part
from stages.pins import Digest

IDS = sorted(licenses.KNOWN)
SAMPLE = Path(__file__).parents[1] / "params.yaml"
mixes = st.lists(st.sampled_from(IDS), max_size=6)


def digest(content: bytes) -> Digest:
    found = Digest(len(content))
    found.update(content)
    return found


# --- the table ---------------------------------------------------------------------------------------------


def test_params_and_table_know_the_same_licences() -> None:
    assert sorted(params.LICENSES) == IDS


def test_every_licence_of_params_yaml_and_its_credit_is_known() -> None:
    for source in params.load(path=SAMPLE).sources.values():
        assert licenses.get(source.license).id == source.license
        assert travel.credit(source.dataset).get("citation"), source.dataset


@pytest.mark.parametrize("id", IDS)
def test_every_licence_is_whole(id: str) -> None:
    entry = licenses.get(id)
    assert licenses.text(id).strip()
    assert b"\r" not in licenses.text(id)
    values = [getattr(entry, name) for name in PERMISSIONS]
    assert all(value in LEVELS for value in values)
    assert bool(entry.conditions) == ("conditional" in values)
    assert entry.url is None or entry.url.startswith("https://")


def test_texts_have_no_strangers() -> None:
    assert sorted(path.stem for path in licenses.TEXTS.iterdir()) == IDS


@pytest.mark.parametrize(
    ("id", "phrase"),
    [
        ("LicenseRef-RAIL-D", "remove any individual Question‑and‑Answer pair"),
        ("LicenseRef-RAIL-D", "USD 100"),
        ("LicenseRef-llama3", "to improve any other large language model (excluding Meta Llama 3 or derivative works"),
        ("LicenseRef-llama3", "within a “Notice” text file"),
        ("LicenseRef-llama3", "700 million"),
        ("CC-BY-NC-4.0", "not primarily intended for or directed towards"),
        ("Apache-2.0", "You must cause any modified files to carry prominent notices"),
        ("CC0-1.0", "No trademark or patent rights held by Affirmer are waived"),
        ("MIT", "shall be included in all copies"),
    ],
)
def test_the_texts_say_what_the_table_says_of_them(id: str, phrase: str) -> None:
    words = " ".join(licenses.text(id).decode().split())
    assert phrase in words


def test_the_notices_of_llama_are_word_for_word() -> None:
    words = " ".join(licenses.text("LicenseRef-llama3").decode().split())
    for notice in licenses.get("LicenseRef-llama3").notices:
        assert f"“{notice}”" in words


def test_the_licence_of_amod_is_the_pinned_file() -> None:
    source = params.load(path=SAMPLE).sources["amod_counseling"]
    pin = source.license_files["LICENSE-RAIL-D.txt"]
    found = digest(licenses.text("LicenseRef-RAIL-D"))
    assert (found.blob, found.bytes) == (pin.blob, pin.bytes)


def test_unknown_licence_names_the_nearest() -> None:
    with pytest.raises(ParamsError, match=r"did you mean CC-BY-4\.0"):
        licenses.get("cc-by-40")


# --- profiles ----------------------------------------------------------------------------------------------


def test_profiles() -> None:
    assert licenses.profile("research") == tuple(IDS)
    assert licenses.profile("permissive") == ("Apache-2.0", "CC-BY-4.0", "CC0-1.0", "MIT")
    passed_on = set(licenses.profile("noncommercial"))
    assert {"LicenseRef-RAIL-D", "LicenseRef-llama3", "CC-BY-NC-4.0"} <= passed_on
    assert not passed_on & {"LicenseRef-user", "LicenseRef-synthetic"}
    assert licenses.profile(["MIT", "CC0-1.0", "MIT"]) == ("CC0-1.0", "MIT")


def test_profiles_widen() -> None:
    permissive, noncommercial, research = (
        set(licenses.profile(name)) for name in ("permissive", "noncommercial", "research")
    )
    assert permissive < noncommercial < research


@given(mixes.filter(bool))
def test_a_list_allows_itself_and_nothing_else(mix: list[str]) -> None:
    assert [id for id in IDS if licenses.allows(id, mix)] == sorted(set(mix))


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        ("noncomercial", "did you mean noncommercial"),
        ("MIT", r"write \[MIT\]"),
        (["MIT", "CC0"], "CC0-1.0"),
        ([], "empty list"),
        ("zzz", "known are research, noncommercial, permissive"),
    ],
)
def test_params_refuse_a_profile_that_means_nothing(profile: str | list[str], sentence: str, tmp_path: Path) -> None:
    text = SAMPLE.read_text().replace("\nprofile: research", f"\nprofile: {json.dumps(profile)}")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=sentence):
        params.load(path=tmp_path / "params.yaml")


def test_params_refuse_a_source_under_an_unknown_licence(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(SAMPLE.read_text().replace("license: MIT", "license: mitt", 1))
    with pytest.raises(ParamsError, match=r"sources\.mentalchat16k\.license.*did you mean MIT"):
        params.load(path=tmp_path / "params.yaml")


# --- obligations of a mix ----------------------------------------------------------------------------------


def test_the_mix_of_the_noncommercial_build() -> None:
    mix = licenses.obligations(licenses.profile("noncommercial"))
    assert mix["commercial"] == {"value": "no", "because": ["CC-BY-NC-4.0"]}
    assert mix["edits"] == {"value": "no", "because": ["LicenseRef-RAIL-D"]}
    assert mix["single_row_removal"] == {"value": "no", "because": ["LicenseRef-RAIL-D"]}
    assert mix["redistribution"] == {"value": "conditional", "because": ["LicenseRef-RAIL-D", "LicenseRef-llama3"]}
    assert mix["share_alike"] == []
    assert {line["license"] for line in mix["outputs"]} == {"LicenseRef-llama3"}
    assert "LICENSES/NOTICE" in mix["travels"]["LicenseRef-llama3"]


def test_the_mix_of_the_permissive_build_asks_for_names_alone() -> None:
    mix = licenses.obligations(licenses.profile("permissive"))
    assert all(mix[name] == {"value": "yes", "because": []} for name in PERMISSIONS)
    assert mix["attribution"] == ["Apache-2.0", "CC-BY-4.0", "MIT"]
    assert not (mix["conditions"] or mix["notices"] or mix["outputs"] or mix["use_limits"])


@given(mixes, mixes)
def test_the_strictest_wins_and_order_does_not_matter(one: list[str], other: list[str]) -> None:
    both = licenses.obligations(one + other)
    assert both == licenses.obligations(other + one)
    for name in PERMISSIONS:
        ranks = [LEVELS.index(licenses.obligations(mix)[name]["value"]) for mix in (one, other)]
        assert LEVELS.index(both[name]["value"]) == max(ranks)


# --- what may be passed on ---------------------------------------------------------------------------------


@given(mixes)
def test_a_research_build_stays(mix: list[str]) -> None:
    assert not licenses.may_pass_on(mix, "research")


def test_rows_of_a_user_stay_whatever_the_profile() -> None:
    for id in ("LicenseRef-user", "LicenseRef-synthetic"):
        assert id in (licenses.refusal(["MIT", id], ["MIT", id]) or "")


@pytest.mark.parametrize("name", ["noncommercial", "permissive"])
def test_what_a_public_profile_holds_may_be_passed_on(name: str) -> None:
    assert licenses.refusal(licenses.profile(name), name) is None


def test_a_removed_row_keeps_the_source_home_where_the_licence_forbids_removal() -> None:
    mix = ["MIT", "LicenseRef-RAIL-D"]
    assert licenses.may_pass_on(mix, "noncommercial", removed=["MIT"])
    assert "LicenseRef-RAIL-D" in (licenses.refusal(mix, "noncommercial", removed=["LicenseRef-RAIL-D"]) or "")
    assert licenses.may_pass_on(["MIT"], "noncommercial", removed=["LicenseRef-RAIL-D"])  # none of its rows are left


def test_the_table_of_the_readme_says_what_the_profiles_hold() -> None:
    sources = yaml.load(SAMPLE.read_bytes(), Loader=yaml.BaseLoader)["sources"]
    readme = SAMPLE.with_name("README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (yes|no) \| (yes|no) \| (yes|no) \|$", readme, re.M)
    names = ("research", "noncommercial", "permissive")
    assert [row[0] for row in rows] == list(sources)
    for key, license, *said in rows:
        assert license == sources[key]["license"]
        assert said == ["yes" if licenses.allows(license, name) else "no" for name in names], key


# --- what goes out with the rows ---------------------------------------------------------------------------

PARTS = [
    Part(
        "human_like_dpo", "HumanLLMs/Human-Like-DPO-Dataset", "LicenseRef-llama3", 10, "71b2f9e", {"nfc": 2, "edges": 0}
    ),
    Part("amod_counseling", "Amod/mental_health_counseling_conversations", "LicenseRef-RAIL-D", 7, "d7e86f0"),
    Part("mentalchat16k", "ShenLab/MentalChat16K", "MIT", 0),
    Part("own", "somebody/own-set", "MIT", 1234),
]


def test_write_obligations(tmp_path: Path) -> None:
    found = travel.write_obligations(tmp_path, PARTS, "noncommercial")
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert names == [
        "ATTRIBUTION.md",
        "LICENSES/LicenseRef-RAIL-D.txt",
        "LICENSES/LicenseRef-llama3.txt",
        "LICENSES/MIT.txt",
        "LICENSES/NOTICE",
        "OBLIGATIONS.json",
    ]
    assert json.loads((tmp_path / "OBLIGATIONS.json").read_bytes()) == json.loads(json.dumps(found))
    assert found["rows"] == {"LicenseRef-RAIL-D": 7, "LicenseRef-llama3": 10, "MIT": 1234}
    assert found["may_be_passed_on"] is True
    assert digest((tmp_path / "LICENSES/LicenseRef-RAIL-D.txt").read_bytes()).blob.startswith("113ea0cb")
    for file in (file for files in found["obligations"]["travels"].values() for file in files):
        assert (tmp_path / file).is_file()


def test_attribution_names_authors_licence_and_changes(tmp_path: Path) -> None:
    travel.write_obligations(tmp_path, PARTS, "noncommercial")
    text = (tmp_path / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "Ethem Yağız Çalık" in text and "10.57967/hf/1581" in text
    assert "nfc (2 rows)" in text and "edges" not in text
    assert "ShenLab" not in text  # no row of it is there
    assert "somebody/own-set" in text and "Authors: not stated" in text


def test_no_notice_where_no_licence_asks_for_one(tmp_path: Path) -> None:
    travel.write_obligations(tmp_path, [Part("own", "x", "MIT", 1)], "research")
    assert not (tmp_path / "LICENSES/NOTICE").exists()
    assert json.loads((tmp_path / "OBLIGATIONS.json").read_bytes())["may_be_passed_on"] is False


def test_the_readme_cites_each_source_as_its_authors_ask() -> None:
    readme = " ".join(SAMPLE.with_name("README.md").read_text(encoding="utf-8").split())
    for key, source in params.load(path=SAMPLE).sources.items():
        assert f"- `{key}`: {' '.join(travel.credit(source.dataset)['citation'].split())}" in readme
