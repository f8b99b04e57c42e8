"""The figures of a build as tables: what the report shows, the CSVs beside it hold, and `dvc plots` draws.

A table is the one form of a figure: the charts, the CSVs and README's block are made of it, so they cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.layout import MERGED, MERGED_TABLE

SIDES = ("train", "validation", "test", "held_out")
TEXTS = ("input", "response", "rejected_response")


@dataclass(frozen=True)
class Table:
    """A figure: column names and rows. `name` is that of its CSV."""

    name: str
    heads: tuple[str, ...]
    rows: list[list[Any]]

    def column(self, head: str) -> list[Any]:
        place = self.heads.index(head)
        return [row[place] for row in self.rows]


Stages = Mapping[str, Mapping[str, Any]]  # stage -> source -> account, as in ledger.json


# --- from the ledgers --------------------------------------------------------------------------------------------


def waterfall(stages: Stages) -> Table:
    """Where each source's rows went: downloaded = rejected + dropped + duplicates + the sides of the split."""
    rows: list[list[Any]] = []
    for key, normalized in stages["normalize"].items():
        merged, split = stages["merge"][key], stages["split"][key].get("details", {})
        rows.append([key, "downloaded", "", normalized["in"]])
        rows += [[key, "rejected", reason, n] for reason, n in normalized["rejected"].items()]
        rows.append([key, "normalized", "", normalized["out"]])
        rows += [[key, "dropped", reason, n] for reason, n in merged["rejected"].items()]
        methods = merged.get("details", {}).get("duplicates_by_method", {})
        rows += [[key, "duplicates", method, n] for method, n in methods.items()]
        rows.append([key, "merged", "", merged["out"]])
        rows += [[key, side, "", split.get(side, 0)] for side in SIDES]
        rows += [
            [key, stage, "", accounts[key]["out"]]
            for stage, accounts in stages.items()
            if stage.startswith("export ") and key in accounts
        ]
    return Table("waterfall", ("source", "step", "reason", "rows"), rows)


def outcomes(stages: Stages) -> Table:
    """One row a source: the rows upstream gave, and what became of them; a last row sums up."""
    heads = ("source", "downloaded", "rejected", "dropped", "duplicates", "merged", *SIDES)
    rows: list[list[Any]] = []
    for key, normalized in stages["normalize"].items():
        merged, split = stages["merge"][key], stages["split"][key].get("details", {})
        gone = [sum(normalized["rejected"].values()), sum(merged["rejected"].values())]
        doubles = normalized["duplicates"] + merged["duplicates"]
        rows.append([key, normalized["in"], *gone, doubles, merged["out"], *(split.get(side, 0) for side in SIDES)])
    rows.append(["all", *(sum(row[place] for row in rows) for place in range(1, len(heads)))])
    return Table("outcomes", heads, rows)


def reasons(stages: Stages) -> Table:
    """Every reason for which rows left, by source and step, most rows first."""
    found = [
        [key, step, reason, count]
        for step, stage in (("rejected", "normalize"), ("dropped", "merge"))
        for key, account in stages[stage].items()
        for reason, count in account["rejected"].items()
    ]
    return Table("reasons", ("source", "step", "reason", "rows"), sorted(found, key=lambda row: (-row[3], *row[:3])))


def exports(stages: Stages, ledgers: Mapping[str, Any]) -> Table:
    """Rows of each source in each format that was built."""
    made = {name: ledgers[name] for name in ledgers if f"export {name}" in stages}
    rows = [
        [name, key, account["out"], sum(account["rejected"].values())]
        for name, ledger in made.items()
        for key, account in ledger["sources"].items()
    ]
    return Table("exports", ("format", "source", "rows", "left_out"), rows)


def screens(stages: Stages) -> Table:
    """What the screens found in the records of each source, before anything was dropped."""
    rows = [
        [screen, finding.replace("=", ": ", 1), key, count]
        for key, account in stages["screen"].items()
        for screen, found in account.get("details", {}).items()
        if screen not in ("topics", "language")
        for finding, count in found.items()
    ]
    return Table("screens", ("screen", "finding", "source", "rows"), sorted(rows))


def _details(stages: Stages, screen: str, prefix: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for account in stages["screen"].values():
        for name, count in account.get("details", {}).get(screen, {}).items():
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] += count
    return found


def topics(stages: Stages) -> Table:
    """Records by topic; a record may have several, or none."""
    return Table("topics", ("topic", "records"), _ranked(_details(stages, "topics", "topics=")))


def languages(stages: Stages) -> Table:
    """Records by the language of what was asked and of what was answered; und: too short to tell."""
    asked, answered = (_details(stages, "language", f"{name}=") for name in ("input", "response"))
    order = sorted(asked | answered, key=lambda code: (-asked[code], -answered[code], code))
    return Table("languages", ("language", "input", "response"), [[c, asked[c], answered[c]] for c in order])


def findings(stages: Stages) -> Table:
    """What the policy did: findings that were tagged, rows held back and redacted, rows dropped by reason."""
    rows: list[list[Any]] = []
    for key, account in stages["merge"].items():
        details = account.get("details", {})
        rows += [[name, "tagged", key, count] for name, count in details.get("findings", {}).items()]
        rows += [["any finding", act, key, details[act]] for act in ("held", "redacted") if details.get(act)]
        rows += [[name, "dropped", key, count] for name, count in account["rejected"].items()]
    return Table("findings", ("finding", "action", "source", "rows"), sorted(rows))


def splits(stages: Stages) -> Table:
    """The sides of each source, the share of validation that came out, and how far it may lie from the wanted one."""
    heads = ("source", *SIDES, "groups", "largest_group", "validation_share", "share_bound")
    rows = [
        [key, *(account["details"].get(head) for head in heads[1:])]
        for key, account in stages["split"].items()
        if account["in"]
    ]
    return Table("splits", heads, rows)


def contamination(stages: Stages) -> Table:
    """Questions of protected benchmarks that were found, by source."""
    heads = ("benchmark", "source", "size", "questions", "exact", "overlap")
    lines = [
        line for account in stages["split"].values() for line in account.get("details", {}).get("contamination", [])
    ]
    return Table("contamination", heads, [[line[head] for head in heads] for line in lines if line["questions"]])


def labels(audit: Mapping[str, Any]) -> Table:
    """How well labels are told by simple rules and by a model (accuracy, out of five folds)."""
    rules = ("length", "best_word", "label_name", "one_line_rule", "model")
    rows = [
        [key, name, found["majority"] if name == "majority" else found[name]["accuracy"]]
        for key, found in audit.items()
        if "majority" in found
        for name in ("majority", *rules)
    ]
    return Table("labels", ("source", "told_by", "accuracy"), rows)


def _ranked(counts: Mapping[str, int]) -> list[list[Any]]:
    return [[name, rows] for name, rows in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]


# --- from the merged table -----------------------------------------------------------------------------------------


@dataclass
class Merged:
    """What one pass over the merged table counts."""

    counts: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)  # type, tags, license -> (source, value)
    lengths: dict[tuple[str, str], Counter[int]] = field(default_factory=dict)  # (source, text) -> characters -> rows
    files: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)  # source, file, revision, sha256

    def table(self, name: str, head: str) -> Table:
        """Rows by the values of a column, most first, over all sources."""
        total: Counter[str] = Counter()
        for (_, value), rows in self.counts.get(name, Counter()).items():
            total[value] += rows
        return Table(name, (head, "rows"), _ranked(total))

    def by_source(self, name: str) -> Table:
        """The same, each source on its own."""
        rows = [[key, value, n] for (key, value), n in sorted(self.counts.get(name, Counter()).items())]
        return Table(f"{name}_by_source", ("source", name, "rows"), rows)

    def quantiles(self, order: Sequence[str]) -> Table:
        """Characters that half, 90 % and 99 % of the texts stay within."""
        rows = [
            [key, text, *_quantiles(self.lengths[key, text])]
            for key in order
            for text in TEXTS
            if (key, text) in self.lengths
        ]
        return Table("lengths", ("source", "text", "texts", "p50", "p90", "p99"), rows)


def _quantiles(counts: Counter[int]) -> list[int]:
    """How many values there are, and what half, 90 % and 99 % of them do not pass."""
    total, below = counts.total(), 0
    wanted, found = [total * share for share in (0.5, 0.9, 0.99)], [total]
    for length in sorted(counts):
        below += counts[length]
        while len(found) <= len(wanted) and below >= wanted[len(found) - 1]:
            found.append(length)
    return found


def merged(path: Path = MERGED_TABLE) -> Merged:
    """Count types, tags, licences, lengths and upstream files, a row group at a time."""
    import pyarrow.compute as pc

    from stages.storage import read_batches

    found = Merged()
    for batch in read_batches(path, ["source", "type", "tags", "license", "origin", *TEXTS]):
        for source in pc.unique(batch["source"]).to_pylist():
            rows = batch.filter(pc.equal(batch["source"], source))
            _add(found, source, rows)
    return found


def _add(found: Merged, source: str, rows: Any) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in ("type", "tags", "license"):
        values = rows[name].flatten() if name == "tags" else rows[name]
        counter = found.counts.setdefault(name, Counter())
        for one in pc.value_counts(values).to_pylist():
            counter[source, one["values"]] += one["counts"]
    for name in TEXTS:
        lengths = pc.utf8_length(rows[name].drop_null()).to_numpy(zero_copy_only=False)
        if len(lengths):
            values, counts = np.unique(lengths, return_counts=True)
            there = found.lengths.setdefault((source, name), Counter())
            there.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    parts = {name: pc.struct_field(rows["origin"], name) for name in ("file", "revision", "sha256")}
    for one in pa.table(parts).group_by(list(parts)).aggregate([([], "count_all")]).to_pylist():
        found.files[source, one["file"], one["revision"] or "", one["sha256"]] += one["count_all"]


def duplicates(path: Path = MERGED / "duplicates.parquet") -> Table:
    """Rows that left as duplicates: of which source, and of which source the row that stands for them is."""
    import pyarrow as pa

    from stages.storage import read_batches

    counts: Counter[tuple[str, str, str]] = Counter()
    names = ["source", "kept_source", "method"]
    for batch in read_batches(path, names):
        for one in pa.Table.from_batches([batch]).group_by(names).aggregate([([], "count_all")]).to_pylist():
            counts[one["source"], one["kept_source"], one["method"]] += one["count_all"]
    rows = [[*key, rows] for key, rows in sorted(counts.items())]
    return Table("duplicates", ("source", "kept_source", "method", "rows"), rows)


def summed(rows: Iterable[Sequence[Any]], *places: int) -> Counter[Any]:
    """The last column summed by some of the others."""
    found: Counter[Any] = Counter()
    for row in rows:
        found[tuple(row[place] for place in places) if len(places) > 1 else row[places[0]]] += row[-1]
    return found
