"""What of a build may leave this machine, out by out. DVC can keep back an out for good (`push: false`), but not by
profile or licence; so the door asks here before it pushes.

Held are: a user's transcripts and all that was made of them; files of a source whose licence forbids passing on, or
that still hold rows which data/deny.txt takes out; and the merged table, the split and the exports of a build that
`licenses.refusal` refuses (a research profile's always). The sample's rows stand in git, so nothing of a pure sample
is held. What this module does not know is held.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages import ledger, licenses, params, recorded
from stages.errors import PipelineError
from stages.files import read_json
from stages.layout import EXPORTS, LEDGER, MERGED, REPORTS, SPLIT_TABLE
from stages.recorded import Out, Recorded

BUILD = tuple(f"{folder.as_posix()}/" for folder in (MERGED, SPLIT_TABLE.parent, EXPORTS, REPORTS))
PER_SOURCE = ("raw", "normalized", "quarantine", "screened")


class Build:
    """A recorded build with its row counts; `outs` are those that DVC keeps.

    Raises PipelineError where the two are not of one build.
    """

    def __init__(self, root: Path, build: Recorded) -> None:
        if clause := build.torn():
            raise PipelineError(f"dvc.lock is not that of one build ({clause}): run `mhdata build`")
        self._build = build
        self.outs = {path: out for path, out in build.outs.items() if not out.in_git}
        self._rows = _counts(root, build)
        self._judged = read_json(root / "data/judge/report.json", "rows")["rows"]
        merge = build.params("merge")
        self.profile: str | list[str] = merge["profile"]
        self._licenses = {key: source["license"] for key, source in merge["sources"].items()}
        self._licenses |= {key: merge[f"{key}.license"] for key in params.MADE}

    @property
    def sample(self) -> bool:
        """Whether rows of data/sample are in it."""
        return any(figures["in"] and not self._foreign(key) for key, figures in self._rows["normalize"].items())

    def licenses(self) -> set[str]:
        """Licences of the rows in the merged table that are not the sample's."""
        counts = self._rows["merge"]
        return {self._licenses[key] for key in counts if counts[key]["out"] and self._foreign(key)}

    def refusal(self) -> str | None:
        """Why the merged table and what is made of it stay here, or None."""
        ids = self.licenses()
        return licenses.refusal(ids, self.profile, self._taken_down()) if ids else None

    def held(self) -> dict[str, str]:
        """Each out that stays here, with why."""
        found = {path: self._reason(out) for path, out in self.outs.items()}
        return {path: reason for path, reason in found.items() if reason}

    def _taken_down(self) -> set[str]:
        return {self._licenses[key] for key in self._rows["merge"] if self._denied(key)}

    def _denied(self, key: str) -> int:
        count: int = self._rows["merge"][key]["rejected"].get("denied", 0)
        return count

    def _foreign(self, key: str) -> bool:
        """Whether a source's rows are a user's or upstream's, and not the sample's."""
        return key in params.MADE or self._build.params(f"download@{key}")["origin"] != "sample"

    def _reason(self, out: Out) -> str | None:
        parts = Path(out.path).parts
        if out.path.startswith(f"{LEDGER.as_posix()}/"):
            return None  # figures
        if out.path.startswith(BUILD):
            return self.refusal()
        if parts[1] in PER_SOURCE:
            return self._of_source(Path(parts[2]).stem)
        if parts[1] in params.MADE:
            return None if out.empty else self._of_model(parts[1])
        if parts[1] == "judge":
            return self._of_judge()
        return "stages/sharing.py does not know what it holds"

    def _of_source(self, key: str) -> str | None:
        if not self._rows["normalize"][key]["in"] or not self._foreign(key):
            return None
        if self._denied(key):
            return f"it still holds rows of {key} that data/deny.txt takes out of the corpus"
        return self._of_model(key) if key in params.MADE else self._forbidden(key)

    def _forbidden(self, key: str) -> str | None:
        id = self._licenses[key]
        return None if licenses.may_travel(id) else f"it holds rows of {key}, and {id} forbids passing them on"

    def _of_model(self, key: str) -> str | None:
        return "it is made of a user's transcripts" if key == "paraphrase" else self._forbidden(key)

    def _of_judge(self) -> str | None:
        if not self._judged:
            return None
        of = self._build.params("judge")["judge"]["of"]
        return self._forbidden("synthesize") if of == "synthesize" else "it holds a user's own answers"


def _counts(root: Path, build: Recorded) -> dict[str, Any]:
    """The row accounting, which stands in git, if it is that of the recorded build."""
    path = ledger.JOINED
    if not (root / path).exists():
        raise PipelineError(f"{path} is missing: restore it with `git checkout {path}`")
    if path.as_posix() not in build.outs or recorded.md5(root / path) != build.outs[path.as_posix()].md5:
        raise PipelineError(f"{path} is not that of dvc.lock: run `mhdata build`")
    rows: dict[str, Any] = read_json(root / path)
    return rows


def of(root: Path, names: set[str] | None = None) -> Build:
    """The build that a project's dvc.lock files record; `names` are the stages of its dvc.yaml files."""
    return Build(root, recorded.load(root, names))
