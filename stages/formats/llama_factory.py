"""LLaMA-Factory: dataset_info.json, the register of the files it reads, for `dataset_dir: data/exports`.

Made of the ledgers of the formats that it lists: a file that was not built is not listed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.files import read_json
from stages.formats import Made
from stages.layout import LEDGER
from stages.params import Export

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

KIND = "register"
OUTS = ("dataset_info.json",)
TERMS = None  # it holds no row

_OPENAI_TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "system_tag": "system",
}  # fmt: skip
# Format -> name in the register, and how LLaMA-Factory is to read its lines.
ENTRIES: dict[str, tuple[str, dict[str, Any]]] = {
    # Its own `formatting: openai` writes "detailed thinking off" behind every system message (0.9.5).
    "openai": ("chat", {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": _OPENAI_TAGS}),
    "sharegpt": ("sharegpt", {"formatting": "sharegpt", "columns": {"messages": "conversations"}}),
    "alpaca": (
        "alpaca",
        {"columns": {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}},
    ),
    "dpo_text": (
        "dpo_text",
        {
            "ranking": True,
            "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected", "system": "system"},
        },
    ),
    "kto_text": ("kto_text", {"columns": {"prompt": "prompt", "response": "completion", "kto_tag": "label"}}),
}


class Register:
    """Takes no rows."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / OUTS[0]

    def add(self, rows: pa.RecordBatch, sides: np.ndarray, lengths: np.ndarray) -> None:
        """A register holds no row."""

    def close(self) -> list[Made]:
        entries: dict[str, Any] = {}
        for format, (name, how) in ENTRIES.items():
            for file in read_json(LEDGER / "export" / f"{format}.json")["files"]:
                if file["split"] is not None:
                    entries[_name(name, file)] = {"file_name": file["path"], **how}
        self._path.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
        return [Made(self._path, None, len(entries), None)]


def _name(name: str, file: dict[str, Any]) -> str:
    """mental_health_chat_train; a file in several parts has the number of each behind it."""
    _, cut, place = Path(file["path"]).stem.partition(f"{file['split']}-")
    return f"mental_health_{name}_{file['split']}" + (f"_{place[:5]}" if cut else "")


def writer(folder: Path, settings: Export) -> Register:
    return Register(folder)
