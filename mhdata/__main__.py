"""`python -m mhdata`: the command line."""

from __future__ import annotations

from mhdata.cli import main

if __name__ == "__main__":
    main()
