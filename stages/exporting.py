"""Writes one format: the rows it takes, the files it makes, and the account of both.

Units of the merged table become lines wherever the engine works on them; here they are put one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages import entering, formats, mixture, params, tokens
from stages.engine import Each, here, started
from stages.entering import Candidates, Door
from stages.files import renamed, sha256
from stages.formats import JsonLines, Lines, Made
from stages.layout import MERGED_TABLE
from stages.ledger import Ledger
from stages.licenses import travel
from stages.mixture import Histogram, Plan
from stages.params import Engine, Export, Service
from stages.storage import Stretch, row_bytes
from stages.tokens import Lengths

PART = 32 << 20  # bytes of rows that are made at once, however often a mixture repeats them
MIXED = ("chat", "single")  # kinds of export that a mixture shapes


def write(
    name: str, module: formats.Module, settings: Export, engine: Engine, profile: str | list[str], terms: str | None,
    folder: Path,
) -> tuple[list[Made], dict[str, Any]]:  # fmt: skip
    """Write a format's files into `folder`, the licences of their rows into its folder `terms`; the account of both."""
    run = Run(name, module, settings)
    made = run.write(folder, engine)
    parts = run.parts
    removed = travel.removed(parts)
    if made and parts and terms:
        travel.write_obligations(folder / terms, parts, profile, removed)
    files = [*_described(folder, made, run)]
    account = {"note": run.note, "files": files, "removed": removed, "parts": [asdict(part) for part in parts]}
    return made, account | run.account()


# --- one unit, wherever the engine works on it ---------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What is done to each unit."""

    format: str
    settings: Export
    plan: Plan | None = None

    @property
    def module(self) -> formats.Module:
        return formats.load(self.format)

    @property
    def sides(self) -> Sequence[str]:
        return sides_of(self.module)

    def candidates(self, unit: Stretch) -> Iterator[Candidates]:
        module, settings = self.module, self.settings
        refuse = getattr(module, "refuse", None)
        return entering.candidates(
            Door(module.KIND, self.sides, settings, tokens.counter(settings.tokenizer), refuse), unit
        )


class Rows(NamedTuple):
    """Rows for a writer, with the side of each and the length of its texts."""

    rows: pa.RecordBatch
    sides: np.ndarray  # object
    lengths: np.ndarray  # int64

    def emptied(self) -> Rows:
        """The same without the rows."""
        return self._replace(rows=pa.RecordBatch.from_pylist([], self.rows.schema))


class Taken(NamedTuple):
    """What became of a unit's rows, and what is left of those that enter in its file: their sizes and sides."""

    number: int
    counts: Counter[tuple[str, str, str | None]]  # source, side, reason (None: it enters) -> rows
    mix: dict[str, Counter[str]]  # source -> rows and units of training
    lengths: dict[str, Lengths]  # by side
    tally: travel.Tally
    left: list[Lines | Rows]


def sides_of(module: formats.Module) -> Sequence[str]:
    """The sides of the split that a format takes."""
    sides: Sequence[str] = getattr(module, "SIDES", formats.SIDES)
    return sides


def _take(job: Job, put: Callable[[Lines | Rows], None], unit: Stretch) -> Taken:
    """Take a unit's rows as often as the plan wants each; `put` is given them, a part at a time."""
    taken = Taken(unit.number, Counter(), {}, {}, travel.Tally(), [])
    writer = job.module.writer(Path(), job.settings) if hasattr(job.module, "convert") else None
    lines = writer.lines if isinstance(writer, JsonLines) else Rows
    for found in job.candidates(unit):
        taken.counts.update(zip(found.sources, found.on, found.reasons.tolist(), strict=True))
        for rows in _repeated(job, found, taken):
            for side in sorted(set(rows.sides)):
                taken.lengths.setdefault(side, Lengths()).add(rows.lengths[rows.sides == side])
            put(lines(*rows))
    return taken


def _leave(spills: Path, job: Job, unit: Stretch) -> Taken:
    """As `_take`, but what was made is left in a file: text is not sent."""
    with renamed(_spill(spills, unit.number)) as part, part.open("wb") as out:
        left: list[Lines | Rows] = []

        def put(made: Lines | Rows) -> None:
            if isinstance(made, Lines):
                out.write(made.data)
            else:
                with pa.ipc.new_stream(out, made.rows.schema) as stream:
                    stream.write_batch(made.rows)
            left.append(made.emptied())

        return _take(job, put, unit)._replace(left=left)


def _left(spills: Path, taken: Taken) -> Iterator[Lines | Rows]:
    """What `_leave` has left of a unit; the file goes."""
    path = _spill(spills, taken.number)
    with path.open("rb") as file:
        for made in taken.left:
            if isinstance(made, Lines):
                yield made._replace(data=file.read(int(made.ends[-1])))
            else:
                with pa.ipc.open_stream(file) as stream:
                    (rows,) = stream  # to its end mark, behind which the next one begins
                yield made._replace(rows=rows)
    path.unlink()


def _spill(spills: Path, number: int) -> Path:
    return spills / f"{number:06d}.rows"


def _repeated(job: Job, found: Candidates, taken: Taken) -> Iterator[Rows]:
    """The rows as often as the plan wants each, PART bytes at a time; one that it leaves out is counted as rejected."""
    if not len(found.sides):
        return
    sources = _sources(found)
    place = np.arange(len(sources))
    if job.plan:
        copies = job.plan.copies(_ids(found), sources, found.sides)
        for source, side in zip(sources[copies == 0], found.sides[copies == 0], strict=True):
            taken.counts[source, side, None] -= 1
            taken.counts[source, side, "mixture" if side == "train" else "over_service_limit"] += 1
        taken.tally.add(found.rows.filter(pa.array(copies > 0)))
        place = np.repeat(place, copies)
    else:
        taken.tally.add(found.rows)
    train = found.sides[place] == "train"
    for source in sorted(set(sources)):
        mine = place[train & (sources[place] == source)]
        amount = {"rows": len(mine), job.settings.unit: int(found.lengths[mine].sum())}
        taken.mix.setdefault(source, Counter()).update(amount)
    part = row_bytes(found.rows)[place].cumsum() // PART
    for some in np.split(place, np.flatnonzero(np.diff(part)) + 1) if len(place) else ():
        yield Rows(found.rows.take(pa.array(some)), found.sides[some], found.lengths[some])


def _weighed(job: Job, unit: Stretch) -> Histogram:
    """The rows of a unit that enter, by rank."""
    settings, found = job.settings, Histogram()
    for one in job.candidates(unit):
        units = np.ones(len(one.sides), np.int64) if settings.mixture.unit == "rows" else one.lengths
        found.add(mixture.ranks(_ids(one), settings.mixture.seed), _sources(one), one.sides, units)
    return found


# --- all of them ----------------------------------------------------------------------------------------------------


class Run:
    """One format: the rows it takes, the files it makes, and the account of both."""

    def __init__(self, name: str, module: formats.Module, settings: Export) -> None:
        self._name, self._module, self._settings = name, module, settings
        self._sides = sides_of(module)
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

    def write(self, folder: Path, engine: Engine) -> list[Made]:
        """Write the format's files into `folder`; say which."""
        writer = self._module.writer(folder, self._settings)
        if self._module.KIND == "register":
            return writer.close()
        tokens.counter(self._settings.tokenizer)  # what it lacks is told before workers start

        def put(made: Lines | Rows) -> None:
            if isinstance(made, Rows):
                writer.add(*made)
            elif isinstance(writer, JsonLines):
                writer.put(made)

        spills = folder / ".rows"
        spills.mkdir()
        with started(engine, MERGED_TABLE.stat().st_size) as each:
            self._plan = self._planned(each)
            job = Job(self._name, self._settings, self._plan)
            take = partial(_take, job, put) if here(each) else partial(_leave, spills, job)
            for taken in each(take, entering.units()):
                self._count(taken)
                for made in () if here(each) else _left(spills, taken):
                    put(made)
        spills.rmdir()
        return self._fit(writer.close())

    @property
    def parts(self) -> list[travel.Part]:
        """The rows that are in the files, by source and licence; a repeated row counts once."""
        return [] if self.note else self._tally.parts()

    def _planned(self, each: Each) -> Plan | None:
        """The mixture, from a first pass over the rows that enter; None where every row stands once."""
        settings, most = self._settings.mixture, self._service.max_validation
        mixed = settings if settings.wanted and self._mixed else params.Mixture(seed=settings.seed)
        if not mixed.wanted and most is None:
            return None
        found = Histogram()
        for one in each(partial(_weighed, Job(self._name, self._settings)), entering.units()):
            found.join(one)
        return Plan(mixed, found, most)

    def _count(self, taken: Taken) -> None:
        for (source, side, reason), rows in taken.counts.items():
            account = self.accounts.setdefault(source, Ledger("export", source))
            account.rows_in += rows
            if reason is None:
                account.rows_out += rows
            else:
                account.rejected[reason] += rows
                self.refused[side, reason] += rows
        for source, amount in taken.mix.items():
            self._mix.setdefault(source, Counter()).update(amount)
        for side, lengths in taken.lengths.items():
            self._lengths.setdefault(side, Lengths()).join(lengths)
        self._tally.join(taken.tally)

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
            "sha256": one.sha256 or sha256(path),
            "tokens": None if run.unit == tokens.CHARACTERS else one.length,
            "characters": one.length if run.unit == tokens.CHARACTERS else None,
            "refused": refused,
            **({} if one.memory is None else {"memory": one.memory}),
        }
