"""Whole runs against the scripted server: the same bytes whatever happens on the way, and nothing paid for twice."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from stages import record
from stages.errors import EndpointError, IncompleteError, ParamsError
from stages.llm import answers
from tests.llm_project import OUTS, PATIENCE, STAGES, Project
from tests.llm_server import Body, Fault, Scripted, completion

TOTAL = 16
TOPICS = ("Relationships", "Anxiety", "Parenting", "Self-harm", "Sleep Improvement")


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MHDATA_SPOOL", raising=False)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int]:
    """Digests of all outs of a run where nothing went wrong, and its number of requests."""
    with Scripted() as scripted, pytest.MonkeyPatch.context() as patch:
        patch.delenv("MHDATA_SPOOL", raising=False)
        project = live(tmp_path_factory.mktemp("plain"), scripted, {"limits.concurrency": 1})
        project.run(patch, *STAGES)
        return project.digests(*OUTS), scripted.requests


def live(folder: Path, server: Scripted, changes: dict[str, Any] | None = None) -> Project:
    project = Project(folder, server.url)
    topics = [topic for topic in project.tree["synthesize"]["topics"] if topic["name"] in TOPICS]
    project.set({"mode": "live", "total": TOTAL, "topics": topics, "keep_fixture": True} | (changes or {}))
    return project


def test_off_writes_valid_empty_tables_and_asks_nobody(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, server.url)
    project.run(monkeypatch, *STAGES, "paraphrase.pages", "paraphrase.generate", "paraphrase.build", "judge")
    for source in ("synthesize", "paraphrase"):
        table = pq.read_table(tmp_path / f"data/normalized/{source}.parquet")
        assert table.num_rows == 0
        assert table.schema.equals(record.SCHEMA)
        ledger = orjson.loads((tmp_path / f"data/ledger/{source}/{source}.json").read_bytes())
        assert (ledger["in"], ledger["out"], ledger["rejected"]) == (0, 0, {})
        assert project.rows(f"data/{source}/rows.jsonl") == []
        assert project.report(source)["rows"] == 0
    assert project.rows("data/judge/scores.jsonl") == []
    assert server.requests == 0
    assert not (tmp_path / "data/.spool").exists()


def test_off_keeps_answers_that_were_paid_for(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    before = project.digests("data/synthesize")["data/synthesize/responses.jsonl"]
    project.set({"mode": "off"})
    project.run(monkeypatch, *STAGES)
    assert project.digests("data/synthesize")["data/synthesize/responses.jsonl"] == before
    assert project.report()["rows"] == 0


def test_rows_hold_the_quota_and_where_they_come_from(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = live(tmp_path, server, {"license": "CC-BY-4.0"})
    project.run(monkeypatch, *STAGES)
    report = project.report()
    assert report["rows"] == report["wanted"] == TOTAL
    assert all(topic["rows"] == topic["wanted"] for topic in report["topics"].values())
    assert [row["slot"] for row in project.rows("data/synthesize/rows.jsonl")] == [
        slot["slot"] for slot in project.rows("data/synthesize/plan.jsonl")
    ]
    rows = pq.read_table(tmp_path / "data/normalized/synthesize.parquet").to_pylist()
    stored = project.rows("data/synthesize/responses.jsonl")
    assert len({row["id"] for row in rows}) == TOTAL
    for row in rows:
        assert (row["source"], row["type"], row["license"]) == ("synthesize", "synthetic", "CC-BY-4.0")
        assert {"fixture", "synthetic"} <= set(row["tags"])
        assert row["tags"] == sorted(row["tags"])
        assert stored[row["origin"]["row"]]["key"] == row["origin"]["key"]
        assert stored[row["origin"]["row"]]["text"] == row["response"]


def test_the_fixture_stays_outside_unless_asked_for(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = live(tmp_path, server, {"keep_fixture": False})
    project.run(monkeypatch, *STAGES)
    assert pq.read_table(tmp_path / "data/normalized/synthesize.parquet").num_rows == 0
    assert project.report()["rows"] == TOTAL
    assert project.report()["merged"] == 0


# --- the same bytes --------------------------------------------------------------------------------------


def throttle(seed: int) -> Any:
    """30 % of requests get 429, half of those with a time to wait."""
    draw = random.Random(seed)

    def fault(body: Body, number: int) -> Fault | None:
        chance = draw.random()
        return Fault(status=429, headers={"Retry-After": "0"} if chance < 0.15 else {}) if chance < 0.3 else None

    return fault


@pytest.mark.parametrize(("concurrency", "throttled"), [(20, False), (1, True), (20, True)])
def test_bytes_depend_neither_on_concurrency_nor_on_429s(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: tuple[dict[str, str], int],
    concurrency: int,
    throttled: bool,
) -> None:
    digests, requests = undisturbed
    with Scripted(throttle(concurrency) if throttled else None) as server:
        project = live(tmp_path, server, {"limits.concurrency": concurrency})
        project.run(monkeypatch, *STAGES)
        assert project.digests(*OUTS) == digests
        assert server.statuses[200] == requests
        assert (server.statuses[429] > 0) == throttled


def test_concurrency_is_used_and_never_exceeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = threading.Event()

    def meet(body: Body, number: int) -> Fault | None:
        """Answer nobody before two are here."""
        if server.under_way > 1:
            met.set()
        met.wait(60 if number == 1 else 0)
        return None

    with Scripted(meet, delay=0.02) as server:
        live(tmp_path, server, {"limits.concurrency": 6}).run(monkeypatch, *STAGES)
        assert 2 <= server.most_under_way <= 6


def reached(server: Scripted, requests: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many requests have come, or the process has ended."""
    while server.requests < requests and process.poll() is None:
        time.sleep(0.001)


@pytest.mark.slow
def test_after_kill_9_at_ten_points_only_what_was_in_flight_is_paid_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[dict[str, str], int]
) -> None:
    digests, needed = undisturbed
    kills, concurrency = 10, 4
    with Scripted(delay=0.01) as server:
        project = live(tmp_path, server, {"limits.concurrency": concurrency})
        project.run(monkeypatch, "synthesize.plan")
        points = sorted(random.Random(9).sample(range(2, needed - 2), kills))
        for extra, point in enumerate(points):
            process = project.start("synthesize.generate")
            reached(server, point + extra, process)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        project.run(monkeypatch, "synthesize.generate", "synthesize.build")
        assert project.digests(*OUTS) == digests
        assert server.requests <= needed + kills * concurrency


def test_one_kill_costs_at_most_the_concurrency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[dict[str, str], int]
) -> None:
    digests, needed = undisturbed
    with Scripted(delay=0.01) as server:
        project = live(tmp_path, server, {"limits.concurrency": 5})
        project.run(monkeypatch, "synthesize.plan")
        process = project.start("synthesize.generate")
        reached(server, 20, process)
        process.kill()
        process.communicate()
        (tmp_path / "data/.spool/synthesize.jsonl").open("ab").write(b'{"answer": {"key": "torn')
        project.run(monkeypatch, "synthesize.generate", "synthesize.build")
        assert server.requests <= needed + 5
        assert project.digests(*OUTS) == digests


def test_ctrl_c_keeps_what_came_and_what_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[dict[str, str], int]
) -> None:
    digests, needed = undisturbed
    sent = threading.Event()

    def hold(body: Body, number: int) -> Fault | None:
        """The 20th and those beside it are under way until the signal is sent; what is asked after that takes long."""
        if number >= 20:
            sent.wait(PATIENCE)
        if number >= 24:
            time.sleep(2)
        return None

    with Scripted(hold) as server:
        project = live(tmp_path, server, {"limits.concurrency": 4})
        project.run(monkeypatch, "synthesize.plan")
        process = project.start("synthesize.generate")
        reached(server, 20, process)
        process.send_signal(signal.SIGINT)
        sent.set()
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, said
        server.fault = lambda body, number: None
        # one that the server has counted may still be on its way out of the client
        assert server.requests - 4 <= len(answers.read(tmp_path / "data/synthesize/responses.jsonl").answers)
        project.run(monkeypatch, "synthesize.generate", "synthesize.build")
        assert server.requests <= needed + 4
        assert project.digests(*OUTS) == digests


def test_a_rerun_asks_nothing_and_changes_nothing(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    asked, digests = server.requests, project.digests(*OUTS)
    project.run(monkeypatch, *STAGES)
    assert server.requests == asked
    assert project.digests(*OUTS) == digests


def test_a_changed_threshold_asks_nothing(tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    asked = server.requests
    project.set({"filters.near_dup.tfidf": 0.2, "limits.allow_partial": True})
    project.run(monkeypatch, "synthesize.plan", "synthesize.build")
    strict = project.report()
    assert strict["rows"] < TOTAL
    project.set({"filters.near_dup.tfidf": 0.6})
    project.run(monkeypatch, "synthesize.plan", "synthesize.build")
    assert project.report()["rows"] == TOTAL
    assert server.requests == asked


def test_a_stricter_threshold_fails_the_build_and_names_the_way(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    project.set({"filters.near_dup.tfidf": 0.2})
    with pytest.raises(IncompleteError, match=r"of 16 rows are missing .*near_duplicate.*dvc repro -f"):
        project.run(monkeypatch, "synthesize.build")


def test_more_rows_ask_only_for_the_new_ones(tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    asked = server.requests
    project.set({"total": TOTAL + 10})
    project.run(monkeypatch, *STAGES)
    assert project.report()["rows"] == TOTAL + 10
    assert server.requests - asked <= 2 * 13  # ten new slots, and those that larger quotas moved


def test_answers_of_an_old_plan_stay_and_are_counted(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    old = server.requests
    project.set({"seed": 1})
    project.run(monkeypatch, *STAGES)
    assert project.report()["answers"]["unused"] == old
    project.set({"seed": 20250101})
    asked = server.requests
    project.run(monkeypatch, *STAGES)
    assert server.requests == asked


def test_the_first_answer_stays_when_the_endpoint_says_something_else_later(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    digests = project.digests(*OUTS)
    server.reply = lambda body: completion(body, "something else")
    (tmp_path / "data/synthesize/responses.jsonl").unlink()  # the spool has them all
    project.run(monkeypatch, *STAGES)
    assert project.digests(*OUTS) == digests


def test_a_checkout_of_an_older_out_loses_nothing(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    asked, digests = server.requests, project.digests(*OUTS)
    path = tmp_path / "data/synthesize/responses.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:20]))
    path.chmod(0o444)  # as DVC leaves a hardlinked out
    project.run(monkeypatch, *STAGES)
    assert server.requests == asked
    assert project.digests(*OUTS) == digests


# --- replay ----------------------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


def test_replay_in_a_clean_folder_without_sockets(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = live(tmp_path / "a", server), live(tmp_path / "b", server, {"mode": "replay"})
    first.run(monkeypatch, *STAGES)
    target = second.folder / "data/sample/synthesize/responses.jsonl"
    target.parent.mkdir(parents=True)
    target.write_bytes((first.folder / "data/synthesize/responses.jsonl").read_bytes())
    request.getfixturevalue("no_network")
    second.run(monkeypatch, *STAGES)
    assert second.digests(*OUTS) == first.digests(*OUTS)


def test_replay_with_a_miss_says_how_many(tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    price = {"in": 1.0, "out": 2.0}
    project.set({"mode": "replay", "total": TOTAL + 5, "limits.price_per_mtok": price, "limits.max_cost_usd": 1})
    project.run(monkeypatch, "synthesize.plan")
    with pytest.raises(IncompleteError, match=r"\d of 21 answers missing; about \d+ requests and 0\.\d\d dollars"):
        project.run(monkeypatch, "synthesize.generate")
    code, said = project.call("synthesize.generate")
    assert code == 5
    assert said.startswith("error: synthesize: ")


def test_a_partial_result_is_taken_where_the_params_say_so(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, *STAGES)
    project.set({"mode": "replay", "total": TOTAL + 5, "limits.allow_partial": True})
    project.run(monkeypatch, *STAGES)
    report = project.report()
    assert 0 < report["open"] == report["wanted"] - report["rows"]
    assert "answers missing" in capsys.readouterr().err


# --- money -----------------------------------------------------------------------------------------------


def test_live_needs_the_key_before_the_first_request(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_API_KEY", raising=False)
    project = live(tmp_path, server, {"endpoint.base_url": "http://192.0.2.1/v1"})
    project.run(monkeypatch, "synthesize.plan")
    with pytest.raises(ParamsError, match="LLM_API_KEY is not set"):
        project.run(monkeypatch, "synthesize.generate")


def test_the_key_goes_into_the_header_and_nowhere_else(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_API_KEY", "sk-very-secret")
    live(tmp_path, server).run(monkeypatch, *STAGES)
    assert all(headers["Authorization"] == "Bearer sk-very-secret" for headers in server.headers)
    assert "sk-very-secret" not in capsys.readouterr().err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"sk-very-secret" not in path.read_bytes()


@pytest.mark.parametrize("dollars", [0.001, 0.005, 0.01])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_the_budget_is_never_exceeded_by_a_token(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch, dollars: float, concurrency: int
) -> None:
    price = {"in": 0.5, "out": 1.5}
    changes = {"limits.price_per_mtok": price, "limits.max_cost_usd": dollars, "limits.concurrency": concurrency}
    project = live(tmp_path, server, changes)
    project.run(monkeypatch, "synthesize.plan")
    for _ in range(2):  # the second run may spend no more than the first left
        with pytest.raises(IncompleteError, match="max_cost_usd"):
            project.run(monkeypatch, "synthesize.generate")
    spent = (server.sold_in * 0.5 + server.sold_out * 1.5) / 1e6
    assert spent <= dollars
    assert len(answers.read(tmp_path / "data/synthesize/responses.jsonl").answers) == server.statuses[200]


def test_the_budget_holds_over_kills_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that a kill lost were billed all the same: what was sent counts."""
    with Scripted(delay=0.02) as server:
        changes = {"limits.price_per_mtok": {"in": 0.5, "out": 1.5}, "limits.max_cost_usd": 0.012}
        project = live(tmp_path, server, changes | {"limits.concurrency": 4})
        project.run(monkeypatch, "synthesize.plan")
        for point in (4, 9):
            process = project.start("synthesize.generate")
            reached(server, point, process)
            process.kill()
            process.communicate()
        with pytest.raises(IncompleteError, match="max_cost_usd"):
            project.run(monkeypatch, "synthesize.generate")
        assert (server.sold_in * 0.5 + server.sold_out * 1.5) / 1e6 <= 0.012


def test_a_limit_on_requests_stops_and_the_next_run_goes_on(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[dict[str, str], int]
) -> None:
    digests, needed = undisturbed
    project = live(tmp_path, server, {"limits.max_requests": 10})
    project.run(monkeypatch, "synthesize.plan")
    for _ in range(needed // 10):
        with pytest.raises(IncompleteError, match="max_requests is 10"):
            project.run(monkeypatch, "synthesize.generate")
    project.run(monkeypatch, "synthesize.generate", "synthesize.build")
    assert server.requests == needed
    assert project.digests(*OUTS) == digests


def test_a_second_process_is_refused_and_asks_nothing(
    tmp_path: Path, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = live(tmp_path, server)
    project.run(monkeypatch, "synthesize.plan")
    monkeypatch.chdir(tmp_path)
    with answers.Spool(answers.spool_path("synthesize")):
        code, said = project.call("synthesize.generate")
    assert code == 1
    assert "is in use by process" in said
    assert server.requests == 0


def test_a_wrong_key_stops_at_once_with_exit_code_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(body: Body, number: int) -> Fault | None:
        return Fault(status=401, body={"error": {"code": "invalid_api_key"}}) if number > 10 else None

    with Scripted(refuse) as server:
        project = live(tmp_path, server, {"limits.concurrency": 2})
        project.run(monkeypatch, "synthesize.plan")
        with pytest.raises(EndpointError, match=r"401 \(invalid_api_key\)"):
            project.run(monkeypatch, "synthesize.generate")
        assert server.requests <= 12
        assert len(answers.read(tmp_path / "data/synthesize/responses.jsonl").answers) == 10
        code, said = project.call("synthesize.generate")
        assert code == 4
        assert "all answers are kept" in said
