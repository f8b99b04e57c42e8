"""Endpoints that fail: what is cured by waiting, what fails one row, what ends the run."""

from __future__ import annotations

import email.utils
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from stages.errors import EndpointError, IncompleteError
from stages.llm import answers
from stages.llm.request import draw
from tests.llm_project import OUTS, ROOT, STAGES, Project
from tests.llm_server import Body, Fault, Scripted, completion
from tests.synthesize.test_run import TOTAL, live, spool, undisturbed

__all__ = ["spool", "undisturbed"]  # fixtures

SEED = 20250101


def seed(slot: str, part: str, attempt: int = 0) -> int:
    """The seed that a request carries: how the server knows whom it answers."""
    return draw(SEED, slot, part, attempt) & 0x7FFFFFFF


def at(wanted: int, fault: Fault) -> Any:
    """The fault for requests with this seed."""
    return lambda body, number: fault if body["seed"] == wanted else None


def once(fault: Fault, *places: int) -> Any:
    """The fault for the 2nd, 7th, … request that differs from those before it, the first time it comes.

    By request and not by number: three equal server errors of one request would rightly give its attempt up.
    """
    seen: list[int] = []
    guard = threading.Lock()

    def choose(body: Body, number: int) -> Fault | None:
        with guard:
            if body["seed"] in seen:
                return None
            seen.append(body["seed"])
            return fault if len(seen) in places else None

    return choose


PASSING = [
    Fault("reset"),
    Fault("half"),
    Fault("html"),
    Fault("garbage"),
    Fault("hang"),
    *(Fault(status=status) for status in (408, 409, 425, 429, 500, 502, 503, 529)),
    Fault(status=429, headers={"Retry-After": "1"}),
    Fault(status=503, headers={"Retry-After": email.utils.formatdate(time.time() + 3600, usegmt=True)}),
    Fault(status=429, headers={"Retry-After": "Fri, 32 Foo 20xx"}),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda f: f"{f.kind}-{f.status}-{len(f.headers)}")
def test_what_passes_is_waited_out_and_leaves_the_same_bytes(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[dict[str, str], int]
) -> None:
    digests, needed = undisturbed
    patience = 3.0 if fault.kind == "hang" else 300.0  # a loaded machine is slow, not broken
    with Scripted(once(fault, 2, 7, 8)) as server:
        project = live(tmp_path, server, {"endpoint.timeout_s": patience, "limits.concurrency": 3})
        project.run(monkeypatch, *STAGES)
        assert project.digests(*OUTS) == digests
        assert server.requests == needed + 3


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Scripted() as server:
        live(tmp_path, server).run(monkeypatch, *STAGES)
        assert server.requests >= 2 * TOTAL


def test_one_pause_holds_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is told to wait makes the others wait, too, once what they have under way is answered."""
    came: dict[int, float] = {}

    def fault(body: Body, number: int) -> Fault | None:
        came[number] = time.monotonic()
        if number == 4:
            return Fault(status=429, headers={"Retry-After": "2"})
        if 4 < number < 8:  # the other three workers': under way until the first has surely been told
            time.sleep(1)
        return None

    with Scripted(fault) as server:
        live(tmp_path, server, {"limits.concurrency": 4, "retry.cap_s": 3}).run(monkeypatch, *STAGES)
    assert came[8] - came[4] >= 2


def test_equal_server_errors_give_the_attempt_up_and_the_next_has_another_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = seed("t01-0003", "question")
    with Scripted(at(poison, Fault(status=500, body={"error": "no token fits"}))) as server:
        project = live(tmp_path, server)
        project.run(monkeypatch, *STAGES)
        assert sum(body["seed"] == poison for body in server.bodies) == 3
        report = project.report()
        assert report["rows"] == TOTAL
        assert report["rejected"] == {"server_error": 1}
        asked = server.requests
        project.run(monkeypatch, *STAGES)
        assert server.requests == asked


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=400, body={"error": {"code": "context_length_exceeded"}}), "context_length"),
        (Fault(status=413), "http_413"),
        (Fault(status=422), "http_422"),
    ],
)
def test_a_row_that_does_not_fit_fails_alone(
    fault: Fault, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scripted(at(seed("t01-0003", "question"), fault)) as server:
        project = live(tmp_path, server)
        project.run(monkeypatch, "synthesize.plan")
        with pytest.raises(IncompleteError, match=rf"1 of 16 rows could not be filled.*{reason} 1"):
            project.run(monkeypatch, "synthesize.generate")
        project.set({"limits.allow_partial": True})
        project.run(monkeypatch, "synthesize.generate", "synthesize.build")
        report = project.report()
        assert (report["rows"], report["failed"], report["rejected"]) == (TOTAL - 1, 1, {reason: 1})
        ledger = project.folder / "data/ledger/synthesize/synthesize.json"
        assert f'"{reason}": 1' in ledger.read_text(encoding="utf-8")


@pytest.mark.parametrize("status", [401, 402, 403, 404, 301, 302, 307, 308])
def test_a_refusal_ends_the_run_after_the_requests_under_way(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scripted(lambda body, number: Fault(status=status, headers={"Location": "/elsewhere"})) as server:
        project = live(tmp_path, server, {"limits.concurrency": 3})
        project.run(monkeypatch, "synthesize.plan")
        with pytest.raises(EndpointError, match=str(status)):
            project.run(monkeypatch, "synthesize.generate")
        assert server.requests <= 3
        assert set(server.paths) == {"/v1/chat/completions"}


def test_an_endpoint_that_only_fails_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The original went on for ever. Nothing is kept as the rows' own fault."""
    with Scripted(lambda body, number: Fault(status=500, body={"error": "down"})) as server:
        project = live(tmp_path, server)
        project.run(monkeypatch, "synthesize.plan")
        with pytest.raises(IncompleteError, match="the endpoint fails: 10 requests in a row ended with 500"):
            project.run(monkeypatch, "synthesize.generate")
        assert server.requests <= 60
        server.fault = lambda body, number: None
        project.run(monkeypatch, "synthesize.generate", "synthesize.build")
        assert project.report()["rejected"] == {}


def test_an_endpoint_that_is_not_there_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:  # bound, so that nobody else gets the port, and not listening
        silent.bind(("127.0.0.1", 0))
        project = Project(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
        project.set({"mode": "live", "total": 40})
        project.run(monkeypatch, "synthesize.plan")
        with pytest.raises(IncompleteError, match="in a row ended with ConnectError"):
            project.run(monkeypatch, "synthesize.generate")


def test_a_request_that_times_out_each_time_holds_up_its_round_and_no_other_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[dict[str, str], int]
) -> None:
    digests, needed = undisturbed
    with Scripted(at(seed("t01-0002", "question"), Fault("reset"))) as server:
        project = live(tmp_path, server, {"retry.max_tries": 2})
        project.run(monkeypatch, "synthesize.plan")
        with pytest.raises(IncompleteError, match=r"1 requests got no answer \(\w+Error 1\): run again"):
            project.run(monkeypatch, "synthesize.generate")
        assert len(answers.read(tmp_path / "data/synthesize/responses.jsonl").answers) == TOTAL - 1
        server.fault = lambda body, number: None
        project.run(monkeypatch, "synthesize.generate", "synthesize.build")
        assert project.digests(*OUTS) == digests
        assert server.requests == needed + 2


def test_a_truncated_answer_is_asked_again_with_more_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(body: Body) -> Body:
        whole = completion(body)
        if body["seed"] == seed("t01-0001", "answer"):
            whole["choices"][0]["finish_reason"] = "length"
        return whole

    with Scripted(reply=cut) as server:
        project = live(tmp_path, server)
        project.run(monkeypatch, *STAGES)
        again = [body["max_tokens"] for body in server.bodies if body["seed"] == seed("t01-0001", "answer", 1)]
        assert again == [1350]
        assert project.report()["rejected"] == {"truncated": 1}


def test_missing_usage_is_estimated_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted(reply=lambda body: completion(body, usage=None, model="something-else")) as server:
        project = live(tmp_path, server)
        project.run(monkeypatch, *STAGES)
        report = project.report()
        assert report["answers"]["tokens_estimated"] == server.requests
        assert report["models"] == {"asked": "scripted/scripted", "reported": {"something-else": server.requests}}
        row = project.rows("data/synthesize/rows.jsonl")[0]
        assert row["tokens_estimated"]
        assert (row["model"], row["reported"]["answer"]) == ("scripted", "something-else")


def test_a_json_answer_must_echo_its_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        seed("t01-0001", "question"): ("wrong_id", '{"items": [{"slot": "t99-0001", "text": "x"}]}'),
        seed("t01-0002", "question"): ("extra_items", '{"items": [{"slot": "t01-0002", "text": "x"}, {}]}'),
        seed("t01-0003", "question"): ("missing_item", '{"items": []}'),
        seed("t01-0004", "question"): ("not_json", "Here is the message: ..."),
        seed("t02-0001", "question"): ("wrong_type", '{"items": [{"slot": "t02-0001", "text": 5}]}'),
        seed("t02-0002", "question"): ("broken_characters", '{"items": [{"slot": "t02-0002", "text": "a \\ud800 b"}]}'),
    }  # fmt: skip

    def reply(body: Body) -> Body:
        return completion(body, wrong[body["seed"]][1] if body["seed"] in wrong else None)

    with Scripted(reply=reply) as server:
        project = live(tmp_path, server, {"sampling.response_format": "json_schema"})
        project.run(monkeypatch, *STAGES)
        assert all(body["response_format"]["type"] == "json_schema" for body in server.bodies)
        report = project.report()
        assert report["rows"] == TOTAL
        assert report["rejected"] == dict.fromkeys(sorted(reason for reason, _ in wrong.values()), 1)


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.argv = ["generate"]
runpy.run_module("stages.synthesize.generate", run_name="__main__")
"""


def test_a_full_disk_stops_before_the_next_request_and_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: tuple[dict[str, str], int]
) -> None:
    """The limit on the size of files stands for the disk."""
    digests, needed = undisturbed
    with Scripted() as server:
        project = live(tmp_path, server, {"limits.concurrency": 2})
        project.run(monkeypatch, "synthesize.plan")
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", LIMITED], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "size limit" in done.stderr
        assert 5 < server.requests < needed
        project.run(monkeypatch, "synthesize.generate", "synthesize.build")
        assert server.requests <= needed + 2
        assert project.digests(*OUTS) == digests
