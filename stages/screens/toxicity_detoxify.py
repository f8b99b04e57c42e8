"""Optional: toxicity of each text by a Detoxify model, in percent, for reports only.

Off by default: it needs torch and the model's two parts on disk (the checkpoint and the folder with its
configuration and tokenizer); a build downloads nothing. Word lists and such models flag people who vent about
themselves: look at rows before any use. Texts are judged one by one, so that no padding of a batch enters a score.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages import screens
from stages.errors import ParamsError
from stages.params import ToxicityDetoxify
from stages.screens import TRANSCRIPT

VERSION = 1
FIELDS = ("input", "response", "rejected_response")
TYPE = pa.struct([pa.field(name, pa.int8()) for name in FIELDS])  # percent; null for no text and for experiments


def ready(params: ToxicityDetoxify) -> None:
    _model(params.checkpoint, params.config)


def screen(batch: pa.RecordBatch, params: ToxicityDetoxify) -> pa.StructArray:
    """Toxicity of each text of each record."""
    model = _model(params.checkpoint, params.config)
    skipped = pc.equal(batch["type"], TRANSCRIPT)
    columns = []
    for field in FIELDS:
        texts = pc.if_else(skipped, None, batch[field]).to_pylist()
        scores = [round(100 * float(model.predict(text)["toxicity"])) if text else None for text in texts]
        columns.append(pa.array(scores, pa.int8()))
    return pa.StructArray.from_arrays(columns, fields=list(TYPE))


@functools.lru_cache(maxsize=1)
def _model(checkpoint: str, config: str) -> Any:
    detoxify = screens.need("detoxify", "toxicity_detoxify", "requirements-toxicity.txt")
    for key, path in (("checkpoint", checkpoint), ("config", config)):
        if not path or not Path(path).exists():
            raise ParamsError(
                f"screens.toxicity_detoxify.{key}: {path or 'nothing'!r} is not there: download the model yourself and "
                "name its place, or set screens.toxicity_detoxify.enabled to false in params.yaml"
            )
    return detoxify.Detoxify(checkpoint=checkpoint, huggingface_config_path=config)
