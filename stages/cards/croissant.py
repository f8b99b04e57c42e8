"""croissant.json: the Hub folder for machines, in Croissant 1.1 with PROV-O provenance and ODRL terms of use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages import licenses
from stages.cards import SIDES, Facts, known
from stages.cards.readme import FEATURES, asked
from stages.licenses import travel
from stages.licenses.travel import Part

VERSION = "http://mlcommons.org/croissant/1.1"
PARQUET = "application/x-parquet"

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def render(facts: Facts) -> str:
    """The file's text."""
    card, sources = facts.card, list(dict.fromkeys(part.dataset for part in facts.parts))
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": card.name,
        "description": f"{facts.total:,} rows of {len(sources)} mental-health conversation datasets, merged, "
        "screened, without duplicates, split without leaks.",
        "conformsTo": VERSION,
        **({"url": card.url} if card.url else {}),
        "version": card.version,
        "datePublished": card.date,
        "inLanguage": "en",
        "keywords": ["mental health", "counseling", "conversations"],
        "license": [_license(id) for id in facts.terms["obligations"]["licenses"]],
        "creator": {"@type": "sc:Organization", "name": card.creator},
        "citeAs": f"@misc{{{card.name}, title={{{card.title}}}, author={{{card.creator}}}, year={{{card.date[:4]}}}, "
        f"version={{{card.version}}}}}",
        "citation": [text for dataset in sources if (text := travel.credit(dataset).get("citation"))],
        "usageInfo": _terms(facts),
        "rai:personalSensitiveInformation": [
            "Posts and questions of people in distress. Direct identifiers were sought by rules and redacted, dropped "
            "or tagged by source; names are tagged only. Nobody may be identified from these rows."
        ],
        "rai:dataLimitations": _limitations(facts),
        "rai:dataUseCases": [
            "Research on supportive conversation. No diagnosis, no crisis service, no counsellor without people behind."
        ],
        "prov:wasDerivedFrom": [_entity(part) for part in facts.parts],
        "prov:wasGeneratedBy": _activities(facts),
        "distribution": [_file(facts, file) for file in facts.files],
        "recordSet": [_splits(facts), *(_records(facts, file) for file in facts.files)],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _license(id: str) -> str:
    """A licence's address; that of its text here, where no address is known."""
    return f"https://spdx.org/licenses/{id}.html" if not id.startswith("LicenseRef-") else (
        licenses.get(id).url or f"LICENSES/{id}.txt"
    )  # fmt: skip


def _limitations(facts: Facts) -> list[str]:
    return [f"{part.dataset}: {line}" for part in facts.parts for line in known(part.dataset).get("defects", [])]


# --- terms of use ---------------------------------------------------------------------------------------------

_ACTIONS = {
    "commercial": "http://creativecommons.org/ns#CommercialUse",
    "edits": "odrl:modify",
    "redistribution": "odrl:distribute",
}


def _terms(facts: Facts) -> dict[str, Any]:
    """The obligations of the mix as one ODRL offer: what is permitted, forbidden and owed, and by which licence."""
    mix = facts.terms["obligations"]
    rules: dict[str, list[Any]] = {"odrl:permission": [], "odrl:prohibition": [], "odrl:duty": []}
    for name, action in _ACTIONS.items():
        value, because = mix[name]["value"], mix[name]["because"]
        rule: dict[str, Any] = {"odrl:action": {"@id": action}}
        if because:
            rule["description"] = f"{name}: {value} ({', '.join(because)})"
        rules["odrl:permission" if value in ("yes", "conditional") else "odrl:prohibition"].append(rule)
    for name, action in (
        ("attribution", "odrl:attribute"),
        ("share_alike", "http://creativecommons.org/ns#ShareAlike"),
    ):
        if mix[name]:
            rules["odrl:duty"].append({"odrl:action": {"@id": action}, "description": ", ".join(mix[name])})
    return {
        "@type": ["sc:CreativeWork", "odrl:Offer"],
        "name": "Terms of the mix",
        "description": " ".join(asked(facts)),
        "url": "LICENSES.md",
        **{name: found for name, found in rules.items() if found},
    }


# --- provenance -----------------------------------------------------------------------------------------------


def _entity(part: Part) -> dict[str, Any]:
    """A source with the upstream files that rows of this export come from."""
    home = travel.credit(part.dataset).get("url")
    at = f"{home}/resolve/{part.revision}" if home and part.revision else f"urn:mhdata:{part.source}"
    return {
        "@type": "prov:Entity",
        "@id": f"{home}/tree/{part.revision}" if home and part.revision else home or f"urn:mhdata:{part.source}",
        "prov:label": part.dataset,
        **({"version": part.revision} if part.revision else {}),
        "license": _license(part.license),
        "prov:hadMember": [
            {"@type": "prov:Entity", "@id": f"{at}/{file.file}", "prov:label": file.file, "sha256": file.sha256}
            for file in part.files
        ],
    }


def _activities(facts: Facts) -> list[dict[str, Any]]:
    """The pipeline, named by the hash of its plan, code and params, and the transformations in it, in their order."""
    flows = list(facts.flows.values())

    def total(name: str) -> int:
        return sum(getattr(flow, name) for flow in flows)

    edits = {name for part in facts.parts for name, rows in part.changes.items() if rows}
    held_out = sum(flow.sides["held_out"] for flow in flows)
    steps = {
        "download": "The pinned upstream files, verified by size and hash.",
        "normalize": f"{total('upstream'):,} rows to records of one schema; {total('rejected'):,} broken ones rejected "
        f"by reason. Repairs of texts whose licence permits edits: {', '.join(sorted(edits)) or 'none'}.",
        "screen": "Language, personal data, crisis, referral, quality and topics as attributes beside the records.",
        "merge": f"{total('dropped'):,} rows dropped by deny list, licence profile and policy, {total('duplicates'):,} "
        f"exact and near duplicates removed, {total('redacted'):,} rows redacted; {total('merged'):,} rows stay.",
        "split": "Sides by seeded hash of the group (question, participant, near-duplicate cluster); "
        f"{held_out:,} rows with a question of a protected benchmark held out.",
        "export": f"{facts.total:,} rows to Parquet, in the merged order.",
    }
    plan = f"urn:sha256:{facts.pipeline}"
    made: list[dict[str, Any]] = []
    for name, text in steps.items():
        before = {"prov:wasInformedBy": {"@id": f"{plan}#{list(steps)[len(made) - 1]}"}} if made else {}
        label = {"prov:label": name, "description": text, "prov:qualifiedAssociation": {"prov:hadPlan": {"@id": plan}}}
        made.append({"@type": "prov:Activity", "@id": f"{plan}#{name}", **label, **before})
    return made


# --- files and records ----------------------------------------------------------------------------------------


def _file(facts: Facts, file: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file["path"],
        "name": file["path"],
        "description": f"{file['rows']:,} rows of {file['split']}",
        "contentUrl": file["path"],
        "contentSize": f"{file['bytes']} B",
        "encodingFormat": PARQUET,
        "sha256": file["sha256"],
        "prov:wasGeneratedBy": {"@id": f"urn:sha256:{facts.pipeline}#export"},
        "prov:wasDerivedFrom": [{"@id": _entity(part)["@id"]} for part in facts.parts],
    }


def _splits(facts: Facts) -> dict[str, Any]:
    kinds = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}
    urls = {side: f"http://mlcommons.org/croissant/{kinds[side][3:]}" for side in SIDES if side in facts.rows}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": "sc:URL"},
        ],
        "data": [{"splits/name": side, "splits/url": url} for side, url in urls.items()],
    }


def _records(facts: Facts, file: dict[str, Any]) -> dict[str, Any]:
    """The rows of one file; a side in several files is several record sets, since mlcroissant joins no files."""
    alone = sum(other["split"] == file["split"] for other in facts.files) == 1
    name = file["split"] if alone else Path(file["path"]).stem
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"{file['rows']:,} rows of {file['split']}",
        "key": {"@id": f"{name}/id"},
        "field": [_field(name, feature, text, {"fileObject": {"@id": file["path"]}}) for feature, text in FEATURES],
    }


def _field(record: str, feature: dict[str, Any], text: str, source: dict[str, Any]) -> dict[str, Any]:
    name = feature["name"]
    field: dict[str, Any] = {"@type": "cr:Field", "@id": f"{record}/{name}", "name": name, "description": text}
    several = {"isArray": True, "arrayShape": "-1"} if "list" in feature else {}
    if isinstance(feature.get("list"), list):
        parts = [_part(record, name, inner["name"], source) for inner in feature["list"]]
        return field | several | {"subField": parts}
    return field | several | {"dataType": "sc:Text", "source": source | {"extract": {"column": name}}}


def _part(record: str, name: str, inner: str, source: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record}/{name}/{inner}",
        "name": inner,
        "dataType": "sc:Text",
        "source": source | {"extract": {"column": name}, "transform": {"jsonPath": inner}},
    }
