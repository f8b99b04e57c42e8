"""A project folder of its own for tests of the download stage, which runs there as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from stages.params import Params

ROOT = Path(__file__).resolve().parent.parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PATIENCE = 600  # seconds: a loaded machine fails no test


class Project:
    """A folder with a params.yaml that holds one block per source in `sources`, and what else it must have."""

    def __init__(self, folder: Path, origin: str, sources: dict[str, dict[str, Any]], **env: str) -> None:
        self.folder, self._env = folder, env
        shipped = yaml.safe_load((ROOT / "params.yaml").read_text())
        tree = {field.name: shipped[field.name] for field in msgspec.structs.fields(Params) if field.required}
        blocks = {
            key: {"dataset": "owner/name", "license": "MIT", "priority": 1, **block} for key, block in sources.items()
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.params(yaml.safe_dump(tree | {"origin": origin, "sources": blocks}, sort_keys=False))

    def params(self, text: str) -> None:
        """Replace params.yaml."""
        (self.folder / "params.yaml").write_text(text)

    def put(self, path: str, data: bytes) -> Path:
        """Write a file of the project."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def environment(self, **env: str) -> dict[str, str]:
        """Nothing of the machine but PATH: no proxy, no token, no cache."""
        base = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
        }
        quick = {"MHDATA_RETRY_BASE": "0.01", "HF_HUB_DOWNLOAD_TIMEOUT": "120", "HF_HOME": str(self.folder / "hf")}
        return base | quick | self._env | env

    def start(self, key: str, **env: str) -> subprocess.Popen[str]:
        """Run the stage in the background."""
        command = [sys.executable, "-m", "stages.download", key]
        pipe, where = subprocess.PIPE, self.folder
        return subprocess.Popen(command, cwd=where, env=self.environment(**env), text=True, stdout=pipe, stderr=pipe)

    def run(self, key: str, **env: str) -> tuple[int, str]:
        """Run the stage; give its exit code and what it said on stderr."""
        process = self.start(key, **env)
        _, said = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def fails(self, key: str, **env: str) -> str:
        """Run the stage, which must stop with code 1, one sentence and nothing under the final name."""
        code, said = self.run(key, **env)
        assert code == 1, said
        assert "Traceback" not in said
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, said
        assert said.splitlines()[-1] == errors[0]
        assert said.count("starting again from zero") == (", twice;" in errors[0])
        assert not (self.folder / "data/raw" / key).exists()
        assert not list((self.folder / "data/raw").glob(".*"))
        return errors[0]

    def succeeds(self, key: str, **env: str) -> str:
        """Run the stage, which must end well and leave nothing but its out."""
        code, said = self.run(key, **env)
        assert code == 0, said
        assert not (self.folder / "data/.parts" / key).exists()
        assert not list((self.folder / "data/raw").glob(".*"))
        return said

    def raw(self, key: str) -> dict[str, bytes]:
        """The stage's out: bytes by path."""
        home = self.folder / "data/raw" / key
        return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}

    def receipt(self, key: str) -> dict[str, Any]:
        """The receipt of the stage's out."""
        receipt: dict[str, Any] = json.loads(self.raw(key)["receipt.json"])
        return receipt
