"""Where everything stands under data/."""

from __future__ import annotations

from pathlib import Path

DATA = Path("data")
RAW = DATA / "raw"  # <source>/: verified upstream bytes and receipt.json
NORMALIZED = DATA / "normalized"  # <source>.parquet: records
QUARANTINE = DATA / "quarantine"  # <source>.jsonl: rejected rows with reason and origin
SCREENED = DATA / "screened"  # <source>.parquet: attributes by id
MERGED = DATA / "merged"
MERGED_TABLE = MERGED / "merged_mental_health_dataset.parquet"
SPLIT_TABLE = DATA / "split" / "split.parquet"  # id, side, group
EXPORTS = DATA / "exports"
LEDGER = DATA / "ledger"  # <stage>/<source>.json
REPORTS = DATA / "reports"
