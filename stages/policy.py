"""What the screens' findings mean for a row: keep it, tag it, hold it back from training, redact it, or drop it.

A finding has a name: `pii:phone`, `pii:hint`, `pii:public`, `crisis`, `crisis-review`, `crisis-unreferred`,
`quality:base64`, `language:es`. Rules in params.yaml give each an action, by source; a rule for `pii` holds for
every `pii:...` that has none of its own, and no rule at all means keep.

- keep: nothing happens;
- tag: the finding's name joins the row's tags;
- hold: tagged, and the row stays in the merged table but leaves the chat, preference and KTO exports;
- redact: the span becomes a typed placeholder (only where the licence permits edits; elsewhere the row is dropped);
- drop: the row leaves; its reason is the finding's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import licenses
from stages.errors import ParamsError
from stages.params import Action, Params

ACTIONS = ("keep", "tag", "hold", "redact", "drop")  # each one outweighs those before it
HELD_BACK = ("chat", "pairs", "kto")  # kinds of export that a held row does not enter
OWN_RISK = ("suicidal_passive", "suicidal_active", "attempt_recent", "self_harm")  # categories that ask for a referral
NO_REPLY = ("behavioral-experiment", "classification")  # types whose response is a choice or a label
REFERRED = ("crisis_line", "emergency")


class Findings(NamedTuple):
    """Findings of one batch: for each its row (int64) and its name, sorted by row, then name; no pair twice."""

    rows: np.ndarray
    names: list[str]


class Verdict(NamedTuple):
    """What the rules say for each row of a batch."""

    dropped: list[str | None]  # the finding for which the row leaves
    held: np.ndarray  # bool
    tags: dict[int, list[str]]  # names to add, by row
    redact: np.ndarray  # bool


class Rules:
    """The rules of one source: the defaults, the source's own on top, and what its licence allows.

    Raises ParamsError for a redaction that the licence forbids, where the source asks for it itself.
    """

    def __init__(self, settings: Params, source: str) -> None:
        own = settings.policy.get(source, {})
        edits = licenses.get(settings.sources[source].license).edits == "yes"
        if not edits and "redact" in own.values():
            raise ParamsError(
                f"params.yaml: policy.{source} redacts, but {settings.sources[source].license} forbids edits: "
                "drop or hold such rows, or keep them whole"
            )
        default = {} if edits else {"redact": "drop"}
        self._rules: dict[str, Action] = {
            name: default.get(action, action) for name, action in settings.policy.get("default", {}).items()
        } | own  # type: ignore[assignment]

    def action(self, finding: str) -> Action:
        """
        >>> rules = object.__new__(Rules)
        >>> rules._rules = {"pii": "redact", "pii:hint": "tag"}
        >>> [rules.action(name) for name in ("pii:phone", "pii:hint", "crisis")]
        ['redact', 'tag', 'keep']
        """
        own = self._rules.get(finding)
        return own or self._rules.get(finding.partition(":")[0], "keep")

    def judge(self, found: Findings, count: int) -> Verdict:
        """Apply the rules to the findings of a batch of `count` rows. Of several drops the first name is the reason."""
        dropped: list[str | None] = [None] * count
        held, redact = np.zeros(count, bool), np.zeros(count, bool)
        tags: dict[int, list[str]] = {}
        for row, name in zip(found.rows.tolist(), found.names, strict=True):
            action = self.action(name)
            if action == "drop":
                dropped[row] = dropped[row] or name
            elif action != "keep":
                tags.setdefault(row, []).append(name)
                held[row] |= action == "hold"
                redact[row] |= action == "redact"
        return Verdict(dropped, held, tags, redact)

    def redacts(self, kind: str) -> bool:
        """Whether personal spans of a type are replaced."""
        return self.action(f"pii:{kind}") == "redact"


# --- findings ------------------------------------------------------------------------------------------------


def findings(batch: pa.RecordBatch, attributes: pa.RecordBatch) -> Findings:
    """All findings of the screens that ran, for the records they stand beside."""
    rows: list[np.ndarray] = []
    names: list[pa.Array] = []
    for screen, read in _READERS.items():
        if screen in attributes.schema.names:
            for found_rows, found_names in read(attributes, batch):
                rows.append(found_rows)
                names.append(found_names)
    if not rows:
        return Findings(np.empty(0, np.int64), [])
    pairs = pa.table({"row": np.concatenate(rows), "name": pa.chunked_array(names, pa.string())})
    pairs = pairs.group_by(["row", "name"]).aggregate([]).sort_by([("row", "ascending"), ("name", "ascending")])
    return Findings(pairs["row"].to_numpy().astype(np.int64), pairs["name"].to_pylist())


Found = Iterator[tuple[np.ndarray, pa.Array]]


def _pii(attributes: pa.RecordBatch, batch: pa.RecordBatch) -> Found:
    spans = pc.struct_field(attributes["pii"], "spans")
    items = spans.flatten()
    tier = pc.struct_field(items, "tier")
    name = pc.if_else(pc.equal(tier, "personal"), pc.struct_field(items, "type"), tier)
    yield pc.list_parent_indices(spans).to_numpy().astype(np.int64), _prefixed("pii", name)


def _crisis(attributes: pa.RecordBatch, batch: pa.RecordBatch) -> Found:
    crisis = attributes["crisis"]
    flag = pc.fill_null(pc.struct_field(crisis, "flag"), False)
    yield _named(flag, "crisis")
    yield _named(pc.and_not(pc.fill_null(pc.struct_field(crisis, "review"), False), flag), "crisis-review")
    if "referral" in attributes.schema.names:
        categories = pc.struct_field(crisis, "categories")
        own = np.zeros(len(batch), bool)
        hits = pc.is_in(categories.flatten(), pa.array(OWN_RISK))
        own[pc.list_parent_indices(categories).filter(hits).to_numpy()] = True
        kind = pc.struct_field(attributes["referral"], "kind")
        answered = pc.invert(pc.is_in(batch["type"], pa.array(NO_REPLY)))
        referred = pc.fill_null(pc.is_in(kind, pa.array(REFERRED)), False)
        yield _named(pc.and_(pc.and_(flag, pa.array(own)), pc.and_not(answered, referred)), "crisis-unreferred")


def _quality(attributes: pa.RecordBatch, batch: pa.RecordBatch) -> Found:
    for field, prefix in (("tags", "quality"), ("rejected_tags", "rejected-quality")):
        tags = pc.struct_field(attributes["quality"], field)
        yield pc.list_parent_indices(tags).to_numpy().astype(np.int64), _prefixed(prefix, tags.flatten())


def _language(attributes: pa.RecordBatch, batch: pa.RecordBatch) -> Found:
    spoken = pc.invert(pc.is_in(batch["type"], pa.array(NO_REPLY)))
    # `_other`: a second language that fills a part of the text, as in an answer given in two languages
    for field, counts in (("input", True), ("input_other", True), ("response", spoken), ("response_other", spoken)):
        code = pc.struct_field(attributes["language"], field)
        there = pc.and_(pc.is_valid(code), counts)
        yield np.flatnonzero(there.to_numpy(zero_copy_only=False)), _prefixed("language", code.filter(there))


_READERS = {"pii": _pii, "crisis": _crisis, "quality": _quality, "language": _language}


def _prefixed(prefix: str, names: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(prefix, names, ":")


def _named(flags: pa.Array, name: str) -> tuple[np.ndarray, pa.Array]:
    rows = np.flatnonzero(flags.to_numpy(zero_copy_only=False))
    return rows, pa.repeat(name, len(rows)) if len(rows) else pa.array([], pa.string())


# --- consequences ----------------------------------------------------------------------------------------------


def enters(kinds: Sequence[str], held: np.ndarray) -> pa.Array:
    """The kinds of export that each row may enter."""
    free, kept = list(kinds), [kind for kind in kinds if kind not in HELD_BACK]
    return pa.array([kept if flag else free for flag in held.tolist()], pa.list_(pa.string()))


def tagged(tags: pa.Array, added: Mapping[int, list[str]]) -> pa.Array:
    """The rows' tags with further ones, sorted."""
    if not added:
        return tags
    lists = tags.to_pylist()
    for row, names in added.items():
        lists[row] = sorted({*lists[row], *names})
    return pa.array(lists, tags.type)


def redacted(batch: pa.RecordBatch, attributes: pa.RecordBatch, rules: Rules, verdict: Verdict) -> pa.RecordBatch:
    """The batch with personal spans replaced by typed placeholders where the rules say so, and the edit noted."""
    if not verdict.redact.any():
        return batch
    from stages.screens.pii import redact_batch

    spans = pc.struct_field(attributes["pii"], "spans")
    items = spans.flatten()
    kinds = pc.struct_field(items, "type")
    chosen = pc.is_in(
        kinds, pa.array([kind for kind in pc.unique(kinds).to_pylist() if rules.redacts(kind)], pa.string())
    )
    wanted = pc.and_(chosen, pc.equal(pc.struct_field(items, "tier"), "personal"))
    counts = np.bincount(pc.list_parent_indices(spans).filter(wanted).to_numpy(), minlength=len(batch))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    some = pa.ListArray.from_arrays(offsets, items.filter(wanted), type=spans.type)
    batch, changed = redact_batch(batch, pa.StructArray.from_arrays([some], fields=list(attributes["pii"].type)))
    return _with_edit(batch, changed.to_numpy(zero_copy_only=False), "redact")


def _with_edit(batch: pa.RecordBatch, rows: np.ndarray, name: str) -> pa.RecordBatch:
    """Add an edit to the origin of some rows."""
    origin = batch["origin"]
    added = {row: [name] for row in np.flatnonzero(rows).tolist()}
    fields = {field.name: pc.struct_field(origin, field.name) for field in origin.type}
    fields["edits"] = tagged(fields["edits"], added)
    origin = pa.StructArray.from_arrays(list(fields.values()), fields=list(origin.type))
    return batch.set_column(batch.schema.get_field_index("origin"), batch.schema.field("origin"), origin)
