"""What the server remembers of DVC's answers is what DVC would say now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from mhdata import dvc, state
from mhdata.http.watch import FRESH, Watch
from mhdata.workspace import Workspace
from tests.mhdata.conftest import Doors, copy

EXPORT = "data/exports/mental_health_openai.jsonl"


def test_dvc_looks_again_only_where_something_changed(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = copy(built, tmp_path / "work")
    where = Workspace(doors.root)
    asked: list[set[str]] = []
    stale_stages = state.stale_stages

    def spy(workspace: Workspace, files: Iterable[str] = ()) -> dvc.Reasons | None:
        asked.append({Path(file).parent.name for file in files})
        return stale_stages(workspace, files)

    watch = Watch(where)

    def look() -> dict[str, Any]:
        time.sleep(FRESH)
        with monkeypatch.context() as spied:
            spied.setattr(state, "stale_stages", spy)
            found = asyncio.run(watch.view()).status
        assert found == state.status(where)  # all of it, asked anew
        return {one["stage"]: one["why"] for one in found["stages"] if one["why"]}

    assert look() == {} and asked == [{"", *(path.name for path in (doors.root / "pipelines").iterdir())}]
    kept = where.path("params.yaml").read_text(encoding="utf-8")

    def spoil(at: Doors) -> None:
        (at.root / EXPORT).unlink()
        at.edit("stages/sources/trace.py", '"""', '"""Once more: ')

    def mend(at: Doors) -> None:
        at.edit("stages/sources/trace.py", '"""Once more: ', '"""')
        where.path("params.yaml").write_text(kept, encoding="utf-8")

    steps: list[tuple[Callable[[Doors], object], set[str], set[str]]] = [
        (lambda at: at.edit("params.yaml", "origin:", "# a remark\norigin:"), set(), set()),
        (lambda at: at.edit("params.yaml", "validation: 0.2", "validation: 0.3"), {"split", "report", "card"}, {""}),
        (spoil, {"split", "report", "card", "export_openai", "normalize@trace"}, {"", "export_services", "normalize"}),
        (mend, {"export_openai"}, {"", "export_services", "normalize"}),
        (lambda at: dvc.run(where, "checkout", "-q"), set(), {"export_services"}),
    ]
    for change, stale, files in steps:
        asked.clear()
        change(doors)
        assert set(look()) == stale
        assert asked == ([files] if files else [])
    asked.clear()
    look()
    assert not asked
