"""mlcroissant and frictionless: what describes the files, held against the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _runner


def croissant(files: dict[str, list[str]]) -> dict[str, Any]:
    import mlcroissant

    found = mlcroissant.Dataset(str(Path(next(iter(files.values()))[0]).parents[1] / "croissant.json"))
    issues = found.metadata.ctx.issues
    assert not issues.errors and not issues.warnings, issues.report()
    rows = {}
    for split, paths in files.items():
        names = [split] if len(paths) == 1 else [Path(path).stem for path in paths]
        rows[split] = sum(1 for name in names for _ in found.records(name))
    return {"rows": rows, "step": "no warning, hashes match, read every record"}


def frictionless(files: dict[str, list[str]]) -> dict[str, Any]:
    from frictionless import Package

    path = Path(files["train"][0])
    resource = Package(str(path.parent / "datapackage.json")).get_resource(f"merged-{path.suffix[1:]}")
    report = resource.validate()
    assert report.valid, report.flatten(["title", "message"])[:3]
    return {"rows": {"train": report.tasks[0].stats["rows"]}, "step": "valid by its schema"}


if __name__ == "__main__":
    _runner.main(
        {
            ("mlcroissant", "hub"): (croissant, "cut file"),
            ("frictionless", "merged csv"): (frictionless, "cut file"),
            ("frictionless", "merged json"): (frictionless, "cut file"),
        }
    )
