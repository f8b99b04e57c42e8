"""The web page in a real Chromium, before a real server: for eyes, keyboards and screen readers."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mhdata.http.app import WEB
from mhdata.http.watch import FRESH
from stages.layout import MERGED_TABLE
from tests.mhdata.conftest import PATIENCE, Doors, copy, occupied
from tests.mhdata.http_server import TOKEN, Server

playwright = pytest.importorskip("playwright.sync_api", reason="run `pip install -r requirements-dev.txt`")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
INSTALL = "no Chromium is installed: run `apt-get install chromium`"
LONG = PATIENCE * 1000  # milliseconds
VIEWS = (
    "#/", "#/flow", "#/distributions", "#/rows?tag=crisis", "#/left", "#/left?stage=merge", "#/duplicates", "#/build",
    "#/downloads",
)  # fmt: skip
TITLES = {"": "Overview", "left": "Left out"}  # of the views whose title is not their name
HOSTILE = '<img src=x onerror="document.title=\'owned\'"></pre><script>document.title="owned"</script>'

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Doors]]:
    """A server on a copy of the built sample: its address, and the copy."""
    doors = copy(built, tmp_path_factory.mktemp("web") / "work")
    with Server(doors.root, log=doors.root.parent / "serve.log") as server:
        yield server.url, doors


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip(INSTALL)
    with playwright.sync_playwright() as driver:
        # Without a sandbox: CI runs as root, and the only page is ours.
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=LONG)
        yield chromium
        chromium.close()


class Page:
    """A tab, and what went wrong in it."""

    def __init__(self, browser: Any, address: str, width: int = 1400, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.context.set_default_timeout(LONG)
        self.tab, self.address = self.context.new_page(), address
        self.wrong: list[str] = []
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.tab.on("request", self._foreign)
        self.tab.goto(address)

    def _foreign(self, request: Any) -> None:
        if not request.url.startswith((self.address, "blob:")):
            self.wrong.append(f"asked another host: {request.url}")

    def log_in(self, token: str = TOKEN) -> Page:
        self.tab.get_by_label("Token").fill(token)
        self.tab.keyboard.press("Enter")
        self.tab.get_by_role("navigation", name="Views").wait_for()
        self.wrong = [said for said in self.wrong if "401" not in said]  # the first, without a token
        return self

    def open(self, place: str) -> Any:
        """Go to a view; returns the tab when the view stands."""
        name = place.removeprefix("#/").partition("?")[0]
        self.tab.evaluate(
            """place => new Promise(gone => {
                const before = location.hash;
                addEventListener("hashchange", () => gone(), { once: true });  // the page's own listener comes first
                location.hash = place;
                if (location.hash === before) gone();
            })""",
            place,
        )
        self.tab.wait_for_function(
            "title => document.querySelector('h1')?.textContent === title"
            " && document.querySelector('.view')?.hasAttribute('aria-busy') === false",
            arg=TITLES.get(name, name.capitalize()),
        )
        return self.tab

    def close(self) -> None:
        self.context.close()
        assert self.wrong == []


@pytest.fixture
def page(browser: Any, served: tuple[str, Doors]) -> Iterator[Page]:
    opened = Page(browser, served[0]).log_in()
    yield opened
    opened.close()


def test_only_the_token_lets_in_and_it_is_forgotten_on_log_out(browser: Any, served: tuple[str, Doors]) -> None:
    page = Page(browser, served[0])
    page.tab.get_by_label("Token").fill("not-the-token-0123456789")
    page.tab.get_by_role("button", name="Log in").click()
    page.tab.get_by_role("alert").get_by_text("not the server's").wait_for()
    assert page.tab.get_by_role("navigation").count() == 0
    page.log_in()
    page.tab.reload()
    page.tab.get_by_role("navigation", name="Views").wait_for()
    page.tab.get_by_role("button", name="Log out").click()
    page.tab.reload()
    page.tab.get_by_label("Token").wait_for()
    assert TOKEN not in page.tab.content()
    page.wrong = [said for said in page.wrong if "401" not in said]
    page.close()


def test_a_build_is_started_watched_and_seen_to_finish(page: Page, served: tuple[str, Doors]) -> None:
    _, doors = served
    made = doors.root / "data/exports/dpo/train.jsonl"
    before = made.read_bytes()
    made.unlink()
    time.sleep(FRESH)  # the server may have looked just before
    tab = page.open("#/build")
    tab.reload()
    page.open("#/")
    tab.get_by_role("button", name=re.compile("^export@dpo: (missing|stale)")).click()
    tab.locator("#stage-detail").get_by_text("export@dpo").first.wait_for()
    assert tab.get_by_text("Something has changed since the last build.").is_visible()
    page.open("#/build")
    with occupied(doors.root):
        tab.get_by_role("button", name="Build everything").click()
        tab.get_by_role("progressbar").wait_for()
    tab.locator(".notice.good", has_text="Done").wait_for()
    assert tab.locator(".log li").count() > 0
    tab.get_by_role("row", name=re.compile("^build succeeded")).wait_for()  # one
    assert made.read_bytes() == before
    page.open("#/").get_by_text("Everything is up to date.").wait_for()
    page.open("#/build").get_by_role("button", name="Merge").click()
    tab.get_by_text("Up to date: there was nothing to do.").wait_for()


def test_a_build_can_be_cancelled_and_says_so(page: Page, served: tuple[str, Doors]) -> None:
    tab = page.open("#/build")
    tab.on("dialog", lambda asked: asked.accept())
    tab.get_by_label("Force").check()
    with occupied(served[1].root):
        tab.get_by_role("button", name="Prepare").click()
        tab.get_by_role("button", name="Cancel").click()
        tab.locator(".notice", has_text="cancelled").wait_for()
    tab.get_by_label("Force").uncheck()
    tab.get_by_role("button", name="Build everything").click()
    tab.locator(".notice.good").wait_for()  # the workspace is built again


def test_a_forced_prepare_runs_again_what_is_up_to_date_and_only_after_a_question(
    page: Page, served: tuple[str, Doors]
) -> None:
    made = served[1].root / "data/exports/mental_health_openai.jsonl"
    before, written = made.read_bytes(), made.stat().st_mtime_ns
    tab = page.open("#/build")
    answers = [False, True]
    tab.on("dialog", lambda asked: asked.accept() if answers.pop(0) else asked.dismiss())
    tab.get_by_label("Format").select_option("openai")
    tab.get_by_label("Force").check()
    tab.get_by_role("button", name="Prepare").click()
    tab.wait_for_timeout(200)
    assert tab.get_by_role("progressbar").count() == 0 and answers == [True]
    tab.get_by_role("button", name="Prepare").click()
    tab.get_by_role("heading", name="prepare openai (forced)").wait_for()
    tab.locator(".notice.good", has_text="Done").wait_for()
    assert answers == []
    assert made.stat().st_mtime_ns > written and made.read_bytes() == before


def test_a_quarantined_row_is_found_and_shown_only_when_asked_for(page: Page, served: tuple[str, Doors]) -> None:
    raw = [json.loads(line) for line in (served[1].root / "data/quarantine/trace.jsonl").read_text().splitlines()]
    wanted = next(row for row in raw if row["reason"] == "missing_field")
    tab = page.open("#/left")
    tab.get_by_label("Reason").select_option("missing_field")
    tab.get_by_label("Source", exact=True).select_option("trace")
    tab.get_by_text("Page 1: rows 1–1 of 1").wait_for()
    veil = tab.locator(".veil")
    assert veil.locator(".veiled").get_attribute("aria-hidden") == "true"
    assert "blur" in veil.locator(".veiled").evaluate("one => getComputedStyle(one).filter")
    assert tab.get_by_text("messages", exact=False).first.is_visible()  # the reason in words
    veil.get_by_role("button").press("Enter")
    assert veil.locator(".veiled").get_attribute("aria-hidden") == "false"
    assert veil.locator(".veiled").evaluate("one => getComputedStyle(one).filter") == "none"
    assert wanted["raw"][:200] in (veil.locator("pre").text_content() or "")
    tab.get_by_role("link", name=f"row {wanted['row']}").click()
    tab.get_by_role("heading", name="Row", exact=True).wait_for()
    tab.get_by_text("Never became a record.").wait_for()
    assert tab.locator(".veil").get_attribute("data-shown") == "false"


def test_rows_are_searched_and_one_is_followed_to_its_source(page: Page, served: tuple[str, Doors]) -> None:
    tags = pq.read_table(served[1].root / MERGED_TABLE, columns=["tags"])["tags"].to_pylist()
    count = sum("crisis" in row for row in tags)
    assert 0 < count <= 25
    tab = page.open("#/rows")
    tab.get_by_label("Tag").select_option("crisis")
    tab.get_by_text(f"Page 1: rows 1–{count} of {count}").wait_for()
    assert tab.locator(".page .veil[data-shown=false]").count() == count
    tab.get_by_label("Show sensitive texts").check()
    assert tab.locator(".page .veil[data-shown=true]").count() == count
    page.open("#/rows")
    tab.get_by_label("Search the texts").fill("PANIC attacks")
    tab.keyboard.press("Enter")
    tab.locator("mark").first.wait_for()
    assert {text.lower() for text in tab.locator("mark").all_text_contents()} == {"panic attacks"}
    tab.locator("td a.id").first.click()
    tab.get_by_role("heading", name="Lineage").wait_for()
    assert tab.locator(".steps h3").all_text_contents() == ["Upstream", "Normalized", "Screened", "Merged", "Split"]
    assert re.search(r"[0-9a-f]{64}", tab.locator(".steps").text_content() or "")
    assert tab.get_by_role("heading", name="Exports").is_visible()


def test_pages_go_forth_and_back(page: Page) -> None:
    tab = page.open("#/rows")
    first = tab.locator("td a.id").all_text_contents()
    tab.get_by_role("button", name="Next page").click()
    tab.get_by_text("Page 2: rows 26–50 of").wait_for()
    assert not set(first) & set(tab.locator("td a.id").all_text_contents())
    tab.get_by_role("button", name="Previous page").click()
    tab.get_by_text("Page 1: rows 1–25 of").wait_for()
    assert tab.locator("td a.id").all_text_contents() == first


def test_a_duplicate_leads_to_the_row_that_stands_for_it(page: Page) -> None:
    tab = page.open("#/duplicates")
    card = tab.locator(".cluster", has=tab.locator("table")).first
    kept = card.locator("h2 a").text_content()
    card.locator("td a.id").first.click()
    tab.get_by_text("Removed as a duplicate").wait_for()
    tab.locator(".steps a.id").click()
    tab.locator(".id.whole", has_text=kept or "").wait_for()


def test_an_export_is_downloaded_whole(page: Page, served: tuple[str, Doors], tmp_path: Path) -> None:
    tab = page.open("#/downloads")
    with tab.expect_download() as started:
        tab.get_by_role("button", name="Download mental_health_openai_train.jsonl").click()
    started.value.save_as(tmp_path / "got")
    assert started.value.suggested_filename == "mental_health_openai_train.jsonl"
    made = served[1].root / "data/exports/mental_health_openai_train.jsonl"
    assert (tmp_path / "got").read_bytes() == made.read_bytes()


def test_the_figures_show_the_ledgers_numbers(page: Page, served: tuple[str, Doors]) -> None:
    ledger = json.loads((served[1].root / "data/reports/ledger.json").read_bytes())
    merged = sum(account["out"] for account in ledger["merge"].values())
    upstream = sum(account["in"] for account in ledger["normalize"].values())
    tab = page.open("#/flow")
    falls = tab.get_by_role("table", name="Rows by step")
    assert falls.get_by_role("row", name=f"upstream {upstream}").count() == 1
    assert falls.get_by_role("row", name=f"merged {merged}").count() == 1
    assert tab.locator("svg.sankey .node").count() > 10
    tab.get_by_label("Source", exact=True).select_option("trace")
    tab.get_by_role("row", name=f"upstream {ledger['normalize']['trace']['in']}").wait_for()
    page.open("#/distributions")
    assert (
        tab.get_by_role("table", name="Rows by source")
        .get_by_role("row", name=f"trace {ledger['merge']['trace']['out']}")
        .count()
    )


def test_text_from_data_never_becomes_html(page: Page, served: tuple[str, Doors]) -> None:
    path = served[1].root / "data/quarantine/trace.jsonl"
    before = path.read_bytes()
    row = {"source": "trace", "reason": HOSTILE, "message": HOSTILE, "file": HOSTILE, "row": 3, "raw": HOSTILE}
    path.write_bytes(json.dumps(row).encode() + b"\n")
    try:
        tab = page.open("#/left?source=trace")
        tab.get_by_text("Page 1: rows 1–1 of 1").wait_for()
        assert tab.locator(".veil pre").text_content() == HOSTILE
        assert tab.locator("main img, main script").count() == 0
        assert tab.title() == "Left out · mhdata"
    finally:
        path.write_bytes(before)


def test_the_page_needs_nothing_that_its_policy_forbids() -> None:
    index = (WEB / "index.html").read_text(encoding="utf-8")
    assert "require-trusted-types-for 'script'" in index
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|https?://", index)
    for path in [*WEB.glob("js/**/*.js"), *WEB.glob("*.css")]:
        text = path.read_text(encoding="utf-8").replace('"http://www.w3.org/2000/svg"', "")
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|https?://\S*|@import", text
        )
        assert found == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_every_view_can_be_read_by_all(browser: Any, served: tuple[str, Doors], width: int, scheme: str) -> None:
    """axe finds nothing (names, labels, contrast, order), nothing sticks out, and the view's heading has the focus."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install -r requirements-dev.txt")
    page = Page(browser, served[0], width, scheme)
    assert _faults(axe, page.tab) == []
    page.log_in()
    row = page.open("#/rows").locator("td a.id").first.get_attribute("href")
    for place in [*VIEWS, row]:
        tab = page.open(place)
        assert _faults(axe, tab) == [], place
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, place
        assert tab.evaluate("document.activeElement.tagName") == "H1", place
        if width == 1400 and place in ("#/", "#/flow", "#/distributions"):  # no column is out of sight
            cut = "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel ?? e.textContent)"
            assert tab.eval_on_selector_all(".scroll, .histogram .label", cut) == [], place
    page.close()


def _faults(axe: Any, tab: Any) -> list[tuple[str, str]]:
    found = axe.Axe().run(tab).response["violations"]
    return [(fault["id"], node["html"]) for fault in found for node in fault["nodes"]]


def test_a_keyboard_reaches_everything(page: Page) -> None:
    tab = page.open("#/")
    tab.reload()
    tab.get_by_role("heading", name="Overview").wait_for()
    tab.evaluate("document.body.tabIndex = -1; document.body.focus()")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    tab.get_by_role("link", name="Left out").focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="Left out").wait_for()
    tab.locator(".unveil").first.wait_for()
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.className || document.activeElement.id"))
        assert tab.evaluate("document.activeElement.matches(':focus-visible')")
        if "unveil" in reached:
            break
    assert {"find-text", "choose-source", "choose-reason", "unveil"} <= reached


def test_the_theme_is_chosen_and_kept(page: Page) -> None:
    tab = page.open("#/build")
    background = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(background)
    tab.get_by_role("button", name="Theme: auto").click()
    tab.get_by_role("button", name="Theme: light").click()
    dark = tab.evaluate(background)
    assert dark != light
    tab.reload()
    tab.get_by_role("button", name="Theme: dark").wait_for()
    assert tab.evaluate(background) == dark
