"""What upstream has now that the pins do not have: a moved commit, a changed licence, new or lost files and rows.

`mhdata drift` asks the Hub for each pinned source; nothing of the project changes. A licence has drifted when the
card declares another one at the newest commit than at the pinned one, or when a licence file has other bytes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from stages import errors, hub, params
from stages.errors import EndpointError, ParamsError, PipelineError, UnansweredError
from stages.params import Pin, Source
from stages.pins import wanted

BRANCH = "main"
LICENCES = ("license", "licence", "copying", "notice", "terms")  # how names of licence files start


@dataclass(frozen=True)
class File:
    """One file that differs. `before` and `after` are its bytes and hash in words, None where it is not there.

    Rows are counted for declared files alone: how many there are now that were not, and the other way round.
    """

    path: str
    before: str | None
    after: str | None
    declared: bool
    rows_new: int | None = None
    rows_gone: int | None = None


@dataclass(frozen=True)
class Drift:
    """How far upstream has gone from the pins of one source."""

    source: str
    dataset: str
    pinned: str
    newest: str | None = None
    renamed: str | None = None
    license_before: str = ""
    license_after: str = ""
    files: list[File] = field(default_factory=list)
    trouble: str | None = None  # why no more can be had of the pinned files
    unasked: str | None = None  # why it could not be asked

    @property
    def license_changed(self) -> bool:
        return self.license_before != self.license_after or any(_is_licence(file.path) for file in self.files)

    @property
    def moved(self) -> bool:
        """Whether anything differs, if only the commit."""
        if self.unasked:
            return False
        return self.trouble is not None or self.newest != self.pinned or self.renamed is not None


def measure(key: str, source: Source) -> Drift:
    """Ask the Hub what has become of one source. Raises EndpointError where it does not answer."""
    assert source.revision
    asked = hub.Repo(key, source.dataset, source.revision)  # what is wrong here is no drift, and no other would do
    try:
        with asked as repo:
            now = repo.info(BRANCH)
            renamed = now.id if now.id not in ("", source.dataset) else None
            if now.sha == source.revision:
                return Drift(key, source.dataset, source.revision, now.sha, renamed)
            was, before = repo.info(source.revision), repo.listing()
            with hub.Repo(key, source.dataset, now.sha) as newest:
                files = _files(source, repo, newest, before, newest.listing())
        return Drift(key, source.dataset, source.revision, now.sha, renamed, was.license, now.license, files)
    except UnansweredError as error:
        return Drift(key, source.dataset, source.revision, unasked=error.what)
    except PipelineError as error:
        return Drift(key, source.dataset, source.revision, trouble=str(error))


def _files(
    source: Source, repo: hub.Repo, newest: hub.Repo, before: dict[str, Pin], after: dict[str, Pin]
) -> list[File]:
    changed = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
    return [_file(path, source, repo, newest, before.get(path), after.get(path)) for path in changed]


def _file(path: str, source: Source, repo: hub.Repo, newest: hub.Repo, before: Pin | None, after: Pin | None) -> File:
    declared = path in source.files
    new = gone = None
    if declared and before and after:
        was, now = _rows(repo, path, source, before), _rows(newest, path, source, after)
        new, gone = (now - was).total(), (was - now).total()
    was_told, now_told = (wanted(pin) if pin else None for pin in (before, after))
    return File(path, was_told, now_told, declared, new, gone)


def _rows(repo: hub.Repo, path: str, source: Source, vouched: Pin) -> Counter[bytes]:
    """The rows of a file by hash of their upstream columns; a row that cannot be read counts by its text."""
    import pyarrow as pa

    from stages import readers, sources
    from stages.engine.keys import hash128, hexes

    schema = sources.load(repo.source).raw(source)
    found: Counter[bytes] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        repo.fetch(path, vouched, part, lambda _: None)
        named = part.rename(part.with_suffix(".csv" if readers.is_csv(path) else ".json"))
        for batch in readers.read(readers.Unit(named), schema, f"{repo.source}: {path}"):
            texts = [orjson.dumps(row) for row in batch.columns.to_pylist()]
            texts += [fault.raw.encode() for fault in batch.faults]
            found.update(name.encode() for name in hexes(hash128(pa.array(texts, pa.binary()))))
    return found


def _is_licence(path: str) -> bool:
    return path.rpartition("/")[2].lower().startswith(LICENCES)


# In words


def report(drifts: Sequence[Drift]) -> str:
    """Markdown for an issue: one part per source that has drifted, and one line for those that have not."""
    parts = [_part(drift) for drift in drifts if drift.moved]
    still = [drift.source for drift in drifts if not drift.moved and not drift.unasked]
    if still:
        parts.append(f"As pinned: {', '.join(still)}.\n")
    parts += [f"Could not be asked: {drift.unasked}.\n" for drift in drifts if drift.unasked]
    return "\n".join(parts)


def _part(drift: Drift) -> str:
    lines = [f"## {drift.source} ({drift.dataset})", ""]
    if drift.trouble:
        return "\n".join([*lines, f"- {drift.trouble}", ""])
    lines.append(f"- pinned `{drift.pinned}`, upstream is at `{drift.newest}`")
    if drift.renamed:
        lines.append(f"- it is now called `{_plain(drift.renamed)}`")
    if drift.license_changed:
        before, after = drift.license_before or "none declared", drift.license_after or "none declared"
        lines.append(f"- **the licence changed**: `{_plain(before)}` → `{_plain(after)}`; read it before anything else")
    lines += [f"- {_told(file)}" for file in drift.files]
    if not drift.files:
        lines.append("- no file differs")
    where = f"sources.{drift.source}"
    return "\n".join([*lines, f"- to accept it: set `{where}.revision` and the pins under `{where}.files`", ""])


def _told(file: File) -> str:
    what = "new file" if file.before is None else "file gone" if file.after is None else "changed"
    name = f"`{_plain(file.path)}`"
    if _is_licence(file.path):
        name = f"licence file {name}"
    told = f"{what}: {name}" if file.declared or _is_licence(file.path) else f"{what}: {name} (not used here)"
    if file.rows_new is not None:
        told += f", {file.rows_new:,} rows are new, {file.rows_gone:,} are gone"
    return told + (f"; now {file.after}" if file.after and file.before else "")


def _plain(text: str) -> str:
    """Words of upstream's between backticks: no mark of Markdown or HTML works there but a backtick and a line end."""
    return " ".join(text.replace("`", "'").split())[:200]


# The door


def run(words: list[str]) -> int:
    """`mhdata drift`: print what has drifted, as Markdown or JSON. 0 when all could be asked, drifted or not."""
    parser = argparse.ArgumentParser(prog="mhdata drift", description=__doc__)
    parser.add_argument("sources", nargs="*", help="keys under sources in params.yaml; all that have a revision")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--out", type=Path, help="write the Markdown to this file, and only when something drifted")
    options = parser.parse_args(words)
    pinned = {key: source for key, source in params.load("sources").sources.items() if source.revision}
    if unknown := [key for key in options.sources if key not in pinned]:
        raise ParamsError(f"no pinned source is called {unknown[0]!r}: choose of {', '.join(pinned)}")
    errors.without_pandas()
    drifts = [measure(key, pinned[key]) for key in options.sources or pinned]
    moved = [drift for drift in drifts if drift.moved]
    if options.out and moved:
        options.out.write_text(report(drifts), encoding="utf-8")
    elif options.json:
        document = [
            asdict(drift) | {"moved": drift.moved, "license_changed": drift.license_changed} for drift in drifts
        ]
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    elif not options.out:
        known = [drift.source for drift in drifts if not drift.unasked]
        print(report(drifts) if moved else f"as pinned: {', '.join(known) or 'none that could be asked'}")
    unasked = [drift for drift in drifts if drift.unasked]
    aside = f", {len(unasked)} could not be asked" if unasked else ""
    print(f"{len(moved)} of {len(drifts)} sources have drifted{aside}", file=sys.stderr)
    if troubled := [drift for drift in drifts if drift.trouble]:
        raise EndpointError(troubled[0].trouble or "")
    if unasked:
        raise EndpointError(f"{unasked[0].unasked}: check the network and HF_ENDPOINT, and run `mhdata drift` again")
    return errors.DONE
