"""params.yaml as typed, checked values; an unknown key is refused with the nearest valid one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from stages.errors import ParamsError
from stages.params.blocks import (
    FORMATS,
    LICENSES,
    PROFILES,
    Action,
    Card,
    Count,
    Crisis,
    Decontaminate,
    Engine,
    Export,
    Kind,
    Language,
    Merge,
    Mixture,
    NamesSpacy,
    Pairs,
    Pii,
    Pin,
    Positive,
    Quality,
    Referral,
    Score,
    Screen,
    Screens,
    Seed,
    Service,
    Share,
    Source,
    Split,
    Strict,
    Topics,
    ToxicityDetoxify,
)
from stages.params.checks import FINDINGS, check, check_license, check_profile
from stages.params.model import (
    MADE,
    Band,
    Endpoint,
    Filters,
    Gate,
    Judge,
    JudgeSampling,
    Leak,
    Length,
    Limits,
    MinWords,
    Mode,
    Model,
    NearDup,
    Opening,
    Page,
    PageSampling,
    Paraphrase,
    Policy,
    Price,
    Retry,
    Sampling,
    Seconds,
    Synthesize,
    Topic,
)
from stages.params.reading import PATH, nearest, tree, typed

__all__ = [
    "FINDINGS",
    "FORMATS",
    "LICENSES",
    "MADE",
    "PATH",
    "PROFILES",
    "Action",
    "Band",
    "Card",
    "Count",
    "Crisis",
    "Decontaminate",
    "Endpoint",
    "Engine",
    "Export",
    "Filters",
    "Gate",
    "Judge",
    "JudgeSampling",
    "Kind",
    "Language",
    "Leak",
    "Length",
    "Limits",
    "Merge",
    "MinWords",
    "Mixture",
    "Mode",
    "Model",
    "NamesSpacy",
    "NearDup",
    "Opening",
    "Page",
    "PageSampling",
    "Pairs",
    "Params",
    "Paraphrase",
    "Pii",
    "Pin",
    "Policy",
    "Positive",
    "Price",
    "Quality",
    "Referral",
    "Retry",
    "Sampling",
    "Score",
    "Screen",
    "Screens",
    "Seconds",
    "Seed",
    "Service",
    "Share",
    "Source",
    "Split",
    "Strict",
    "Synthesize",
    "Topic",
    "Topics",
    "ToxicityDetoxify",
    "Unread",
    "check_license",
    "check_profile",
    "checked",
    "load",
    "nearest",
    "ordered",
    "tree",
    "typed",
    "with_made",
]


class Params(Strict, frozen=True, kw_only=True):
    origin: Literal["sample", "hub", "local"]
    sources: dict[str, Source]
    split: Split
    formats: list[str]
    profile: str | list[str] = "research"
    export: Export = Export()
    card: Card = Card()
    screens: Screens = Screens()
    merge: Merge = Merge()
    policy: dict[str, dict[str, Action]] = {}  # a source's key or `default` -> finding -> action
    decontaminate: Decontaminate = Decontaminate()
    synthesize: Synthesize = Synthesize()
    paraphrase: Paraphrase = Paraphrase()
    judge: Judge = Judge()
    engine: Engine = Engine()


def load(*names: str, path: Path = PATH) -> Params:
    """Read and check the whole of params.yaml; give the named blocks ("split", "sources.trace"), or all.

    A stage names what it reads, exactly as its `params` in dvc.yaml does: the other blocks are then out of its
    reach. `engine` is never named there, since where batches run changes no output.
    Raises ParamsError that names the key, what was expected, and the nearest valid key.
    """
    params = checked(tree(path), path)
    return _only(params, names) if names else params


def checked(found: Any, path: Path = PATH) -> Params:
    """The whole of what `tree` read from a params.yaml, checked. Raises ParamsError."""
    params = typed(found, Params, path)
    check(params)
    return params


class Unread:
    """Stands for a block that the stage did not name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, field: str) -> Any:
        raise AssertionError(f"params: {self._name}.{field} is read but not named in load(), nor in dvc.yaml")


def _only(params: Params, names: tuple[str, ...]) -> Params:
    blocks = {name.partition(".")[0] for name in names} | {"engine"}
    changes: dict[str, Any] = {name: Unread(name) for name in Params.__struct_fields__ if name not in blocks}
    inner = [name.partition(".")[2] for name in names if name.startswith("sources.")]
    if inner and "sources" not in names:
        for key in inner:
            if key not in params.sources:
                raise ParamsError(f"{PATH} has no source {key!r}: {nearest(key, list(params.sources))}")
        changes["sources"] = {key: params.sources[key] for key in inner}
    return msgspec.structs.replace(params, **changes)


def with_made(params: Params) -> Params:
    """The same params with the tables of MADE among the sources."""
    made = {
        key: Source(
            dataset=key, license=getattr(params, key).license, files={}, priority=10_000 + place, enters=["chat"]
        )
        for place, key in enumerate(MADE)
    }
    return msgspec.structs.replace(params, sources={**params.sources, **made})


def ordered(params: Params) -> list[str]:
    """Keys of all sources in their declared order: by priority, then key."""
    return sorted(params.sources, key=lambda key: (params.sources[key].priority, key))
