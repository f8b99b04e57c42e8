"""Data-Juicer: `data_juicer.py exact|near ROWS.jsonl OUT`"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # this file has the library's name
    sys.path.pop(0)

import yaml
from data_juicer.config import init_configs
from data_juicer.core import DefaultExecutor

JOBS: dict[str, list[dict[str, dict[str, object]]]] = {
    "exact": [
        {"fix_unicode_mapper": {"normalization": "NFC"}},
        {"whitespace_normalization_mapper": {}},
        {"clean_email_mapper": {}},
        {"clean_links_mapper": {}},
        {"clean_ip_mapper": {}},
        {"document_deduplicator": {"lowercase": True, "ignore_non_character": True}},
    ],
    "near": [
        {
            "document_minhash_deduplicator": {
                "tokenization": "space", "window_size": 3, "lowercase": True, "ignore_pattern": r"[^\w\s]",
                "num_permutations": 128, "jaccard_threshold": 0.7, "num_bands": 32, "num_rows_per_band": 4,
            }
        }
    ],
}  # fmt: skip


def main(job: str, rows: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    settings = {
        "project_name": job, "dataset_path": rows, "export_path": str(out / "rows.jsonl"), "np": 1,
        "use_cache": False, "ds_cache_dir": str(out / "cache"), "open_tracer": False, "process": JOBS[job],
    }  # fmt: skip
    path = out / "job.yaml"
    path.write_text(yaml.safe_dump(settings))
    DefaultExecutor(init_configs(["--config", str(path)])).run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
