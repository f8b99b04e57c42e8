"""The command that serves this folder over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mhdata import optional
from mhdata.cli.common import here
from stages.errors import PipelineError

NEEDS = ("fastapi", "uvicorn", "fastapi_offline", "limits", "prometheus_client")


@click.command(
    epilog="""
\b
Examples:
  MHDATA_TOKEN=... mhdata serve
  mhdata serve --token-file ~/.mhdata-tokens --port 9000
  mhdata serve --no-auth          on the loopback alone
  mhdata serve --host 0.0.0.0 --name data.example.org
"""
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="The port; 0: any.")
@click.option("--name", "names", multiple=True, help="A host name that requests may ask for; repeat it for more.")
@click.option("--token-file", metavar="FILE", help="A file with tokens, one a line; else $MHDATA_TOKEN_FILE.")
@click.option("--no-auth", is_flag=True, help="Ask nobody for a token; on the loopback alone.")
@click.option("--certificate", metavar="FILE", help="A certificate chain in PEM: serve over TLS.")
@click.option("--key", metavar="FILE", help="The certificate's private key.")
@click.option("--rate-limit", default="100/second", show_default=True, help="Requests of one token; none: no limit.")
def serve(**settings: Any) -> None:
    """Serve the HTTP API and the web page of this folder, for those who hold the token in $MHDATA_TOKEN."""
    missing = [name for name in NEEDS if not optional.present(name)]
    if missing:
        raise PipelineError(f"`mhdata serve` needs {', '.join(missing)}: run `pip install -r requirements-serve.txt`")
    for name in ("certificate", "key"):
        if settings[name] and not Path(settings[name]).is_file():
            raise PipelineError(f"--{name}: there is no file {settings[name]}")
    from mhdata.http import server

    server.run(here(), server.Settings(**settings))
