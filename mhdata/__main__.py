"""`python -m mhdata` and the command `mhdata`."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it. A Ctrl-C before it is there ends without a word, as any program does."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mhdata import cli

    cli.main()


if __name__ == "__main__":
    main()
