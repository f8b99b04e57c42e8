"""One request to a chat model, and the key under which its answer is kept."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from stages.params import Model, Sampling

FORMAT = 1  # of the key: raise it when the same fields come to mean another request

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """Everything that decides the answer. The address, the time and the API key do not, and are not in it."""

    slot: str
    part: str
    attempt: int
    provider: str
    model: str
    messages: tuple[tuple[str, str], ...]  # role, content
    sampling: Sampling
    max_tokens: int
    seed: int
    schema: Schema | None = None  # JSON schema of the answer

    @functools.cached_property
    def key(self) -> str:
        """sha256 of the canonical JSON of all fields: 64 hex digits."""
        whole = {
            "format": FORMAT,
            "slot": self.slot,
            "part": self.part,
            "attempt": self.attempt,
            "provider": self.provider,
            "model": self.model,
            "messages": self.messages,
            "sampling": msgspec.to_builtins(self.sampling),
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "schema": self.schema,
        }
        return hashlib.sha256(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def body(self, max_tokens_field: str = "max_tokens") -> dict[str, Any]:
        """The JSON body for `POST <base_url>/chat/completions`."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": role, "content": content} for role, content in self.messages],
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            max_tokens_field: self.max_tokens,
            "seed": self.seed,
            "n": 1,
            "stream": False,
        }
        if self.schema is not None:
            named = {"name": self.part, "strict": True, "schema": self.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body

    @functools.cached_property
    def prompt_bytes(self) -> int:
        """UTF-8 bytes of all that the model reads."""
        schema = len(orjson.dumps(self.schema)) if self.schema is not None else 0
        return schema + sum(len(role.encode()) + len(content.encode()) for role, content in self.messages)


def make(
    settings: Model,
    slot: str,
    part: str,
    attempt: int,
    messages: tuple[tuple[str, str], ...],
    *,
    truncated: int = 0,
    schema: Schema | None = None,
) -> Request:
    """A request by the params. Each truncated answer of the slot gives the next ones half more tokens, up to twice."""
    sampling = settings.sampling
    return Request(
        slot, part, attempt, settings.endpoint.provider, settings.endpoint.model, messages, sampling,
        max_tokens=sampling.max_tokens * (2 + min(truncated, 2)) // 2,
        seed=draw(settings.seed, slot, part, attempt) & 0x7FFFFFFF,
        schema=schema if sampling.response_format == "json_schema" else None,
    )  # fmt: skip


def draw(*parts: object) -> int:
    """A number of 64 bits that looks random and depends on the parts alone.

    >>> draw(1, "a") == draw(1, "a") != draw(1, "b")
    True
    """
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big")
