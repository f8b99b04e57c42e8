"""What a stage loads before it has anything to do: start-up is most of a small build."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages import POOL, sorts_slowly
from tests.builds import ROOT

STAGES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "stages").rglob("*.py")
    if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")
)


def loaded(code: str, cwd: Path = ROOT) -> set[str]:
    """Top-level modules that a fresh process holds after `code`."""
    tell = "\nimport sys\nprint(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code + tell], cwd=cwd, check=True, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_loads_what_it_may_not_need(name: str) -> None:
    """pandas comes with pyarrow's first array unless `errors.run` went before; the others with one part of the work."""
    heavy = {"pandas", "datasets", "ray", "spacy", "torch", "py3langid", "requests", "httpx", "matplotlib"}
    assert not loaded(f"import {name}") & heavy


@pytest.mark.parametrize(
    "command",
    [
        "export gemini",
        "export llama_factory",
        "synthesize.plan",
        "synthesize.generate",
        "paraphrase.pages",
        "paraphrase.generate",
    ],
)
def test_a_stage_with_nothing_to_do_loads_no_arrow(command: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for name in ("synthesize/plan.jsonl", "paraphrase/pages.jsonl"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_text("", encoding="utf-8")
    module, *words = command.split()
    modules = loaded(f"import stages.{module} as stage\nstage.main(*{words})", tmp_path)
    assert "msgspec" in modules
    assert not modules & {"pyarrow", "numpy"}


CPU = "processor\t: 0\nvendor_id\t: {}\ncpu family\t: {}\nmodel name\t: A: B\nflags\t\t: sse2 avx2 {}\n"


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "slow"),
    [
        ("AuthenticAMD", 25, "avx512f avx512dq", True),  # Zen 4
        ("AuthenticAMD", 25, "", False),  # Zen 3
        ("AuthenticAMD", 26, "avx512f avx512dq", False),  # Zen 5
        ("GenuineIntel", 6, "avx512f avx512dq", False),
    ],
)
def test_numpy_sorts_by_avx2_where_its_avx512_sort_is_the_slower(
    vendor: str, family: int, flags: str, slow: bool
) -> None:
    assert sorts_slowly(CPU.format(vendor, family, flags)) == slow


def test_the_choice_of_sort_is_made_before_numpy_comes_and_leaves_a_users_own_alone() -> None:
    tell = "import stages.merge, os, numpy\nprint(os.environ.get('NPY_DISABLE_CPU_FEATURES'))"
    said = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", tell], cwd=ROOT, check=True, capture_output=True, text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "", **own},
        ).stdout.strip()
        for own in ({}, {"NPY_DISABLE_CPU_FEATURES": "X86_V4"})
    ]  # fmt: skip
    cpu = Path("/proc/cpuinfo")
    assert ("AVX512" in said[0]) == (cpu.exists() and sorts_slowly(cpu.read_text(encoding="utf-8")[:4096]))
    assert said[1] == "X86_V4"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is tuned")
def test_arrow_allocates_where_numpy_does_but_for_a_user_who_says_otherwise() -> None:
    tell = "import stages.merge, pyarrow\nprint(pyarrow.default_memory_pool().backend_name)"
    said = [
        subprocess.run(
            [sys.executable, "-c", tell], cwd=ROOT, check=True, capture_output=True, text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "", **own},
        ).stdout.strip()
        for own in ({}, {POOL: "mimalloc"})
    ]  # fmt: skip
    assert said == ["system", "mimalloc"]


@pytest.mark.parametrize("source", [path.stem for path in (ROOT / "stages/sources").glob("[!_]*.py")])
def test_no_module_of_a_source_loads_pandas(source: str) -> None:
    tell = f"import stages.sources.{source}, sys\nassert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", tell], cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)})
