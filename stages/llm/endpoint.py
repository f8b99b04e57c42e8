"""May this process talk to that address, and with which key? Asked once, before the first request."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from stages.errors import ParamsError
from stages.params import Endpoint


@dataclass(frozen=True)
class Access:
    """How the endpoint may be reached."""

    url: str  # of the chat completions
    host: str  # as the params name it, with the port
    pinned: str | None  # the address to connect to, where we insist on one that we checked
    proxies: bool  # whether proxy variables of the environment count
    key: str | None


def access(endpoint: Endpoint) -> Access:
    """Access for texts that are no secret. A host beyond this machine needs a key in the environment."""
    addresses = _addresses(endpoint)
    here = bool(addresses) and all(a.is_loopback for a in addresses)
    return _access(endpoint, None, proxies=not here, key=_key(endpoint, needed=not here))


def private_access(endpoint: Endpoint, hosts: list[str], *, allow_remote: bool) -> Access:
    """Access for texts that must not leave: loopback addresses, the hosts listed, or any where `allow_remote`.

    Never through a proxy. A loopback address is pinned, so that a name that resolves anew cannot lead elsewhere.
    Raises ParamsError for any other host.
    """
    name = urlsplit(endpoint.base_url).hostname or ""
    addresses = _addresses(endpoint)
    if addresses and all(a.is_loopback for a in addresses):
        return _access(endpoint, str(addresses[0]), proxies=False, key=_key(endpoint, needed=False))
    if allow_remote or name.lower() in (host.lower() for host in hosts):
        return _access(endpoint, None, proxies=False, key=_key(endpoint, needed=True))
    raise ParamsError(
        f"params.yaml: paraphrase.endpoint.base_url: {name} is not this machine, and transcripts stay here: "
        "use a server on 127.0.0.1, or list the host in paraphrase.hosts"
    )


def _access(endpoint: Endpoint, pinned: str | None, *, proxies: bool, key: str | None) -> Access:
    url = endpoint.base_url.rstrip("/") + "/chat/completions"
    return Access(url, urlsplit(url).netloc, pinned, proxies, key)


def _addresses(endpoint: Endpoint) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """All addresses of the host; none when it cannot be resolved."""
    try:
        found = socket.getaddrinfo(urlsplit(endpoint.base_url).hostname, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found]


def _key(endpoint: Endpoint, *, needed: bool) -> str | None:
    key = os.environ.get(endpoint.key_env, "").strip()
    if key and not (key.isascii() and key.isprintable()):
        raise ParamsError(f"${endpoint.key_env} holds characters that no key has: set it anew")
    if needed and not key:
        host = urlsplit(endpoint.base_url).hostname
        raise ParamsError(
            f"${endpoint.key_env} is not set, and {host} needs a key: export it, or name another variable in "
            "endpoint.key_env"
        )
    return key or None
