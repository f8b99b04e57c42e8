"""Whom we talk to, with which key, and what may never go where."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from stages.errors import ParamsError
from stages.llm import endpoint
from stages.params import Endpoint


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service with known answers."""
    known = {
        "localhost": ["127.0.0.1", "::1"], "127.0.0.1": ["127.0.0.1"], "::1": ["::1"], "gpu.lan": ["192.168.1.5"],
        "api.example.com": ["203.0.113.5"], "rebind.example.com": ["127.0.0.1", "203.0.113.5"],
    }  # fmt: skip

    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror("unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.delenv("LLM_API_KEY", raising=False)


def at(host: str) -> Endpoint:
    return Endpoint(base_url=f"http://{host}/v1/")


def test_this_machine_needs_no_key_and_uses_no_proxy() -> None:
    reached = endpoint.access(at("localhost:8080"))
    assert (reached.url, reached.key, reached.proxies) == ("http://localhost:8080/v1/chat/completions", None, False)


@pytest.mark.parametrize("host", ["api.example.com", "gpu.lan", "rebind.example.com", "unknown.example.com"])
def test_another_machine_needs_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParamsError, match=r"\$LLM_API_KEY is not set"):
        endpoint.access(at(host))
    monkeypatch.setenv("LLM_API_KEY", "sk-1")
    assert endpoint.access(at(host)).key == "sk-1"


def test_a_key_that_is_no_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_API_KEY", "sk-ü\nX-Evil: 1")
    with pytest.raises(ParamsError) as refused:
        endpoint.access(at("api.example.com"))
    assert "sk-" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "pinned"), [("localhost:1", "127.0.0.1"), ("127.0.0.1:1", "127.0.0.1"), ("[::1]:1", "::1")]
)
def test_private_text_may_go_to_this_machine_at_the_address_that_was_checked(host: str, pinned: str) -> None:
    reached = endpoint.private_access(at(host), [], allow_remote=False)
    assert (reached.pinned, reached.proxies, reached.host) == (pinned, False, host)


@pytest.mark.parametrize("host", ["api.example.com", "gpu.lan", "rebind.example.com", "unknown.example.com"])
def test_private_text_goes_nowhere_else(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_API_KEY", "sk-1")
    with pytest.raises(ParamsError, match="is not this machine, and transcripts stay here"):
        endpoint.private_access(at(host), ["other.lan"], allow_remote=False)


def test_private_text_may_go_to_a_listed_host_but_not_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_API_KEY", "sk-1")
    assert endpoint.private_access(at("gpu.lan"), ["GPU.lan"], allow_remote=False).proxies is False
    assert endpoint.private_access(at("api.example.com"), [], allow_remote=True).proxies is False
