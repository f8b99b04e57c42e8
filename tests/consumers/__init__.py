"""Each export, loaded whole by the tools that it is for, at the versions they are pinned to.

`python -m tests.consumers PROJECT [--heavy] [--only NAME ...]` reads PROJECT/data/exports and its ledgers, and
prints a table. Every set of tools runs in a virtual environment of its own, which is made when it is first needed
and kept under $MHDATA_CONSUMERS. Each tool also gets a broken copy of the file, and must notice.
"""
