"""What help an answer names: a crisis line, an emergency service, a professional, or none (data/referral.yaml).

Computed for every answer; policy looks at it where the input is a crisis. A line is found by number or name.
"""

from __future__ import annotations

import functools
import re

import pyarrow as pa
import pyarrow.compute as pc

from stages.params import Referral
from stages.screens._canonical import load

VERSION = 1
KINDS = ("crisis_line", "emergency", "professional")  # the first that is found counts
NONE = "none"
TYPE = pa.struct([pa.field("kind", pa.string())])  # of KINDS, or none; null where there is no answer


def screen(batch: pa.RecordBatch, params: Referral) -> pa.StructArray:
    """A `TYPE` struct for each record."""
    patterns = _patterns(params.lines)
    answers = pc.utf8_lower(pc.replace_substring(batch["response"], "’", "'"))
    answers = pc.replace_substring_regex(answers, pattern=patterns["not"], replacement=" ")
    found = [pc.match_substring_regex(answers, patterns[kind]) for kind in KINDS]
    kinds = pc.case_when(pc.make_struct(*found, field_names=KINDS), *KINDS, NONE)
    empty = pc.equal(pc.utf8_trim_whitespace(batch["response"]), "")
    kinds = pc.if_else(pc.fill_null(empty, True), pa.scalar(None, pa.string()), kinds)
    return pa.StructArray.from_arrays([pc.cast(kinds, pa.string())], fields=list(TYPE))


@functools.cache
def _patterns(lines: tuple[str, ...]) -> dict[str, str]:
    """One RE2 pattern for each list of the rule file, the declared further lines among the crisis lines."""
    raw = load("referral.yaml")
    raw["crisis_line"] = [*raw["crisis_line"], *(rf"\b{re.escape(line.lower())}\b" for line in lines)]
    lists = {name.upper(): f"(?:{'|'.join(raw[name])})" for name in ("advice", "help")}

    def joined(name: str) -> str:
        whole = "|".join(f"(?:{pattern.replace('_', GAP)})" for pattern in raw[name])
        return re.sub("ADVICE|HELP", lambda match: lists[match.group()], whole)

    return {name: joined(name) for name in ("not", *KINDS)}


GAP = r"[\s.()/–-]{0,3}"
