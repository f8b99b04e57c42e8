"""params.yaml as typed, checked values; an unknown key is refused with the nearest valid one."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
import yaml
from msgspec import Meta, Struct

from stages.errors import ParamsError

PATH = Path("params.yaml")

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Kind = Literal["chat", "pairs", "kto", "classification"]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all blocks: an unknown key is an error."""


class Pin(Strict, kw_only=True):
    """What an upstream file must be: size and a hash, where they are known."""

    bytes: Positive | None = None
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    blob: Annotated[str, Meta(pattern="^[0-9a-f]{40}$")] | None = None  # git-blob sha1, as the Hub's tree API gives it


class Pairs(Strict, kw_only=True):
    """Limits for preference pairs that we derive (see field.md, rule R5)."""

    max_per_post: Positive = 5
    length_ratio: Annotated[float, Meta(ge=1.0)] = 2.0  # longer over shorter, in characters


class Source(Strict, kw_only=True):
    """One source. `dataset` is its Hub id, `files` its upstream files with their pins."""

    dataset: str
    license: str
    files: dict[str, Pin]
    priority: Positive  # order of sources in every file, and which of two duplicates stays: lower first
    revision: str | None = None
    enabled: bool = True
    optional: bool = False  # may have no file: an empty table and a visible note
    license_files: dict[str, Pin] = {}
    enters: list[Kind] = []
    keep_all: bool = False  # no row of it leaves as a duplicate
    max_reject_share: Share = 0.05
    max_chars: Positive = 1_000_000  # of one text; longer rows are rejected
    columns: dict[str, str] | None = None  # our field -> the user's column, for a source without a fixed schema
    labels: dict[str, str] | None = None  # upstream label -> ours, for classification
    pairs: Pairs | None = None


class Engine(Strict, kw_only=True):
    """Where batches run. Changes no output and is no dep of one."""

    kind: Literal["local", "ray"] = "local"
    workers: Positive = 2
    address: str | None = None


class Screen(Strict, kw_only=True):
    """Base of all screens' params."""

    enabled: bool = True


class Language(Screen, kw_only=True):
    """Declared languages (ISO 639-1 codes of py3langid); a text is one of them or `und`."""

    languages: tuple[str, ...] = ("en", "ar", "de", "es", "fr", "hi", "it", "ja", "nl", "pl", "pt", "ru", "tr", "zh")
    min_letters: Count = 20
    min_confidence: Annotated[int, Meta(ge=0, le=100)] = 0


class Quality(Screen, kw_only=True):
    """Quality tags."""

    short_words: Count = 5  # fewer words than this are `short`


class Topics(Screen, kw_only=True):
    """Topics by lexicon."""

    min_score: Positive = 2  # weight of distinct cues that a topic needs


class Screens(Strict, kw_only=True):
    """One field per module of stages/screens, by its name."""

    language: Language = Language()
    quality: Quality = Quality()
    topics: Topics = Topics()


class Merge(Strict, kw_only=True):
    pass


class Split(Strict, kw_only=True):
    """Shares of rows by seeded hash of the group; the rest trains."""

    seed: int
    validation: Share = 0.2


class Export(Strict, kw_only=True):
    system: Literal["constant", "source", "none"] = "constant"
    system_message: str = "You are a helpful mental health assistant."
    instruction: str = "Respond to the following message in a helpful, supportive manner:"


class Params(Strict, kw_only=True):
    origin: Literal["sample", "hub", "local"]
    sources: dict[str, Source]
    split: Split
    formats: list[str]
    profile: str | list[str] = "research"
    export: Export = Export()
    screens: Screens = Screens()
    merge: Merge = Merge()
    engine: Engine = Engine()


def load(path: Path = PATH) -> Params:
    """Read and check the whole of params.yaml.

    Raises ParamsError that names the key, what was expected, and the nearest valid key.
    """
    try:
        tree = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing: run from the project's root, or restore it with `git checkout {path}`") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    try:
        params = msgspec.convert(tree, Params)
    except msgspec.ValidationError as error:
        raise ParamsError(f"{path}: {_explain(str(error), tree)}") from None
    _check(params)
    return params


def ordered(params: Params) -> list[str]:
    """Keys of all sources in their declared order: by priority, then key."""
    return sorted(params.sources, key=lambda key: (params.sources[key].priority, key))


_KEY = re.compile(r"^[a-z][a-z0-9_]*$")


def _check(params: Params) -> None:
    for key, source in params.sources.items():
        if not _KEY.match(key):
            raise ParamsError(f"{PATH}: sources.{key}: a source's key is lower-case letters, digits and underscores")
        if not source.files:
            raise ParamsError(f"{PATH}: sources.{key}.files is empty: name at least one upstream file")
        for file in [*source.files, *source.license_files]:
            if file.startswith("/") or ".." in Path(file).parts:
                raise ParamsError(f"{PATH}: sources.{key}: {file!r} is no path inside a dataset")


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`(?: - at `\$\.?(?P<at>.*)`)?$")
_PROBLEM = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<at>.*)`)?$", re.S)


def _explain(message: str, tree: Any) -> str:
    if unknown := _UNKNOWN.match(message):
        at = unknown["at"] or ""
        key = f"{at}.{unknown['name']}" if at else unknown["name"]
        near = difflib.get_close_matches(unknown["name"], _fields_at(at), 1, 0.5)
        return f"unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else f"; valid are {', '.join(_fields_at(at))}")
    problem = _PROBLEM.match(message)
    assert problem is not None
    where = problem["at"] or "the file"
    return f"`{where}`: {problem['what'][0].lower() + problem['what'][1:]}"


def _fields_at(at: str) -> list[str]:
    """Names of the fields of the block at a dotted path; `[...]` stands for any key of a mapping."""
    kind: Any = Params
    for part in [p for p in re.split(r"\.|(?=\[)", at) if p]:
        if part.startswith("["):
            kind = get_args(_block(kind))[-1]
        else:
            kind = get_type_hints(_block(kind), include_extras=True)[part]
    return list(_block(kind).__struct_fields__)


def _block(kind: Any) -> Any:
    """The Struct or mapping inside Annotated and Optional."""
    for inner in get_args(kind):
        if isinstance(inner, type) and issubclass(inner, Struct) and not str(kind).startswith("dict"):
            return inner
    return kind
