"""generate: one round per page. `python -m stages.paraphrase.generate`

Pages go to this machine or to a host the params list, never through a proxy or after a redirect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stages import errors, params
from stages.llm import session
from stages.llm.endpoint import private_access
from stages.paraphrase import pages

if TYPE_CHECKING:
    from stages.params import Paraphrase
    from stages.paraphrase.accept import Recipe


def main() -> None:
    # Neither min_words nor leak: they decide in build, and a changed threshold must not run this stage again.
    whole = params.load(
        "origin",
        "paraphrase.mode",
        "paraphrase.seed",
        "paraphrase.endpoint",
        "paraphrase.sampling",
        "paraphrase.limits",
        "paraphrase.retry",
        "paraphrase.allow_remote",
        "paraphrase.hosts",
    )
    settings = whole.paraphrase
    wanted = [page for page in pages.read() if page.skip is None]
    texts = pages.texts(pages.folder(whole.origin), wanted)
    job = session.Job(
        "paraphrase",
        [page.page for page in wanted],
        lambda: _recipe(settings, texts),
        pages.RESPONSES,
        pages.fixture(whole.origin),
        lambda: private_access(settings.endpoint, settings.hosts, allow_remote=settings.allow_remote),
        quota=False,
    )
    session.run(job, settings)


def _recipe(settings: Paraphrase, texts: Mapping[str, str]) -> Recipe:
    from stages.paraphrase import accept  # and with it pyarrow: mode off does without

    return accept.Recipe(settings, texts, accept.prompt())


if __name__ == "__main__":
    errors.run(main)
