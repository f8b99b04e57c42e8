"""What became of each case, kept in a file so that a stopped run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
CODE = ("stages", "mhdata", "data/sample", "data/benchmarks", "tests/e2e/faults")
SUFFIXES = (".py", ".yaml", ".json", ".jsonl", ".csv", ".txt")


@dataclass(frozen=True)
class Outcome:
    """One case: `survived` if what was promised held, else `why` it did not. `how` is what was seen: built, refused."""

    kind: str
    group: str  # the row of the table
    case: str
    how: str
    why: str = ""

    @property
    def survived(self) -> bool:
        return not self.why


class Log:
    """The outcomes of one kind of fault, one JSON line each."""

    def __init__(self, folder: Path, kind: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{kind}.jsonl"
        self.outcomes = list(self._read())
        self._done = {outcome.case for outcome in self.outcomes}

    def _read(self) -> Iterator[Outcome]:
        if not self._path.exists():
            return
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a killed run may have left half a line
        self._path.write_text(whole, encoding="utf-8")
        for line in whole.splitlines():
            yield Outcome(**json.loads(line))

    def __contains__(self, case: str) -> bool:
        return case in self._done

    def add(self, outcome: Outcome) -> Outcome:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
        self.outcomes.append(outcome)
        self._done.add(outcome.case)
        if not outcome.survived:
            print(f"LOST {outcome.kind} {outcome.group} {outcome.case}: {outcome.why}", flush=True)
        return outcome


def state() -> Path:
    """Where the outcomes of this state of the code stand."""
    digest = hashlib.sha256()
    files = [ROOT / "params.yaml", ROOT / "dvc.yaml"]
    for name in CODE:
        files += sorted(path for path in (ROOT / name).rglob("*") if path.suffix in SUFFIXES)
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    home = Path(os.environ.get("MHDATA_FAULTS", ROOT / ".dvc/tmp/faults"))
    return home / digest.hexdigest()[:12]
