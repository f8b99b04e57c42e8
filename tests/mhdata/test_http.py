"""`mhdata serve` as a program meets it: who may ask, what is refused, builds as jobs, files."""

from __future__ import annotations

import concurrent.futures
import hashlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from mhdata.http.watch import FRESH
from tests.mhdata.conftest import PATIENCE, Doors, copy, occupied, sleeping, until
from tests.mhdata.http_server import TOKEN, Server, dvc_lives, problem


@pytest.fixture(scope="module")
def reading(doors: Doors, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the built workspace, that tests only ask."""
    with Server(doors.root, log=tmp_path_factory.mktemp("log") / "reading.txt") as server:
        yield server


@pytest.fixture(scope="module")
def workspace(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Doors:
    """A built workspace that the tests change, each leaving it built."""
    return copy(built, tmp_path_factory.mktemp("http") / "work")


@pytest.fixture(scope="module")
def building(workspace: Doors, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(workspace.root, log=tmp_path_factory.mktemp("log") / "building.txt") as server:
        yield server


def _operations(server: Server) -> list[tuple[str, str]]:
    paths = server.get("/openapi.json")["paths"]
    return [
        (method.upper(), path.replace("{job}", "x").replace("{name}", "x")) for path in paths for method in paths[path]
    ]


# --- who may ask ------------------------------------------------------------------------------------------------


def stranger_to(server: Server) -> httpx.Client:
    """A client without a token."""
    return httpx.Client(base_url=server.url, timeout=PATIENCE, trust_env=False)


def test_every_api_route_needs_the_token(reading: Server) -> None:
    asked = [one for one in _operations(reading) if one[1].startswith("/api/")]
    assert len(asked) >= 12
    wrong = ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer"},
             {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Bearer {TOKEN[:-1]}"})  # fmt: skip
    with stranger_to(reading) as stranger:
        for method, path in asked:
            for headers in wrong:
                answer = stranger.request(method, path, headers=headers)
                assert answer.status_code == 401, (method, path, headers, answer.text)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                if method != "HEAD":
                    problem(answer, 401)


def test_what_needs_no_token(reading: Server) -> None:
    with stranger_to(reading) as stranger:
        assert stranger.get("/healthz").json() == {"status": "ok"}
        assert stranger.get("/openapi.json").json()["openapi"].startswith("3.")
        for path in ("/docs", "/"):
            page = stranger.get(path)
            assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
            assert not re.search(r"(src|href)=\"(https?:)?//", page.text), "an asset from elsewhere"
            loaded = re.findall(r"(?:src|href)=\"(/[^\"]+\.(?:js|css|png|svg))\"", page.text)
            assert all(stranger.get(asset).status_code == 200 for asset in loaded)
        assert not re.search(r"<script(?![^>]*\bsrc=)", stranger.get("/docs").text), "an inline script"


def test_another_host_name_and_another_sites_page_are_refused(reading: Server) -> None:
    problem(reading.client.get("/api/jobs", headers={"Host": "rebound.example.org"}), 421)
    problem(reading.client.post("/api/ai/data/merge", json={}, headers={"Origin": "https://evil.example"}), 403)
    answer = reading.client.get("/api/jobs", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    problem(reading.client.options("/api/ai/data/merge", headers=preflight), 405)


def test_every_answer_has_the_security_headers(reading: Server) -> None:
    for path in ("/", "/docs", "/healthz", "/api/jobs", "/api/none", "/static/none"):
        headers = reading.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert "server" not in headers
        assert headers["cache-control"] == ("no-store" if path.startswith("/api") else "no-cache")


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fparams.yaml", "..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "~..~params.yaml", "..~params.yaml",
     "%2e%2e~%2e%2e", "merged%2Fmerged_mental_health_dataset.csv", "merged~..~merged~duplicates.parquet", "%00",
     "raw~trace~receipt.json", "a" * 5000, "/etc/passwd", "..", "exports~..%5c..%5cparams.yaml"],
)  # fmt: skip
def test_no_path_of_a_request_reaches_the_file_system(reading: Server, name: str) -> None:
    problem(_raw(reading, f"/api/artifacts/{name}"), 404)


def test_static_files_end_at_their_folder(reading: Server) -> None:
    for path in ("..%2fapi.py", "%2e%2e/api.py", "../api.py", "..%5capi.py", "%2fetc%2fpasswd"):
        for base in ("/static", "/docs/own", "/docs/ui"):
            problem(_raw(reading, f"{base}/{path}"), 404)


def _raw(server: Server, target: str) -> httpx.Response:
    """A GET whose path no client has tidied up."""
    import http.client

    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)
    connection.putrequest("GET", target, skip_host=False)
    connection.putheader("Authorization", f"Bearer {TOKEN}")
    connection.endheaders()
    answer = connection.getresponse()
    made = httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
    connection.close()
    return made


def test_bodies_that_are_refused(reading: Server) -> None:
    def send(content: Any, status: int, kind: str = "application/json", path: str = "prepare") -> Any:
        headers = {"Content-Type": kind}
        return problem(reading.client.post(f"/api/ai/data/{path}", content=content, headers=headers), status)

    send(b'{"format": "' + b"a" * 200_000 + b'"}', 413)
    send((b"x" * 10_000 for _ in range(20)), 413)  # chunked: no length says so before
    for broken in (b"{", b"", b"{'format': 1}", b"\xff\xfe", b"[" * 20_000, b'{"format": "openai"} x'):
        assert send(broken, 422 if not broken else 400)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        send(b'{"format": "openai"}', 415, kind)
    for wrong, where in (
        (b"[]", "body"), (b"null", "body"), (b'{"format": 1}', "body.format"), (b"{}", "body.format"),
        (b'{"format": "openai", "force": "yes"}', "body.force"), (b'{"format": "openai", "path": "/etc"}', "body.path"),
    ):  # fmt: skip
        assert where in [flaw["where"] for flaw in send(wrong, 422)["errors"]]
    assert "did you mean openai" in send(b'{"format": "opnai"}', 422)["detail"]
    assert reading.get("/api/jobs")["items"] == []


def test_queries_that_are_refused(reading: Server) -> None:
    for query in ("limit=0", "limit=1000", "limit=x", "state=none", "cursor=%FF", "cursor=!!!"):
        problem(reading.client.get(f"/api/jobs?{query}"), 422)
    for wait in ("-1", "601", "nan", "1e9", "x"):
        problem(reading.client.post(f"/api/ai/data/merge?wait={wait}", json={}), 422)
    problem(reading.client.get("/api/jobs/none"), 404)
    problem(reading.client.get("/api/jobs/none/events"), 404)
    problem(reading.client.delete("/api/jobs/none"), 404)
    problem(reading.client.get("/api/none"), 404)
    answer = reading.client.put("/api/ai/data/merge", json={})
    problem(answer, 405)
    assert {"GET", "POST"} & set(answer.headers["allow"].split(", "))


# --- reading ----------------------------------------------------------------------------------------------------


def test_the_merged_table_as_the_command_line_tells_it(reading: Server, doors: Doors) -> None:
    merged = reading.get("/api/ai/data/merge")
    assert merged["exists"] and merged["stale"] is False and merged["job"] is None
    assert merged["statistics"] == doors.json("stats")
    assert merged["path"] == str(doors.root / "data/merged/merged_mental_health_dataset.parquet")
    status = doors.json("status")
    assert reading.get("/api/status") == status
    prepared = reading.get("/api/ai/data/prepare")["formats"]
    assert {name: {key: one[key] for key in one if key != "downloads"} for name, one in prepared.items()} == status[
        "formats"
    ]
    assert reading.get("/api/sources") == doors.json("sources")


def test_what_is_up_to_date_is_answered_at_once_and_nothing_is_built(reading: Server) -> None:
    merged = reading.post("merge", code=200)
    assert merged["rows"] == merged["statistics"]["rows"] > 0 and merged["rebuilt"] is False
    assert reading.client.post("/api/ai/data/merge").status_code == 200  # no body at all
    assert reading.post("prepare", {"format": "openai"}, 200)["formats"]["openai"]["exists"]
    assert reading.post("prepare", {"format": "all"}, 200)["rebuilt"] is False
    assert reading.post("build", code=200)["up_to_date"] is True
    assert reading.get("/api/jobs")["items"] == []


def test_a_format_that_params_does_not_list_is_refused_with_the_mend(reading: Server) -> None:
    formats = reading.get("/api/ai/data/prepare")["formats"]
    unlisted = next(name for name, one in formats.items() if not one["selected"])
    answer = reading.client.post("/api/ai/data/prepare", json={"format": unlisted})
    assert "params.yaml" in problem(answer, 409)["detail"]


def test_an_artifact_is_fetched_whole_in_parts_and_not_again(reading: Server, doors: Doors) -> None:
    items = {one["name"]: one for one in reading.get("/api/artifacts")["items"]}
    downloads = reading.get("/api/ai/data/merge")["downloads"]
    assert set(downloads) == {"parquet", "json", "csv"}
    url = downloads["csv"]
    one = items[url.rpartition("/")[2]]
    held = (doors.root / "data/merged/merged_mental_health_dataset.csv").read_bytes()
    whole = reading.client.get(url)
    assert whole.content == held and one["bytes"] == len(held)
    etag = whole.headers["etag"]
    assert etag == f'"{hashlib.sha256(held).hexdigest()}"' and whole.headers["repr-digest"].startswith("sha-256=:")
    assert whole.headers["content-disposition"] == 'attachment; filename="merged_mental_health_dataset.csv"'

    def part(ranged: str, status: int = 206, **headers: str) -> httpx.Response:
        answer = reading.client.get(url, headers={"Range": ranged, **headers})
        assert answer.status_code == status, answer.text
        return answer

    size = len(held)
    assert part("bytes=0-9").content == held[:10]
    assert part("bytes=0-9").headers["content-range"] == f"bytes 0-9/{size}"
    assert part(f"bytes={size - 5}-").content == held[-5:] == part("bytes=-5").content
    assert part(f"bytes=10-{size + 100}").content == held[10:]
    assert part(f"bytes=-{size + 100}").content == held
    assert part("bytes=5-", **{"If-Range": etag}).content == held[5:]
    assert part("bytes=5-", 200, **{"If-Range": '"another"'}).content == held  # it changed: all of it again
    for nonsense in ("bytes=x", "lines=0-1", "bytes=9-1", "bytes=-", "bytes=0-1,5-6", "bytes=" + "9" * 400 + "-"):
        assert part(nonsense, 200).content == held
    for beyond in (f"bytes={size}-", "bytes=-0"):
        answer = part(beyond, 416)
        assert problem(answer, 416) and answer.headers["content-range"] == f"bytes */{size}"
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = reading.client.get(url, headers={"If-None-Match": known})
        assert answer.status_code == 304 and not answer.content and answer.headers["etag"] == etag
    head = reading.client.head(url)
    assert head.status_code == 200 and head.headers["content-length"] == str(size) and not head.content


def test_all_that_is_listed_can_be_fetched(reading: Server) -> None:
    items = reading.get("/api/artifacts")["items"]
    assert {"merged", "split", "exports", "quarantine", "reports"} <= {one["group"] for one in items}
    assert len({one["name"] for one in items}) == len(items)
    for one in items:
        head = reading.client.head(one["url"])
        assert head.status_code == 200 and head.headers["content-length"] == str(one["bytes"])
    linked = [url for one in reading.get("/api/ai/data/prepare")["formats"].values() for url in one["downloads"]]
    assert linked and set(linked) <= {one["url"] for one in items}


# --- building ---------------------------------------------------------------------------------------------------


def _spoil(root: Path) -> None:
    """Make openai's export due; DVC has its bytes in the cache."""
    (root / "data/exports/mental_health_openai.jsonl").unlink()


def test_fifty_who_ask_at_once_start_one_build(building: Server) -> None:
    before = len(building.get("/api/jobs?limit=100")["items"])
    _spoil(building.root)

    def ask(_: int) -> tuple[int, str | None]:
        with httpx.Client(headers=building.client.headers, timeout=PATIENCE, trust_env=False) as client:
            answer = client.post(f"{building.url}/api/ai/data/prepare", json={"format": "openai"})
            return answer.status_code, answer.headers.get("location")

    with occupied(building.root), concurrent.futures.ThreadPoolExecutor(50) as pool:  # so that it outlasts the asking
        answers = set(pool.map(ask, range(50)))
    assert len(answers) == 1, answers
    [(status, place)] = answers
    assert status == 202 and place is not None
    jobs = building.get("/api/jobs?limit=100")["items"]
    assert len(jobs) == before + 1
    job = building.until(place.rpartition("/")[2], "succeeded", "failed")
    assert job["state"] == "succeeded" and job["outcome"]["ran"] + job["outcome"]["restored"] == ["export_openai"]
    assert (building.root / "data/exports/mental_health_openai.jsonl").exists()


def test_waiting_gives_the_result_and_its_events_can_be_followed_again(building: Server) -> None:
    made = building.post("prepare", {"format": "openai", "force": True}, 200, wait=600)
    assert made["rebuilt"] and made["formats"]["openai"]["exists"] and set(made["formats"]) == {"openai"}
    job = made["job"]
    assert job["state"] == "succeeded" and job["outcome"]["ran"] == ["export_openai"]
    events = building.events(job["id"])
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    names = [name for _, name, _ in events]
    assert names[0] == "state" and names[-1] == "end" and {"started", "stage_started", "stage_finished"} <= set(names)
    assert events[-1][2]["state"] == "succeeded"
    finished = next(data for _, name, data in events if name == "stage_finished")
    assert finished["stage"] == "export_openai" and finished["rows"] > 0 and finished["bytes"] > 0
    assert building.events(job["id"], after=3) == events[3:]
    assert building.events(job["id"], after=len(events)) == []
    first = building.get("/api/jobs?limit=1")
    rest = building.get("/api/jobs", params={"limit": 100, "cursor": first["next"]})
    assert rest["next"] is None and job["id"] == first["items"][0]["id"]
    assert first["items"] + rest["items"] == building.get("/api/jobs?limit=100")["items"]
    answer = building.client.delete(f"/api/jobs/{job['id']}")
    assert "ended" in problem(answer, 409)["detail"]


def test_one_runs_others_queue_the_same_joins_and_both_can_be_cancelled(building: Server, workspace: Doors) -> None:
    with sleeping(workspace) as asleep:
        running = building.post("merge", {"force": True})
        queued = building.post("prepare", {"format": "openai", "force": True})
        assert building.post("merge", {"force": True})["id"] == running["id"]
        assert building.post("merge")["id"] == running["id"]  # who asks for less joins who asks for more
        assert building.post("prepare", {"format": "openai", "force": True}, wait=1)["id"] == queued["id"]
        until(asleep.exists, "merge")
        events = building.events(running["id"], most=4)  # while it runs
        assert "running" in [data.get("state") for _, _, data in events]
        merged = building.get("/api/ai/data/merge")
        assert merged["job"]["id"] == running["id"] and merged["stale"] is None

        assert building.client.delete(f"/api/jobs/{queued['id']}").json()["state"] == "cancelled"
        answer = building.client.delete(f"/api/jobs/{running['id']}")
        assert answer.status_code == 202 and answer.json()["cancelling"] is True
        job = building.until(running["id"], "cancelled", "succeeded")
        assert job["state"] == "cancelled" and job["error"]["code"] == 130 and job["cancelling"] is False
    assert building.client.delete(f"/api/jobs/{running['id']}").status_code == 200  # again: it is
    assert building.events(queued["id"])[-1][2]["state"] == "cancelled"
    assert not dvc_lives(building.root)
    assert not list((building.root / "data").rglob(".*.part"))
    assert building.post("build", code=200, wait=600)["up_to_date"] is True


def test_a_damaged_output_is_a_conflict_that_a_build_mends(building: Server) -> None:
    ledger = building.root / "data/ledger/merge/trace.json"
    ledger.write_bytes(ledger.read_bytes()[:40])
    time.sleep(FRESH + 0.1)
    for path in ("/api/status", "/api/ai/data/merge", "/api/browse/distributions"):
        said = problem(building.client.get(path), 409)["detail"]
        assert said.startswith("data/ledger/merge/trace.json is damaged (") and "`dvc repro`" in said
    assert building.post("merge", code=200, wait=600)["statistics"]["rows"] == 358


def test_a_build_that_fails_says_why(building: Server, workspace: Doors) -> None:
    workspace.edit("params.yaml", "seed:", "sead:")
    try:
        answer = building.client.post("/api/ai/data/merge", json={})
        assert "seed" in problem(answer, 409)["detail"]
        time.sleep(FRESH + 0.1)
        for path in ("/api/status", "/api/ai/data/merge", "/api/ai/data/prepare", "/api/sources", "/api/browse/rows"):
            assert "did you mean `seed`" in problem(building.client.get(path), 409)["detail"], path
        assert building.client.get("/healthz").status_code == 200
    finally:
        workspace.edit("params.yaml", "sead:", "seed:")
    raw = building.root / "stages/formats/openai.py"
    text = raw.read_text()
    raw.write_text(text + "\nraise RuntimeError('planted')\n")
    try:
        answer = building.client.post("/api/ai/data/prepare?wait=600", json={"format": "openai"})
        found = problem(answer, 500)
        assert "export_openai: stopped by a bug" in found["detail"]
        job = building.get(found["job"])
        assert job["state"] == "failed" and job["error"]["stage"] == "export_openai" and job["error"]["code"] == 1
    finally:
        raw.write_text(text)
    assert building.post("build", code=200, wait=600)["up_to_date"] is True


@pytest.mark.slow
def test_jobs_outlive_a_server_that_is_killed_and_one_that_is_stopped(built: Path, tmp_path: Path) -> None:
    workspace = copy(built, tmp_path / "work")
    root = workspace.root
    for sign, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 0)):
        with sleeping(workspace) as asleep, Server(root, log=tmp_path / f"{sign}-a.txt") as server:
            running = server.post("merge", {"force": True})
            queued = server.post("prepare", {"format": "openai", "force": True})
            until(asleep.exists, "merge")
            assert server.end(sign) == code
            assert sign == signal.SIGKILL or not dvc_lives(root)
        with Server(root, log=tmp_path / f"{sign}-b.txt") as server:
            job = server.job(running["id"])
            assert job["state"] == "interrupted" and "goes on where it stopped" in job["error"]["detail"]
            assert server.events(running["id"])[-1][1] == "end"
            assert server.until(queued["id"], "succeeded", "failed")["state"] == "succeeded"
            assert server.post("build", code=200, wait=600)["up_to_date"] is True
    assert workspace.git("status", "--porcelain") == ""


def test_metrics_count_requests_by_route_and_need_the_token(reading: Server) -> None:
    reading.get("/api/jobs")
    reading.client.get("/api/jobs/none")
    said = reading.client.get("/metrics")
    assert said.headers["content-type"].startswith("text/plain")
    figures = dict(line.rsplit(" ", 1) for line in said.text.splitlines() if not line.startswith("#"))
    assert float(figures['mhdata_http_requests_total{method="GET",route="/api/jobs",status="200"}']) >= 1
    assert float(figures['mhdata_http_requests_total{method="GET",route="/api/jobs/{job}",status="404"}']) >= 1
    assert float(figures["mhdata_merged_rows"]) == reading.get("/api/ai/data/merge")["rows"]
    assert float(figures["mhdata_stale_stages"]) == 0
    problem(reading.client.get("/metrics", headers={"Authorization": ""}), 401)


def test_a_token_may_ask_so_often(doors: Doors) -> None:
    from fastapi.testclient import TestClient

    from mhdata.http.app import create_app
    from mhdata.http.auth import Tokens
    from mhdata.workspace import Workspace

    app = create_app(Workspace(doors.root), Tokens(["a" * 16, "b" * 16]), rate="3/hour")
    client = TestClient(app)

    def ask(token: str) -> httpx.Response:
        return client.get("/api/sources", headers={"Authorization": f"Bearer {token}"})  # type: ignore[return-value]

    assert [ask("a" * 16).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert 0 < int(ask("a" * 16).headers["retry-after"]) <= 3600
    assert ask("b" * 16).status_code == 200  # another's asking is not mine
    assert [ask("wrong").status_code for _ in range(4)] == [401, 401, 401, 429]
    assert client.get("/healthz").status_code == 200


# --- starting ---------------------------------------------------------------------------------------------------


def test_a_server_that_would_be_open_does_not_start(doors: Doors, tmp_path: Path) -> None:
    assert "there is no token" in doors.refused("serve", "--port", "0", MHDATA_TOKEN="")
    assert "--no-auth is for the loopback" in doors.refused("serve", "--no-auth", "--host", "0.0.0.0")
    assert "16 or more" in doors.refused("serve", MHDATA_TOKEN="short")
    assert "cannot be read" in doors.refused("serve", "--token-file", str(tmp_path / "none"), code=1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another" in doors.refused("serve", "--port", port, code=1, MHDATA_TOKEN=TOKEN)


def test_a_second_server_in_the_folder_is_refused(reading: Server, doors: Doors) -> None:
    assert "another `mhdata serve`" in doors.refused("serve", "--port", "0", MHDATA_TOKEN=TOKEN)


def test_without_the_extra_one_sentence_names_it(doors: Doors, tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("")
    hide = "import sys; sys.modules['fastapi'] = None; from mhdata.cli import main; main(['serve'])"
    done = subprocess.run([sys.executable, "-c", hide], cwd=doors.root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: `mhdata serve` needs fastapi: run `pip install -r requirements-serve.txt`"
    ]


def test_stages_do_not_inherit_the_token(building: Server) -> None:
    environment = Path(f"/proc/{building.process.pid}/environ")
    if not environment.exists():
        pytest.skip("needs /proc")
    module = building.root / "stages/formats/openai.py"
    text = module.read_text()
    shown = "import os, sys\nprint('note: token', os.environ.get('MHDATA_TOKEN'), file=sys.stderr)\n"
    module.write_text(
        text.replace("from __future__ import annotations\n", f"from __future__ import annotations\n{shown}", 1)
    )
    try:
        made = building.post("prepare", {"format": "openai"}, 200, wait=600)
        said = [data["text"] for _, name, data in building.events(made["job"]["id"]) if name == "said"]
        assert "note: token None" in said
    finally:
        module.write_text(text)
    building.post("build", code=200, wait=600)
