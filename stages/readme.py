"""README's table of what the build in git holds, from its ledger. `python -m stages.readme [--check]`

Run it when the figures change; a test runs the check, so a number that disagrees with the data does not stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stages import errors, figures, ledger, params
from stages.errors import LawError
from stages.files import atomic

README = Path("README.md")
BEGIN, END = "<!-- figures: `python -m stages.readme` writes this block -->\n", "<!-- end of figures -->\n"


def main(*words: str) -> None:
    text = README.read_text(encoding="utf-8")
    fresh = renewed(text, block())
    if fresh == text:
        return
    if words == ("--check",):
        raise LawError(f"{README}: its figures are not those of {ledger.JOINED}: run `python -m stages.readme`")
    with atomic(README) as part:
        part.write_text(fresh, encoding="utf-8")
    print(f"{README}: figures renewed", file=sys.stderr)


def renewed(text: str, block: str) -> str:
    """The text with another block between its marks. Raises LawError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LawError(
            f"{README} has lost the marks of its figures: put back the lines {BEGIN.strip()} and {END.strip()}"
        )
    return before + begin + block + end + after


def block() -> str:
    """The table as Markdown."""
    outcomes = figures.outcomes(ledger.read_joined())
    settings = params.with_made(params.load("origin", "sources", "synthesize.license", "paraphrase.license"))
    order = [*params.ordered(settings), "all"]
    rows = sorted((row for row in outcomes.rows if row[1]), key=lambda row: order.index(row[0]))
    lines = [
        "",
        f"The build in git (`origin: {settings.origin}`), by what became of each source's rows:",
        "",
        "| " + " | ".join(head.replace("_", " ") for head in outcomes.heads) + " |",
        "|---|" + "---:|" * (len(outcomes.heads) - 1),
        *(
            "| " + " | ".join([f"`{row[0]}`" if row[0] != "all" else "**all**", *(f"{n:,}" for n in row[1:])]) + " |"
            for row in rows
        ),
        "",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    errors.run(main)
