"""DVC's remotes: which are configured, and what keeps one from working, each with the command that mends it.

DVC itself takes a dead or forbidding http host for missing files, and trusts the bytes of most remotes unless
`verify` is set; so a remote is asked before a transfer.
"""

from __future__ import annotations

import base64
import configparser
import importlib.util
import os
import re
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mhdata.workspace import Workspace
from stages import errors
from stages.errors import PipelineError

PATIENCE = 5.0  # seconds for a remote to answer
PORTS = {"ssh": 22, "sftp": 22, "http": 80, "webdav": 80, "https": 443, "webdavs": 443}
WEB = {"http": "http", "https": "https", "webdav": "http", "webdavs": "https"}
PLUGINS = {
    "ssh": "ssh", "sftp": "ssh", "s3": "s3", "webdav": "webdav", "webdavs": "webdav", "gs": "gs", "gcs": "gs",
    "azure": "azure", "oss": "oss", "hdfs": "hdfs", "webhdfs": "webhdfs", "gdrive": "gdrive",
}  # fmt: skip
CREDENTIALS = {
    "ssh": "keyfile PATH", "sftp": "keyfile PATH", "s3": "secret_access_key KEY", "azure": "account_key KEY",
    "gs": "credentialpath PATH", "gcs": "credentialpath PATH",
}  # fmt: skip
OURS = ("ssh", "s3", "webdav")  # in requirements-remotes.txt
_TRUE = ("true", "1", "yes", "on")


class RemoteError(PipelineError):
    """A remote cannot do what was asked; the sentence gives the command that mends it."""

    def __init__(self, message: str, code: int = errors.ENDPOINT) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Remote:
    """A remote of .dvc/config with its settings, those of .dvc/config.local on top."""

    name: str
    settings: dict[str, str]

    @property
    def url(self) -> str:
        return self.settings["url"]

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme or "file"

    @property
    def verified(self) -> bool:
        """Whether DVC reads the bytes that come before it takes them."""
        return self.settings.get("verify", "false").lower() in _TRUE

    @property
    def credentials(self) -> str:
        """The command that sets what this kind of remote asks for."""
        return f"dvc remote modify --local {self.name} {CREDENTIALS.get(self.scheme, 'password PASSWORD')}"

    def __str__(self) -> str:
        return f"remote {self.name} ({shown(self.url)})"


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a remote, and the command that mends it."""

    says: str
    mend: str


def configured(workspace: Workspace) -> list[Remote]:
    """All remotes, in the order of the files."""
    config = _config(workspace)
    found = []
    for section in config.sections():
        if (name := re.fullmatch(r"""'?remote "?([^"']+)"?'?""", section)) and config.has_option(section, "url"):
            found.append(Remote(name[1], dict(config.items(section))))
    return found


def _config(workspace: Workspace) -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read([workspace.path(".dvc/config"), workspace.path(".dvc/config.local")], encoding="utf-8")
    return config


def choose(workspace: Workspace, name: str | None) -> Remote:
    """The remote of that name; without one the default, else the only one. Raises RemoteError."""
    found = {remote.name: remote for remote in configured(workspace)}
    if not found:
        raise RemoteError(
            "no remote is configured: run `dvc remote add -d NAME URL` and `dvc remote modify NAME verify true`",
            errors.USAGE,
        )
    wanted = name or _config(workspace).get("core", "remote", fallback=next(iter(found)) if len(found) == 1 else "")
    wanted = str(wanted or "").lower()  # as DVC keeps names
    if wanted not in found:
        said = f"there is no remote {name!r}" if name else "no remote is the default"
        raise RemoteError(f"{said}: name one with -r: {', '.join(sorted(found))}", errors.USAGE)
    return found[wanted]


def shown(url: str) -> str:
    """A url without what may be a secret.

    >>> shown("https://me:secret@host/x?token=1")
    'https://host/x'
    """
    parts = urlsplit(url)
    return url if not parts.scheme else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def trouble(remote: Remote) -> Trouble | None:
    """What would keep a transfer from working, or None: its library, `verify`, its address, its answer."""
    return _unready(remote) or (_folder(remote) if remote.scheme == "file" else _host(remote))


def _unready(remote: Remote) -> Trouble | None:
    plugin = PLUGINS.get(remote.scheme)
    if plugin and importlib.util.find_spec(f"dvc_{plugin}") is None:
        line = "-r requirements-remotes.txt" if plugin in OURS else f"'dvc[{plugin}]'"
        return Trouble(f"needs the library dvc-{plugin}", f"pip install {line}")
    if not remote.verified:
        return Trouble("would give wrong bytes unnoticed", f"dvc remote modify {remote.name} verify true")
    return None


def _folder(remote: Remote) -> Trouble | None:
    path = Path(remote.url.removeprefix("file://"))
    mend = f"dvc remote modify {remote.name} url PATH"
    if not path.is_absolute():
        return Trouble("is a relative folder, and `dvc push -a` would write it to the wrong place", mend)
    above = next(folder for folder in (path, *path.parents) if folder.exists())
    if above != path and not os.access(above, os.W_OK):
        return Trouble(f"does not exist, and {above} is not writable", mend)
    if above == path and not os.access(path, os.R_OK | os.X_OK):
        return Trouble("is not readable", f"chmod u+rx {path}")
    return None


def _host(remote: Remote) -> Trouble | None:
    url = remote.url if remote.scheme in PORTS else remote.settings.get("endpointurl", "")
    mend = f"dvc remote modify {remote.name} {'url' if remote.scheme in PORTS else 'endpointurl'} URL"
    parts = urlsplit(url)
    if not parts.hostname:
        return None  # the host is the library's own business: the transfer itself asks it
    try:
        port = int(remote.settings.get("port", parts.port or PORTS.get(parts.scheme, 443)))
        with socket.create_connection((parts.hostname, port), timeout=PATIENCE):
            pass
    except (OSError, ValueError) as error:
        return Trouble(f"does not answer ({error})", mend)
    return _http(remote) if remote.scheme in WEB else None


def _http(remote: Remote) -> Trouble | None:
    """DVC takes every answer but 200 for a missing file, so refusals and failures are looked for here."""
    parts = urlsplit(remote.url)
    address = f"{WEB[remote.scheme]}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 http and https alone come here
    user = remote.settings.get("user", parts.username)
    if user:
        pair = f"{user}:{remote.settings.get('password', parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return Trouble(f"refused our credentials ({error.code})", remote.credentials)
        failing = Trouble(f"is failing ({error.code} {error.reason})", "mhdata doctor")
        return failing if error.code >= 500 and error.code != 501 else None
    except (OSError, ValueError) as error:
        return Trouble(f"does not answer ({error})", f"dvc remote modify {remote.name} url URL")


def ready(workspace: Workspace, name: str | None) -> Remote:
    """A remote that can be used now. Raises RemoteError with the mend."""
    remote = choose(workspace, name)
    if found := trouble(remote):
        raise RemoteError(f"{remote} {found.says}: run `{found.mend}`")
    return remote
