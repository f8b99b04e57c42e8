"""MentalChat16K: an interview half (paraphrased transcripts) and a synthetic half, told apart by file."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from stages import text
from stages.errors import SourceError
from stages.params import Source
from stages.sources import columns, drafts, marks

GROUP = "input"
REPAIRS = text.REPAIRS
CHOICES = ()

# No column tells the halves apart: the name of the file does. (type, tag)
HALVES = {"Interview": ("interview", "paraphrased"), "Synthetic": ("synthetic", "synthetic")}


def raw(params: Source) -> pa.Schema:
    return columns("instruction", "input", "output")


def draft(batch: pa.RecordBatch, file: str, params: Source) -> pa.RecordBatch:
    kind, tag = _half(file)
    # One constant instruction in two variants that differ only in blanks.
    system = pc.replace_substring_regex(batch["instruction"], r"[ \t]+\n", "\n")
    return drafts(
        len(batch),
        input=batch["input"],
        response=batch["output"],
        type=kind,
        tags=[tag],
        system=system,
        group=batch["input"],
        edits=marks(pc.not_equal(system, batch["instruction"]).to_pylist(), "blanks"),
    )


def _half(file: str) -> tuple[str, str]:
    for name, half in HALVES.items():
        if file.rsplit("/", 1)[-1].startswith(name):
            return half
    raise SourceError(
        f"mentalchat16k: {file} is neither an Interview nor a Synthetic file: sources.mentalchat16k.files in "
        f"params.yaml takes names that start with {' or '.join(HALVES)}"
    )
