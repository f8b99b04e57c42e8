"""report: the ledgers of all stages as one, and what users look at. `python -m stages.report`"""

from __future__ import annotations

import csv
import io
from typing import Any

from stages import errors, ledger, params
from stages.errors import LawError
from stages.files import atomic, read_json, write_json
from stages.layout import EXPORTS, LEDGER, REPORTS

PER_SOURCE = ("normalize", "screen", "merge", "split")


def main() -> None:
    settings = params.with_made(params.load("sources", "synthesize.license", "paraphrase.license"))
    order = params.ordered(settings)
    stages = {stage: {key: _account(stage, key) for key in order} for stage in PER_SOURCE}
    exports = {path.stem: read_json(path) for path in sorted((LEDGER / "export").glob("*.json"))}
    stages |= {f"export {name}": made["sources"] for name, made in exports.items() if made["selected"]}
    _check(stages, order)
    write_json(REPORTS / "ledger.json", stages)
    _write_waterfall(stages, order)
    write_json(
        EXPORTS / "manifest.json",
        {
            "files": [_listed(name, file) for name, made in exports.items() for file in made["files"]],
            "notes": {name: made["note"] for name, made in exports.items() if made["note"]},
        },
    )


def _account(stage: str, key: str) -> dict[str, Any]:
    made = stage == "normalize" and key in params.MADE  # the stage that makes its records has the table's own name
    account = ledger.read(LEDGER / (key if made else stage) / f"{key}.json")
    return {name: value for name, value in account.items() if name not in ("stage", "source")}


def _listed(name: str, file: dict[str, Any]) -> dict[str, Any]:
    return {"format": name, **file}


def _check(stages: dict[str, Any], order: list[str]) -> None:
    """Each stage takes what the one before it gave, or the build stops."""
    for before, after in (("normalize", "screen"), ("screen", "merge"), ("merge", "split")):
        for key in order:
            out, taken = stages[before][key]["out"], stages[after][key]["in"]
            if out != taken:
                raise LawError(f"{key}: {before} gave {out} rows and {after} took {taken}: run `dvc repro` again")


def _write_waterfall(stages: dict[str, Any], order: list[str]) -> None:
    """waterfall.csv: one row per source and step: rows that came, left by each reason, and stayed."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["source", "step", "rows"])
    for key in order:
        table.writerow([key, "downloaded", stages["normalize"][key]["in"]])
        table.writerow([key, "normalized", stages["normalize"][key]["out"]])
        table.writerow([key, "merged", stages["merge"][key]["out"]])
        for side, rows in stages["split"][key].get("details", {}).items():
            if side in ("train", "validation", "test", "held_out"):
                table.writerow([key, side, rows])
    with atomic(REPORTS / "waterfall.csv") as part:
        part.write_text(text.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    errors.run(main)
