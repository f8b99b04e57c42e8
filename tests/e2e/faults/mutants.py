"""Each source is fed mutated files: a clear error or accounted rejects, never a traceback, a hang or a wrong row."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from stages.params import Source
from stages.sources import Module
from tests.e2e.faults.children import Ended, forked, stage
from tests.e2e.faults.mutate import mutate
from tests.e2e.faults.oracle import Seen, too_many, wrong
from tests.e2e.faults.outcome import ROOT, Log, Outcome

KIND = "mutants"
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a file system that need not wait for a disk
DEEPER = 50  # every so many cases what normalize gave is screened as well


def run(log: Log, each: int = 500, only: str | None = None) -> Iterator[Outcome]:
    """Try `each` mutated files of every source, those that are in the log left out."""
    from stages import normalize, params, screen, storage  # noqa: F401 imported once, before the forks
    from stages.errors import without_pandas

    without_pandas()
    settings = params.load(path=ROOT / "params.yaml")
    for key in settings.sources if only is None else [only]:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            source = _Source(key, Path(folder))
            for number in range(each):
                if f"{key} {number}" not in log:
                    yield log.add(source.case(number))


class _Source:
    """One source: its sample files, what becomes of them, and a folder to spoil."""

    def __init__(self, key: str, folder: Path) -> None:
        self.key, self.folder = key, folder
        home = ROOT / "data/sample" / key
        self.files = {
            str(path.relative_to(home)): path.read_bytes()
            for path in sorted(home.rglob("*"))
            if path.is_file() and path.name != "README.md"
        }
        tree = yaml.safe_load((ROOT / "params.yaml").read_text())
        tree["sources"][key]["enabled"] = True
        tree["engine"] = {"kind": "local", "workers": 1}  # a case is one process
        (folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        self.before = self._pristine()

    def _pristine(self) -> Seen:
        self._put(self.files)
        ended = forked(self._normalize, self.folder)
        assert ended.code == 0, ended.said
        seen = Seen.of(self.folder, self.key)
        module, source = self._module()
        for file, data in self.files.items():  # the oracle agrees with the sample; what it worked out serves all cases
            assert not (why := wrong(seen, seen, data, data, file, kind(file, data), module, source)), why
        return seen

    def _module(self) -> tuple[Module, Source]:
        from stages import params, sources

        return sources.load(self.key), params.load(path=self.folder / "params.yaml").sources[self.key]

    def _put(self, files: dict[str, bytes]) -> None:
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        raw = self.folder / "data/raw" / self.key
        entries: list[dict[str, Any]] = []
        for name, data in files.items():
            (raw / name).parent.mkdir(parents=True, exist_ok=True)
            (raw / name).write_bytes(data)
            entries.append({"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        receipt = {"source": self.key, "revision": None, "files": entries, "license_files": []}
        (raw / "receipt.json").write_text(json.dumps(receipt))

    def _normalize(self) -> None:
        from stages import normalize

        stage(normalize.main, self.key)

    def _screen(self) -> None:
        from stages import screen

        stage(screen.main, self.key)

    def case(self, number: int) -> Outcome:
        file = sorted(self.files)[number // 30 % len(self.files)]
        name, data = mutate(self.files[file], number, self.key, kind(file, self.files[file]))
        self._put({**self.files, file: data})
        ended = forked(self._normalize, self.folder)
        why = ended.trouble() or self._left(ended)
        how = "refused" if ended.code else "built"
        if not why and not ended.code:
            checked = forked(lambda: self._check(name, file, data), self.folder)
            why = checked.said.strip() if checked.code else ""
            if not why and number % DEEPER == 0:
                why = forked(self._screen, self.folder).trouble()
        return Outcome(KIND, self.key, f"{self.key} {number}", how, why and f"{name} of {file}: {why}")

    def _left(self, ended: Ended) -> str:
        """What stands under a final name after a refusal, or as part of one after any end."""
        data = self.folder / "data"
        parts = [path.name for path in data.rglob("*.part")]
        outs = [path.name for path in data.rglob("*") if path.is_file() and "raw" not in path.relative_to(data).parts]
        if parts or (ended.code and outs):
            return f"left behind: {', '.join(parts or outs)}"
        return ""

    def _check(self, name: str, file: str, data: bytes) -> None:
        module, source = self._module()
        seen, was = Seen.of(self.folder, self.key), self.files[file]
        why = wrong(seen, self.before, data, was, file, kind(file, data), module, source)
        why = why or too_many(seen, self.before, name, file)
        if why:
            raise SystemExit(print(why) or 1)


def kind(file: str, data: bytes) -> str:
    if file.endswith(".csv"):
        return "csv"
    return "array" if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[" else "lines"
