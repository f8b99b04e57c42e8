"""Fetch the upstream files of one source, verify them, and say in a receipt what came.

`python -m stages.download SOURCE` writes `data/raw/SOURCE/`: the files under their upstream paths, the licence files,
and `receipt.json`. Where they come from is `origin` in params.yaml: the sample in git, the user's own files under
`data/local/SOURCE/`, or the pinned revision on the Hub (a source without a revision has no copy there and is local).
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages import errors, homes, hub, params
from stages.errors import ParamsError, SourceError
from stages.files import atomic_folder, write_json
from stages.homes import NOTHING, Folder, Home
from stages.params import Pin, Source
from stages.pins import PACKED, Digest, Verdict, arrived, looks_like, stop, verdict, wanted
from stages.resume import alone

DATA = Path("data")
RAW, PARTS = DATA / "raw", DATA / ".parts"
SUMS = "SHA256SUMS"
RESERVE = 64 << 20  # bytes of disk to leave free, at most


@dataclass
class Job:
    """One source, where its files come from, the folder they go to, and what its receipt will say."""

    key: str
    source: Source
    origin: str
    folder: Path
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def where(self, file: str) -> str:
        """How a sentence names one of the files."""
        return f"source {self.key}, {'licence' if file in self.source.license_files else 'file'} {file}"

    def block(self, file: str) -> str:
        """Where params.yaml pins a file."""
        return f"sources.{self.key}.{'license_files' if file in self.source.license_files else 'files'}"

    def note(self, text: str) -> None:
        """Say something that the user should see, now and in the receipt."""
        self.notes.append(text)
        print(f"note: {text}", file=sys.stderr)

    def enter(self, file: str, came: Digest, pin: str, verified: str) -> None:
        """Put a file into the receipt. `verified` names whose hash it met: pin, upstream, sums or nothing."""
        entry = {"file": file, "bytes": came.bytes, "sha256": came.sha256, "blob": came.blob}
        self.entries[file] = entry | {"pin": pin, "verified": verified}

    def receipt(self, state: str) -> dict[str, Any]:
        """What came, with no clock and no absolute path. `revision` is null where the bytes are not shown to be it."""
        pinned = bool(self.entries) and all(entry["verified"] in ("pin", "upstream") for entry in self.entries.values())
        return {
            "source": self.key,
            "origin": self.origin,
            "state": state,
            "dataset": self.source.dataset,
            "revision": self.source.revision if pinned else None,
            "license": self.source.license,
            "files": [self.entries[file] for file in self.source.files if file in self.entries],
            "license_files": [self.entries[file] for file in self.source.license_files if file in self.entries],
            "notes": self.notes,
        }


# From a folder: the sample, or the user's own files


def from_sample(job: Job) -> None:
    """Copy the rows that this project wrote itself. They are not upstream's, so no pin speaks of them."""
    folder = DATA / "sample" / job.key
    home = Folder(folder, str(folder))
    for file in _present(job, home, needed=list(job.source.files)):
        job.enter(file, _copy(job, file, home), "sample", "nothing")


def from_local(job: Job) -> None:
    """Copy the user's files, check them against SHA256SUMS if it is there, and say which are not the pinned ones."""
    home = homes.home(job.source.at, job.key, DATA / "local" / job.key)
    sums = _sums(job, home)
    for file in _present(job, home, needed=list(job.source.declared)):
        if sums and file not in sums and file in job.source.files:
            job.note(f"{job.where(file)} has no line in {home.name}/{SUMS}: only the pin, if any, vouches for it")
        came, pin = _copy(job, file, home), job.source.declared[file]
        if sums.get(file, came.sha256) != came.sha256:
            raise stop(
                job.where(file), f"sha256 {sums[file]} by {home.where(SUMS)}", f"sha256 {came.sha256} is there",
                "copy the file again, or mend its line",
            )  # fmt: skip
        judged = verdict(pin, came)
        if judged == "differs":
            own = f"your own copy is used ({arrived(came, pin)})"
            job.note(f"{job.where(file)} is not the pinned file ({wanted(pin)}): {own}")
        job.enter(file, came, judged, "pin" if judged == "matches" else "sums" if file in sums else "nothing")


def _present(job: Job, home: Home, needed: list[str]) -> list[str]:
    """The declared files that are in a folder: all that are needed, or none of an optional source."""
    sizes = {file: home.size(file) for file in job.source.declared}
    present = [file for file, size in sizes.items() if size is not None]
    missing = [file for file in needed if file not in present]
    if missing and (not job.source.optional or any(file in job.source.files for file in present)):
        file = missing[0]
        more = f" (nor are {', '.join(missing[1:])})" if missing[1:] else ""
        there = f"{home.instead(file)} is there{more}"
        raise stop(job.where(file), f"it at {home.where(file)}", there, _supply(job, file))
    if missing:
        job.note(f"source {job.key} is optional and has no file in {home.name}: it adds no rows")
        return []
    _room(RAW, sum(size or 0 for size in sizes.values()), job.key)
    return present


def _supply(job: Job, file: str) -> str:
    off = f"set sources.{job.key}.enabled: false in params.yaml"
    if job.origin == "sample":
        return f"bring it back with `git checkout data/sample/{job.key}`, or {off}"
    page = f" (https://huggingface.co/datasets/{job.source.dataset}/resolve/{job.source.revision}/{file})"
    return f"put it there{page if job.source.revision else ''}, or {off}"


def _copy(job: Job, file: str, home: Home, name: str | None = None) -> Digest:
    """Copy a file from where it has its upstream path, or another `name`."""
    name = name or file
    origin = home.where(name)
    came = Digest(size := home.size(name) or 0)
    target = job.folder / file
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        for chunk in home.chunks(name):
            out.write(chunk)
            came.update(chunk)
    if came.bytes != size:
        raise stop(job.where(file), f"{size:,} bytes", f"it changed while it was read from {origin}", "run again")
    if strange := looks_like(came.head):
        if strange in PACKED.values():
            mend = "unpack it, or save it as UTF-8, under that name"
        elif "LFS" in strange:
            mend = "run `git lfs pull` where it comes from"
        else:
            mend = "download the file itself, not its page"
        raise stop(job.where(file), "data", f"{strange} is at {origin}", mend)
    return came


_SUM = re.compile(r"(?P<sha256>[0-9a-f]{64}) [ *](?:\./)?(?P<file>.+)")


def _sums(job: Job, home: Home) -> dict[str, str]:
    """File to sha256, as `sha256sum` writes them; empty where the folder has none."""
    where = f"source {job.key}, {home.where(SUMS)}"
    if home.size(SUMS) is None:
        if (there := home.instead(SUMS)) == NOTHING:
            return {}
        raise stop(where, "a file that `sha256sum` wrote", f"{there} is there", "move it away, or write it again")
    lines = b"".join(home.chunks(SUMS)).decode("utf-8", errors="replace").splitlines()
    found = {number: _SUM.fullmatch(line) for number, line in enumerate(lines, 1) if line.strip()}
    if bad := [number for number, line in found.items() if not line]:
        raise stop(
            f"{where}, line {bad[0]}", "a sha256, two blanks and a path", "something else is there",
            "write it again with `sha256sum`",
        )  # fmt: skip
    sums = {line["file"]: line["sha256"] for line in found.values() if line}
    if not sums.keys() & job.source.declared.keys():
        listed = ", ".join(sums) or "nothing"
        raise stop(
            where, f"a line for {', '.join(job.source.declared)}", f"lines for {listed} are there",
            "write it in that folder with `sha256sum`, or remove it",
        )  # fmt: skip
    return sums


# From the Hub


def from_hub(job: Job) -> None:
    """Check commit, licences, hashes and disk before the first byte; then fetch, verify, and only then place."""
    if hub.offline():
        return _from_cache(job)
    parts = PARTS / job.key / (job.source.revision or "")
    with hub.Repo(job.key, job.source.dataset, job.source.revision) as repo:
        repo.check()
        vouched, names = repo.tree(list(job.source.declared))
        for file, pin in job.source.declared.items():
            _agree(job, file, pin, vouched.get(file), names)
        paths = {file: parts / f"{file}.part" for file in job.source.declared}
        here = sum(path.stat().st_size for path in paths.values() if path.exists())
        _room(PARTS, sum(pin.bytes or 0 for pin in vouched.values()) - here, job.key)
        for file, path in paths.items():
            with _progress(job.where(file), vouched[file].bytes or 0, repo.shown) as tell:
                came = repo.fetch(file, vouched[file], path, tell)
            _accept(job, file, came)
            _place(path, job.folder / file)
    return None


def _from_cache(job: Job) -> None:
    """Take what the Hub's own client has cached: HF_HUB_OFFLINE forbids to ask."""
    for file in job.source.declared:
        path, vouched = hub.cached(job.key, job.source.dataset, job.source.revision, file)
        came = _copy(job, file, Folder(path.parent, "the Hub's cache"), path.name)
        if verdict(vouched, came) == "differs":
            raise stop(
                job.where(file), wanted(vouched), f"{arrived(came, vouched)} is in the Hub's cache", "fetch it again"
            )
        _accept(job, file, came)


def _agree(job: Job, file: str, pin: Pin, vouched: Pin | None, names: list[str]) -> None:
    """Raise SourceError where the Hub's file list speaks against a pin."""
    if vouched is None:
        near = difflib.get_close_matches(file, names, 1)
        mend = f"did you mean {near[0]!r}?" if near else "compare them with the dataset's files"
        raise stop(
            job.where(file),
            f"it at revision {job.source.revision}",
            "no such file is there",
            f"{mend} ({job.block(file)})",
        )
    pairs = ((pin.bytes, vouched.bytes), (pin.sha256, vouched.sha256), (pin.blob, vouched.blob))
    if any(ours and theirs and ours != theirs for ours, theirs in pairs):
        raise _changed(job, file, pin, wanted(vouched))


def _accept(job: Job, file: str, came: Digest) -> None:
    """Compare bytes that upstream vouches for with our own pin, where the file list could not."""
    pin = job.source.declared[file]
    judged: Verdict = verdict(pin, came)
    if judged == "differs":
        raise _changed(job, file, pin, arrived(came, pin))
    if judged == "unknown":
        job.note(f"{job.where(file)} has no pinned hash; sha256 {came.sha256} came: pin it under {job.block(file)}")
    job.enter(file, came, judged, "pin" if judged == "matches" else "upstream")


def _changed(job: Job, file: str, pin: Pin, came: str) -> SourceError:
    licence = "its licence has changed, so read it before anything else; " if file in job.source.license_files else ""
    mend = f"{licence}if you accept what is there now, pin it under {job.block(file)} in params.yaml"
    return stop(job.where(file), wanted(pin), f"{came} is at revision {job.source.revision} upstream", mend)


def _place(part: Path, target: Path) -> None:
    """Give a whole part its name in the folder, without a second copy where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(part, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(part, target)


@contextlib.contextmanager
def _progress(where: str, total: int, host: str) -> Iterator[Callable[[int], None]]:
    """Tell on stderr how far a file is: at start and end, and now and then between."""
    terminal = sys.stderr.isatty()
    pause, end = (2.0, "  \r") if terminal else (15.0, "\n")
    start = shown = time.monotonic()
    before = here = -1  # bytes that were here before, and are now
    print(f"{where}: {_mb(total)} from {host}", file=sys.stderr)

    def tell(count: int) -> None:
        nonlocal shown, before, here
        before, here = count if before < 0 else min(before, count), count
        if (now := time.monotonic()) - shown >= pause:
            shown = now
            share = f"{count * 100 // max(total, 1)} %, {_mb(count)} of {_mb(total)}"
            print(f"{where}: {share}, {_rate(count - before, now - start)}", end=end, file=sys.stderr, flush=True)

    yield tell
    seconds = time.monotonic() - start
    kept = f" after {_mb(before)} from a former run" if before > 0 else ""
    speed = _rate(here - before, seconds)
    print(f"{where}: verified, {_mb(here - before)} in {seconds:.1f} s, {speed}{kept}", file=sys.stderr)


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1_000_000 else f"{count:,} bytes"


def _rate(count: int, seconds: float) -> str:
    return f"{count / 1e6 / max(seconds, 1e-3):,.1f} MB/s"


def _room(folder: Path, need: int, key: str) -> None:
    """Raise SourceError unless the disk takes `need` more bytes, and some for DVC's copy in its cache."""
    folder.mkdir(parents=True, exist_ok=True)
    free, need = shutil.disk_usage(folder).free, need + min(need, RESERVE)
    if free < need:
        raise stop(
            f"source {key}, disk of {folder}", f"{_mb(need)} free", f"{_mb(free)} are",
            "free some space and run `dvc repro` again",
        )  # fmt: skip


# The stage

ORIGINS: dict[str, Callable[[Job], None]] = {"sample": from_sample, "local": from_local, "hub": from_hub}


def take(key: str, source: Source, origin: str) -> None:
    """Make `data/raw/<key>/` whole, or leave it as it is and raise PipelineError."""
    origin = "local" if origin == "hub" and source.revision is None else origin
    held = alone(key, PARTS / key) if origin == "hub" and source.enabled else contextlib.nullcontext()
    with held, atomic_folder(RAW / key) as folder:
        job = Job(key, source, origin, folder)
        if source.enabled:
            ORIGINS[origin](job)
        state = ("complete" if job.entries else "absent") if source.enabled else "disabled"
        write_json(folder / "receipt.json", job.receipt(state))
    size = sum(entry["bytes"] for entry in job.entries.values())
    print(f"{key}: {state}, {len(job.entries)} files, {size:,} bytes from {origin}")


def main(*words: str) -> None:
    """Run the stage for the source that the command line names."""
    if len(words) != 1:
        raise ParamsError("usage: python -m stages.download SOURCE, where SOURCE is a key under sources in params.yaml")
    (key,) = words
    known = params.load("origin", f"sources.{key}")
    take(key, known.sources[key], known.origin)


if __name__ == "__main__":
    errors.run(main)
