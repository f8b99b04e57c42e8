"""One corpus from the public mental-health conversation datasets: build it, ask about it, load it.

    import mhdata

    mhdata.merge_all_datasets()
    train = mhdata.load_merged(split="train")

All names are loaded when first used, so importing this package costs nothing. `mhdata --help` is the command line.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mhdata.api import (
        get_merged_dataset_path,
        load_merged,
        merge_all_datasets,
        merged_dataset_exists,
        prepare,
        prepare_all_formats,
        prepare_for_huggingface,
        prepare_for_openai,
        prepared_datasets_exist,
    )
    from mhdata.results import (
        Account,
        ExportedFile,
        Lengths,
        MergeResult,
        PreparedFormat,
        PrepareResult,
        Statistics,
    )

__all__ = [
    "Account",
    "ExportedFile",
    "Lengths",
    "MergeResult",
    "PrepareResult",
    "PreparedFormat",
    "Statistics",
    "get_merged_dataset_path",
    "load_merged",
    "merge_all_datasets",
    "merged_dataset_exists",
    "prepare",
    "prepare_all_formats",
    "prepare_for_huggingface",
    "prepare_for_openai",
    "prepared_datasets_exist",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("mhdata.results" if name[0].isupper() else "mhdata.api"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
