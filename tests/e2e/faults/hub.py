"""A hub that misbehaves at each file: cured by another try, or one sentence with nothing under a final name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.builds import digests
from tests.e2e.faults.children import Ended, forked, stage
from tests.e2e.faults.mutants import MEMORY
from tests.e2e.faults.outcome import ROOT, Log, Outcome
from tests.hub_server import Fault, File, Hub, Repo, bomb, repinned, repos
from tests.ray_nodes import free_port

KIND = "hub"
AGAIN = {"Retry-After": "0"}

# By name: what another try cures, and what none does. A case of the first kind is tried once and for ever.
CURED: dict[str, tuple[Fault, ...]] = {
    "HTTP 500 at the API": (Fault("status", route="api", status=500),),
    "HTTP 503 at the file": (Fault("status", route="resolve", status=503),),
    "HTTP 429 at the data": (Fault("status", status=429, headers=AGAIN),),
    "cut at once": (Fault("cut", at=0),),
    "cut in the middle": (Fault("cut", at=2_000),),
    "reset in the middle": (Fault("reset", at=2_000),),
    "flipped byte": (Fault("flip", at=1_000),),
    "wrong bytes": (Fault("garbage"),),
    "too short": (Fault("short", at=1_000),),
    "too long": (Fault("long"),),
    "Git-LFS pointer": (Fault("pointer"),),
    "web page": (Fault("page"),),
    "other range after a cut": (Fault("cut", at=2_000), Fault("other_range")),
    "wrong bytes in the right range": (Fault("cut", at=2_000), Fault("shifted")),
    "range refused after a cut": (Fault("cut", at=2_000), Fault("no_range")),
    "range ignored after a cut": (Fault("cut", at=2_000), Fault("ignore_range")),
    "no length": (Fault("unsized"),),
}
FINAL: dict[str, Fault] = {
    "HTTP 404 at the data": Fault("status", status=404),
    "HTTP 403 at the file": Fault("status", route="resolve", status=403),
    "HTTP 401 at the API": Fault("status", route="api", status=401),
    "gzip bomb as the data": Fault("bomb"),
    "gzip bomb as the API": Fault("bomb", route="api"),
    "compressed data": Fault("gzip"),
    "redirect loop": Fault("loop", route="resolve"),
    "redirect to a file": Fault("redirect", route="resolve", headers={"Location": "file:///etc/passwd"}),
    "another commit": Fault("moved", route="api"),
    "no JSON at the API": Fault("not_json", route="api"),
}
HARMLESS = ("no length",)  # ... even for ever
HOSTILE = ("../../../evil.txt", "/tmp/evil.txt", "data/../../evil.txt", "C:\\evil.txt")


def run(log: Log, most: int | None = None) -> Iterator[Outcome]:
    """Every way to misbehave at every file of every source that has a revision."""
    port = free_port()
    # The Hub's client reads these when it is imported.
    os.environ |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_DOWNLOAD_TIMEOUT": "120", "MHDATA_RETRY_BASE": "0.01",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "hf_plantedTokenOfTheHarness", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    import httpx2  # noqa: F401 imported once, before the forks
    import huggingface_hub.utils  # noqa: F401

    from stages import download  # noqa: F401

    bomb()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        bench = _Bench(Path(folder), port)
        for place, (name, key, file, fault) in enumerate(bench.cases()):
            if place == most:
                return
            case = f"{key} {file} {name}"
            if case not in log:
                yield log.add(bench.case(name, key, file, fault, case))


class _Bench:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.params = ROOT / "params.yaml"
        (folder / "params.yaml").write_text(repinned(self.params, ROOT / "data/sample"))
        self.repos = repos(self.params, ROOT / "data/sample", lfs=20_000)
        self.whole: dict[str, dict[str, str]] = {}

    def cases(self) -> Iterator[tuple[str, str, str, tuple[Fault, ...]]]:
        from tests.hub_server import sources

        for key, _, here in sources(self.params, ROOT / "data/sample"):
            for file in here:
                for name, faults in CURED.items():
                    yield f"{name}, once", key, file, _at(file, faults, 1)
                    yield f"{name}, for ever", key, file, _at(file, faults, -1)
                for name, fault in FINAL.items():
                    yield name, key, file, _at(file, (fault,), -1)
                yield "path-like names in the file list", key, file, ()

    def case(self, name: str, key: str, file: str, faults: tuple[Fault, ...], case: str) -> Outcome:
        if key not in self.whole:
            self._fresh()
            well = self._download(key, ())
            assert well.code == 0, well.said
            self.whole[key] = digests(self.folder)
        self._fresh()
        ended = self._download(key, faults, HOSTILE if name.startswith("path-like") else ())
        why = self._judge(ended, name, key)
        if not why and ended.code:
            healed = self._download(key, ())
            why = healed.trouble() or ("other bytes after the rerun" if digests(self.folder) != self.whole[key] else "")
        group = name.partition(",")[0]
        return Outcome(KIND, group, case, "one sentence" if ended.code else "built", why)

    def _judge(self, ended: Ended, name: str, key: str) -> str:
        if why := ended.trouble():
            return why
        if os.environ["HF_TOKEN"] in ended.said:
            return "the token is in what it said"
        if any(path.name == "evil.txt" for path in self.folder.parent.rglob("evil.txt")):
            return "a name of upstream's became a path"
        if ended.code == 0 and digests(self.folder) != self.whole[key]:
            return "it built, but other bytes"
        if ended.code and (left := [str(path) for path in (self.folder / "data/raw").rglob("*")]):
            return f"left under a final name: {left[0]}"
        cure = name.endswith(", once") or name.startswith(("path-like", *HARMLESS))
        if cure and ended.code:
            return f"another try was not enough: {ended.sentences[0][:200]}"
        if not cure and not ended.code:
            return "it built, though nothing right came"
        return ""

    def _fresh(self) -> None:
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def _download(self, key: str, faults: tuple[Fault, ...], names: tuple[str, ...] = ()) -> Ended:
        return forked(self._served(key, faults, names), self.folder)

    def _served(self, key: str, faults: tuple[Fault, ...], names: tuple[str, ...]) -> Callable[[], None]:
        def child() -> None:
            from stages import download

            extra = {name: File(b"no") for name in names}
            served = {id: Repo({**extra, **repo.files}, repo.commit) for id, repo in self.repos.items()}
            with Hub(served, self.port) as hub:
                hub.faults = list(faults)
                stage(download.main, key)

        return child


def _at(file: str, faults: tuple[Fault, ...], times: int) -> tuple[Fault, ...]:
    """The faults at one file; the API has no file."""
    return tuple(
        Fault(f.kind, f.at, times, "" if f.route == "api" else file, f.route, f.status, f.headers) for f in faults
    )
