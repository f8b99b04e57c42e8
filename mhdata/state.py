"""What is built, what is stale, and which formats stand where. Nothing here changes anything."""

from __future__ import annotations

import datetime
import importlib.metadata
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mhdata import dvc, formats, graph, locks
from mhdata.failures import BuildError
from mhdata.results import ExportedFile, PreparedFormat
from mhdata.workspace import Workspace
from stages import params
from stages.files import read_json

LIBRARIES = ("dvc", "pyarrow", "datasets", "numpy", "msgspec", "orjson", "huggingface_hub")


def merged_exists(workspace: Workspace) -> bool:
    return workspace.merged.exists()


def prepared(workspace: Workspace, name: str, selected: list[str] | None = None) -> PreparedFormat:
    """A format's files as they stand on disk, by its ledger. `selected`: the formats of params.yaml, if known."""
    chosen = name in (formats.selected(workspace) if selected is None else selected)
    try:
        path = workspace.path(f"data/ledger/export/{name}.json")
        account = read_json(path, "files", "selected", "rows", "note")
    except FileNotFoundError:
        return PreparedFormat(name, chosen, False)
    files = tuple(
        ExportedFile(workspace.exports / file["path"], file["split"], file["rows"], file["bytes"], file["sha256"])
        for file in account["files"]
    )
    exists = bool(account["selected"]) and all(file.path.exists() for file in files)
    return PreparedFormat(name, chosen, exists, files if exists else (), account["rows"], account["note"])


def status(workspace: Workspace, ask: Callable[[Workspace], dvc.Reasons | None] | None = None) -> dict[str, Any]:
    """All of it as one JSON object. `stale` is null where a running build keeps us from asking DVC.

    `ask` gives the stale stages: `stale_stages`, or what remembers its answer.
    """
    settings = params.load(path=workspace.path("params.yaml"))
    stages, selected = graph.load(workspace), formats.selected(workspace)
    holder = locks.holder(workspace)
    stale = None if holder else (ask or stale_stages)(workspace)
    reach = stages.downstream(stale) if stale is not None else set()
    return {
        "root": str(workspace.root),
        "origin": settings.origin,
        "profile": settings.profile,
        "building": {"pid": holder.pid, "target": holder.target, "since": holder.since} if holder else None,
        "up_to_date": None if stale is None else not stale,
        "merged": merged(workspace, None if stale is None else "merge" in reach),
        "formats": {
            name: _format(prepared(workspace, name, selected), stages, None if stale is None else reach)
            for name in stages.formats
        },
        "stages": [
            {
                "stage": stage.name,
                "description": stage.description,
                "state": _stage_state(workspace, stage, stale, reach),
                "why": (stale or {}).get(stage.name, []),
                "reads": list(stages.parents[stage.name]),
            }
            for stage in stages.stages.values()
        ],
        "versions": versions(),
    }


def stale_stages(workspace: Workspace, files: Iterable[str] = ()) -> dvc.Reasons | None:
    """The stages that DVC finds stale, each with why; None where a build keeps us from asking. Raises BuildError.

    `files`: only the stages of these dvc.yaml.
    """
    locks.mend(workspace)
    try:
        return dvc.status(workspace, files)
    except BuildError:
        if locks.holder(workspace) or locks.dvc_processes(workspace):
            return None  # somebody builds since we looked
        raise


def _stage_state(workspace: Workspace, stage: graph.Stage, stale: dvc.Reasons | None, reach: set[str]) -> str:
    """missing: an output is not there; stale: it would run; behind: something before it is stale; built."""
    if not all(workspace.path(out).exists() for out in stage.outs):
        return "missing"
    if stale is None:
        return "unknown"
    return "stale" if stage.name in stale else "behind" if stage.name in reach else "built"


def merged(workspace: Workspace, stale: bool | None) -> dict[str, Any]:
    """The merged table: where, since when, how large."""
    path = workspace.merged
    if not path.exists():
        return {"exists": False, "path": str(path), "when": None, "rows": None, "bytes": None, "stale": stale}
    from stages.storage import row_count

    return {
        "exists": True,
        "path": str(path),
        "when": when(path),
        "rows": row_count(path),
        "bytes": path.stat().st_size,
        "stale": stale,
    }


def when(path: Path) -> str:
    """When a file was written: local time, ISO 8601."""
    return datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone().isoformat(timespec="seconds")


def _format(found: PreparedFormat, stages: graph.Graph, reach: set[str] | None) -> dict[str, Any]:
    return {
        "selected": found.selected,
        "exists": found.exists,
        "stale": None if reach is None else stages.export(found.name) in reach,
        "path": str(found.path) if found.path else None,
        "rows": found.rows if found.exists else {},
        "files": [str(file.path) for file in found.files],
        "note": found.note,
    }


def sources(workspace: Workspace) -> list[dict[str, Any]]:
    """One object per source: what params.yaml says of it, and what its receipt says came."""
    from mhdata import statistics

    settings = params.load(path=workspace.path("params.yaml"))
    rows = {account.source: account for account in statistics.accounts(workspace)}
    listed = []
    for key in params.ordered(settings):
        source = settings.sources[key]
        receipt = _receipt(workspace, key)
        account = rows.get(key)
        listed.append(
            {
                "source": key,
                "dataset": source.dataset,
                "revision": source.revision,
                "license": source.license,
                "enters": list(source.enters),
                "enabled": source.enabled,
                "state": receipt.get("state"),
                "origin": receipt.get("origin"),
                "files": [file["file"] for file in receipt.get("files", [])],
                "bytes": sum(file["bytes"] for file in receipt.get("files", [])),
                "upstream": account.upstream if account else None,
                "merged": account.merged if account else None,
                "notes": receipt.get("notes", []),
            }
        )
    return listed


def _receipt(workspace: Workspace, key: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read_json(workspace.path(f"data/raw/{key}/receipt.json"), "files", "state", "notes")
    except FileNotFoundError:
        return {}
    return found


def versions() -> dict[str, str]:
    """Python and the libraries that shape outputs."""
    found = {"python": sys.version.split()[0], "mhdata": version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def version() -> str:
    """Our version: of the installed package, else of the clone's pyproject.toml."""
    import tomllib

    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    if pyproject.exists():
        return str(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"])
    return importlib.metadata.version("mhdata")
