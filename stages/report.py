"""report: the ledgers of all stages as one, and what users look at. `python -m stages.report`

Every figure is a table first: it stands as a CSV beside the report, and the page shows it under its chart.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stages import errors, figures, ledger, params
from stages.errors import LawError
from stages.figures import Table
from stages.files import atomic, read_json, write_json
from stages.layout import EXPORTS, LEDGER, REPORTS
from stages.params import Params

PER_SOURCE = ("normalize", "screen", "merge", "split")
MOST_TAGS = 25  # in the chart; the table and the CSV have all


@dataclass(frozen=True)
class Build:
    """All that the report tells of."""

    settings: Params
    order: list[str]
    stages: dict[str, Any]  # ledger.json
    exports: dict[str, Any]  # format -> its ledger
    audit: dict[str, Any]
    merged: figures.Merged


def main() -> None:
    settings = params.with_made(
        params.load(
            "origin", "profile", "sources", "screens", "merge", "policy", "decontaminate", "split", "formats", "export",
            "synthesize", "paraphrase", "judge",
        )
    )  # fmt: skip
    order = params.ordered(settings)
    stages = {stage: {key: _account(stage, key) for key in order} for stage in PER_SOURCE}
    accounts = sorted((LEDGER / "export").glob("*.json"))
    exports = {path.stem: read_json(path, "files", "selected", "sources") for path in accounts}
    stages |= {f"export {name}": made["sources"] for name, made in exports.items() if made["selected"]}
    _check(stages, order)
    write_json(ledger.JOINED, stages)
    write_json(
        EXPORTS / "manifest.json",
        {
            "files": [_listed(name, file) for name, made in exports.items() for file in made["files"]],
            "notes": {name: made["note"] for name, made in exports.items() if made["note"]},
        },
    )
    build = Build(settings, order, stages, exports, read_json(REPORTS / "audit.json"), figures.merged())
    tables = _tables(build)
    write_json(REPORTS / "metrics.json", headline(build, tables))
    for table in tables.values():
        _write_csv(table)
    _write_page(build, tables)


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


# --- figures ---------------------------------------------------------------------------------------------------


def _tables(build: Build) -> dict[str, Table]:
    """Every figure, by the name of its CSV."""
    stages, merged = build.stages, build.merged
    made = (
        figures.waterfall(stages), figures.outcomes(stages), figures.reasons(stages),
        figures.exports(stages, build.exports), merged.table("type", "type"), merged.table("tags", "tag"),
        merged.quantiles(build.order), figures.languages(stages), figures.topics(stages), figures.duplicates(),
        _licenses(build), figures.screens(stages), figures.findings(stages), figures.labels(build.audit),
        figures.splits(stages), figures.contamination(stages),
    )  # fmt: skip
    return {table.name: table for table in made}


def _licenses(build: Build) -> Table:
    """Rows under each licence, and what it permits."""
    from stages import licenses

    heads = (
        "license", "rows", "sources", "commercial", "edits", "redistribution", "single_row_removal", "attribution",
        "share_alike",
    )  # fmt: skip
    rows = []
    counts: Mapping[tuple[str, str], int] = build.merged.counts.get("license", {})
    for id in sorted({license for _, license in counts}):
        entry = licenses.get(id)
        sources = [key for key in build.order if (key, id) in counts]
        total = sum(counts[key, id] for key in sources)
        rows.append([id, total, " ".join(sources), *(getattr(entry, head) for head in heads[3:])])
    return Table("licenses", heads, rows)


def headline(build: Build, tables: Mapping[str, Table]) -> dict[str, Any]:
    """The few figures that tell one build from another, for `dvc metrics`."""
    outcomes = tables["outcomes"]
    total = dict(zip(outcomes.heads[1:], outcomes.rows[-1][1:], strict=True))
    merged = dict(zip(outcomes.column("source")[:-1], outcomes.column("merged")[:-1], strict=True))
    spread = {name: build.exports[name]["rows"] for name in build.exports if f"export {name}" in build.stages}
    labels = {f"{source} {told_by}": accuracy for source, told_by, accuracy in tables["labels"].rows}
    return {
        "rows": total,
        "merged": {key: rows for key, rows in merged.items() if rows},
        "exports": {name: sum(rows.values()) for name, rows in spread.items()},
        "benchmark_questions_held_out": sum(tables["contamination"].column("questions")),
        "labels": labels,
    }


def _write_csv(table: Table) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.heads)
    writer.writerows(table.rows)
    with atomic(REPORTS / f"{table.name}.csv") as part:
        part.write_text(text.getvalue(), encoding="utf-8")


# --- the page --------------------------------------------------------------------------------------------------


def _write_page(build: Build, tables: dict[str, Table]) -> None:
    from stages import pages

    html = pages.render(
        "report.html", tables=tables, charts=_charts(build, tables), origin=build.settings.origin,
        profile=build.settings.profile, mix=_mix(build), audit=build.audit, files=_files(build),
        beside=_beside(build), notes=_notes(build), mixtures=_mixtures(build),
        total=headline(build, tables)["rows"], params=_params_text(build.settings), pins=_pins(build),
        wanted=build.settings.split,
    )  # fmt: skip
    with atomic(REPORTS / "report.html") as part:
        part.write_text(html, encoding="utf-8")


KEPT = ("train", "validation", "test", "held_out")
PARTS = (*KEPT, "duplicates", "dropped", "rejected")


def _charts(build: Build, tables: dict[str, Table]) -> dict[str, str]:
    """An SVG for each figure that is looked at rather than read."""
    from stages import charts

    outcomes = tables["outcomes"]
    parts = [(row[0], part, row[outcomes.heads.index(part)]) for row in outcomes.rows[:-1] if row[1] for part in PARTS]
    merged = [(row[0], row[outcomes.heads.index("merged")]) for row in outcomes.rows[:-1]]
    pairs = figures.summed(tables["duplicates"].rows, 0, 1)
    names = [key for key in build.order if any(key in pair for pair in pairs)]
    accuracy = [(f"{key}: {told_by.replace('_', ' ')}", value) for key, told_by, value in tables["labels"].rows]
    acted = figures.summed(tables["findings"].rows, 0, 1)
    built = figures.summed([[row[0], row[2]] for row in tables["exports"].rows], 0)
    spoken = [(row[0], row[1]) for row in tables["languages"].rows]
    made = {
        "waterfall": charts.stacked(parts, PARTS, "share of the rows downloaded", "Where the rows of each source went"),
        "sources": charts.bars([pair for pair in merged if pair[1]], "rows in the merged table", "Rows by source"),
        "type": charts.bars(tables["type"].rows, "rows", "Rows by type"),
        "tags": charts.bars(tables["tags"].rows[:MOST_TAGS], "rows", "Rows by tag"),
        "languages": charts.bars(spoken, "records", "Records by the language of the input"),
        "topics": charts.bars(tables["topics"].rows, "records", "Records by topic"),
        "lengths": charts.ranges(
            [(f"{row[0]}: {row[1].replace('_', ' ')}", *row[3:]) for row in tables["lengths"].rows],
            "characters", "Lengths of texts by source",
        ),
        "duplicates": charts.matrix(
            [(left, kept, pairs[left, kept]) for left in names for kept in names], names,
            "Rows that left as duplicates, by source and by source of the row kept",
        ),
        "findings": charts.bars(
            [(f"{name}: {action}", count) for (name, action), count in acted.most_common()], "rows",
            "What the policy did, by finding",
        ),
        "labels": charts.bars(accuracy, "accuracy", "How well labels are told by simple rules"),
        "splits": charts.bars(
            list(zip(tables["splits"].column("source"), tables["splits"].column("validation_share"), strict=True)),
            "share of validation", "Share of validation by source",
        ),
        "exports": charts.bars(list(built.items()), "rows", "Rows by format"),
    }  # fmt: skip
    return {name: svg for name, svg in made.items() if _drawn(name, tables)}


def _drawn(name: str, tables: dict[str, Table]) -> bool:
    """A chart without rows is none."""
    return name == "sources" or bool(tables[name].rows)


def _mix(build: Build) -> dict[str, Any]:
    """What the licences of all rows together permit and ask."""
    from stages import licenses

    ids = sorted({license for _, license in build.merged.counts.get("license", {})})
    denied = {key for key in build.order if build.stages["merge"][key]["rejected"].get("denied")}
    removed = sorted({build.settings.sources[key].license for key in denied})
    found = licenses.obligations(ids)
    return found | {"refusal": licenses.refusal(ids, build.settings.profile, removed), "ids": ids}


def _files(build: Build) -> list[list[Any]]:
    """The exported files that hold rows."""
    heads = ("path", "rows", "bytes", "sha256")
    return [[name, *(file[head] for head in heads)] for name, file in _exported(build) if file["rows"] is not None]


def _beside(build: Build) -> list[list[Any]]:
    """The licences, attributions and the like beside them."""
    heads = ("path", "bytes", "sha256")
    return [[name, *(file[head] for head in heads)] for name, file in _exported(build) if file["rows"] is None]


def _exported(build: Build) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, file) for name, made in build.exports.items() for file in made["files"])


def _notes(build: Build) -> list[tuple[str, str]]:
    """Why a format that was asked for has no file."""
    return [(name, made["note"]) for name, made in build.exports.items() if made["selected"] and made["note"]]


def _mixtures(build: Build) -> list[list[Any]]:
    """What the mixture asks for and what came of it, by format and source."""
    rows = []
    for name, made in build.exports.items():
        if (mixture := made.get("mixture")) is None:
            continue
        unit = made["unit"]
        for source, got in mixture["achieved"].items():
            asked = [mixture["asked"]["weights"].get(source), mixture["rates"].get(source)]
            rows.append([name, source, *asked, got["rows"], got["rows_share"], unit, got[unit], got[f"{unit}_share"]])
    return rows


def _pins(build: Build) -> list[list[Any]]:
    """The upstream file behind every merged row: its hash, and whether it is the one that params.yaml pins."""
    rows = []
    for (source, file, revision, sha256), count in sorted(build.merged.files.items()):
        known = build.settings.sources[source].files.get(file)
        pin = known.sha256 if known else None
        state = "no pin" if pin is None else "as pinned" if pin == sha256 else "another file"
        rows.append([source, file, revision or "none", sha256, state, count])
    return rows


def _params_text(settings: Params) -> str:
    """params.yaml as it was read, defaults filled in; where batches run is no part of it."""
    import msgspec
    import yaml

    tree = {
        name: msgspec.to_builtins(getattr(settings, name))
        for name in settings.__struct_fields__
        if not isinstance(getattr(settings, name), params.Unread) and name != "engine"
    }
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)


if __name__ == "__main__":
    errors.run(main)
