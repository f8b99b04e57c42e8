"""build: pages and answers to rows. `python -m stages.paraphrase.build`

Pure; every filter decides here. A page without an acceptable round is a reject, not a failure of the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from stages import errors, params
from stages.errors import IncompleteError
from stages.llm import answers, rounds, tables
from stages.llm.rounds import Row
from stages.llm.tables import Made
from stages.params import Paraphrase
from stages.paraphrase import accept, pages
from stages.paraphrase.pages import FOLDER, RESPONSES, Page

NAME = "paraphrase"


def main() -> None:
    whole = params.load("origin", "paraphrase")
    settings = whole.paraphrase
    cut, held, template = pages.read(), answers.read(RESPONSES), accept.prompt()
    wanted = [page for page in cut if page.skip is None]
    recipe = accept.Recipe(settings, pages.texts(pages.folder(whole.origin), wanted), template)
    settled = rounds.settle([p.page for p in wanted], recipe, held.answers, settings.limits.max_attempts_per_slot)
    common = {
        "provider": settings.endpoint.provider,
        "model": settings.endpoint.model,
        "prompt_sha256": {"round": template.sha256},
        "params_sha256": _settings_sha256(settings),
        "filters_version": accept.VERSION,
    }
    found = {page.page: page for page in wanted}
    rows = [_row(found[row.slot], row) | common for row in settled.rows]
    made = [_made(row) for row in rows if settings.keep_fixture or not row["fixture"]]
    tables.write_rows(FOLDER / "rows.jsonl", rows)
    tables.write_rejects(FOLDER / "rejected.jsonl", settled)
    report = tables.report(settings, len(wanted), settled, held, len(made)) | {"pages": _pages(cut)}
    tables.write_report(FOLDER / "report.json", report)
    if settled.open and not settings.limits.allow_partial:
        raise IncompleteError(
            f"paraphrase: {len(settled.open)} of {len(wanted)} pages have no answer: run `dvc repro -f -s "
            "pipelines/generate/dvc.yaml:paraphrase_generate` in mode live to ask for them, or set limits.allow_partial"
        )
    source = tables.Source(NAME, "interview", settings.license, "transcript", RESPONSES)
    tables.write_records(NAME, tables.records(source, made, held))
    account = tables.account(NAME, settled, len(rows) - len(made))
    account.rows_in += sum(page.skip is not None for page in cut)
    account.rejected.update(page.skip for page in cut if page.skip)
    tables.write_ledger(account)


def _row(page: Page, row: Row) -> dict[str, Any]:
    return {
        "page": page.page,
        "transcript": page.sha256,
        "encoding": page.encoding,
        "question": row.texts["question"],
        "answer": row.texts["answer"],
        "attempt": row.attempt,
        "edits": row.edits,
        "key": row.answers["round"].key,
        "reported": row.answers["round"].reported,
        "tokens_estimated": row.answers["round"].estimated,
        "fixture": tables.is_fixture(row),
    }


def _made(row: Mapping[str, Any]) -> Made:
    """All pages of a transcript are one group: they must not be parted between train and validation."""
    meta = {key: value for key, value in row.items() if key not in ("question", "answer", "edits")}
    tags = ["interview", "paraphrased"] + (["fixture"] if row["fixture"] else [])
    return Made(row["question"], row["answer"], row["key"], row["transcript"], sorted(tags), row["edits"], meta)


def _pages(cut: Sequence[Page]) -> dict[str, int]:
    """What the transcripts were made of."""
    return {
        "transcripts": len({page.sha256 for page in cut}),
        "pages": len(cut),
        "empty": sum(page.skip == "empty_page" for page in cut),
        "one_speaker": sum(page.speakers == 1 for page in cut),
        "no_speaker": sum(page.speakers == 0 and page.skip is None for page in cut),
        "not_utf8": len({page.sha256 for page in cut if page.encoding == "cp1252"}),
    }


def _settings_sha256(settings: Paraphrase) -> str:
    """Hash of the params that decide what is asked and accepted; not of the address, the limits or the mode."""
    tree = msgspec.to_builtins(settings)
    kept = {key: tree[key] for key in ("seed", "page", "min_words", "leak", "sampling")}
    kept["model"] = [settings.endpoint.provider, settings.endpoint.model]
    return hashlib.sha256(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)).hexdigest()


if __name__ == "__main__":
    errors.run(main)
