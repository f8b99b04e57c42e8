"""The report: its figures are the ledger's, it is one file that needs nothing, and its bytes depend on nothing else."""

from __future__ import annotations

import csv
import html
import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stages import charts, figures, pages
from stages.record import MERGED
from stages.storage import ParquetSink
from tests.builds import ROOT
from tests.conftest import Project


def page(built: Path) -> str:
    return (built / "data/reports/report.html").read_text(encoding="utf-8")


def figure(built: Path, name: str) -> list[dict[str, str]]:
    with (built / f"data/reports/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ledger(built: Path) -> Any:
    return json.loads((built / "data/reports/ledger.json").read_bytes())


def test_the_waterfall_adds_up_for_every_source(built: Path) -> None:
    steps: dict[str, dict[str, int]] = {}
    for row in figure(built, "waterfall"):
        here = steps.setdefault(row["source"], {})
        here[row["step"]] = here.get(row["step"], 0) + int(row["rows"])
    for source, step in steps.items():
        gone = step.get("rejected", 0) + step.get("dropped", 0) + step.get("duplicates", 0)
        assert step["downloaded"] == gone + step["merged"], source
        assert step["merged"] == step["train"] + step["validation"] + step["test"] + step["held_out"]
        for stage, accounts in ledger(built).items():
            if stage.startswith("export ") and source in accounts:
                assert step[stage] == accounts[source]["out"]


def test_the_merged_tables_own_rows_give_the_same_figures(built: Path) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(built / "data/merged/merged_mental_health_dataset.parquet").to_pylist()
    types = {row["type"]: int(row["rows"]) for row in figure(built, "type")}
    assert types == {name: sum(row["type"] == name for row in rows) for name in {row["type"] for row in rows}}
    tags = {row["tag"]: int(row["rows"]) for row in figure(built, "tags")}
    assert tags == {name: sum(name in row["tags"] for row in rows) for name in {t for row in rows for t in row["tags"]}}
    for row in figure(built, "lengths"):
        mine = sorted(len(r[row["text"]]) for r in rows if r["source"] == row["source"] and r[row["text"]] is not None)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            within = sum(length <= int(row[name]) for length in mine) / len(mine)
            assert int(row[name]) in mine and within >= share


def test_long_texts_are_not_cut_in_the_figures(tmp_path: Path) -> None:
    lengths = [10] * 50 + [70_000] * 48 + [900_000] * 2
    origin = {"dataset": "d", "revision": None, "file": "f", "sha256": "s", "row": 0, "key": None, "meta": None,
              "edits": []}  # fmt: skip
    row = {"id": "0" * 32, "response": "r", "rejected_response": None, "source": "trace", "type": "t", "tags": [],
           "system": None, "turns": None, "license": "MIT", "group": "g", "origin": origin, "enters": [],
           "duplicates": [], "cluster": None}  # fmt: skip
    sink = ParquetSink(tmp_path / "m.parquet", MERGED)
    sink.write(pa.RecordBatch.from_pylist([{**row, "input": "a" * length} for length in lengths], MERGED))
    sink.close()
    rows = figures.merged(tmp_path / "m.parquet").quantiles(["trace"]).rows
    assert rows == [["trace", "input", 100, 10, 70_000, 900_000], ["trace", "response", 100, 1, 1, 1]]


def test_the_matrix_is_that_of_the_evidence(built: Path) -> None:
    import pyarrow.parquet as pq

    left = pq.read_table(built / "data/merged/duplicates.parquet").to_pylist()
    for row in figure(built, "duplicates"):
        same = [one for one in left if all(one[name] == row[name] for name in ("source", "kept_source", "method"))]
        assert len(same) == int(row["rows"]) > 0
    assert sum(int(row["rows"]) for row in figure(built, "duplicates")) == len(left)


def test_every_number_of_a_csv_stands_in_the_pages_table(built: Path) -> None:
    found = page(built)
    for path in sorted((built / "data/reports").glob("*.csv")):
        if path.stem == "waterfall":
            assert f'href="{path.name}"' in found
        for row in figure(built, path.stem):
            cells = [pages.cell(_typed(value)) for value in row.values()]
            line = "".join(f"<t[hd][^>]*>{re.escape(html.escape(cell, quote=True))}</t[hd]>" for cell in cells)
            assert re.search(line, html.unescape(found).replace("&", "&amp;").replace("'", "&#x27;")) or re.search(
                line.replace("&\\#x27;", "&\\#39;"), found
            ), (path.name, row)


def _typed(value: str) -> Any:
    if value == "":
        return None
    if re.fullmatch(r"\d+", value):
        return int(value)
    if re.fullmatch(r"\d+\.\d+", value):
        return float(value)
    return {"True": True, "False": False}.get(value, value)


def test_the_page_needs_nothing_but_itself(built: Path) -> None:
    found = page(built)
    assert "<script" not in found and "<link" not in found and "@import" not in found and "url(" not in found
    loaded = set(re.findall(r'\b(?:src|href)="([^"]*)"', found))
    assert all(one.startswith("#") or re.fullmatch(r"[a-z_]+\.csv", one) for one in loaded)
    assert all((built / "data/reports" / one).exists() for one in loaded if one.endswith(".csv"))
    targets = {one[1:] for one in loaded if one.startswith("#")}
    assert targets <= set(re.findall(r'\bid="([^"]*)"', found))
    assert len(found.encode()) < 1_000_000


def test_every_chart_has_a_name_and_a_table_after_it(built: Path) -> None:
    found = page(built)
    drawn = re.findall(r'<svg role="img" aria-label="([^"]+)"', found)
    assert len(drawn) == 2 * len(set(drawn)) == 24  # each for wide and for narrow screens
    for part in found.split("</figure>")[1:]:
        assert part.lstrip().startswith("<details")
    assert found.count("<h1") == 1
    assert found.count("<caption>") == found.count("<table")


def test_charts_are_placed_by_numbers_not_by_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for font in ("inherit", "DejaVu Sans Mono"):
        monkeypatch.setattr(charts, "FONT", font)
        drawn.append(
            charts.bars([("one", 12_345), ("a long name of a source", 3)], "rows", "x")
            + charts.matrix(
                [("one", "one", 3), ("one", "two", 0), ("two", "one", 1), ("two", "two", 4)], ["one", "two"], "y"
            )
            + charts.ranges([("one", 1, 20, 3000)], "characters", "z")
            + charts.stacked([("one", "a", 1), ("one", "b", 2)], ["a", "b"], "share", "w")
        )
    assert drawn[0] == drawn[1].replace("DejaVu Sans Mono", "inherit")


def test_the_stage_starts_without_heavy_libraries() -> None:
    heavy = ("pyarrow", "numpy", "vl_convert", "jinja2")
    code = f"import sys, stages.report; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "[]"


def test_the_same_bytes_again_elsewhere(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "else where"
    shutil.copytree(built, folder, ignore=shutil.ignore_patterns("cache", "raw", ".git"))
    shutil.rmtree(folder / "data/reports")
    (folder / "data/reports").mkdir()
    shutil.copy(built / "data/reports/audit.json", folder / "data/reports")
    Project(folder).run("report", PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C", HOME=str(tmp_path))
    for path in sorted((built / "data/reports").iterdir()):
        assert (folder / "data/reports" / path.name).read_bytes() == path.read_bytes(), path.name


def test_dvc_shows_the_same_figures(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"  # DVC locks the folder where it works
    shutil.copytree(built, folder, symlinks=True, ignore=shutil.ignore_patterns("cache", "tmp"))
    words = [sys.executable, "-m", "dvc", "plots", "show", "--json"]
    plots = json.loads(subprocess.check_output(words, cwd=folder))["data"]
    for path in sorted((built / "data/reports").glob("*.csv")):
        made = plots[f"data/reports/{path.name}"]
        if rows := figure(built, path.stem):
            spec = made[0]["content"] if isinstance(made[0]["content"], dict) else json.loads(made[0]["content"])
            assert spec["title"], path.name
            assert len(spec["data"]["values"]) == len(rows)
    words = [sys.executable, "-m", "dvc", "metrics", "show", "--json", "data/reports/metrics.json"]
    shown = json.loads(subprocess.check_output(words, cwd=folder))[""]["data"]["data/reports/metrics.json"]["data"]
    assert shown["rows"]["merged"] == sum(account["out"] for account in ledger(built)["merge"].values())


def test_a_browser_draws_it_and_asks_for_nothing(built: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser is here: apt-get install chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path}/profile",
             f"--log-net-log={tmp_path}/net.json", "--dump-dom"]  # fmt: skip
    url = (built / "data/reports/report.html").as_uri()
    done = subprocess.run([browser, *flags, url], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.count("<svg") == 24 and "Params, pins and hashes" in done.stdout
    asked = set(re.findall(r'"url":"((?:https?|file):[^"]*)"', (tmp_path / "net.json").read_text(errors="replace")))
    theirs = {one for one in asked if "google" in one}  # what Chromium asks its maker for, whatever the page
    assert not {one for one in asked if one.startswith("http")} - theirs


@pytest.mark.slow
def test_nothing_is_cut_or_too_small_to_read_on_any_screen(built: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="run `pip install -r requirements-dev.txt`")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser is here: apt-get install chromium")
    charts = """all => all.filter(svg => svg.checkVisibility()).map(svg => [svg.getAttribute("aria-label"),
        svg.getBoundingClientRect().width / svg.viewBox.baseVal.width,
        svg.closest(".chart").scrollWidth - svg.closest(".chart").clientWidth])"""
    tables = 'all => all.filter(t => t.scrollWidth > t.clientWidth).map(t => t.getAttribute("aria-label"))'
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"], timeout=600_000)
        for width in (1400, 400):
            looked = chromium.new_page(viewport={"width": width, "height": 900})
            looked.set_default_timeout(600_000)
            looked.goto((built / "data/reports/report.html").as_uri())
            drawn = looked.eval_on_selector_all("svg", charts)
            assert len({name for name, *_ in drawn}) == len(drawn) == 12
            for name, scale, cut in drawn:
                assert scale > 0.9 and (cut <= 0 or "duplicates" in name), (width, name, scale, cut)
            assert looked.evaluate("document.documentElement.scrollWidth") == width
            if width == 1400:
                assert looked.eval_on_selector_all(".wrap", tables) == []
        looked = chromium.new_page(viewport={"width": 718, "height": 1000})  # A4 within its margins
        looked.set_default_timeout(600_000)
        looked.goto((built / "data/reports/report.html").as_uri())
        looked.emulate_media(media="print")
        assert looked.eval_on_selector_all(".wrap", tables) == []
        chromium.close()


def test_a_mixture_and_a_format_without_a_file_are_told(built: Path, tmp_path: Path) -> None:
    project = Project(built).part(tmp_path / "project", "ledger", "reports", "merged")
    got = {"rows": 3, "rows_share": 0.25, "characters": 40, "characters_share": 0.125}
    asked = {"unit": "rows", "weights": {"trace": 0.3}, "rates": {}, "caps": {}, "total": None, "max_repeats": 1}
    for name, change in (
        ("openai", {"mixture": {"asked": asked, "rates": {"trace": 1.5}, "achieved": {"trace": got}}}),
        ("dpo", {"note": "No file: 4 rows of train qualify for dpo, which takes 10 or more."}),
    ):
        path = project.root / f"data/ledger/export/{name}.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | change), encoding="utf-8")
    (project.root / "data/exports").mkdir()
    project.run("report")
    found = page(project.root)
    assert "<strong>dpo:</strong> No file: 4 rows of train qualify" in found
    cells = ["openai", "trace", "0.300", "1.500", "3", "0.250", "characters", "40", "0.125"]
    assert re.search("".join(rf"<t[hd][^>]*>{re.escape(cell)}</t[hd]>" for cell in cells), found)


def test_the_readmes_figures_are_the_ledgers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stages.readme", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_wrong_number_in_the_readme_is_found_and_mended(project: Project) -> None:
    for path in ("README.md", "data/reports/ledger.json"):
        (project.root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, project.root / path)
    readme = project.root / "README.md"
    text = readme.read_text(encoding="utf-8")
    total = next(line for line in text.splitlines() if line.startswith("| **all**"))
    readme.write_text(text.replace(total, total.replace("1", "2")), encoding="utf-8")
    assert "python -m stages.readme" in project.run("readme", "--check", code=1).stderr
    project.run("readme")
    assert readme.read_text(encoding="utf-8") == text
    readme.write_text("no marks", encoding="utf-8")
    assert "lost the marks" in project.run("readme", code=1).stderr


@pytest.mark.slow
def test_the_readmes_rows_of_pinned_sources_are_what_arrives(real_built: Path) -> None:
    told = {
        row[0].strip("` "): [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", row[3])]
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if len(row := line.strip("|").split("|")) == 6
    }
    amod, trace, depression = (
        ledger(real_built)["normalize"][key]["in"] for key in ("amod_counseling", "trace", "depression_reddit")
    )
    merged = ledger(real_built)["merge"]["amod_counseling"]
    assert told["amod_counseling"] == [amod, amod, 4, merged["duplicates"]]
    assert (told["trace"], told["depression_reddit"]) == ([trace], [depression])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "most", "mend"),
    [(resource.RLIMIT_NOFILE, 10, "ulimit -n"), (resource.RLIMIT_AS, 1 << 30, "ulimit -v unlimited")],
)
def test_limits_under_which_the_charts_engine_would_abort_are_one_sentence(
    built: Path, tmp_path: Path, what: int, most: int, mend: str
) -> None:
    copy = Project(built).part(tmp_path / "project", "ledger", "reports", "merged")
    done = subprocess.run(
        [sys.executable, "-m", "stages.report"], cwd=copy.root, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(what, (most, most)),
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("error: charts need ") and mend in done.stderr
    assert done.stderr.count("\n") == 1
