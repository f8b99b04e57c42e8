"""Row accounting: in = out + rejected (by reason) + duplicates, per stage and source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.errors import LawError
from stages.files import atomic_folder, read_json, write_json
from stages.layout import LEDGER, REPORTS

JOINED = REPORTS / "ledger.json"  # {stage: {source: account}}, which report makes of the others


@dataclass
class Ledger:
    """What one stage did with the rows of one source.

    `details` holds further figures of that stage (notes, shares, sides); they stand beside the account.
    """

    stage: str
    source: str
    rows_in: int = 0
    rows_out: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise LawError unless every row that came in is accounted for."""
        accounted = self.rows_out + self.rejected.total() + self.duplicates
        if self.rows_in != accounted:
            raise LawError(
                f"{self.stage} of {self.source} took {self.rows_in} rows but accounts for {accounted} "
                f"({self.rows_out} out, {self.rejected.total()} rejected, {self.duplicates} duplicates): "
                "this is a bug of the pipeline, please report it"
            )

    def account(self) -> dict[str, Any]:
        """The figures as they stand in the ledger file."""
        self.check()
        rejected = {reason: count for reason, count in sorted(self.rejected.items()) if count}
        figures = {"in": self.rows_in, "out": self.rows_out, "rejected": rejected, "duplicates": self.duplicates}
        return figures | ({"details": self.details} if self.details else {})


def write(path: Path, ledger: Ledger) -> None:
    """Write one ledger file."""
    write_json(path, {"stage": ledger.stage, "source": ledger.source, **ledger.account()})


def write_folder(stage: str, ledgers: Mapping[str, Ledger]) -> None:
    """Write the folder of a stage that handles all sources: one file per source."""
    with atomic_folder(LEDGER / stage) as folder:
        for source, ledger in ledgers.items():
            write(folder / f"{source}.json", ledger)


def read(path: Path) -> dict[str, Any]:
    """Read one ledger file. Raises DamagedError."""
    account: dict[str, Any] = read_json(path, "in", "out", "rejected", "duplicates")
    return account


def read_joined(root: Path = Path()) -> dict[str, dict[str, Any]]:
    """The accounts of all stages by source, of the project at `root`. Raises FileNotFoundError, DamagedError."""
    stages: dict[str, dict[str, Any]] = read_json(root / JOINED, "normalize", "merge", "split")
    return stages
