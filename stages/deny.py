"""The deny list: rows that must not be in any build, named by hashes, so that the list itself tells nothing.

A line of data/deny.txt is the sha256 of a folded text: one of a row's texts (then every row with that text
leaves), or the row as a whole (then that question with that answer leaves). Folding makes an entry hold for every
spacing, case and punctuation of the text, in every source. A hash cannot be turned back into a text; but whoever
holds a text can see whether it is on the list, so comments must not say whose it was.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import text
from stages.errors import ParamsError
from stages.files import atomic

PATH = Path("data/deny.txt")
TEXTS = ("input", "response", "rejected_response")

_LINE = re.compile(r"(?P<hash>[0-9a-f]{64})(?:\s+#.*)?")
_REASON = 80  # characters


def load(path: Path = PATH) -> frozenset[bytes]:
    """The hashes of the deny list. Raises ParamsError for a line that is no entry, and for a file that is not there."""
    return frozenset(bytes.fromhex(found) for found in _hashes(path) if found)


def _hashes(path: Path) -> list[str | None]:
    """For each line its hash, or None for a comment or a blank one."""
    found: list[str | None] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        entry = _LINE.fullmatch(line.strip())
        if entry is None and line.strip() and not line.startswith("#"):
            raise ParamsError(
                f"{path}, line {number}: an entry is 64 hex digits (the sha256 of a folded text), then perhaps "
                "`# reason`: remove the line, and make entries with `mhdata takedown`"
            )
        found.append(entry["hash"] if entry else None)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:  # taken for an empty list, it would let back in whoever asked to be taken out
        mend = f"restore it with `git checkout {path}`; a list without entries is an empty file"
        raise ParamsError(f"{path} is missing: {mend}") from None
    except UnicodeDecodeError:
        raise ParamsError(f"{path} is no UTF-8: restore it with `git checkout {path}`, or save it as UTF-8") from None


def denied(batch: pa.RecordBatch, hashes: frozenset[bytes]) -> pa.BooleanArray:
    """Which records are on the list: by any of their texts, by the content of a turn, or as a whole."""
    found = np.zeros(len(batch), bool)
    if not hashes:
        return pa.array(found)
    folded = [_folded(batch[name]) for name in TEXTS]
    for column in (*folded, _whole(folded)):
        found |= _listed(column, hashes)
    if "turns" in batch.schema.names and batch["turns"].null_count < len(batch):
        turns = batch["turns"]
        rows = pc.list_parent_indices(turns).to_numpy()
        contents = pc.struct_field(pc.list_flatten(turns), "content")
        found[rows[_listed(_folded(contents), hashes)]] = True
    return pa.array(found)


def _folded(texts: pa.Array) -> pa.Array:
    """Folded texts; null where there is none, or nothing but blanks."""
    folded = text.fold_or_nfkc(texts)
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(folded), ""), None, folded)


def _whole(folded: list[pa.Array]) -> pa.Array:
    """Input, response and rejected_response as one text each; a line feed is in no folded text."""
    return pc.binary_join_element_wise(*folded, "\n", null_handling="replace", null_replacement="")


def _listed(texts: pa.Array, hashes: frozenset[bytes]) -> np.ndarray:
    values = texts.cast(pa.binary()).to_pylist()
    return np.array([value is not None and hashlib.sha256(value).digest() in hashes for value in values], bool)


def entries(batch: pa.RecordBatch) -> list[str]:
    """The entry that takes out each record as a whole: 64 hex digits."""
    whole = _whole([_folded(batch[name]) for name in TEXTS]).cast(pa.binary()).to_pylist()
    return [hashlib.sha256(value).hexdigest() for value in whole]


def entry(content: str) -> str:
    """The entry that takes out every record with this text, whatever its spacing, case and punctuation.

    Raises ParamsError for a text without letters or digits, which would take out rows that only look alike.

    >>> entry("Hang out with.Seriously") == entry("hang  out with. SERIOUSLY!")
    True
    """
    folded = text.fold(pa.array([content]))[0].as_py()
    if not folded:
        raise ParamsError("a text without any letter or digit cannot be put on the deny list: deny the row as a whole")
    return hashlib.sha256(folded.encode()).hexdigest()


def add(hashes: Iterable[str], reason: str = "", path: Path = PATH) -> int:
    """Append entries that are not on the list yet; return how many. `reason` is a word or a ticket, never text."""
    if len(reason) > _REASON or not reason.isprintable():
        raise ParamsError(f"{path}: a reason is one line of at most {_REASON} characters, and never the text itself")
    known = {found for found in _hashes(path) if found}
    fresh = [found for found in dict.fromkeys(hashes) if found not in known]
    if not all(_LINE.fullmatch(found) for found in fresh):
        raise ParamsError(f"{path}: an entry is the sha256 of a folded text, 64 hex digits")
    if fresh:
        before = _text(path)
        lines = [f"{found}  # {reason}" if reason else found for found in fresh]
        gap = "" if before.endswith("\n") or not before else "\n"
        with atomic(path) as part:
            part.write_text(before + gap + "\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return len(fresh)
