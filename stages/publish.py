"""publish: an export on the Hugging Face Hub, as one commit. `mhdata publish OWNER/NAME`

Refuses what the licences forbid. One repository holds one export: what else stands there goes with the same commit,
and the difference is shown before anything is sent. The endpoint is HF_ENDPOINT's, the token HF_TOKEN's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages import cards, formats, licenses, params
from stages.cards import Facts, published, readme
from stages.errors import EndpointError, ParamsError, PipelineError, RefusedError
from stages.files import read_json, sha256
from stages.layout import EXPORTS, LEDGER

if TYPE_CHECKING:  # half a second to import: only when the Hub is asked
    from huggingface_hub import HfApi

HOME = "https://huggingface.co"
KEPT = (".gitattributes",)  # the Hub's own

Content = Mapping[str, Path | bytes]  # by path in the repository


@dataclass(frozen=True)
class Difference:
    """Paths in the repository that a commit would add, change and remove; `same` are left alone."""

    repository: str
    exists: bool
    private: bool
    add: list[str]
    change: list[str]
    remove: list[str]
    same: list[str]

    @property
    def empty(self) -> bool:
        return not (self.add or self.change or self.remove)


@click.command("publish")
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--format", "name", default="hub", show_default=True, help="The export to publish.")
@click.option("--revision", default="main", show_default=True, help="The branch to commit to; it must exist.")
@click.option("--public", is_flag=True, help="Make a new repository public; without it, it is private.")
@click.option("--message", help="The commit's message.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the difference with what is there, and stop.")
@click.option("-y", "--yes", is_flag=True, help="Publish without a question.")
@click.option("--json", "as_document", is_flag=True, help="Print one JSON document instead of lines.")
def command(
    repository: str, name: str, revision: str, public: bool, message: str | None, dry_run: bool, yes: bool,
    as_document: bool,
) -> None:  # fmt: skip
    """Put an export on the Hugging Face Hub as one commit, with its card and licences.

    \b
    Examples:
      mhdata publish me/mental-health --dry-run
      mhdata publish me/mental-health --public --yes
      mhdata publish me/mental-health-dpo --format dpo
    """
    _set_up()
    facts, content = prepare(name)
    with _sentences(repository):
        api = _api()
        head, difference = compare(api, repository, revision, content, public)
        _show(difference, as_document)
        if dry_run or difference.empty:
            _talk("Nothing was sent." if dry_run else "Up to date: nothing to send.")
            return
        _agree(difference, yes)
        url = commit(api, difference, head, revision, content, message or _message(facts), facts)
    _talk(f"Published: {url}")


def run(words: list[str]) -> int:
    """The command, for `mhdata publish`; what it prints is its answer, a refusal is an exception."""
    done = command.main(words, prog_name="mhdata publish", standalone_mode=False)
    return done if isinstance(done, int) else 0


# --- what goes out --------------------------------------------------------------------------------------------


def prepare(name: str) -> tuple[Facts, Content]:
    """The facts and files of an export, by path in the repository.

    Raises RefusedError if its licences or its profile forbid passing it on, PipelineError if it is not built, or
    its files are not those of the ledger.
    """
    if name not in formats.names():
        raise ParamsError(f"publish: there is no format {name!r}: {params.nearest(name, formats.names())}")
    ledger = LEDGER / "export" / f"{name}.json"
    if not ledger.exists():
        raise PipelineError(f"publish: {name} is not built: run `mhdata prepare {name}` first")
    account = read_json(ledger, "files", "parts")
    if not account["parts"]:
        raise PipelineError(f"publish: {name} has no rows to publish: {account['note'] or 'it holds none of its own'}")
    facts = cards.facts(params.load(), name)
    if reason := licenses.refusal({part.license for part in facts.parts}, account["profile"], account["removed"]):
        raise RefusedError(f"publish: {reason}")
    return facts, {**_files(account), **(_card_of_hub(facts) if name == "hub" else _card(facts))}


def _files(account: Mapping[str, Any]) -> dict[str, Path]:
    """The files of the ledger, each still what the ledger says."""
    found = {}
    for file in account["files"]:
        path = EXPORTS / file["path"]
        if not path.exists() or sha256(path) != file["sha256"]:
            raise PipelineError(f"publish: {path} is not the file that was built: run `mhdata build` first")
        found[published(file["path"])] = path
    return found


def _card(facts: Facts) -> dict[str, bytes]:
    return {"README.md": readme.render(facts).encode(), "LICENSES.md": readme.licences(facts).encode()}


def _card_of_hub(facts: Facts) -> dict[str, Path]:
    """What the stage `card` wrote, if it is of these rows."""
    folder = EXPORTS / "hub"
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parts[3] != "data"]
    found = {path.relative_to(folder).as_posix(): path for path in paths if not path.name.startswith(".")}
    if "README.md" not in found or found["README.md"].read_bytes() != readme.render(facts).encode():
        raise PipelineError("publish: the card in data/exports/hub is not of these rows: run `mhdata build` first")
    return found


def _message(facts: Facts) -> str:
    return f"{facts.format} {facts.card.version}: {facts.total:,} rows"


# --- the Hub --------------------------------------------------------------------------------------------------


def _set_up() -> None:
    """What the client reads when it is imported. Endpoints other than the Hub speak LFS, not Xet, for large files."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if os.environ.get("HF_ENDPOINT", HOME).rstrip("/") != HOME:
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")


def _api() -> HfApi:
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    disable_progress_bars()
    return HfApi(library_name="mhdata")


def compare(
    api: HfApi, repository: str, revision: str, content: Content, public: bool
) -> tuple[str | None, Difference]:
    """The head of the branch, None for a repository that is not there, and what a commit would change."""
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile

    try:
        info = api.repo_info(repository, repo_type="dataset", revision=revision)
    except RepositoryNotFoundError:
        return None, Difference(repository, False, not public, sorted(content), [], [], [])
    tree = api.list_repo_tree(repository, recursive=True, revision=info.sha, repo_type="dataset")
    there = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    both = sorted(path for path in content if path in there)
    same = [path for path in both if _same(there[path], content[path])]
    return info.sha, Difference(
        repository, True, bool(info.private),
        add=sorted(set(content) - set(there)),
        change=[path for path in both if path not in same],
        remove=sorted(set(there) - set(content) - set(KEPT)),
        same=same,
    )  # fmt: skip


def _same(entry: Any, content: Path | bytes) -> bool:
    """Whether a file there is this one: the Hub gives sha256 for what LFS keeps, the git hash for the rest."""
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    if entry.size != size:
        return False
    if entry.lfs:
        return bool(entry.lfs.sha256 == _sha256(content))
    data = content.read_bytes() if isinstance(content, Path) else content
    return bool(entry.blob_id == hashlib.sha1(b"blob %d\0" % size + data, usedforsecurity=False).hexdigest())


def _sha256(content: Path | bytes) -> str:
    return sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


def commit(
    api: HfApi, difference: Difference, head: str | None, revision: str, content: Content, message: str, facts: Facts
) -> str:
    """Send the difference as one commit on top of `head`; its address."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    if head is None:
        api.create_repo(difference.repository, repo_type="dataset", private=difference.private, exist_ok=True)
    sent = [
        CommitOperationAdd(path, str(what) if isinstance(what := content[path], Path) else what)
        for path in (*difference.add, *difference.change)
    ]
    gone = [CommitOperationDelete(path) for path in difference.remove]
    made = api.create_commit(
        difference.repository, [*sent, *gone], commit_message=message, repo_type="dataset", revision=revision,
        commit_description=f"Made by the pipeline sha256:{facts.pipeline}", parent_commit=head,
    )  # fmt: skip
    return str(made.commit_url)


@contextlib.contextmanager
def _sentences(repository: str) -> Iterator[None]:
    """Turn what the client raises into one sentence."""
    import httpx2
    from huggingface_hub import errors

    where = os.environ.get("HF_ENDPOINT", HOME).rpartition("@")[2]
    try:
        yield
    except errors.HFValidationError:
        raise ParamsError(f"publish: {repository!r} is no name on the Hub: give OWNER/NAME") from None
    except errors.RevisionNotFoundError:
        raise ParamsError(
            f"publish: {repository} has no such branch: make it on the Hub, or leave --revision out"
        ) from None
    except errors.HfHubHTTPError as error:
        raise _refused(error, repository, where) from None
    except (errors.OfflineModeIsEnabled, errors.LocalTokenNotFoundError):
        raise EndpointError(f"publish: {where} may not be asked: unset HF_HUB_OFFLINE, and set HF_TOKEN") from None
    except (httpx2.HTTPError, ConnectionError) as error:
        raise EndpointError(
            f"publish: {where} could not be reached ({type(error).__name__}): nothing was published; check HF_ENDPOINT "
            "and the network, and run the same command again"
        ) from None


def _refused(error: Any, repository: str, where: str) -> PipelineError:
    status = error.response.status_code if error.response is not None else 0
    if status in (401, 403):
        return EndpointError(
            f"publish: {where} refuses to write {repository} (HTTP {status}): set HF_TOKEN to a token that may write"
        )
    if status in (409, 412):
        return PipelineError(
            f"publish: {repository} changed meanwhile (HTTP {status}): nothing was published; run it again"
        )
    said = (error.server_message or "").strip().splitlines()
    return EndpointError(
        f"publish: {where} answered HTTP {status}{f' ({said[0]})' if said else ''}: nothing was published; run it "
        "again later"
    )


# --- talk -----------------------------------------------------------------------------------------------------


def _show(difference: Difference, as_document: bool) -> None:
    if as_document:
        click.echo(json.dumps(asdict(difference), indent=2, ensure_ascii=False))
        return
    for sign, paths in (("+", difference.add), ("~", difference.change), ("-", difference.remove)):
        for path in paths:
            click.echo(f"{sign} {path}")
    kind = "private" if difference.private else "public"
    state = f"a {kind} repository" if difference.exists else f"a new {kind} repository"
    _talk(
        f"{difference.repository}, {state}: {len(difference.add)} to add, {len(difference.change)} to change, "
        f"{len(difference.remove)} to remove, {len(difference.same)} unchanged."
    )


def _agree(difference: Difference, yes: bool) -> None:
    """Ask; go on only with a yes. Raises RefusedError."""
    question = f"Publish this to {difference.repository}?"
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"{question} Nobody can be asked here: add --yes to go on")
    if not click.confirm(question, default=False, err=True):
        raise RefusedError("nothing was published")


def _talk(text: str) -> None:
    click.echo(text, err=True)
