"""generate: answers to what the plan wants. `python -m stages.synthesize.generate`

The one part of the generator that talks to the network, and only in mode live.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stages import errors, params
from stages.llm import session
from stages.llm.endpoint import access
from stages.synthesize import plan

if TYPE_CHECKING:
    from stages.params import Synthesize
    from stages.synthesize.accept import Recipe


def main() -> None:
    # Not the filters: they decide in build, and a changed threshold must not run this stage again.
    whole = params.load(
        "origin",
        "synthesize.mode",
        "synthesize.seed",
        "synthesize.length",
        "synthesize.endpoint",
        "synthesize.sampling",
        "synthesize.limits",
        "synthesize.retry",
        "synthesize.judge",
    )
    settings = whole.synthesize
    slots = plan.read()
    job = session.Job(
        "synthesize",
        [slot.slot for slot in slots],
        lambda: _recipe(settings, slots),
        plan.RESPONSES,
        plan.fixture(whole.origin),
        lambda: access(settings.endpoint),
    )
    session.run(job, settings)


def _recipe(settings: Synthesize, slots: Sequence[plan.Slot]) -> Recipe:
    from stages.synthesize import accept  # and with it pyarrow: mode off does without

    return accept.Recipe(settings, slots, plan.load_prompts())


if __name__ == "__main__":
    errors.run(main)
