"""What may not be passed on stays: planted rows are looked for in every object that a push left on a remote."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from stages import laws, recorded, sharing
from stages.files import sha256
from stages.layout import MERGED_TABLE, SPLIT_TABLE
from stages.versions import release
from tests.builds import ROOT, digests, dvc
from tests.llm_server import Body, Scripted, completion
from tests.mhdata.conftest import Doors, copy
from tests.paraphrase.test_rounds import GOOD
from tests.remotes.conftest import clone, use
from tests.remotes.servers import Remote

USERS = "Quillon Marrow Vestibule"  # in a user's own rows, without a licence
MADE = "Thornbush Osprey Kettledrum"  # in rows made of a user's transcripts
OPEN = "Lanternfish Parsnip Belfry"  # in rows under MIT: what a push does hold

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def private(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Doors:
    """A research build of local files: rows of the user's own, and rows made of transcripts. Read only."""
    doors = copy(built, tmp_path_factory.mktemp("private") / "work")
    doors.git("config", "user.name", "t")
    doors.git("config", "user.email", "t@example.org")
    for folder in (doors.root / "data/sample").iterdir():
        shutil.copytree(folder, doors.root / "data/local" / folder.name, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("README.md", "responses.jsonl"))  # fmt: skip
    for license, file in (("LicenseRef-RAIL-D", "amod_counseling/LICENSE-RAIL-D.txt"),
                          ("CC-BY-NC-4.0", "trace/LICENSE-DATA")):  # fmt: skip
        shutil.copy(ROOT / f"stages/licenses/texts/{license}.txt", doors.root / "data/local" / file)
    plant(doors.root / "data/local")
    with Scripted(reply=says) as server:
        path = doors.root / "params.yaml"
        text = path.read_text(encoding="utf-8").replace("origin: sample", "origin: local")
        head, tail = text.split("\nparaphrase:\n")
        tail = tail.replace('mode: "off"', "mode: live", 1).replace("keep_fixture: false", "keep_fixture: true", 1)
        tail = tail.replace("http://127.0.0.1:8080/v1", server.url, 1)
        path.write_text(f"{head}\nparaphrase:\n{tail}", encoding="utf-8")
        dvc(doors.root, "repro", "-q")
    doors.git("commit", "-qam", "private")
    return doors


def plant(local: Path) -> None:
    asked = {
        "post_id": "x1",
        "post": f"My {USERS} keeps me awake and I do not know what to do.",
        "subreddit": "anxiety",
    }
    with (local / "reddit_ess/redditess.jsonl").open("a", encoding="utf-8") as file:
        for number, good in enumerate((True, False)):
            text = f"I had a {USERS} too, and talking to somebody each week helped me. Answer {number}."
            row = asked | {"comment_id": f"x{number}", "comment": text, "effective": good, "score": 3}
            file.write(json.dumps(row) + "\n")
    asks = f"I lost my {OPEN} and cannot stop thinking of it at night."
    answers = f"Losing a {OPEN} hurts. You could write down what it meant to you, and talk to a friend."
    with (local / "mentalchat16k/Interview_Data_6K.csv").open("a", encoding="utf-8") as file:
        file.write(f'"You are helpful.","{asks}","{answers}"\n')


def says(body: Body) -> Body:
    return completion(body, json.dumps(GOOD | {"answer": f"{GOOD['answer']} Keep the {MADE} near."}))


@pytest.fixture(scope="module")
def public(private: Doors, tmp_path_factory: pytest.TempPathFactory) -> Doors:
    """The same sources built for passing on."""
    doors = copy(private.root, tmp_path_factory.mktemp("public") / "work")
    doors.edit("params.yaml", "profile: research", "profile: noncommercial")
    dvc(doors.root, "repro", "-q")
    doors.git("commit", "-qam", "public")
    return doors


def texts(content: bytes) -> bytes:
    """What an object says: Parquet is compressed, all else is read as it stands."""
    if content[:4] == b"PAR1":
        return repr(pq.read_table(io.BytesIO(content)).to_pylist()).encode()
    if content[:6] == b"ARROW1":
        return repr(pa.ipc.open_file(content).read_all().to_pylist()).encode()
    return content


def holds(objects: dict[str, bytes], planted: str) -> list[str]:
    return [name for name, content in objects.items() if planted.encode() in texts(content)]


def here(doors: Doors, planted: str) -> list[str]:
    """The outputs that hold a planted text on this machine."""
    outs = {path: doors.root / path for path in digests(doors.root)}
    return holds({path: file.read_bytes() for path, file in outs.items()}, planted)


def test_a_research_build_stays(private: Doors, tmp_path: Path) -> None:
    private = copy(private.root, tmp_path / "work")
    assert len(here(private, USERS)) > 5 and len(here(private, MADE)) > 5, (
        "nothing was planted: this test shows nothing"
    )
    remote = Remote(str(tmp_path / "far"), folder=tmp_path / "far")
    use(private, "far", remote)
    private.git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "remote")
    said = private.refused("push", "-r", "far")
    assert "the profile `research` is for private use" in said and "`profile: noncommercial`" in said
    assert not (tmp_path / "far").exists()
    assert "the profile `research`" in private.refused("release", "1.0", "-n")

    told = private("push", "-r", "far", "--partial").stderr
    assert "data/merged/" in told and "and LicenseRef-user forbids passing them on" in told
    objects = remote.everything()
    assert holds(objects, USERS) == holds(objects, MADE) == []
    assert holds(objects, OPEN), "the raw and normalized files under MIT may go"

    # DVC itself keeps back what was made of transcripts, whoever asks
    dvc(private.root, "push", "-r", "far", "data/paraphrase/rows.jsonl", "data/normalized/paraphrase.parquet")
    assert holds(remote.everything(), MADE) == []


def test_a_build_for_passing_on_goes_without_its_private_inputs(public: Doors, tmp_path: Path) -> None:
    remote = Remote(str(tmp_path / "far"), folder=tmp_path / "far")
    use(public, "far", remote)
    told = public("push", "-r", "far").stderr
    assert "data/raw/reddit_ess" in told or "data/normalized/reddit_ess.parquet" in told
    objects = remote.everything()
    assert holds(objects, USERS) == holds(objects, MADE) == []
    assert len(holds(objects, OPEN)) > 3, "the merged table and exports hold it"

    other = clone(public, tmp_path / "other")
    use(other, "far", remote)
    told = other("pull", "-r", "far").stderr
    assert "and LicenseRef-user forbids passing them on" in told
    lacking = {path for path in digests(public.root) if not (other.root / path).exists()}
    assert {path.split("/")[-1].split(".")[0] for path in lacking if "raw" not in path} == {"reddit_ess", "paraphrase"}
    assert {path: sha256(other.root / path) for path in digests(public.root).keys() - lacking} == {
        path: digest for path, digest in digests(public.root).items() if path not in lacking
    }


def test_a_release_is_checked_described_and_used_from_elsewhere(public: Doors, tmp_path: Path) -> None:
    doors = copy(public.root, tmp_path / "work")
    use(doors, "public", Remote(str(tmp_path / "far")))
    doors.edit(".dvc/config", "[core]\n", "[core]\n    remote = public\n")  # what `dvc remote add -d` writes
    doors.git("commit", "-qam", "remote")
    for refusal, spoil, mend in (
        ("git has changes", ("params.yaml", "seed: 20250101", "seed: 20250102"), None),
        ("dvc.lock is not that of this folder", ("params.yaml", "seed: 20250101", "seed: 20250102"), "commit"),
    ):
        doors.edit(*spoil)
        if mend:
            doors.git("commit", "-qam", "spoilt")
        assert refusal in doors.refused("release", "1.0", "-r", "public")
        doors.git("reset", "-q", "--hard", "HEAD~1" if mend else "HEAD")

    doors("release", "1.0", "-r", "public", "--yes")
    assert doors.git("tag", "--list").split() == ["data-v1.0"]
    assert doors.git("status", "--porcelain") == ""
    assert "exists already" in doors.refused("release", "1.0", "-r", "public")
    described(doors)
    change = doors.json("release", "1.1", "-n")["change"]
    assert (change["since"], change["rows"]["equal"]) == ("data-v1.0", True)
    assert change["outputs"] == {"added": [], "removed": [], "changed": []}
    used_from_elsewhere(doors, tmp_path)


def described(doors: Doors) -> None:
    found = orjson.loads((doors.root / "data/releases/1.0.json").read_bytes())
    assert (found["tag"], found["profile"], found["change"]) == ("data-v1.0", "noncommercial", None)
    assert found["commit"] == doors.git("rev-parse", "data-v1.0^{commit}~1").strip()
    assert {source["license"] for source in found["sources"].values()}.isdisjoint({"LicenseRef-user"})
    assert found["rows"] == sum(source["rows"] for source in found["sources"].values())
    artifacts = {artifact["path"]: artifact for artifact in found["artifacts"]}
    assert artifacts.keys() == recorded.load(doors.root).outs.keys()
    for path, digest in digests(doors.root).items():
        named = artifacts.get(path)
        if named is None:
            folder = next(out for out in artifacts if path.startswith(f"{out}/"))
            named = artifacts[folder]
            assert "not_on_the_remote" in named or named["files"][path.removeprefix(f"{folder}/")] == digest
        else:
            assert "not_on_the_remote" in named or named["sha256"] == digest
    cited = yaml.safe_load((doors.root / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["type"]) == ("1.0", "dataset")
    assert "MentalChat16K" in {reference["title"] for reference in cited["references"]}


READ = """
import sys, dvc.api, json
repo, path = sys.argv[1:]
print(json.dumps(len(json.loads(dvc.api.read(path, repo=repo, rev="data-v1.0")))))
"""


def used_from_elsewhere(doors: Doors, work: Path) -> None:
    """`dvc get`, `dvc import` and `dvc.api` in another project, by the published repository and the remote alone."""
    published, elsewhere = work / "published.git", work / "elsewhere"
    subprocess.run(["git", "clone", "-q", "--bare", str(doors.root), str(published)], check=True)
    subprocess.run(["git", "init", "-q", str(elsewhere)], check=True)
    dvc(elsewhere, "init", "-q")
    table, whole = str(MERGED_TABLE), sha256(doors.root / MERGED_TABLE)
    dvc(elsewhere, "get", "-q", str(published), table, "--rev", "data-v1.0", "-o", "got.parquet")
    assert sha256(elsewhere / "got.parquet") == whole
    dvc(elsewhere, "import", "-q", str(published), table, "--rev", "data-v1.0", "-o", "imported.parquet")
    assert sha256(elsewhere / "imported.parquet") == whole
    rows = pq.read_metadata(elsewhere / "got.parquet").num_rows
    document = str(MERGED_TABLE.with_suffix(".json"))
    done = subprocess.run([sys.executable, "-c", READ, str(published), document], cwd=elsewhere, text=True,
                          capture_output=True, check=True)  # fmt: skip
    assert json.loads(done.stdout) == rows


def test_a_broken_law_is_named(public: Doors, tmp_path: Path) -> None:
    root = tmp_path / "work"
    shutil.copytree(public.root, root, symlinks=True, ignore=shutil.ignore_patterns(".git", ".dvc"))
    assert list(laws.broken(root)) == []
    table = pq.read_table(root / SPLIT_TABLE)
    group = table["group"][0].as_py()
    sides = ["train", "validation", *table["side"].to_pylist()[2:]]
    groups = [group, group, *table["group"].to_pylist()[2:]]
    pq.write_table(table.set_column(1, "side", [sides]).set_column(2, "group", [groups]), root / SPLIT_TABLE)
    dropped = pq.read_table(root / "data/merged/dropped.parquet")
    pq.write_table(dropped.slice(1), root / "data/merged/dropped.parquet")
    with (root / "data/exports/mental_health_openai.jsonl").open("ab") as file:
        file.write(b"{}")
    said = list(laws.broken(root))
    for law in ("no leak: 1 groups", "traceability: 1 records", "manifest: mental_health_openai.jsonl is not the file"):
        assert any(sentence.startswith(law) for sentence in said), said


# --- what is held, case by case, on what a build recorded ---------------------------------------------------------


def test_a_lock_of_two_builds_is_refused(public: Doors, private: Doors) -> None:
    mixed = recorded.load(public.root)._stages | {
        name: entry for name, entry in recorded.load(private.root)._stages.items() if name.startswith("export")
    }
    with pytest.raises(Exception, match="not that of one build"):
        sharing.Build(public.root, recorded.Recorded(mixed, recorded._in_git(public.root)))


def test_rows_taken_down_are_not_passed_on_by_the_files_before_the_merge(public: Doors) -> None:
    build = sharing.of(public.root)
    build._rows["merge"]["mentalchat16k"]["rejected"]["denied"] = 1
    held = build.held()
    assert {path for path in held if "mentalchat16k" in path} == {
        "data/raw/mentalchat16k", "data/normalized/mentalchat16k.parquet", "data/quarantine/mentalchat16k.jsonl",
        "data/screened/mentalchat16k.parquet",
    }  # fmt: skip
    assert str(MERGED_TABLE) not in held
    build._rows["merge"]["amod_counseling"]["rejected"]["denied"] = 1  # RAIL-D forbids to take single rows out
    assert "LicenseRef-RAIL-D forbids" in build.held()[str(MERGED_TABLE)]


def test_the_change_against_the_last_release_names_outputs(public: Doors) -> None:
    locked = recorded.load(public.root)
    before: dict[str, Any] = {"artifacts": [{"path": path, "md5": out.md5} for path, out in locked.outs.items()]}
    before["artifacts"][0]["md5"] = "other"
    before["artifacts"].append({"path": "data/gone", "md5": "x"})
    first = next(iter(locked.outs))
    assert release.changed("data-v1", before, locked, None)["outputs"] == {
        "added": [], "removed": ["data/gone"], "changed": [first],
    }  # fmt: skip
