"""Direct identifiers of persons in a record: where they stand, whose they are, and what confirmed them.

One vectorised pass over a batch's bytes (gates.py) points at places; patterns, checks (phonenumbers, python-stdnum,
ipaddress) and the words around decide there (online, phones, ids, places, names). Policy (policy.py) tells a person's
number or page from a public resource: a helpline is never `personal`. Neither a value nor its hash is kept.

Tiers: `personal` is what redaction takes out; `public` is a resource; `hint` (names, a birthday without a year) is
reported only. Screening a text with its personal spans redacted finds no personal span: see `detect.settle`.
"""

from __future__ import annotations

import pyarrow as pa

from stages.errors import ParamsError
from stages.params import Pii
from stages.screens.pii.detect import search, settle
from stages.screens.pii.redact import redact, redact_batch, spans_of
from stages.screens.pii.units import collect, column

__all__ = ["TYPE", "VERSION", "ready", "redact", "redact_batch", "screen", "spans_of"]

VERSION = 1

SPAN = pa.struct(
    [
        pa.field("field", pa.string(), nullable=False),  # input, response, rejected_response or turns
        pa.field("turn", pa.int32()),  # number of the turn, from 0; null unless field is turns
        pa.field("start", pa.int32(), nullable=False),  # code points of the stored text, half-open
        pa.field("end", pa.int32(), nullable=False),
        pa.field("type", pa.string(), nullable=False),  # one of spans.TYPES
        pa.field("tier", pa.string(), nullable=False),  # personal, public or hint
        pa.field("check", pa.string(), nullable=False),  # the validator or rule that confirmed it
        pa.field("confidence", pa.int8(), nullable=False),  # percent
    ]
)
TYPE = pa.struct([pa.field("spans", pa.list_(SPAN), nullable=False)])


def ready(params: Pii) -> None:
    """Raise ParamsError for a region without phone numbers: its numbers would be found nowhere, without a word."""
    others = [region for region in params.regions if region not in Pii().regions]
    if others:
        from phonenumbers import SUPPORTED_REGIONS  # late, as in phones.py

        if unknown := [region for region in others if region not in SUPPORTED_REGIONS]:
            raise ParamsError(f"screens.pii.regions: phonenumbers knows no {unknown[0]!r}: give codes such as US, GB")


def screen(batch: pa.RecordBatch, params: Pii) -> pa.StructArray:
    """The spans of each record: sorted by field, turn and start, disjoint; one value a row, none null.

    Records of the types in `params.links_only` are searched for e-mail addresses and URLs alone.
    """
    units = collect(batch, params)
    found = search(units.texts, units.links_only, params)
    return column(units, settle(units.texts, units.links_only, found, params), len(batch), TYPE)
