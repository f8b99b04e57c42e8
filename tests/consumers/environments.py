"""The virtual environments of the consumers: what is in each, made once and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """Tools that agree on their pins. `script` is checks/<script>.py; without pins it runs in this environment."""

    script: str
    pins: tuple[str, ...] = ()
    heavy: bool = True


TORCH = "torch==2.13.0"
ENVIRONMENTS = {
    "plain": Environment("check_plain", heavy=False),
    "metadata": Environment("check_metadata", heavy=False),  # requirements-dev.txt
    "light": Environment(
        "check_light",
        ("together==1.5.35", "mistral-common==1.13.1", "polars==2.1.0", "duckdb==2.0.0"),
        heavy=False,
    ),
    "hosted": Environment("check_hosted", ("openai==3.52.0", "boto3==1.44.5", "google-genai==3.4.0")),
    "inspect": Environment("check_inspect", ("inspect-ai==0.3.285",)),
    "mlx": Environment("check_mlx", ("mlx-lm==0.32.2", "mlx[cpu]")),
    "trl": Environment("check_trl", (TORCH, "trl==1.16.0", "transformers==5.23.0", "datasets==5.2.0")),
    "torchtune": Environment("check_torchtune", (TORCH, "torchtune==0.6.1", "torchao==0.14.1", "datasets==5.2.0")),
    "llamafactory": Environment("check_llamafactory", (TORCH, "llamafactory==0.9.5")),
    "axolotl": Environment("check_axolotl", (TORCH, "axolotl==0.19.0")),
    "oumi": Environment("check_oumi", ("oumi==0.9",)),
}


def folder() -> Path:
    """Where the environments are kept."""
    given = os.environ.get("MHDATA_CONSUMERS")
    return Path(given) if given else Path.home() / ".cache" / "mhdata" / "consumers"


def python(name: str) -> Path:
    """The interpreter of an environment, which is made if it is not there, or has other pins."""
    pins = ENVIRONMENTS[name].pins
    if not pins:
        return Path(sys.executable)
    digest = hashlib.sha256("\n".join([*pins, sys.version]).encode()).hexdigest()[:12]
    home = folder() / f"{name}-{digest}"
    if not (home / "made").exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        _install(home, pins)
        (home / "made").write_text("\n".join(pins) + "\n", encoding="utf-8")
    return home / "bin" / "python"


def _install(home: Path, pins: tuple[str, ...]) -> None:
    uv = shutil.which("uv")
    pip = [uv, "pip", "install", "-q", "--python", home / "bin/python"] if uv else [home / "bin/pip", "install", "-q"]
    subprocess.run([*map(str, pip), *pins], check=True)
