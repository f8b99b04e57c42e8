"""Where a user's own files stand: a folder, or an address that fsspec reads, such as `s3://bucket/folder`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from stages.errors import ParamsError, SourceError
from stages.pins import chunks

CHUNK = 1 << 20
NOTHING = "no file"


class Home(Protocol):
    """Files by their upstream paths. Reading raises SourceError or OSError."""

    name: str  # for what goes into a receipt: no path of this machine

    def size(self, file: str) -> int | None:
        """Bytes of a file; None where there is none."""

    def chunks(self, file: str) -> Iterator[bytes]: ...

    def where(self, file: str) -> str: ...

    def instead(self, file: str) -> str:
        """What stands where a file is meant and none is."""


class Folder:
    """A folder of this machine, or a shared one that is mounted."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self.name = path, name

    def size(self, file: str) -> int | None:
        path = self._path / file
        return path.stat().st_size if path.is_file() else None

    def chunks(self, file: str) -> Iterator[bytes]:
        return chunks(self._path / file)

    def where(self, file: str) -> str:
        return str(self._path / file)

    def instead(self, file: str) -> str:
        path = self._path / file
        if path.is_symlink() and not path.exists():
            return f"a link to {os.readlink(path)}, which does not exist,"
        return "a folder" if path.is_dir() else "something that is no plain file" if path.exists() else NOTHING


class Shared:
    """A folder behind an address; credentials are the ones that its client finds, such as AWS_ACCESS_KEY_ID."""

    def __init__(self, address: str, name: str) -> None:
        self._address, self.name = address.rstrip("/"), name
        import fsspec

        try:
            self._system, self._root = fsspec.core.url_to_fs(self._address)
        except ImportError as error:
            raise ParamsError(
                f"{name}: {address} needs a package that is not installed ({error}): "
                "run `pip install -r requirements-remotes.txt`"
            ) from None
        except ValueError as error:
            raise ParamsError(
                f"{name}: {address}: {error}: write a folder, or an address like s3://bucket/folder"
            ) from None

    def size(self, file: str) -> int | None:
        try:
            info: dict[str, Any] = self._system.info(f"{self._root}/{file}")
        except FileNotFoundError:
            return None
        except Exception as error:  # a client for each kind of storage, and errors of its own in each
            raise self._refused(file, error) from None
        return int(info["size"]) if info["type"] == "file" else None

    def chunks(self, file: str) -> Iterator[bytes]:
        try:
            with self._system.open(f"{self._root}/{file}", "rb") as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk
        except Exception as error:
            raise self._refused(file, error) from None

    def where(self, file: str) -> str:
        return f"{self._address}/{file}"

    def instead(self, file: str) -> str:
        return NOTHING

    def _refused(self, file: str, error: Exception) -> SourceError:
        why = str(error).strip().splitlines() or [type(error).__name__]
        return SourceError(
            f"{self.name}: {self.where(file)} cannot be read ({why[0]}): check the address, that its server answers, "
            "and the credentials (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for another "
            "service than Amazon's)"
        )


def home(address: str | None, key: str, default: Path) -> Home:
    """The files of a source: at `sources.<key>.at` of params.yaml, or in the folder that is meant for them."""
    if address is None:
        return Folder(default, str(default))
    name = f"sources.{key}.at"
    return Shared(address, name) if "://" in address else Folder(Path(address), name)
