"""generate: answers to what the plan wants. `python -m stages.synthesize.generate`

The one part of the generator that talks to the network, and only in mode live.
"""

from __future__ import annotations

from stages import errors, params
from stages.llm import session
from stages.llm.endpoint import access
from stages.synthesize import accept
from stages.synthesize.plan import load_prompts, read


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
    slots, prompts = read(), load_prompts()
    job = session.Job(
        "synthesize",
        [slot.slot for slot in slots],
        lambda: accept.Recipe(settings, slots, prompts),
        accept.RESPONSES,
        accept.fixture(whole.origin),
        lambda: access(settings.endpoint),
    )
    session.run(job, settings)


if __name__ == "__main__":
    errors.run(main)
