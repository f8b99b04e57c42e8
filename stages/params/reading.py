"""A YAML file as typed values, or one sentence that says which value is wrong, what was expected and where."""

from __future__ import annotations

import difflib
import math
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin

import msgspec
import yaml
from msgspec import Struct

from stages.errors import ParamsError

PATH = Path("params.yaml")
T = TypeVar("T")

MOST = 1 << 20  # bytes of a params.yaml
NEAR = 0.65  # likeness from which a name is taken for a slip of another one
DEEPEST = 100  # blocks inside blocks; libyaml's composer calls itself for each, and dies of some ten thousand

# msgspec works a type out at its first use, and dies of two threads that do so at once: a server's first requests.
_ALONE = threading.Lock()
_C_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _resolvers() -> dict[str, list[Any]]:
    """Words are read as YAML 1.2 does, and with it DVC: `off` is a word, only `true` and `false` are truth values.

    A date is a word too: ours are checked where they are declared.
    """
    kept: dict[str, list[Any]] = {}
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items():
        words = [rule for rule in rules if first in "tTfF" or not rule[0].endswith(":bool")]
        kept[first] = [rule for rule in words if not rule[0].endswith(":timestamp")]
    return kept


class _Loader(_C_LOADER):  # type: ignore[misc]
    yaml_implicit_resolvers = _resolvers()

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):  # PyYAML lets those of int(), float() and the like through
            raise _misread(node, f"{_short(node.value)} cannot be read as {node.tag.rpartition(':')[2]}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _misread(node, f"{node.value} is not a number that can be used")
        if isinstance(value, str) and (found := _CONTROL.search(value)):
            raise _misread(node, f"a text holds the control character {found[0]!a}")
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:  # else the last would win without a word
                    raise _misread(key, f"the key {_short(key.value)} stands twice in one block")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _misread(node: yaml.Node, says: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, says, node.start_mark)


def _short(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:40]!r}... ({len(text):,} characters)"


def tree(path: Path = PATH) -> Any:
    """What a YAML file holds, unchecked. Raises ParamsError for one that is missing or no YAML."""
    try:
        data = path.read_bytes()
        if len(data) > MOST:
            raise ParamsError(f"{path} has {len(data):,} bytes: this is no file of params, restore it with git")
        _check_depth(path, data)
        return yaml.load(data, Loader=_Loader)  # noqa: S506 it is a safe loader
    except FileNotFoundError:
        raise ParamsError(
            f"{path} is missing: run from the project's root, or restore it with `git checkout {path}`"
        ) from None
    except yaml.YAMLError as error:
        said = " ".join(str(error).replace('in "<byte string>", ', "at ").split())
        raise ParamsError(f"{path} is not valid YAML: {said}: mend that place") from None


def _check_depth(path: Path, data: bytes) -> None:
    """Raise ParamsError for blocks that nest too deep."""
    if sum(data.count(sign) for sign in (b"[", b"{", b"- ", b"-\n", b"? ")) < 1000:
        return  # each level but an indented one takes such a sign
    depth = 0
    for event in yaml.parse(data, Loader=_C_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ParamsError(f"{path} nests more than {DEEPEST} blocks: is it the right file?")


def typed(value: Any, kind: type[T], path: Path = PATH) -> T:
    """A tree as a value of a type. Raises ParamsError that names the place, what was expected, and the nearest key."""
    try:
        with _ALONE:
            return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ParamsError(f"{path}: {_explained(_fault(value, kind, _Fault('', str(error), kind, value)))}") from None


def nearest(name: str, valid: Sequence[str]) -> str:
    """How a sentence about a wrong name ends."""
    lower = {known.lower(): known for known in valid}
    near = difflib.get_close_matches(name.lower(), lower, 1, NEAR)
    return f"did you mean {lower[near[0]]}" if near else f"known are {', '.join(valid)}"


# --- where a tree does not fit its type ------------------------------------------------------------------------


class _Fault(NamedTuple):
    """A value that does not fit: its place, msgspec's words, the type it should have."""

    at: str
    says: str
    kind: Any
    value: Any


def _fault(value: Any, kind: Any, whole: _Fault) -> _Fault:
    """The innermost fault: msgspec writes `sources[...]` for any source, and one of several faults at random."""
    for at, inner, inner_kind in _children(value, kind):
        place = f"{whole.at}{at}".lstrip(".")
        try:
            msgspec.convert(inner, inner_kind)
        except msgspec.ValidationError as error:
            return _fault(inner, inner_kind, _Fault(place, str(error), inner_kind, inner))
    return whole


def _children(value: Any, kind: Any) -> Iterator[tuple[str, Any, Any]]:
    """Parts of a value, each with its place in it and the type that it should have."""
    block = _block(kind, type(value))
    if isinstance(value, dict) and _is_struct(block):
        for field in msgspec.structs.fields(block):
            if field.encode_name in value:
                yield f".{field.encode_name}", value[field.encode_name], field.type
    elif isinstance(value, dict) and get_origin(block) is dict:
        keys, values = get_args(block)
        for key, inner in value.items():
            yield f".{key}", key, keys
            yield f".{key}", inner, values
    elif isinstance(value, list) and get_origin(block) is list:
        yield from ((f"[{place}]", inner, get_args(block)[0]) for place, inner in enumerate(value))
    elif isinstance(value, list) and get_origin(block) is tuple:
        kinds = get_args(block)
        several = kinds[:1] * len(value) if kinds[-1] is ... else kinds
        yield from ((f"[{at}]", inner, one) for at, (inner, one) in enumerate(zip(value, several, strict=False)))


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _block(kind: Any, of: type) -> Any:
    """The plain type that a value of type `of` should meet: Annotated undone, of a union the part that it may be."""
    if get_origin(kind) is Annotated:
        return _block(get_args(kind)[0], of)
    if get_origin(kind) in (dict, list, tuple, Literal) or not get_args(kind):
        return kind
    kinds = [_block(one, of) for one in get_args(kind) if one is not type(None)]
    return next((one for one in kinds if of in (one, get_origin(one)) or (of is dict and _is_struct(one))), kinds[0])


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_GOT = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`")
_MENDS = {
    ("array", "str"): ": write a list, [{value}]",
    ("str", "int"): ": put it in quotes",
    ("str", "float"): ": put it in quotes",
    ("str", "bool"): ": put it in quotes",
    ("bool", "str"): ": write true or false",
}


def _explained(fault: _Fault) -> str:
    says = re.sub(r" - at `.*`$", "", fault.says, flags=re.S)
    block = _block(fault.kind, type(fault.value))
    if (unknown := _UNKNOWN.match(says)) and _is_struct(block):
        place, valid = f"{fault.at}." if fault.at else "", [f.encode_name for f in msgspec.structs.fields(block)]
        near = difflib.get_close_matches(unknown["name"], valid, 1, NEAR)
        mend = f"did you mean `{near[0]}`?" if near else f"valid are {', '.join(valid)}"
        return f"unknown key `{place}{unknown['name']}`; {mend}"
    if says.startswith("Invalid enum value") and get_origin(block) is Literal:
        valid = [str(word) for word in get_args(block)]
        near = difflib.get_close_matches(str(fault.value), valid, 1, NEAR)
        says = f"there is no {fault.value!r}: " + (f"did you mean {near[0]}? " if near else "")
        return f"`{fault.at}`: {says}valid are {', '.join(valid)}"
    got = _GOT.match(says)
    how = _MENDS.get((got["wanted"].split(" | ")[0], got["got"]), "") if got else ""
    says = says[:1].lower() + says[1:] + how.format(value=fault.value)
    return f"`{fault.at or 'the file'}`: {says}"
