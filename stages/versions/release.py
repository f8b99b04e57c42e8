"""A release: what it holds, with hashes, obligations and the change against the last one, and how to cite it.

A release is a commit tagged data-vVERSION. Beside the dvc.lock files it holds data/releases/VERSION.json (every output
with DVC's hash, and the sha256 of every file) and CITATION.cff.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages import laws, ledger, licenses, params, recorded, sharing
from stages.errors import LawError, ParamsError, RefusedError
from stages.files import sha256
from stages.licenses.travel import credit
from stages.recorded import Out, Recorded

FOLDER = Path("data/releases")
CITATION = Path("CITATION.cff")
_VERSION = re.compile(r"\d+(?:\.\d+){0,2}")
TITLE = "mhdata: one corpus from the public mental-health conversation datasets"


@dataclass(frozen=True)
class Commit:
    """The commit that a release is made of: its id, its date (ISO 8601, a day) and the address of its repository."""

    id: str
    date: str
    repository: str | None = None


def tag(version: str) -> str:
    """The tag of a version. Raises ParamsError for what is no version.

    >>> tag("1.0")
    'data-v1.0'
    """
    if not _VERSION.fullmatch(version):
        raise ParamsError(f"{version!r} is no version: give one to three numbers, as 1, 1.2 or 1.2.3")
    return f"data-v{version}"


def last(tags: Iterable[str]) -> str | None:
    """The highest of some tags that is a release, or None.

    >>> last(["data-v1.9", "data-v1.10", "v3", "data-vnext"])
    'data-v1.10'
    """
    found = [name for name in tags if name.startswith("data-v") and _VERSION.fullmatch(name[6:])]
    return max(found, key=lambda name: tuple(map(int, name[6:].split("."))), default=None)


def check(root: Path, build: sharing.Build) -> None:
    """Raises RefusedError if a licence or the profile forbids it, LawError if a law does not hold in this build."""
    reason = licenses.refusal(build.licenses(), build.profile) or build.refusal()
    if reason:
        raise RefusedError(f"nothing was released: {reason}")
    breaches = list(laws.broken(root))
    if breaches:
        more = f" (and {len(breaches) - 1} more)" if len(breaches) > 1 else ""
        raise LawError(f"nothing was released, since a law is broken: {breaches[0]}{more}: run `mhdata build --force`")


def describe(
    root: Path, version: str, commit: Commit, build: sharing.Build, locked: Recorded, change: dict[str, Any] | None
) -> dict[str, Any]:
    """What data/releases/VERSION.json holds. `change` as `changed` gives it, null for a first release."""
    counts = ledger.read_joined(root)
    merge, held = locked.params("merge"), build.held()
    rows = {key: account["out"] for key, account in counts["merge"].items() if account["out"]}
    sources = {key: _source(key, merge, rows[key], counts["split"][key]) for key in rows}
    return {
        "version": version,
        "tag": tag(version),
        "commit": commit.id,
        "date": commit.date,
        "profile": merge["profile"],
        "rows": sum(rows.values()),
        "sources": sources,
        "obligations": licenses.obligations({source["license"] for source in sources.values()}),
        "artifacts": [_artifact(root, out, held.get(out.path)) for _, out in sorted(locked.outs.items())],
        "change": change,
    }


def _source(key: str, merge: dict[str, Any], rows: int, split: dict[str, Any]) -> dict[str, Any]:
    made = key in params.MADE
    source = {"dataset": key, "license": merge[f"{key}.license"]} if made else merge["sources"][key]
    sides = {name: count for name, count in split.get("details", {}).items() if name in SIDES and count}
    return {
        "dataset": source["dataset"], "revision": source.get("revision"), "license": source["license"], "rows": rows,
        "sides": sides,
    }  # fmt: skip


SIDES = ("train", "validation", "test", "held_out")


def _artifact(root: Path, out: Out, held: str | None) -> dict[str, Any]:
    """An output: DVC's hash, and the sha256 of its file or of each of its files by path below it."""
    path = root / out.path
    entry: dict[str, Any] = {"path": out.path, "stage": out.stage, "bytes": out.size, "md5": out.md5}
    if held:
        return entry | {"not_on_the_remote": held}
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return entry | {"files": {file.relative_to(path).as_posix(): sha256(file) for file in files}}
    return entry | {"sha256": sha256(path)}


def changed(since: str, before: dict[str, Any], locked: Recorded, rows: dict[str, Any] | None) -> dict[str, Any]:
    """The change against the last release, of its description: outputs by what became of them, and rows.

    `rows` is what `stages.versions.diff` counts between the two.
    """
    old = {artifact["path"]: artifact["md5"] for artifact in before["artifacts"]}
    new = {path: out.md5 for path, out in locked.outs.items()}
    outputs = {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(path for path in old.keys() & new.keys() if old[path] != new[path]),
    }
    return {"since": since, "outputs": outputs, "rows": rows}


def citation(description: dict[str, Any], repository: str | None) -> bytes:
    """CITATION.cff (1.2.0) of a release: the corpus, and every dataset whose rows it holds."""
    found: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "Please cite the corpus and the datasets whose rows you use.",
        "type": "dataset",
        "title": TITLE,
        "version": description["version"],
        "date-released": description["date"],
        "commit": description["commit"],
        "authors": [{"name": "The mhdata maintainers"}],
        "keywords": ["mental health", "counseling", "conversations", "fine-tuning"],
    }
    if repository:
        found["repository-code"] = repository
    found["references"] = [_reference(source["dataset"]) for source in description["sources"].values()]
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=120).encode()


def _reference(dataset: str) -> dict[str, Any]:
    known = credit(dataset)
    names = known["authors"] or [known["name"]]
    reference = {"type": "data", "title": known["name"], "authors": [{"name": name} for name in names]}
    return reference | {name: known[name] for name in ("url", "doi") if known.get(name)}


def load(root: Path) -> tuple[sharing.Build, Recorded]:
    """The recorded build, with what of it may leave. Raises PipelineError where it is not one build."""
    locked = recorded.load(root)
    return sharing.Build(root, locked), locked
