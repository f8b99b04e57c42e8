"""The protocol, proven on a real llama.cpp server."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from stages.llm import reply, scores, verdict
from stages.llm.answers import Answer
from stages.llm.client import Client
from stages.llm.endpoint import access, private_access
from stages.llm.request import Request, make
from stages.llm.verdict import Unfit
from stages.params import Endpoint, JudgeSampling, Model, Sampling
from tests.llm_project import PATIENCE, ROOT, Project

MISSING = [name for name in ("xllamacpp", "gguf") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} of requirements-dev.txt are not installed"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server."""
    from tests import tiny_llama

    model = tmp_path_factory.mktemp("llama") / "tiny.gguf"
    tiny_llama.write(model)
    command = [sys.executable, "-m", "tests.tiny_llama", str(model)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip() + "/v1"
    process.kill()
    process.wait()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    endpoint = Endpoint(base_url=address, timeout_s=PATIENCE)
    client = Client(access(endpoint), endpoint, 4)
    yield client
    client.close()


def settings(**sampling: object) -> Model:
    return Model(sampling=Sampling(**({"max_tokens": 20} | sampling)))  # type: ignore[arg-type]


def ask(client: Client, request: Request) -> object:
    return verdict.judge(client.post(request.body()), request)


def text(client: Client, request: Request) -> Answer:
    answer = ask(client, request)
    assert isinstance(answer, Answer)
    return answer


HELLO = (("system", "Be brief."), ("user", "Hello"))


def test_the_model_is_the_same_each_time(tmp_path: Path) -> None:
    from tests import tiny_llama

    tiny_llama.write(tmp_path / "a.gguf")
    tiny_llama.write(tmp_path / "b.gguf")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_an_answer_comes_with_tokens_and_a_finish(client: Client) -> None:
    answer = text(client, make(settings(), "s", "question", 0, HELLO))
    assert answer.finish_reason == "length"
    assert answer.tokens_out == 20
    assert 10 < answer.tokens_in < 200
    assert not answer.estimated
    assert answer.reported


def test_the_worst_case_is_never_less_than_what_is_billed(client: Client) -> None:
    from stages.llm.budget import worst_case

    for said in ("Hello", "é" * 50, "日本語" * 20, "\n\n\t {}", "x" * 500):
        request = make(settings(), "s", "question", 0, (("user", said),))
        answer = text(client, request)
        assert answer.tokens_in <= worst_case(request).tokens_in
        assert answer.tokens_out <= worst_case(request).tokens_out


def test_the_same_seed_says_the_same_and_another_something_else(client: Client) -> None:
    one, again, other = (
        text(client, make(settings(temperature=1.0), "s", "question", attempt, HELLO)).text for attempt in (0, 0, 1)
    )
    assert one == again != other


def test_a_schema_is_kept(client: Client) -> None:
    template = scores.prompt()
    judge = Model(sampling=JudgeSampling(temperature=1.0))
    for attempt in range(5):
        answer = text(client, scores.request(judge, template, "s", attempt, "A question", "An answer"))
        marks, _ = scores.read(reply.plain(answer)[0])
        assert list(marks) == list(scores.METRICS)


def test_a_prompt_beyond_the_context_fails_its_row_alone(client: Client) -> None:
    outcome = ask(client, make(settings(), "s", "question", 0, (("user", "too long " * 3000),)))
    assert isinstance(outcome, Unfit)
    assert outcome.reason == "context_length"


def test_a_pinned_address_is_reached_under_its_own_name(address: str) -> None:
    endpoint = Endpoint(base_url=address.replace("127.0.0.1", "localhost"), timeout_s=PATIENCE)
    client = Client(private_access(endpoint, [], allow_remote=False), endpoint, 1)
    assert isinstance(ask(client, make(settings(), "s", "question", 0, HELLO)), Answer)
    client.close()


def test_a_whole_run_of_the_judge(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve ratings through the stage: every one can be read, and a second run asks for none."""
    monkeypatch.delenv("MHDATA_SPOOL", raising=False)
    project = Project(tmp_path, address)
    changes = {
        "mode": "live",
        "of": "answers",
        "repeats": 3,
        "endpoint.model": "tiny",
        "endpoint.provider": "llama.cpp",
    }
    project.set(changes | {"sampling.temperature": 1.0}, "judge")
    rows = [
        {"id": f"r{number}", "question": "How do I sleep?", "answer": f"Try answer {number}."} for number in range(4)
    ]
    place = tmp_path / "data/sample/judge/answers.jsonl"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    project.run(monkeypatch, "judge")
    report = json.loads((tmp_path / "data/judge/report.json").read_text(encoding="utf-8"))
    assert report["unread"]["share"] == 0.0
    assert report["answers"]["used"] == 12
    assert all(1 <= metric["low"] <= metric["mean"] <= metric["high"] <= 10 for metric in report["metrics"].values())
    before = project.digests("data/judge")
    project.set({"mode": "replay", "endpoint.base_url": "http://127.0.0.1:9/v1"}, "judge")
    project.run(monkeypatch, "judge")
    assert project.digests("data/judge") == before
