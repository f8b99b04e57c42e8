"""datatrove: `datatrove.py exact|near ROWS.jsonl OUT`"""

from __future__ import annotations

import re
import sys
import tempfile
import unicodedata
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # this file has the library's name
    sys.path.pop(0)

from datatrove.data import Document, DocumentsPipeline
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

PATTERNS = [
    re.compile(pattern)
    for pattern in (
        r"[\w.+-]+@[\w-]+\.[\w.-]+", r"https?://\S+", r"\+?\d[\d ().-]{8,}\d", r"\b\d{1,3}(\.\d{1,3}){3}\b",
        r"\b\d{3}-\d{2}-\d{4}\b", r"\b(\d[ -]?){13,16}\b",
    )
]  # fmt: skip
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")
FOLDED = re.compile(r"[\W_]+")


class Mend(PipelineStep):
    """NFC, control characters and blanks at the ends out; six flags."""

    name = "mend"
    type = "format"

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        for document in data:
            text = document.text.replace("\r\n", "\n").replace("\r", "\n")
            document.text = unicodedata.normalize("NFC", CONTROL.sub("", text)).strip()
            for number, pattern in enumerate(PATTERNS):
                document.metadata[f"flag{number}"] = "1" if pattern.search(document.text) else "0"
            yield document


def folded(document: Document) -> str:
    return FOLDED.sub("", document.text.casefold())


def run(folder: Path, *steps: object) -> None:
    LocalPipelineExecutor(pipeline=list(steps), tasks=1, workers=1, logging_dir=str(folder / f"log-{len(list(folder.iterdir()))}")).run()  # fmt: skip


def exact(rows: Path, out: Path, folder: Path) -> None:
    config = ExactDedupConfig(content_getter=folded)
    mended = str(folder / "mended")
    # The rows are kept between the passes, as ours are, so that they are mended once.
    run(folder, JsonlReader(str(rows.parent), glob_pattern=rows.name), Mend(), JsonlWriter(mended, compression=None))
    run(folder, JsonlReader(mended), ExactDedupSignature(str(folder / "signatures"), config))
    run(folder, ExactFindDedups(str(folder / "signatures"), str(folder / "found"), config))
    run(folder, JsonlReader(mended), ExactDedupFilter(str(folder / "found"), config), JsonlWriter(str(out), compression=None))  # fmt: skip


def near(rows: Path, out: Path, folder: Path) -> None:
    config = MinhashConfig(n_grams=3, num_buckets=32, hashes_per_bucket=4)
    read = JsonlReader(str(rows.parent), glob_pattern=rows.name)
    run(folder, read, MinhashDedupSignature(str(folder / "signatures"), config))
    LocalPipelineExecutor(
        pipeline=[MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config)],
        tasks=32, workers=1, logging_dir=str(folder / "log-buckets"),
    ).run()  # fmt: skip
    run(folder, MinhashDedupCluster(str(folder / "buckets"), str(folder / "clusters"), config))
    run(folder, read, MinhashDedupFilter(str(folder / "clusters")), JsonlWriter(str(out), compression=None))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        {"exact": exact, "near": near}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]), Path(name))
