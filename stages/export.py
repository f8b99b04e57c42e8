"""export: the merged rows in one format, on the sides of the split. `python -m stages.export <format>`

Exports only filter: text, sides and what a row may enter are settled before. A row that stays out is counted by
reason. What a format cannot give, too few rows for its service say, is a note in its ledger and no file.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from stages import errors, formats, params
from stages.errors import ParamsError
from stages.files import scratch, write_json
from stages.formats import Made
from stages.layout import EXPORTS, LEDGER


def main(name: str) -> None:
    settings = params.load("formats", "export", "profile")
    if name not in formats.names():
        raise ParamsError(f"export: there is no format {name!r}: {params.nearest(name, formats.names())}")
    module = formats.load(name)
    chosen = selected(name, settings.formats)
    made: list[Made] = []
    with scratch(EXPORTS / name) as folder:
        if chosen:
            from stages import exporting  # and with it pyarrow: a format that is not chosen does without

            terms = terms_folder(module)
            made, account = exporting.write(
                name, module, settings.export, settings.engine, settings.profile, terms, folder
            )
        else:
            account = _nothing(name, settings.export.unit)
        for out in module.OUTS:
            _leave_note(folder / out, account["note"] or "Empty: the other files of this format hold all rows.")
            _place(folder / out, EXPORTS / out)
            if "/" in out:
                (folder / out).parent.rmdir()
    rows = {side: sum(one.rows for one in made if one.split == side) for side in formats.SIDES}
    about = {"stage": "export", "format": name, "selected": chosen, "profile": settings.profile, "rows": rows}
    write_json(LEDGER / "export" / f"{name}.json", about | account)


def _nothing(name: str, unit: str) -> dict[str, Any]:
    """The account of a format that is not chosen."""
    note = f"Not built: add {name} to formats in params.yaml and run `dvc repro`."
    return {"note": note, "files": [], "removed": [], "parts": [], "sources": {}, "unit": unit, "lengths": {}}


def selected(name: str, wanted: list[str]) -> bool:
    """Whether `formats` in params asks for this format."""
    return name in wanted or "all" in wanted


def terms_folder(module: formats.Module) -> str | None:
    """Where the licences of a format's rows go, under data/exports; None where another stage writes them."""
    folder: str | None = getattr(module, "TERMS", module.OUTS[0])
    return folder


def _leave_note(path: Path, note: str) -> None:
    """DVC wants every out to exist: a file that is not there is empty, a folder without one says why."""
    if "." in path.name:
        if not path.exists():
            path.write_text("{}\n" if path.suffix == ".json" else "", encoding="utf-8")
    elif not any(file.is_file() for file in path.rglob("*")):
        path.mkdir(parents=True, exist_ok=True)
        (path / "NOTE.txt").write_text(note + "\n", encoding="utf-8")


def _place(made: Path, final: Path) -> None:
    """Give a made file or folder its final name."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.is_dir():
        shutil.rmtree(final)
    os.replace(made, final)


if __name__ == "__main__":
    errors.run(main)
