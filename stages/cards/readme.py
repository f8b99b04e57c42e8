"""README.md, the dataset card: YAML for the Hub, then what people need to know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stages import licenses
from stages.cards import SIDES, Facts, Flow, known
from stages.licenses import travel
from stages.tokens import CHARACTERS

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))

# The fields of the Hub folder, as `datasets` writes features, and what each is.
FEATURES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"name": "id", "dtype": "string"}, "stable across versions and machines"),
    ({"name": "input", "dtype": "string"}, "what the person wrote"),
    ({"name": "response", "dtype": "string"}, "what was really answered to it; in classification the label"),
    ({"name": "rejected_response", "dtype": "string"}, "a worse answer to the same input, or null"),
    ({"name": "source", "dtype": "string"}, "the source's name in the table of sources"),
    ({"name": "type", "dtype": "string"}, "counseling, interview, synthetic, preference, classification ..."),
    ({"name": "tags", "list": "string"}, "sorted, never null; what the screens found among them"),
    ({"name": "system", "dtype": "string"}, "the source's own instruction, or null"),
    (
        {"name": "turns", "list": [{"name": "role", "dtype": "string"}, {"name": "content", "dtype": "string"}]},
        "the conversation, where it has more than one exchange, or null",
    ),
    ({"name": "license", "dtype": "string"}, "the licence of the row"),
)


def render(facts: Facts) -> str:
    """The whole card."""
    parts = [_head(facts), _figures(facts), _sources(facts)]
    if facts.format == "hub":
        parts.append(_fields())
    parts += [_risk(facts), _licences(facts), _defects(facts), _rebuild(facts), _citation(facts)]
    return f"---\n{_yaml(facts)}\n---\n\n" + "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def _bullets(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


# --- YAML -----------------------------------------------------------------------------------------------------


def _yaml(facts: Facts) -> str:
    from huggingface_hub import DatasetCardData  # half a second: only here

    ids = facts.terms["obligations"]["licenses"]
    hub = [part.dataset for part in facts.parts if "/" in part.dataset]
    info: dict[str, Any] = {"dataset_info": _info(facts)} if facts.format == "hub" else {}
    data = DatasetCardData(
        pretty_name=facts.card.title,
        language=["en"],
        **_license(ids),
        size_categories=[next((name for most, name in _SIZES if facts.total < most), "n>10M")],
        task_categories=["text-generation", "text-classification"],
        tags=["mental-health", "counseling", "croissant"] if facts.format == "hub" else ["mental-health", "counseling"],
        source_datasets=list(dict.fromkeys(hub)),
        configs=[{"config_name": "default", "data_files": _data_files(facts)}],
        **info,
    )
    return str(data.to_yaml())


def _license(ids: Sequence[str]) -> dict[str, Any]:
    """One licence that the Hub knows by name, else `other` and where the terms stand."""
    if len(ids) == 1 and not ids[0].startswith("LicenseRef-"):
        return {"license": ids[0].lower()}
    return {"license": "other", "license_name": "mix-see-licenses", "license_link": "LICENSES.md"}


def _data_files(facts: Facts) -> list[dict[str, Any]]:
    paths: dict[str, list[str]] = {}
    for file in facts.files:
        paths.setdefault(file["split"], []).append(file["path"])
    return [{"split": side, "path": paths[side]} for side in SIDES if side in paths]


def _info(facts: Facts) -> dict[str, Any]:
    """`dataset_info`. The bytes of a split are those of its rows in Arrow, as `datasets` has it."""
    memory = {side: sum(file["memory"] for file in facts.files if file["split"] == side) for side in facts.rows}
    return {
        "features": [dict(feature) for feature, _ in FEATURES],
        "splits": [
            {"name": side, "num_bytes": memory[side], "num_examples": rows} for side, rows in facts.rows.items()
        ],
        "download_size": sum(file["bytes"] for file in facts.files),
        "dataset_size": sum(memory.values()),
    }


# --- figures --------------------------------------------------------------------------------------------------


def _head(facts: Facts) -> str:
    merged = sum(flow.merged for flow in facts.flows.values())
    sample = (
        "\n> **This is the sample build**: rows written by the authors of the pipeline, none of them from upstream.\n"
        if facts.origin == "sample"
        else ""
    )
    return (
        f"# {facts.card.title}\n\n"
        f"{facts.total:,} rows in the format `{facts.format}`, version {facts.card.version}, of a corpus of {merged:,} "
        f"rows merged from {len({part.dataset for part in facts.parts})} mental-health conversation datasets by a "
        "reproducible pipeline: the same inputs and params give the same bytes. Rows that share a question, a "
        "participant or a near-duplicate cluster stand on one side of the split.\n" + sample
    )


def _figures(facts: Facts) -> str:
    unit = "characters" if facts.export["unit"] == CHARACTERS else f"tokens ({facts.export['unit']})"
    rows = []
    for side, count in facts.rows.items():
        files = [file for file in facts.files if file["split"] == side]
        whole = sum(file["characters" if unit == CHARACTERS else "tokens"] or 0 for file in files)
        lengths = facts.export["lengths"][side]
        size = sum(file["bytes"] for file in files)
        rows.append([side, count, len(files), size, whole, *(lengths[name] for name in ("p50", "p90", "p99", "max"))])
    head = ["side", "rows", "files", "bytes", unit, "median row", "p90", "p99", "longest"]
    text = "## Figures\n\n" + _table(head, rows)
    text += "\nA trainer drops or cuts rows longer than its sequence length, most of them silently: compare.\n"
    if mixture := facts.export.get("mixture"):
        text += "\nThe training side is a mixture, as asked and as achieved:\n\n" + _mixture(mixture)
    return text


def _mixture(mixture: dict[str, Any]) -> str:
    asked = mixture["asked"]
    rows = [
        [source, asked["weights"].get(source, ""), mixture["rates"].get(source, ""), got["rows"], got["rows_share"]]
        for source, got in mixture["achieved"].items()
    ]
    return _table(["source", "weight asked", "copies of a row", "rows", "share of rows"], rows)


def _sources(facts: Facts) -> str:
    here = {part.source: part for part in facts.parts}
    listed = {key: flow for key, flow in facts.flows.items() if flow.upstream or key in here}
    rows = [_source(key, flow, sum(p.rows for p in facts.parts if p.source == key), here.get(key))
            for key, flow in listed.items()]  # fmt: skip
    head = ["source", "licence", "upstream", "rejected", "dropped", "duplicates", "merged", *SIDES, "in this export"]
    makers = facts.made
    share = sum(makers.values()) / (sum(part.rows for part in facts.parts) or 1)
    text = (
        "## Sources\n\n" + _table(head, rows) + "\nUpstream = rejected (broken rows) + dropped (licence profile and "
        "policy) + duplicates + merged; merged = the sides. `held_out` rows hold a question of a protected benchmark "
        "and are in no export.\n"
    )
    if makers:
        lines = (f"{label}: {rows:,} rows" for label, rows in makers.items())
        text += f"\n{share:.1%} of these rows were not written by people for people:\n\n" + _bullets(lines)
    return text


def _source(key: str, flow: Flow, rows: int, part: travel.Part | None) -> list[object]:
    name = (
        f"[{key}]({travel.credit(part.dataset).get('url')})" if part and "url" in travel.credit(part.dataset) else key
    )
    sides = [flow.sides[side] for side in SIDES]
    return [name, part.license if part else "", flow.upstream, flow.rejected, flow.dropped, flow.duplicates,
            flow.merged, *sides, rows]  # fmt: skip


def _fields() -> str:
    return "## Fields\n\n" + _table(["field", "meaning"], [[feature["name"], text] for feature, text in FEATURES])


# --- words ----------------------------------------------------------------------------------------------------


def _risk(facts: Facts) -> str:
    def found(name: str) -> int:
        return sum(flow.findings.get(name, 0) for flow in facts.flows.values())

    held = sum(flow.held for flow in facts.flows.values())
    redacted = sum(flow.redacted for flow in facts.flows.values())
    private = sum(n for flow in facts.flows.values() for name, n in flow.findings.items() if name.startswith("pii"))
    return "## Considerations for use with people at risk\n\n" + _bullets(
        [
            "Much of this was written by people in distress, in public and without being asked for this use. Do not "
            "try to find out who they are, and do not train or publish anything that could.",
            f"{found('crisis'):,} merged rows are tagged `crisis` (suicide, self-harm, violence, abuse) by a screen "
            "that misses some and flags some wrongly. Do not use the tag as a safety system.",
            f"In {found('crisis-unreferred'):,} rows a person at risk gets an answer that names neither a crisis line "
            f"nor an emergency service. {held:,} rows are held back from chat and preference exports for this or for "
            "their language, and stay in the merged table and in the Hub folder with a tag: filter them first.",
            "An answer here is what somebody wrote, not what a clinician would sign. A model trained on it is no "
            "counsellor: tell people that they talk to a machine, watch for crisis by other means, and hand over to "
            "people.",
            f"Direct identifiers of private persons were sought; {redacted:,} rows hold typed placeholders such as "
            f"`<PHONE>` in their place and {private:,} findings stay as tags. The screen is not perfect, and names are "
            "reported, not removed.",
            "Labels are weak, ages and countries are unknown, and most text is English of the United States: nothing "
            "here supports a diagnosis or a statement about a group of people.",
        ]
    )


def _licences(facts: Facts) -> str:
    terms = facts.terms
    rows = [[f"[{id}](LICENSES/{id}.txt)", terms["licenses"][id]["name"], count] for id, count in terms["rows"].items()]
    return (
        f"## Licences and what they ask\n\nEach row is under the licence in its source's row above; the profile of "
        f"this build is `{facts.profile if isinstance(facts.profile, str) else ', '.join(facts.profile)}`.\n\n"
        + _table(["licence", "name", "rows"], rows)
        + "\nFor all of it together, the strictest wins:\n\n"
        + _bullets(asked(facts))
        + "\nThe texts stand in `LICENSES/`, names and changes in `ATTRIBUTION.md`, the same as data in "
        "`OBLIGATIONS.json`, and all of it in words in `LICENSES.md`.\n"
    )


_SAID = {
    "commercial": {
        "yes": "Commercial use is permitted.",
        "conditional": "Commercial use is permitted on conditions only ({}).",
        "unknown": "Whether commercial use is permitted is not known ({}).",
        "no": "No commercial use ({}).",
    },
    "edits": {
        "yes": "Edits are permitted.",
        "conditional": "Edits are permitted on conditions only ({}).",
        "unknown": "Whether edits are permitted is not known ({}).",
        "no": "Rows under {} may not be edited: they are byte-equal to upstream here.",
    },
    "redistribution": {
        "yes": "It may be passed on.",
        "conditional": "It may be passed on, on conditions only ({}).",
        "unknown": "Whether it may be passed on is not known ({}).",
        "no": "It may not be passed on ({}).",
    },
    "single_row_removal": {
        "yes": "Single rows may be taken out.",
        "conditional": "Single rows may be taken out on conditions only ({}).",
        "unknown": "Whether single rows may be taken out is not known ({}).",
        "no": "Single rows of {} may not be taken out for their own sake and the rest passed on.",
    },
}


def asked(facts: Facts) -> list[str]:
    """The obligations of the mix in sentences."""
    mix = facts.terms["obligations"]
    lines = [said[mix[name]["value"]].format(", ".join(mix[name]["because"])) for name, said in _SAID.items()]
    if not facts.terms["may_be_passed_on"]:
        lines.append(
            "This build stays on the machine that made it: "
            + (licenses.refusal(mix["licenses"], facts.profile, facts.export["removed"]) or "").partition(":")[0]
            + "."
        )
    if mix["attribution"]:
        lines.append(
            f"Name the authors and that changes were made ({', '.join(mix['attribution'])}): ATTRIBUTION.md does."
        )
    if mix["share_alike"]:
        lines.append(f"What is made from it must be under the same licence ({', '.join(mix['share_alike'])}).")
    for name in ("conditions", "outputs", "use_limits"):
        lines += [f"{line['license']}: {line['text']}" for line in mix[name]]
    lines += [f"Goes out with it: “{notice['text']}” ({notice['license']})." for notice in mix["notices"]]
    return lines


def _defects(facts: Facts) -> str:
    text = "## Known defects by source\n"
    for key in dict.fromkeys(part.source for part in facts.parts):
        part = next(part for part in facts.parts if part.source == key)
        lines = [*known(part.dataset).get("defects", []), *_audited(facts.audit.get(key))]
        if lines:
            text += f"\n**{key}** ({part.dataset})\n\n" + _bullets(lines)
    return text


def _audited(found: dict[str, Any] | None) -> list[str]:
    """What the label audit measured on this build."""
    if not found:
        return []
    artefact = " The audit calls the label a source artefact." if found["artefact"] else ""
    return [
        f"Measured on this build ({found['audited']:,} rows): majority class {found['majority']}, length alone "
        f"{found['length']['accuracy']}, one-line rule {found['one_line_rule']['accuracy']} "
        f"(“{found['one_line_rule']['rule']}”), TF-IDF with logistic regression {found['model']['accuracy']}.{artefact}"
    ]


def _rebuild(facts: Facts) -> str:
    revisions = [
        f"{part.source}: {part.dataset}" + (f" at `{part.revision}`" if part.revision else "") for part in facts.parts
    ]
    more = "; `croissant.json` names it too, and the hash of every file" if facts.format == "hub" else ""
    origin = "" if facts.origin == "sample" else f" with `origin: {facts.origin}` in params.yaml"
    return (
        "## How to rebuild\n\nFrom a clone of the pipeline's repository:\n\n"
        f"```sh\npip install -r requirements.txt\ndvc repro\n```\n\n{origin and f'That is,{origin}. '}"
        f"The pipeline that made this (dvc.yaml, code and params) has the sha256 `{facts.pipeline}`"
        f"{more}. What went in:\n\n" + _bullets(revisions)
    )  # fmt: skip


def _citation(facts: Facts) -> str:
    cited = {part.dataset: travel.credit(part.dataset).get("citation") for part in facts.parts}
    return "## Citation\n\nCite the sources whose rows you use:\n\n" + _bullets(text for text in cited.values() if text)


# --- LICENSES.md ----------------------------------------------------------------------------------------------


def licences(facts: Facts) -> str:
    """LICENSES.md: each licence of the mix, what it permits and asks, and how we read it."""
    text = (
        "# Licences\n\nThis is a mix. Each row carries its own licence; for all of it together, the strictest wins:\n\n"
    )
    text += _bullets(asked(facts))
    for id in facts.terms["obligations"]["licenses"]:
        entry = licenses.get(id)
        sources = ", ".join(dict.fromkeys(part.source for part in facts.parts if part.license == id))
        text += f"\n## {entry.name}\n\n"
        lines = [
            f"id: {id}, text: [LICENSES/{id}.txt](LICENSES/{id}.txt)" + (f", {entry.url}" if entry.url else ""),
            f"sources: {sources}; rows: {facts.terms['rows'][id]:,}",
            f"commercial use: {entry.commercial}; edits: {entry.edits}; passing on: {entry.redistribution}; taking "
            f"single rows out: {entry.single_row_removal}",
        ]
        text += _bullets([*lines, *entry.conditions, *entry.outputs, *entry.use_limits])
        if entry.notes:
            text += f"\nHow we read it: {entry.notes}\n"
    return text + "\nNothing here is legal advice.\n"
