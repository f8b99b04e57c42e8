"""The objects of a remote, read one by one: `python -m mhdata.objects look|mend REMOTE`, out paths on stdin.

Runs as a process of its own, since it is the one part of the doors that imports DVC. DVC trusts the name of an object
in a remote: this reads the bytes. One JSON object on stdout: {"missing": [...], "damaged": [...]}, paths of outs, or
of files in a folder. `mend` also removes the damaged ones and forgets what DVC believes to be there, so that the next
push sends both kinds again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

WORKERS = 8
CHUNK = 1 << 20
State = Literal["whole", "missing", "damaged"]


def main(action: str, remote: str) -> None:
    from dvc.repo import Repo

    wanted = set(sys.stdin.read().splitlines())
    repo = Repo()
    store = repo.cloud.get_remote_odb(remote)
    found = list(_places(repo, store, wanted))
    places = {oid: path for oid, path, _ in found}
    with ThreadPoolExecutor(WORKERS) as pool:
        states = dict(zip(places, pool.map(lambda oid: _state(store, oid), places), strict=True))
    if action == "mend":
        _mend(repo, store, states, [(oid, folder) for oid, _, folder in found if folder])
    said = {state: sorted(places[oid] for oid in places if states[oid] == state) for state in ("missing", "damaged")}
    print(json.dumps(said))


def _places(repo: Any, store: Any, wanted: set[str]) -> Iterator[tuple[str, str, str | None]]:
    """The objects of the wanted outs, each with the path of a file that it is, and the list of its folder."""
    for out in repo.index.outs:
        path = str(out)
        if path not in wanted or not out.hash_info:
            continue
        yield out.hash_info.value, path, None
        if out.hash_info.isdir:
            for name, oid in _files(out.cache, store, out.hash_info):
                yield oid, f"{path}/{name}", out.hash_info.value


def _files(cache: Any, store: Any, folder: Any) -> Iterator[tuple[str, str]]:
    """Names and hashes of the files of a folder, by its list here or there; none where both are lost."""
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.errors import ObjectFormatError

    for place in (cache, store):
        with contextlib.suppress(FileNotFoundError, ObjectFormatError):
            for key, _, info in Tree.load(place, folder):
                yield "/".join(key), info.value
            return


def _state(store: Any, oid: str) -> State:
    path, digest = store.oid_to_path(oid), hashlib.md5(usedforsecurity=False)
    try:
        with store.fs.open(path, "rb") as file:
            while block := file.read(CHUNK):
                digest.update(block)
    except FileNotFoundError:
        return "missing"
    return "whole" if digest.hexdigest() == oid.removesuffix(".dir") else "damaged"


def _mend(repo: Any, store: Any, states: dict[str, State], inside: list[tuple[str, str]]) -> None:
    """Remove what is damaged, and lists of folders that lack a file: where a list is, DVC believes its files to be."""
    from dvc_data.hashfile.db import get_index

    gone = {oid for oid, state in states.items() if state == "damaged"}
    gone |= {folder for oid, folder in inside if states[oid] != "whole"}
    for oid in gone:
        with contextlib.suppress(FileNotFoundError):
            store.fs.remove(store.oid_to_path(oid))
    get_index(store).clear()
    repo.drop_data_index()


if __name__ == "__main__":
    main(*sys.argv[1:])
