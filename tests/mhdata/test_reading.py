"""Commands that change nothing, on the built sample."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

import mhdata
from mhdata import browse, cli, formats, graph, lineage, runner, state, statistics, workspace
from mhdata.cli import COMMANDS
from mhdata.runner import Request
from mhdata.workspace import Workspace
from stages import params
from stages.errors import DamagedError
from tests.mhdata.conftest import ROOT, Doors, copy, quiet

OWN = [name for name, entry in COMMANDS.items() if entry.needs is None]


@pytest.mark.parametrize("name", OWN)
def test_every_command_explains_itself_with_examples(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mhdata", name, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"mhdata {name}" in done.stdout.partition("Example")[2]
    assert "--help" in done.stdout


def test_help_lists_the_commands_and_exit_codes_and_only_what_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mhdata", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = {
        line.split()[0]
        for line in done.stdout.partition("Commands:")[2].splitlines()
        if line[:2] == "  " and line[2:3].strip()
    }
    for name, entry in COMMANDS.items():
        there = (
            entry.needs is None
            or (ROOT / (entry.needs.replace(".", "/") + ".py")).exists()
            or (ROOT / entry.needs.replace(".", "/") / "__init__.py").exists()
        )
        assert (name in listed) == there, name
    for code in (
        "0 done",
        "1 failed",
        "2 wrong usage",
        "3 refused",
        "4 an endpoint",
        "5 incomplete",
        "130 interrupted",
    ):
        assert code in done.stdout


def test_a_command_whose_module_is_missing_says_so_and_is_not_offered(tmp_path: Path) -> None:
    code = (
        "from mhdata import cli; cli.COMMANDS['fly'] = cli.Entry('more:fly', 'Fly.', 'stages.no_such.fly'); "
        "import sys; sys.argv = ['mhdata']; cli.main(sys.argv_given)"
    )
    for words, status, stream in ((["fly"], 2, "stderr"), (["--help"], 0, "stdout")):
        program = code.replace("sys.argv_given", repr(words))
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert ("stages.no_such.fly is missing" in getattr(done, stream)) == (words == ["fly"])
        assert "Fly." not in done.stdout


@pytest.mark.parametrize("program", ["import mhdata; dir(mhdata)", "from mhdata.cli import _run; _run(['--help'])"])
def test_nothing_heavy_is_imported_before_it_is_needed(program: str) -> None:
    check = (
        f"{program}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "mhdata" in loaded
    assert not loaded & {"pyarrow", "numpy", "pandas", "datasets", "dvc", "rich", "yaml", "msgspec", "psutil"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["buld"], "no such command 'buld', did you mean 'build'"),
        (["build", "--yess"], "--yes"),
        (["prepare"], "missing argument"),
        (["show"], "missing argument"),
        (["completion", "tcsh"], "tcsh"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(doors: Doors, words: list[str], says: str) -> None:
    assert says in doors.refused(*words, code=2)


def test_no_workspace_is_one_sentence(doors: Doors, tmp_path: Path) -> None:
    assert "--root" in doors.refused("--root", str(tmp_path), "stats", code=1)
    assert "MHDATA_ROOT" in doors.refused("stats", code=1, MHDATA_ROOT=str(tmp_path / "nowhere"))


def test_a_command_works_from_a_folder_below_and_through_root(doors: Doors, tmp_path: Path) -> None:
    inside = subprocess.run(
        [sys.executable, "-m", "mhdata", "sources", "--json"], cwd=doors.root / "data", text=True, check=True,
        capture_output=True, env={**quiet(), "PYTHONPATH": str(doors.root)},
    )  # fmt: skip
    outside = subprocess.run(
        [sys.executable, "-m", "mhdata", "--root", str(doors.root), "sources", "--json"], cwd=tmp_path, text=True,
        check=True, capture_output=True, env={**quiet(), "PYTHONPATH": str(doors.root)},
    )  # fmt: skip
    assert inside.stdout == outside.stdout == doors("sources", "--json").stdout


def test_status_of_a_built_workspace(doors: Doors) -> None:
    found = doors.json("status")
    assert found["up_to_date"] is True and found["building"] is None
    assert found["merged"]["rows"] == pq.read_metadata(found["merged"]["path"]).num_rows
    assert {stage["state"] for stage in found["stages"]} == {"built"}
    chosen = params.load(path=doors.root / "params.yaml").formats
    assert [name for name, one in found["formats"].items() if one["exists"]] == sorted(chosen)
    for one in found["formats"].values():
        assert all(Path(file).exists() for file in one["files"])
    assert found["versions"]["dvc"]


def test_the_graph_is_what_dvc_wrote_into_its_lock(doors: Doors) -> None:
    import yaml

    where = workspace.Workspace(doors.root)
    lock = {}
    for file in graph.files(where):
        lock |= yaml.safe_load((doors.root / file.replace("dvc.yaml", "dvc.lock")).read_bytes())["stages"]
    read = graph.load(where)
    assert set(read.stages) == set(lock)
    for name, stage in read.stages.items():
        assert set(stage.deps) == {dep["path"] for dep in lock[name]["deps"]}, name
        assert set(stage.outs) == {out["path"] for out in lock[name]["outs"]}, name
        assert set(stage.params) == set(lock[name].get("params", {}).get("params.yaml", ()))
        assert stage.command == lock[name]["cmd"]
    order = read.upstream([])
    assert sorted(order) == sorted(lock)
    for name in order:
        assert all(order.index(parent) < order.index(name) for parent in read.parents[name])
    assert "export_openai" in read.downstream({"normalize@trace"}) and "merge" not in read.downstream({"split"})


@pytest.mark.parametrize(
    ("request_", "stages"),
    [
        (Request("prepare", ("hub",)), ["export@hub", "card"]),
        (Request("prepare", ("openai", "dpo")), ["export_openai", "export@dpo"]),
        (Request("merge"), ["merge", "datapackage"]),
    ],
)
def test_what_describes_a_result_is_built_with_it(request_: Request, stages: list[str]) -> None:
    assert runner.targets(workspace.find(ROOT), request_) == stages


def test_publish_explains_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mhdata", "publish", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "mhdata publish me/mental-health --dry-run" in done.stdout and "--format" in done.stdout


def test_stats_account_for_every_row(doors: Doors) -> None:
    found = doors.json("stats")
    rows = pq.read_table(doors.root / "data/merged/merged_mental_health_dataset.parquet").to_pylist()
    assert found["rows"] == len(rows)
    assert {key: count for key, count in found["sources"].items() if count} == Counter(row["source"] for row in rows)
    assert found["tags"] == Counter(tag for row in rows for tag in row["tags"])
    assert sum(found["sides"].values()) == len(rows)
    assert found["lengths"]["input"]["longest"] == max(len(row["input"]) for row in rows)
    for one in found["accounts"]:
        left = sum(one["rejected"].values()) + sum(one["dropped"].values()) + one["duplicates"]
        assert one["upstream"] == left + one["merged"], one["source"]
        assert sum(one["sides"].values()) == one["merged"]


def test_stats_show_sources_and_tags_with_bars(doors: Doors) -> None:
    plain, ascii_ = doors("stats").stdout, doors("stats", PYTHONIOENCODING="ascii").stdout
    for text, bar in ((plain, "█"), (ascii_, "#")):
        line = next(line for line in text.splitlines() if line.startswith("depression_reddit"))
        assert "%" in line and bar in line
        assert any(line.startswith("weak-label") and bar in line for line in text.splitlines())
    assert "\x1b" not in plain


def _first(doors: Doors, table: str) -> dict[str, object]:
    row: dict[str, object] = pq.read_table(doors.root / f"data/merged/{table}.parquet").to_pylist()[0]
    return row


def test_show_a_merged_row_with_its_lineage(doors: Doors) -> None:
    pair = _first(doors, "duplicates")
    found = doors.json("show", str(pair["kept"]))
    assert found["state"] == "merged" and found["side"] in ("train", "validation")
    assert str(pair["id"]) in [one["id"] for one in found["duplicates"]]
    assert found["record"]["id"] == pair["kept"] and found["attributes"]["id"] == pair["kept"]
    raw, origin = orjson.loads(found["raw"]), found["origin"]
    upstream = orjson.loads(
        (doors.root / "data/raw" / found["source"] / origin["file"]).read_bytes().splitlines()[origin["row"]]
    )
    assert raw == {name: upstream[name] for name in raw}
    text = doors("show", str(pair["kept"])).stdout
    assert "stands for" in text and "export openai" in text


def test_show_a_duplicate_and_a_dropped_row(doors: Doors) -> None:
    pair, dropped = _first(doors, "duplicates"), _first(doors, "dropped")
    found = doors.json("show", str(pair["id"])[:12])
    assert found["state"] == "duplicate" and found["kept"]["id"] == pair["kept"] and found["reason"] == pair["method"]
    found = doors.json("show", str(dropped["id"]))
    assert found["state"] == "dropped" and found["reason"] == dropped["reason"] and found["exports"] == {}


@pytest.mark.parametrize("source", ["trace", "amod_counseling", "depression_reddit"])
def test_show_finds_every_quarantined_row_by_its_place(doors: Doors, source: str) -> None:
    where = workspace.Workspace(doors.root)
    rejected = [
        orjson.loads(line) for line in (doors.root / f"data/quarantine/{source}.jsonl").read_bytes().splitlines()
    ]
    assert rejected
    for entry in rejected:
        found = lineage.show(where, f"{source}:{entry['file']}:{entry['row']}")
        assert (found["state"], found["reason"], found["raw"]) == ("quarantined", entry["reason"], entry["raw"])


def test_show_by_place_finds_the_record_of_that_place(doors: Doors) -> None:
    found = doors.json("show", "amod_counseling:5")
    assert found["state"] == "merged" and found["origin"]["row"] == 5


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no such id", "names no row"),
        ("0" * 32, "no row has an id"),
        ("trace:3", "has several files"),
        ("trcae:3", "no source 'trcae'"),
        ("amod_counseling:99999", "no row 99999"),
        ("../../etc/passwd:1", "names no row"),
    ],
)
def test_show_of_nothing_is_one_sentence(doors: Doors, name: str, says: str) -> None:
    assert says in doors.refused("show", name, code=1)


@pytest.mark.parametrize("source", ["human_like_dpo", "reddit_ess", "mentalchat16k"])
def test_what_show_says_of_exports_is_what_the_exports_hold(doors: Doors, source: str) -> None:
    """Over all rows of a source, the formats' own ledgers count as many."""
    where = workspace.Workspace(doors.root)
    rows = pq.read_table(where.merged, columns=["id", "source"]).to_pylist()
    entered: Counter[str] = Counter()
    for id in [row["id"] for row in rows if row["source"] == source]:
        for name, one in lineage.show(where, id)["exports"].items():
            entered[name] += one["enters"]
    for name in formats.selected(where):
        ledger = orjson.loads((doors.root / f"data/ledger/export/{name}.json").read_bytes())
        if ledger["files"]:
            assert entered[name] == ledger["sources"][source]["out"], name


def test_sources_tell_what_came(doors: Doors) -> None:
    found = {one["source"]: one for one in doors.json("sources")}
    assert list(found) == params.ordered(params.load(path=doors.root / "params.yaml"))
    for key, one in found.items():
        receipt = orjson.loads((doors.root / f"data/raw/{key}/receipt.json").read_bytes())
        assert one["bytes"] == sum(file["bytes"] for file in receipt["files"])
        assert one["license"] == receipt["license"]


def test_completion_of_commands_and_formats(doors: Doors) -> None:
    assert "_MHDATA_COMPLETE=bash_complete" in doors("completion", "bash").stdout
    env = {"_MHDATA_COMPLETE": "bash_complete", "COMP_WORDS": "mhdata prepare op", "COMP_CWORD": "2"}
    code = "from mhdata.cli import app; app(prog_name='mhdata')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=doors.root,
        env={**quiet(), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "plain,openai" in done.stdout.split()


def test_version(doors: Doors) -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert doors("--version").stdout == f"mhdata {version}\n"


def test_reading_changed_nothing_that_git_sees(doors: Doors) -> None:
    doors("stats")
    assert doors.git("status", "--porcelain") == ""


def test_the_readme_names_the_commands_that_are_there_and_the_functions() -> None:
    import re

    import mhdata

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Command line")[2].partition("## Python")[0]
    assert set(re.findall(r"^\| `mhdata (\w+)", section, re.M)) >= set(OWN)
    assert set(re.findall(r"`mhdata (\w+)", text)) <= set(COMMANDS)
    python = text.partition("## Python")[2].partition("\n## ")[0]
    assert {name for name in mhdata.__all__ if name[0].islower()} - {"prepare"} <= set(re.findall(r"\w+", python))


# --- damaged outputs ------------------------------------------------------------------------------------------

ROW = "amod_counseling:28"
MERGED = "data/merged/merged_mental_health_dataset.parquet"


@pytest.fixture(scope="module")
def hurt(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Doors:
    """A built workspace of which each test damages one file and mends it again."""
    return copy(built, tmp_path_factory.mktemp("hurt") / "work")


@contextlib.contextmanager
def damaged(file: Path, how: str) -> Iterator[None]:
    """`how`: torn in the middle, empty, changed bytes in the first rows, or JSON of another shape."""
    before = file.read_bytes()
    place = min(len(before) // 4, 2000)  # a large table's first group, which every reader of rows decodes
    changed = bytes(byte ^ 255 for byte in before[place : place + 200])
    after = {"torn": before[: len(before) // 2 - 3], "empty": b"", "null": b"null\n",
             "flipped": before[:place] + changed + before[place + len(changed) :]}  # fmt: skip
    file.write_bytes(after[how])
    yield
    file.write_bytes(before)


READERS: dict[str, Callable[[Workspace], Any]] = {
    "status": lambda where: state.status(where, lambda _: {}),
    "sources": state.sources,
    "statistics": statistics.of,
    "show": lambda where: lineage.show(where, ROW),
    "show id": lambda where: lineage.show(where, lineage.show(where, "amod_counseling:1")["id"]),
    "load": lambda where: mhdata.load_merged(split="train", format="arrow", root=where.root),
    "prepared": lambda where: mhdata.prepared_datasets_exist(root=where.root),
    "rows": lambda where: browse.rows(where, browse.Wanted(), limit=1000),  # all of them: each source has row groups
    "clusters": lambda where: browse.clusters(where, None),
    "quarantine": lambda where: browse.quarantine(where, None, None),
    "dropped": lambda where: browse.dropped(where, None, None),
    "flow": browse.flow,
    "distributions": browse.distributions,
}


@pytest.mark.parametrize(
    ("path", "hows", "doors"),
    [
        (MERGED, ("torn", "empty"), {"status", "statistics", "load", "rows"}),
        (MERGED, ("flipped",), {"statistics", "load", "rows"}),
        ("data/split/split.parquet", ("torn", "empty"), {"load", "rows"}),
        ("data/merged/duplicates.parquet", ("torn", "empty", "flipped"), {"show id", "clusters"}),
        ("data/merged/dropped.parquet", ("torn", "empty"), {"show id", "dropped"}),
        ("data/normalized/amod_counseling.parquet", ("torn", "empty"), {"show id"}),
        ("data/screened/amod_counseling.parquet", ("torn", "empty"), {"rows", "show id"}),
        ("data/ledger/merge/amod_counseling.json", ("torn", "empty", "null"), {"statistics", "sources"}),
        ("data/ledger/screen/amod_counseling.json", ("torn", "empty", "null"), {"distributions"}),
        ("data/ledger/export/openai.json", ("torn", "empty", "null"), {"status", "prepared"}),
        ("data/raw/amod_counseling/receipt.json", ("torn", "empty", "null"), {"sources"}),
        ("data/quarantine/amod_counseling.jsonl", ("torn", "null"), {"show", "quarantine"}),
        ("data/reports/ledger.json", ("torn", "empty", "null"), {"flow"}),
    ],
)
def test_a_damaged_output_is_named_with_the_mend(
    hurt: Doors, path: str, hows: tuple[str, ...], doors: set[str]
) -> None:
    where = Workspace(hurt.root)
    for how in hows:
        with damaged(hurt.root / path, how):
            said = {}
            for name, read in READERS.items():
                try:
                    read(where)
                except DamagedError as error:
                    said[name] = str(error)
        assert doors <= said.keys(), (how, doors - said.keys())
        for words in said.values():
            assert path in words and "is damaged (" in words and "`dvc repro`" in words and "\n" not in words


def test_a_damaged_output_is_one_sentence_on_the_command_line(hurt: Doors) -> None:
    with damaged(hurt.root / "data/merged/duplicates.parquet", "torn"):
        for words in (["show", "amod_counseling:1"], ["diff", "."]):
            assert "duplicates.parquet is damaged" in hurt.refused(*words, code=1)


# --- what a terminal and its user do --------------------------------------------------------------------------


def test_closed_streams_are_no_trace(doors: Doors) -> None:
    line = f"{sys.executable} -m mhdata sources <&- >&-"
    done = subprocess.run(["sh", "-c", line], cwd=doors.root, env=quiet(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TypeError("what a library in C makes of it")])
def test_ctrl_c_ends_with_130(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app(**_: Any) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            cli._interrupt(2, None)
        raise error

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(cli, "_heard", [])
    assert cli._run([]) == 130
    assert capsys.readouterr().err.startswith("interrupted")


@pytest.mark.parametrize("row", ["9223372036854775807", "9999999999999999999", "9" * 5000])
def test_a_row_that_no_file_can_have_is_not_there(doors: Doors, row: str) -> None:
    with pytest.raises(lineage.NoRowError):
        lineage.show(Workspace(doors.root), f"amod_counseling:{row}")
