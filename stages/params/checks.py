"""What no single value of params.yaml can show to be wrong: names that must be names of something."""

from __future__ import annotations

import contextlib
import difflib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import ParamsError
from stages.params.blocks import FORMATS, LICENSES, PROFILES
from stages.params.model import MADE
from stages.params.reading import PATH, nearest

if TYPE_CHECKING:
    from stages.params import Params
    from stages.params.blocks import Source

LONGEST_NAME = 230  # bytes; file systems take 255, and a file that is not whole yet has a longer name
LONGEST_PATH = 1000
_STAGES = Path(__file__).parents[1]
_KEY = re.compile(r"^[a-z][a-z0-9_]*$")


_QUALITY = (
    "quality", "quality:base64", "quality:short", "quality:url", "quality:self_promotion", "quality:ai_disclaimer",
    "quality:placeholder", "quality:moderator", "quality:glued_sentences", "quality:mojibake", "quality:html",
)  # fmt: skip
# What a rule of `policy` may name (stages/policy.py), beside `language:` with a declared code: a test compares.
FINDINGS = (
    "pii", "pii:public", "pii:hint", "pii:email", "pii:url", "pii:card", "pii:ssn", "pii:medical_id", "pii:phone",
    "pii:ip", "pii:handle", "pii:birth_date", "pii:address", "pii:name",
    "crisis", "crisis-review", "crisis-unreferred",
    *_QUALITY, *(f"rejected-{name}" for name in _QUALITY),
    "language", "language:und",
)  # fmt: skip


def _check_policy(params: Params) -> None:
    """Raise ParamsError for a rule about something no screen finds: a slip would switch a protection off."""
    known = (*FINDINGS, *(f"language:{code}" for code in params.screens.language.languages))
    for source, rules in params.policy.items():
        for finding in rules:
            if finding not in known:
                raise ParamsError(f"{PATH}: policy.{source}: no screen finds {finding!r}: {nearest(finding, known)}")


def check(params: Params) -> None:
    """Raise ParamsError unless every name is the name of something, and the blocks fit together."""
    _check_policy(params)
    for key in params.policy:
        if key not in ("default", *MADE) and key not in params.sources:
            raise ParamsError(f"{PATH}: policy.{key} is no source: {nearest(key, ('default', *MADE, *params.sources))}")
    if params.merge.together > params.merge.remove:
        raise ParamsError(f"{PATH}: merge.together is above merge.remove: rows to remove must stand on one side first")
    for key, source in params.sources.items():
        _check_source(key, source)
    _check_formats(params)
    _check_export(params)
    check_license(params.synthesize.license, "synthesize.license")
    check_license(params.paraphrase.license, "paraphrase.license")
    check_profile(params.profile)
    for place, pattern in enumerate(params.synthesize.filters.leftovers):
        if not _re2_reads(pattern):
            raise ParamsError(
                f"{PATH}: synthesize.filters.leftovers[{place}] is nothing that RE2 can read: {pattern!r}: mend it or "
                "take it out"
            )


def _check_source(key: str, source: Source) -> None:
    if not _KEY.match(key):
        raise ParamsError(f"{PATH}: sources.{key}: a source's key is lower-case letters, digits and underscores")
    if not (_STAGES / "sources" / f"{key}.py").exists():
        # Listed only to answer a wrong key: no stage declares the folder as a dep.
        modules = sorted(module.stem for module in (_STAGES / "sources").glob("[a-z]*.py"))
        near = difflib.get_close_matches(key, modules, 1, 0.7)
        if near:  # stages.sources refuses others
            raise ParamsError(f"{PATH}: sources.{key} has no module stages/sources/{key}.py: did you mean {near[0]}")
    if not source.files:
        raise ParamsError(f"{PATH}: sources.{key}.files is empty: name at least one upstream file")
    for name in ("files", "license_files"):
        for file in getattr(source, name):
            parts = file.split("/")
            if any(part in ("", ".", "..") for part in parts) or not file.isprintable() or file == "receipt.json":
                raise ParamsError(f"{PATH}: sources.{key}.{name}: {file!r} is no path inside a dataset")
            if max(len(part.encode()) for part in parts) > LONGEST_NAME or len(file.encode()) > LONGEST_PATH:
                raise ParamsError(
                    f"{PATH}: sources.{key}.{name}: {file[:40]!r}... is too long for a file system: a name may have "
                    f"{LONGEST_NAME} bytes, a path {LONGEST_PATH}"
                )
    check_license(source.license, f"sources.{key}.license")


def _check_formats(params: Params) -> None:
    """Raise ParamsError unless all that is said of formats is said of ones that exist."""
    for where, names, known in (
        ("formats", params.formats, (*FORMATS, "all")),
        ("export.services", params.export.services, FORMATS),
    ):
        for name in names:
            if name not in known:
                raise ParamsError(f"{PATH}: {where}: there is no format {name!r}: {nearest(name, known)}")


def _check_export(params: Params) -> None:
    """Raise ParamsError unless the sources that `export` names are sources."""
    mixture, known = params.export.mixture, (*params.sources, *MADE)
    named = {
        "export.sources": params.export.sources,
        **{f"export.mixture.{name}": list(getattr(mixture, name)) for name in ("weights", "rates", "caps")},
    }
    for where, keys in named.items():
        for key in keys:
            if key not in known:
                raise ParamsError(f"{PATH}: {where}: there is no source {key!r}: {nearest(key, known)}")


# What RE2 and Python's `re` both read: plain signs, escapes, classes, groups without a look around.
_SHARED = re.compile(
    r"(?:[^\\(\[]|\((?!\?)|\(\?(?:[ims]+[:)]|:|P<)|\\[wWdDsSbBnrtfv\W]|\[\^?(?:[^\]\\\[]|\\[wWdDsSnrtfv\W])+\])*", re.S
)
_APART = re.compile(r"[*+?}]\+|--|&&|~~|\|\|")  # possessive repeats; what `re` may take for operations on sets
_REPEAT = re.compile(r"\{(?:\d*,)?(\d+)")


def _re2_reads(pattern: str) -> bool:
    """Whether RE2 can read a pattern. Python's own `re` answers for those that both read alike, without pyarrow."""
    repeats = math.prod(int(times) for times in _REPEAT.findall(pattern))
    if len(pattern) < 500 and repeats <= 1000 and _SHARED.fullmatch(pattern) and not _APART.search(pattern):
        with contextlib.suppress(re.error, OverflowError):
            re.compile(pattern)
            return True
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid:
        return False
    return True


def check_license(name: str, where: str) -> None:
    """Raise ParamsError unless a licence of that name is described in stages/licenses."""
    if name not in LICENSES:
        near = nearest(name, LICENSES)
        raise ParamsError(
            f"{PATH}: {where}: the licence {name!r} is unknown: {near}, or describe it in stages/licenses"
        )


def check_profile(profile: str | list[str]) -> None:
    """Raise ParamsError unless it is the name of a profile, or a list of known licences."""
    if isinstance(profile, list):
        if not profile:
            raise ParamsError(f"{PATH}: profile is an empty list: name at least one licence, or a profile")
        for name in profile:
            check_license(name, "profile")
    elif profile in LICENSES:
        raise ParamsError(f"{PATH}: profile takes a list of licences: write [{profile}]")
    elif profile not in PROFILES:
        near = nearest(profile, PROFILES)
        raise ParamsError(f"{PATH}: profile {profile!r} is unknown: {near}, or give a list of licences")
