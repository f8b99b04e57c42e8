"""Whole runs on transcripts: private, complete, the same each time."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.errors import EndpointError, IncompleteError, ParamsError, SourceError
from tests.llm_project import OUTS, PARAPHRASE, ROOT, Project
from tests.llm_server import Body, Fault, Scripted, completion

GOOD = {
    "question": "I look after my wife and sleep in pieces. When somebody moves what I laid out I get cross, and "
    "afterwards I feel bad about it. How can I rest?",
    "answer": "Being the one who listens all night wears anyone down. You could keep a sheet where everyone writes "
    "what was given, and ask your daughter for one night a week. Write down first how "
    "you will ask, plainly and in one sentence.",
}
MOVED = "If it stands where I left it I know what was given. If somebody moves it I count. "


@pytest.fixture(autouse=True)
def spool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MHDATA_SPOOL", raising=False)


def live(folder: Path, server: Scripted, **changes: Any) -> Project:
    project = Project(folder, server.url)
    project.set({"mode": "live", "keep_fixture": True} | changes, "paraphrase")
    target = folder / "data/sample/paraphrase"
    shutil.copytree(ROOT / "data/sample/paraphrase", target, ignore=shutil.ignore_patterns("*.jsonl", "*.md"))
    return project


def says(**changes: Any) -> Any:
    """A server that answers every page with this round."""
    return lambda body: completion(body, json.dumps(GOOD | changes))


def test_a_round_per_page_with_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted() as server:
        project = live(tmp_path, server)
        project.run(monkeypatch, *PARAPHRASE)
        assert server.requests == 3
        assert project.report("paraphrase")["pages"] == {
            "transcripts": 2, "pages": 4, "empty": 1, "one_speaker": 0, "no_speaker": 0, "not_utf8": 0,
        }  # fmt: skip
        rows = pq.read_table(tmp_path / "data/normalized/paraphrase.parquet").to_pylist()
        assert len(rows) == 3
        assert {(row["source"], row["type"]) for row in rows} == {("paraphrase", "interview")}
        assert rows[0]["tags"] == ["fixture", "interview", "paraphrased"]
        assert rows[0]["group"] == rows[1]["group"] != rows[2]["group"]
        ledger = json.loads((tmp_path / "data/ledger/paraphrase/paraphrase.json").read_text(encoding="utf-8"))
        assert (ledger["in"], ledger["out"], ledger["rejected"]) == (4, 3, {"empty_page": 1})


def test_a_rerun_asks_nothing_and_bytes_do_not_depend_on_concurrency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for concurrency in (1, 8):
        with Scripted() as server:
            folder = tmp_path / str(concurrency)
            folder.mkdir()
            project = live(folder, server, **{"limits.concurrency": concurrency})
            project.run(monkeypatch, *PARAPHRASE, *PARAPHRASE)
            assert server.requests == 3
            digests.append(project.digests(*OUTS))
    assert digests[0] == digests[1]


def test_the_page_is_sent_and_written_nowhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    with Scripted() as server:
        project = live(tmp_path, server)
        project.run(monkeypatch, *PARAPHRASE)
        sent = " ".join(message["content"] for body in server.bodies for message in body["messages"])
    phrases = ["Brookhaven", "pill box", "looks like a timetable"]
    assert all(phrase in sent for phrase in phrases)
    said = capsys.readouterr()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".txt"]
    assert len(written) > 8
    for phrase in phrases:
        assert phrase not in said.out + said.err + caplog.text
        for path in written:
            assert phrase.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
def test_no_proxy_sees_a_page(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted() as server, Scripted() as proxy:
        monkeypatch.setenv(variable, proxy.url.removesuffix("/v1"))
        live(tmp_path, server).run(monkeypatch, *PARAPHRASE)
        assert (server.requests, proxy.requests) == (3, 0)


def test_no_redirect_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted() as elsewhere:
        away = Fault(status=307, headers={"Location": elsewhere.url + "/chat/completions"})
        with Scripted(lambda body, number: away) as server:
            project = live(tmp_path, server)
            project.run(monkeypatch, "paraphrase.pages")
            with pytest.raises(EndpointError, match="redirects are not followed"):
                project.run(monkeypatch, "paraphrase.generate")
        assert elsewhere.requests == 0


@pytest.mark.parametrize("host", ["192.0.2.7:8080", "[2001:db8::1]:8080"])
def test_another_host_is_refused_before_anything_is_sent(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scripted() as server:
        project = live(tmp_path, server, **{"endpoint.base_url": f"http://{host}/v1"})
        project.run(monkeypatch, "paraphrase.pages")

        def connect(*_: Any) -> None:
            raise AssertionError("a connection was tried")

        monkeypatch.setattr(socket.socket, "connect", connect)
        with pytest.raises(ParamsError, match="is not this machine, and transcripts stay here"):
            project.run(monkeypatch, "paraphrase.generate")


def test_a_name_that_resolves_elsewhere_later_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was checked is the one that is called; the name is asked for once."""
    with Scripted() as server:
        project = live(tmp_path, server, **{"endpoint.base_url": f"http://model.test:{server.port}/v1"})
        asked = []
        resolve = socket.getaddrinfo

        def once(host: Any, *rest: Any, **more: Any) -> Any:
            if host == "model.test":
                asked.append(host)
                return [
                    (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1" if len(asked) == 1 else "192.0.2.7", 0))
                ]
            return resolve(host, *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", once)
        project.run(monkeypatch, *PARAPHRASE)
        assert asked == ["model.test"]
        assert server.requests == 3
        assert {headers["Host"] for headers in server.headers} == {f"model.test:{server.port}"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"question": "Walter here. " + GOOD["question"]}, "name_in_page"),
        ({"answer": GOOD["answer"] + " Write to me at coach@example.org."}, "email"),
        ({"answer": GOOD["answer"] + " Last Sunday, the 3rd of March, was hard."}, "date"),
        ({"question": MOVED + GOOD["question"]}, "shared_words"),
        ({"question": "Help me.", "answer": "Sleep more."}, "min_words"),
        ({"answer": "und dann sass er allein am fenster " + " ".join(f"wort{n}" for n in range(60))}, "language"),
        ({"extra": "x"}, "extra_items"),
    ],
)
def test_a_round_that_leaks_or_is_none_is_rejected_and_asked_again(
    changes: dict[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = says(**changes)

    def reply(body: Body) -> Body:
        first = "pill box" in body["messages"][1]["content"]
        return (
            bad(body)
            if first and len([b for b in server.bodies if b["messages"] == body["messages"]]) == 1
            else says()(body)
        )

    with Scripted(reply=reply) as server:
        project = live(tmp_path, server, **{"limits.concurrency": 1})
        project.run(monkeypatch, *PARAPHRASE)
        assert [reject["reason"] for reject in project.rows("data/paraphrase/rejected.jsonl")] == [reason]
        assert len(project.rows("data/paraphrase/rows.jsonl")) == 3


def test_a_page_that_always_leaks_is_a_reject_and_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted(reply=says(answer="Dear Walter, " + GOOD["answer"])) as server:
        project = live(tmp_path, server)
        project.run(monkeypatch, *PARAPHRASE)
        report = project.report("paraphrase")
        assert (report["rows"], report["failed"]) == (1, 2)
        assert report["rejected"] == {"name_in_page": 8}
        project.set({"leak.pii": ["email"]}, "paraphrase")
        asked = server.requests
        project.run(monkeypatch, "paraphrase.build")  # a changed threshold asks nothing
        assert project.report("paraphrase")["rows"] == 3
        assert server.requests == asked


@pytest.mark.parametrize(("scope", "rows"), [("total", 3), ("either", 0), ("both", 3)])
def test_the_three_readings_of_the_forty_word_rule(
    scope: str, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scripted(reply=says()) as server:
        project = live(tmp_path, server, **{"min_words": {"n": 40, "scope": scope}})
        project.run(monkeypatch, *PARAPHRASE)
        assert project.report("paraphrase")["rows"] == rows


def test_replay_says_what_is_missing_and_live_needs_transcripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scripted() as server:
        project = live(tmp_path, server, mode="replay")
        project.run(monkeypatch, "paraphrase.pages")
        with pytest.raises(IncompleteError, match="3 of 3 answers missing"):
            project.run(monkeypatch, "paraphrase.generate")
        shutil.rmtree(tmp_path / "data/sample/paraphrase")
        with pytest.raises(SourceError, match="holds no transcript"):
            project.run(monkeypatch, "paraphrase.pages")


def test_a_refusal_of_the_endpoint_names_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    echo = Fault(status=400, body={"error": {"message": "cannot read: Brookhaven", "code": "bad Brookhaven"}})
    with Scripted(lambda body, number: echo) as server:
        project = live(tmp_path, server)
        project.run(monkeypatch, "paraphrase.pages")
        with pytest.raises(EndpointError) as refused:
            project.run(monkeypatch, "paraphrase.generate")
        assert "400" in str(refused.value)
        assert "Brookhaven" not in str(refused.value)
