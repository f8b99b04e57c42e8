"""The licences that rows can have: what each permits and asks, as data.

Read from the texts beside this file. A new licence is one entry here and one file in texts/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# From free to strict. conditional: only on the terms that `conditions` names. unknown: no text says.
Level = Literal["yes", "conditional", "unknown", "no"]
LEVELS: tuple[Level, ...] = ("yes", "conditional", "unknown", "no")

# The fields of a licence that hold a Level.
PERMISSIONS = ("commercial", "edits", "redistribution", "single_row_removal")


@dataclass(frozen=True)
class License:
    """One licence."""

    id: str  # SPDX, or LicenseRef-
    name: str
    url: str | None
    commercial: Level  # use for gain
    edits: Level  # changing a row's text
    redistribution: Level  # passing rows on
    single_row_removal: Level  # taking out one row for its own sake; a rule over all rows is a selection
    attribution: bool  # name authors, licence, and that changes were made
    share_alike: bool = False  # what is made from it must be under the same licence
    conditions: tuple[str, ...] = ()  # the terms behind `conditional`
    notices: tuple[str, ...] = ()  # sentences that must go out, word for word
    travels: tuple[str, ...] = ()  # files that must go out besides the licence's text
    outputs: tuple[str, ...] = ()  # terms on models trained on the rows, and on what they write
    use_limits: tuple[str, ...] = ()  # uses that it forbids
    notes: str = ""  # how we read it, and what we are not sure of


LICENSES: tuple[License, ...] = (
    License(
        id="MIT",
        name="MIT License",
        url="https://spdx.org/licenses/MIT.html",
        commercial="yes",
        edits="yes",
        redistribution="yes",
        single_row_removal="yes",
        attribution=True,
        notes="The copyright line, where upstream gives one, stands in ATTRIBUTION.md.",
    ),
    License(
        id="Apache-2.0",
        name="Apache License 2.0",
        url="https://www.apache.org/licenses/LICENSE-2.0",
        commercial="yes",
        edits="yes",
        redistribution="yes",
        single_row_removal="yes",
        attribution=True,
        notes="Section 4 asks to say that files were changed: ATTRIBUTION.md does. No upstream NOTICE file is known.",
    ),
    License(
        id="CC0-1.0",
        name="Creative Commons Zero 1.0 Universal",
        url="https://creativecommons.org/publicdomain/zero/1.0/",
        commercial="yes",
        edits="yes",
        redistribution="yes",
        single_row_removal="yes",
        attribution=False,
        notes=(
            "Waives the uploader's rights only: people who wrote the posts may have rights of their own, and privacy "
            "law binds as before. Nobody may be identified from such rows."
        ),
    ),
    License(
        id="CC-BY-4.0",
        name="Creative Commons Attribution 4.0 International",
        url="https://creativecommons.org/licenses/by/4.0/",
        commercial="yes",
        edits="yes",
        redistribution="yes",
        single_row_removal="yes",
        attribution=True,
    ),
    License(
        id="CC-BY-NC-4.0",
        name="Creative Commons Attribution-NonCommercial 4.0 International",
        url="https://creativecommons.org/licenses/by-nc/4.0/",
        commercial="no",
        edits="yes",
        redistribution="yes",
        single_row_removal="yes",
        attribution=True,
    ),
    License(
        id="LicenseRef-RAIL-D",
        name="Amod/mental_health_counseling_conversations RAIL-D",
        url="https://huggingface.co/datasets/Amod/mental_health_counseling_conversations/blob/main/LICENSE-RAIL-D.txt",
        commercial="conditional",
        edits="no",
        redistribution="conditional",
        single_row_removal="no",
        attribution=True,
        conditions=(
            "Passed on only unmodified in content and with this licence (section 4).",
            "Filtered or subset selections for analytical purposes are permitted; altering, rewriting or removing an "
            "individual question-and-answer pair is not (section 4).",
            "Commercial use only after a donation of at least USD 100 to the CCC Foundation's helpline, with the proof "
            "e-mailed to the licensor within 30 days before or after its start (section 5).",
        ),
        use_limits=(
            "No medical advice or clinical decisions without accreditation, or independent and professional oversight "
            "(Attachment A, 6a and 6b).",
            "No use with a risk of death or bodily harm, self-harm among them (Attachment A, 6c and 6d).",
            "People must be told beforehand that they talk to a machine, and agree (Attachment A, 4c); generated text "
            "put in public is marked as generated (4e).",
            "No inference of personal facts about a person without consent, and no personal data that can harm them "
            "(Attachment A, 5a and 5b).",
            "No military use, discrimination, law enforcement, fully automated legal decisions, defamation, "
            "disinformation, harassment or academic dishonesty (Attachment A, 1 to 4, 7 and 8).",
        ),
        notes=(
            "Section 2 grants reproduction `for internal purposes`, section 4 permits distribution: we read section 4 "
            "as the rule for passing on. Section 4 permits subsets and forbids removing a pair: we read a rule that is "
            "applied to all rows (duplicates, screens, decontamination) as a selection, and a row taken out for its "
            "own sake (data/deny.txt) as a removal; after one, rows of this source are not passed on. Kept rows are "
            "byte-equal to upstream. `keep_all: true` keeps duplicates too. Upstream replaced OpenRAIL by this "
            "licence on 2025-07-06; the pin of the licence file holds the text that was read."
        ),
    ),
    License(
        id="LicenseRef-llama3",
        name="Meta Llama 3 Community License Agreement",
        url="https://llama.meta.com/llama3/license/",
        commercial="conditional",
        edits="yes",
        redistribution="conditional",
        single_row_removal="yes",
        attribution=True,
        conditions=(
            "Passed on only with a copy of the agreement, with “Built with Meta Llama 3” prominently displayed on a "
            "related website, user interface, blogpost, about page or product documentation, and with the notice below "
            "in a text file named Notice (sections 1.b.i and 1.b.iii).",
            "Whoever had more than 700 million monthly active users on 18 April 2024 needs a licence from Meta "
            "(section 2).",
        ),
        notices=(
            "Built with Meta Llama 3",
            "Meta Llama 3 is licensed under the Meta Llama 3 Community License, Copyright © Meta Platforms, Inc. "
            "All Rights Reserved.",
        ),
        travels=("LICENSES/NOTICE",),
        outputs=(
            "Output or results of Llama 3 may not be used to improve any other large language model than Meta Llama 3 "
            "or derivative works thereof (section 1.b.v).",
            "The name of a model that was created, trained, fine-tuned or improved with the materials, and is passed "
            "on, begins with “Llama 3” (section 1.b.i).",
        ),
        use_limits=(
            "Meta's Acceptable Use Policy binds (section 1.b.iv): among others no unauthorized practice of medical or "
            "health professions, no activity with a risk of self-harm, no claim that outputs are human-generated.",
        ),
        notes=(
            "The agreement covers Meta Llama 3 and its documentation; the dataset's authors put its outputs under it. "
            "They name a Llama 3 405B as one of their models, which Meta released as Llama 3.1, whose licence does "
            "permit training other models; the card says llama3, and we hold the stricter text."
        ),
    ),
    License(
        id="LicenseRef-user",
        name="No licence stated (a user's own file)",
        url=None,
        commercial="no",
        edits="yes",
        redistribution="no",
        single_row_removal="yes",
        attribution=False,
        notes="Private use by the person who supplied the file; never passed on.",
    ),
    License(
        id="LicenseRef-synthetic",
        name="Made by a language model, terms not stated",
        url=None,
        commercial="unknown",
        edits="yes",
        redistribution="unknown",
        single_row_removal="yes",
        attribution=False,
        notes="The terms of the model and of the service that ran it decide: state a licence once you know them.",
    ),
)
