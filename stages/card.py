"""card: what the Hub folder says of itself. `python -m stages.card`

The dataset card, LICENSES.md, the licences' texts and obligations, and the Croissant file, all made of the ledgers
of the other stages. Where the Hub folder was not built, each says so or is empty.
"""

from __future__ import annotations

from stages import cards, errors, params
from stages.files import atomic, atomic_folder, write_json
from stages.layout import EXPORTS
from stages.licenses import travel

HUB = EXPORTS / "hub"


def main() -> None:
    settings = params.load(
        "origin", "sources", "profile", "screens", "policy", "merge", "decontaminate", "split", "export", "synthesize",
        "paraphrase", "card",
    )  # fmt: skip
    facts = cards.facts(settings, "hub")
    if not facts.files:
        _write_notes(facts.export["note"])
        return
    from stages.cards import croissant, readme

    _write("README.md", readme.render(facts))
    _write("LICENSES.md", readme.licences(facts))
    _write("croissant.json", croissant.render(facts))
    travel.write_obligations(HUB, facts.parts, settings.profile, facts.export["removed"])


def _write(name: str, text: str) -> None:
    with atomic(HUB / name) as part:
        part.write_bytes(text.encode())


def _write_notes(note: str) -> None:
    """DVC wants every out to exist."""
    for name in ("README.md", "LICENSES.md", "ATTRIBUTION.md"):
        _write(name, note + "\n")
    for name in ("croissant.json", "OBLIGATIONS.json"):
        write_json(HUB / name, {})
    with atomic_folder(HUB / "LICENSES") as folder:
        (folder / "NOTE.txt").write_text(note + "\n", encoding="utf-8")


if __name__ == "__main__":
    errors.run(main)
