"""The Python functions of `mhdata`. Each finds the workspace itself, or takes its folder as `root`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from mhdata import formats, runner, state, statistics, workspace
from mhdata.events import Listener, nothing
from mhdata.results import MergeResult, PrepareResult
from mhdata.runner import Request
from mhdata.workspace import Workspace

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

Root = str | os.PathLike[str] | None


def merge_all_datasets(
    *, force: bool = False, wait: bool = True, on_event: Listener = nothing, root: Root = None
) -> MergeResult:
    """Download, normalize, screen and merge all sources; what is up to date is left alone.

    `force` merges again although nothing changed. `wait` waits for another build in the folder, where false raises
    BusyError. `on_event` is called with each `mhdata.events` value while it runs. An existing table is replaced
    once the new one is whole.

    Raises `stages.errors.PipelineError` with one sentence.

    Example::

        result = mhdata.merge_all_datasets(on_event=print)
        print(result.rows, result.path, result.statistics.sources)
    """
    where = workspace.find(root)
    outcome = runner.run(where, Request("merge", force=force), on_event, wait=wait)
    return _merged(where, rebuilt="merge" in (*outcome.ran, *outcome.restored), seconds=outcome.seconds)


def _merged(where: Workspace, *, rebuilt: bool, seconds: float) -> MergeResult:
    counted, path = statistics.of(where), where.merged
    return MergeResult(
        path, path.with_suffix(".json"), path.with_suffix(".csv"), counted.rows, rebuilt, seconds, counted
    )


def merged_dataset_exists(*, root: Root = None) -> bool:
    """Whether there is a merged table; `mhdata status` says whether it is stale.

    Example::

        if not mhdata.merged_dataset_exists():
            mhdata.merge_all_datasets()
    """
    return state.merged_exists(workspace.find(root))


def get_merged_dataset_path(kind: Literal["parquet", "json", "csv"] = "parquet", *, root: Root = None) -> Path:
    """The path of the merged table, whether or not it exists. The JSON and the CSV hold the six public fields.

    Example::

        rows = json.loads(mhdata.get_merged_dataset_path("json").read_text())
    """
    return workspace.find(root).merged.with_suffix(f".{kind}")


def prepare_for_openai(
    *, force: bool = False, wait: bool = True, on_event: Listener = nothing, root: Root = None
) -> PrepareResult:
    """Write the files for OpenAI fine-tuning: all rows, train and validation.

    Example::

        made = mhdata.prepare_for_openai().formats["openai"]
        train = next(file.path for file in made.files if file.split == "train")
    """
    return prepare(["openai"], force=force, wait=wait, on_event=on_event, root=root)


def prepare_for_huggingface(
    *, force: bool = False, wait: bool = True, on_event: Listener = nothing, root: Root = None
) -> PrepareResult:
    """Write the folder that `datasets.load_from_disk` reads, with train and validation, and a CSV.

    Example::

        made = mhdata.prepare_for_huggingface().formats["huggingface"]
        dataset = datasets.load_from_disk(made.path)
    """
    return prepare(["huggingface"], force=force, wait=wait, on_event=on_event, root=root)


def prepare_all_formats(
    *, force: bool = False, wait: bool = True, on_event: Listener = nothing, root: Root = None
) -> PrepareResult:
    """Write every format that `formats` in params.yaml lists.

    Example::

        for name, made in mhdata.prepare_all_formats().formats.items():
            print(name, made.rows, made.note or "")
    """
    chosen = formats.selected(workspace.find(root))
    return prepare(chosen, force=force, wait=wait, on_event=on_event, root=root)


def prepare(
    names: Sequence[str], *, force: bool = False, wait: bool = True, on_event: Listener = nothing, root: Root = None
) -> PrepareResult:
    """Write the named formats. Raises RefusedError for one that `formats` in params.yaml does not list.

    Example::

        mhdata.prepare(["openai", "dpo"])
    """
    where = workspace.find(root)
    outcome = runner.run(where, Request("prepare", tuple(names), force), on_event, wait=wait)
    chosen = formats.selected(where)
    made = {name: state.prepared(where, name, chosen) for name in names}
    return PrepareResult(made, not outcome.up_to_date, outcome.seconds)


def prepared_datasets_exist(names: Sequence[str] | None = None, *, root: Root = None) -> dict[str, bool]:
    """For each format that params.yaml selects, or each of `names`: whether its files exist.

    Example::

        if all(mhdata.prepared_datasets_exist().values()):
            print("ready to train")
    """
    where = workspace.find(root)
    chosen = formats.selected(where)
    return {name: state.prepared(where, name, chosen).exists for name in names or chosen}


@overload
def load_merged(
    *, split: str | None = ..., sources: Sequence[str] | None = ..., format: Literal["datasets"] = ..., root: Root = ...
) -> datasets.Dataset: ...
@overload
def load_merged(
    *, split: str | None = ..., sources: Sequence[str] | None = ..., format: Literal["arrow"], root: Root = ...
) -> pa.Table: ...
def load_merged(
    *,
    split: str | None = None,
    sources: Sequence[str] | None = None,
    format: Literal["datasets", "arrow"] = "datasets",
    root: Root = None,
) -> Any:
    """The rows of the merged table, or of one side and some sources, memory-mapped: no copy in memory.

    Columns are those of `stages.record.MERGED` and `split`. The first call with a selection streams it into an
    Arrow file under .dvc/tmp (no row is held twice, memory stays flat); later calls map that file.

    Raises NotBuiltError without a merged table, ParamsError for an unknown split or source.

    Example::

        train = mhdata.load_merged(split="train", sources=["trace", "mentalchat16k"])
        table = mhdata.load_merged(format="arrow")
    """
    from mhdata import merged

    if format not in ("datasets", "arrow"):
        raise ValueError(f"format is {format!r}: choose of datasets, arrow")
    path = merged.load(workspace.find(root), split, sources)
    if format == "datasets":
        import datasets

        return datasets.Dataset.from_file(str(path))
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
