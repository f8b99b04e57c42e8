"""Optional: names of persons by a spaCy model, reported as spans and never redacted.

Off by default: it needs spaCy and a model of yours (a name that spaCy can load, or a folder), and about 25 CPU
seconds per MB. Its findings depend on the model's version, so pin that where the figures must be repeatable.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import screens
from stages.errors import ParamsError
from stages.params import NamesSpacy
from stages.screens import TRANSCRIPT

VERSION = 1
FIELDS = ("input", "response", "rejected_response")
PERSONS = ("PERSON", "PER")  # as English and other spaCy models call them

NAME = pa.struct(
    [
        pa.field("field", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),  # code points of the stored text, half-open
        pa.field("end", pa.int32(), nullable=False),
    ]
)
TYPE = pa.struct([pa.field("names", pa.list_(NAME), nullable=False)])


def ready(params: NamesSpacy) -> None:
    _model(params.model)


def screen(batch: pa.RecordBatch, params: NamesSpacy) -> pa.StructArray:
    """The names in each record, by field and start."""
    skipped = pc.equal(batch["type"], TRANSCRIPT)
    found: list[list[dict[str, Any]]] = [[] for _ in range(len(batch))]
    for field in FIELDS:
        texts = pc.fill_null(pc.if_else(skipped, None, batch[field]), "").to_pylist()
        for names, document in zip(found, _model(params.model).pipe(texts), strict=True):
            names.extend(
                {"field": field, "start": entity.start_char, "end": entity.end_char}
                for entity in document.ents
                if entity.label_ in PERSONS
            )
    lists = pa.array(found, pa.list_(NAME))
    return pa.StructArray.from_arrays([lists], fields=list(TYPE), mask=pa.array(np.zeros(len(batch), bool)))


@functools.lru_cache(maxsize=1)
def _model(name: str) -> Any:
    spacy = screens.need("spacy", "names_spacy", "requirements-ner.txt")
    try:
        model = spacy.load(name)
    except OSError:
        raise ParamsError(
            f"screens.names_spacy.model: spaCy finds no model {name!r}: install it, name the folder that holds it, "
            "or set screens.names_spacy.enabled to false in params.yaml"
        ) from None
    model.max_length = 10_000_000  # the limit of a record's text is max_chars in params.yaml
    return model
