"""export: the merged rows in one format, on the sides of the split. `python -m stages.export <format>`

Exports only filter: text, sides and what a row may enter are settled before. A row's refusal is counted by reason.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from stages import errors, formats, params
from stages.errors import ParamsError
from stages.files import scratch, sha256, write_json
from stages.layout import EXPORTS, LEDGER, MERGED_TABLE, SPLIT_TABLE
from stages.ledger import Ledger
from stages.params import Export
from stages.storage import aligned, read_batches

SIDES = ("train", "validation")


def main(name: str) -> None:
    settings = params.load("formats", "export")
    if name not in formats.names():
        raise ParamsError(f"export: there is no format {name!r}: choose of {', '.join(formats.names())}")
    module = formats.load(name)
    with scratch(EXPORTS / name) as folder:
        if selected(name, settings.formats):
            accounts, sides = _write(module, folder, settings.export)
        else:
            accounts, sides = {}, {}
            _leave_note(module, folder, name)
        files = [_described(path, folder, name) for path in sorted(folder.rglob("*")) if path.is_file()]
        for out in module.OUTS:
            _place(folder / out, EXPORTS / out)
    figures = {source: account.account() for source, account in accounts.items()}
    write_json(
        LEDGER / "export" / f"{name}.json",
        {
            "stage": "export",
            "format": name,
            "selected": bool(accounts),
            "sources": figures,
            "files": files,
            "rows": sides,
        },
    )


def selected(name: str, wanted: list[str]) -> bool:
    """Whether `formats` in params asks for this format."""
    return name in wanted or "all" in wanted


def _write(module: formats.Module, folder: Path, settings: Export) -> tuple[dict[str, Ledger], dict[str, int]]:
    accounts: dict[str, Ledger] = {}
    counts: Counter[str] = Counter()
    writer = module.writer(folder, settings)
    columns = list(formats.Row._fields)
    streams = read_batches(MERGED_TABLE, columns), read_batches(SPLIT_TABLE, ["id", "side"])
    for batch, split in aligned(*streams):
        taken, sides = [], []
        for row, side in zip(formats.rows(batch), split["side"].to_pylist(), strict=True):
            account = accounts.setdefault(row.source, Ledger("export", row.source))
            account.rows_in += 1
            reason = formats.entering(row, module.KIND) or (None if side in SIDES else side)
            if reason:
                account.rejected[reason] += 1
            else:
                taken.append(row)
                sides.append(side)
        for row, side, reason in zip(taken, sides, writer.add(taken, sides), strict=True):
            if reason:
                accounts[row.source].rejected[reason] += 1
            else:
                accounts[row.source].rows_out += 1
                counts[side] += 1
    writer.close()
    return accounts, {side: counts[side] for side in SIDES}


def _leave_note(module: formats.Module, folder: Path, name: str) -> None:
    """DVC wants every out to exist: a format that is not selected says so."""
    note = f"Not built: add {name} to formats in params.yaml and run `dvc repro`.\n"
    for out in module.OUTS:
        path = folder / out if "." in out else folder / out / "NOT_BUILT.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(note if "." not in out else "", encoding="utf-8")


def _described(path: Path, folder: Path, name: str) -> dict[str, Any]:
    return {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)}


def _place(made: Path, final: Path) -> None:
    """Give a made file or folder its final name."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.is_dir():
        shutil.rmtree(final)
    os.replace(made, final)


if __name__ == "__main__":
    errors.run(main)
