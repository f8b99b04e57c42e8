"""The normalized record: one pyarrow schema, documented field by field."""

from __future__ import annotations

import pyarrow as pa

TURN = pa.struct([pa.field("role", pa.string(), nullable=False), pa.field("content", pa.string(), nullable=False)])

ORIGIN = pa.struct(
    [
        pa.field("dataset", pa.string(), nullable=False),  # Hub id, or what the params call the dataset
        pa.field("revision", pa.string()),  # commit of the Hub repository; null for a file without one
        pa.field("file", pa.string(), nullable=False),  # upstream path inside the dataset
        pa.field("sha256", pa.string(), nullable=False),  # of that file
        pa.field("row", pa.int64(), nullable=False),  # number of the row in that file, from 0
        pa.field("key", pa.string()),  # the source's own key for the row, if it has one
        pa.field("meta", pa.string()),  # the source's further fields, as JSON text
        pa.field("edits", pa.list_(pa.string()), nullable=False),  # operations applied to the text, sorted
    ]
)

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # 32 hex digits, stable across versions and machines
        pa.field("input", pa.string(), nullable=False),  # what the person wrote
        pa.field("response", pa.string(), nullable=False),  # what was really answered to it
        pa.field("rejected_response", pa.string()),  # a worse answer to the same input, where the source has one
        pa.field("source", pa.string(), nullable=False),  # the source's key in params.yaml
        pa.field("type", pa.string(), nullable=False),  # counseling, preference, classification, ...
        pa.field("tags", pa.list_(pa.string()), nullable=False),  # sorted, lower-case
        pa.field("system", pa.string()),  # the source's own instruction, where it has one
        pa.field("turns", pa.list_(TURN)),  # the conversation where it has more than one exchange
        pa.field("license", pa.string(), nullable=False),  # SPDX id or LicenseRef-
        pa.field("group", pa.string(), nullable=False),  # rows of one group stand on one side of the split
        pa.field("origin", ORIGIN, nullable=False),
    ]
)

# The six names of the merged JSON and CSV.
PUBLIC = ("input", "response", "rejected_response", "source", "type", "tags")

# The merged table: the record, and what merge found out about it.
MERGED = pa.schema(
    [
        *SCHEMA,
        pa.field("enters", pa.list_(pa.string()), nullable=False),  # kinds of export
        pa.field("duplicates", pa.list_(pa.string()), nullable=False),  # ids of the rows that it stands for
        pa.field("cluster", pa.string()),  # id of the first of its near-duplicate cluster; null for a row on its own
    ]
)

# Kinds of export that a row may enter.
KINDS = ("chat", "pairs", "kto", "classification", "segments")
