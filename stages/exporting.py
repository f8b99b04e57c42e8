"""Writes one format: the rows it takes, the files it makes, and the account of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages import entering, formats, mixture, params, tokens
from stages.entering import Candidates, Door
from stages.files import sha256
from stages.formats import Made
from stages.ledger import Ledger
from stages.licenses import travel
from stages.mixture import Histogram, Plan
from stages.params import Export, Service
from stages.tokens import Lengths

MIXED = ("chat", "single")  # kinds of export that a mixture shapes


def write(
    name: str, module: formats.Module, settings: Export, profile: str | list[str], terms: str | None, folder: Path
) -> tuple[list[Made], dict[str, Any]]:
    """Write a format's files into `folder`, the licences of their rows into its folder `terms`; the account of both."""
    run = Run(name, module, settings)
    made = run.write(folder)
    parts = run.parts
    removed = travel.removed(parts)
    if made and parts and terms:
        travel.write_obligations(folder / terms, parts, profile, removed)
    files = [*_described(folder, made, run)]
    account = {"note": run.note, "files": files, "removed": removed, "parts": [asdict(part) for part in parts]}
    return made, account | run.account()


class Run:
    """One format: the rows it takes, the files it makes, and the account of both."""

    def __init__(self, name: str, module: formats.Module, settings: Export) -> None:
        self._name, self._module, self._settings = name, module, settings
        self._sides = getattr(module, "SIDES", formats.SIDES)
        self._mixed = module.KIND in MIXED and "train" in self._sides
        self._service = settings.services.get(name, Service())
        self._plan: Plan | None = None
        self._lengths: dict[str, Lengths] = {}  # by side
        self._mix: dict[str, Counter[str]] = {}  # source -> rows and units of training
        self._tally = travel.Tally()
        self.accounts: dict[str, Ledger] = {}
        self.refused: Counter[tuple[str, str]] = Counter()  # side, reason -> rows
        self.unit = settings.unit
        self.note: str | None = None

    def write(self, folder: Path) -> list[Made]:
        """Write the format's files into `folder`; say which."""
        writer = self._module.writer(folder, self._settings)
        if self._module.KIND == "register":
            return writer.close()
        self._plan = self._planned()
        for found in self._candidates():
            self._count(found)
            rows, sides, lengths = self._repeat(found)
            if len(rows):
                writer.add(rows, sides, lengths)
                for side in sorted(set(sides)):
                    self._lengths.setdefault(side, Lengths()).add(lengths[sides == side])
        return self._fit(writer.close())

    @property
    def parts(self) -> list[travel.Part]:
        """The rows that are in the files, by source and licence; a repeated row counts once."""
        return [] if self.note else self._tally.parts()

    def _candidates(self) -> Iterator[Candidates]:
        count = tokens.counter(self._settings.tokenizer)
        refuse = getattr(self._module, "refuse", None)
        return entering.candidates(Door(self._module.KIND, self._sides, self._settings, count, refuse))

    def _planned(self) -> Plan | None:
        """The mixture, from a first pass over the rows that enter; None where every row stands once."""
        settings, most = self._settings.mixture, self._service.max_validation
        mixed = settings if settings.wanted and self._mixed else params.Mixture(seed=settings.seed)
        if not mixed.wanted and most is None:
            return None
        found = Histogram()
        for one in self._candidates():
            units = np.ones(len(one.sides), np.int64) if settings.unit == "rows" else one.lengths
            found.add(mixture.ranks(_ids(one), settings.seed), _sources(one), one.sides, units)
        return Plan(mixed, found, most)

    def _count(self, found: Candidates) -> None:
        for (source, side, reason), rows in Counter(zip(found.sources, found.on, found.reasons, strict=True)).items():
            account = self.accounts.setdefault(source, Ledger("export", source))
            account.rows_in += rows
            if reason is None:
                account.rows_out += rows
            else:
                account.rejected[reason] += rows
                self.refused[side, reason] += rows

    def _repeat(self, found: Candidates) -> tuple[pa.RecordBatch, np.ndarray, np.ndarray]:
        """The rows as often as the plan wants each; one that it leaves out is accounted for as rejected."""
        if not len(found.sides):
            return found.rows, found.sides, found.lengths
        sources = _sources(found)
        place = np.arange(len(sources))
        if self._plan:
            copies = self._plan.copies(_ids(found), sources, found.sides)
            for source, side in zip(sources[copies == 0], found.sides[copies == 0], strict=True):
                self._reject(source, side, "mixture" if side == "train" else "over_service_limit")
            self._tally.add(found.rows.filter(pa.array(copies > 0)))
            place = np.repeat(place, copies)
        else:
            self._tally.add(found.rows)
        train = found.sides[place] == "train"
        for source in sorted(set(sources)):
            mine = place[train & (sources[place] == source)]
            self._mix.setdefault(source, Counter()).update(
                {"rows": len(mine), self.unit: int(found.lengths[mine].sum())}
            )
        return found.rows.take(pa.array(place)), found.sides[place], found.lengths[place]

    def _reject(self, source: str, side: str, reason: str, rows: int = 1) -> None:
        self.accounts[source].rows_out -= rows
        self.accounts[source].rejected[reason] += rows
        self.refused[side, reason] += rows

    def _fit(self, made: list[Made]) -> list[Made]:
        """Keep the files if there are rows enough; else none of them, and a note that says so."""
        first = self._sides[0]
        rows = sum(one.rows for one in made if one.split == first)
        least = max(self._service.min_rows, 1)
        if rows >= least:
            return made
        self.note = f"No file: {rows} rows of {first} qualify for {self._name}, which takes {least} or more."
        for source, account in self.accounts.items():
            self.accounts[source].rejected["too_few_rows"] += account.rows_out
            account.rows_out = 0
        for one in made:
            one.path.unlink()
        return []

    def account(self) -> dict[str, Any]:
        """What the ledger holds besides the files."""
        figures: dict[str, Any] = {source: account.account() for source, account in self.accounts.items()}
        made = {}
        if self._plan and self._settings.mixture.wanted and self._mixed:
            made["mixture"] = mixture.report(self._settings.mixture, self._plan, self._mix, self.unit)
        lengths = {side: found.quantiles() for side, found in self._lengths.items()}
        return {"sources": figures, "unit": self.unit, "lengths": lengths, **made}


def _ids(found: Candidates) -> list[str]:
    return found.rows["id"].to_pylist()


def _sources(found: Candidates) -> np.ndarray:
    return np.array(found.rows["source"].to_pylist(), object)


def _described(folder: Path, made: list[Made], run: Run) -> Iterator[dict[str, Any]]:
    """What the manifest says of each file, in the order of the paths."""
    known = {one.path: one for one in made}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        one = known.get(path, Made(path, None, 0, None))
        refused = {reason: n for (side, reason), n in sorted(run.refused.items()) if side == one.split}
        yield {
            "path": path.relative_to(folder).as_posix(),
            "split": one.split,
            "rows": one.rows if path in known else None,
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
            "tokens": None if run.unit == tokens.CHARACTERS else one.length,
            "characters": one.length if run.unit == tokens.CHARACTERS else None,
            "refused": refused,
            **({} if one.memory is None else {"memory": one.memory}),
        }
