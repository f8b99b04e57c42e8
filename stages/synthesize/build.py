"""build: plan and answers to rows. `python -m stages.synthesize.build`

Pure, and the only place where a filter decides: a changed threshold costs no request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stages import errors, params
from stages.errors import IncompleteError
from stages.llm import answers, rounds, tables
from stages.llm.prompts import Prompt
from stages.llm.rounds import Row, Settled
from stages.llm.tables import Made
from stages.params import Synthesize
from stages.synthesize import accept, defects
from stages.synthesize.defects import Pair
from stages.synthesize.plan import FOLDER, RESPONSES, Slot, load_prompts, read, settings_sha256

NAME = "synthesize"


def main() -> None:
    settings = params.load("synthesize").synthesize
    slots, prompts, held = read(), load_prompts(), answers.read(RESPONSES)
    recipe = accept.Recipe(settings, slots, prompts)
    settled = rounds.settle([s.slot for s in slots], recipe, held.answers, settings.limits.max_attempts_per_slot)
    rows = _rows(settings, slots, prompts, settled)
    made = [_made(row) for row in rows if settings.keep_fixture or not row["fixture"]]
    source = tables.Source(NAME, "synthetic", settings.license, "input", RESPONSES)
    tables.write_rows(FOLDER / "rows.jsonl", rows)
    tables.write_rejects(FOLDER / "rejected.jsonl", settled)
    tables.write_report(FOLDER / "report.json", _report(settings, slots, settled, held, rows, len(made)))
    _complete(settings, settled, len(slots))
    tables.write_records(NAME, tables.records(source, made, held))
    tables.write_ledger(tables.account(NAME, settled, len(rows) - len(made)))


def _rows(
    settings: Synthesize, slots: Sequence[Slot], prompts: Mapping[str, Prompt], settled: Settled
) -> list[dict[str, Any]]:
    """Rows with all that says where they come from."""
    wanted = {slot.slot: slot for slot in slots}
    common = {
        "provider": settings.endpoint.provider,
        "model": settings.endpoint.model,
        "prompt_sha256": {name: prompt.sha256 for name, prompt in prompts.items()},
        "params_sha256": settings_sha256(settings),
        "filters_version": accept.VERSION,
    }
    return [_row(wanted[row.slot], row) | common for row in settled.rows]


def _row(slot: Slot, row: Row) -> dict[str, Any]:
    return {
        "slot": slot.slot,
        "topic": slot.topic,
        "question": row.texts["question"],
        "answer": row.texts["answer"],
        "scores": row.texts.get("scores"),
        "attributes": slot.at(row.answers["question"].attempt)
        | {"begin": slot.at(row.answers["answer"].attempt)["begin"]},
        "crisis": slot.crisis,
        "attempt": row.attempt,
        "edits": row.edits,
        "keys": {part: answer.key for part, answer in row.answers.items()},
        "reported": {part: answer.reported for part, answer in row.answers.items()},
        "tokens_estimated": any(answer.estimated for answer in row.answers.values()),
        "fixture": tables.is_fixture(row),
    }


def _made(row: Mapping[str, Any]) -> Made:
    meta = {key: value for key, value in row.items() if key not in ("question", "answer", "edits")}
    tags = ["synthetic", row["topic"].lower()] + (["fixture"] if row["fixture"] else [])
    return Made(
        row["question"], row["answer"], row["keys"]["answer"], row["question"], sorted(set(tags)), row["edits"], meta
    )


def _report(
    settings: Synthesize,
    slots: Sequence[Slot],
    settled: Settled,
    held: answers.Held,
    rows: list[dict[str, Any]],
    merged: int,
) -> dict[str, Any]:
    pairs = [Pair(row["question"], row["answer"], row["topic"], row["crisis"]) for row in rows]
    got = Counter(row["topic"] for row in rows)
    wanted = Counter(slot.topic for slot in slots)
    return tables.report(settings, len(slots), settled, held, merged) | {
        "defects": defects.measure(pairs, settings.topics, settings.filters),
        "topics": {topic: {"wanted": count, "rows": got[topic]} for topic, count in wanted.items()},
    }


def _complete(settings: Synthesize, settled: Settled, total: int) -> None:
    """Raise IncompleteError when rows are missing, unless the params take a partial result."""
    missing = len(settled.open) + len(settled.failed)
    if missing and not settings.limits.allow_partial:
        reasons = ", ".join(f"{reason} {count}" for reason, count in rounds.reasons(settled).most_common(3))
        raise IncompleteError(
            f"synthesize: {missing} of {total} rows are missing"
            + (f" (rejected: {reasons})" if reasons else "")
            + ": run `dvc repro -f -s pipelines/generate/dvc.yaml:synthesize_generate` in mode live to ask for more, "
            "or set limits.allow_partial"
        )


if __name__ == "__main__":
    errors.run(main)
