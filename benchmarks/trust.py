"""What screens, duplicates, licences, split, decontamination and audit come to on a build: writes trust.md beside this.

    python -m benchmarks.trust PROJECT [SECTION ...]  PROJECT: a folder in which `dvc repro` has built the real files;
                                                      with sections (flagged, duplicates, ...) these alone are made anew
    python -m benchmarks.trust PROJECT --draw FILE    ten hits of each screen and source, with their words, to look at

What was seen in the ten stands in trust_labels.jsonl by row id. No text of a row is written but by --draw.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.measure import run
from benchmarks.pages import sections, table
from stages import policy, text
from stages.storage import aligned, read_batches, row_bytes

HERE = Path(__file__).resolve().parent
LABELS, REPORT = HERE / "trust_labels.jsonl", HERE / "trust.md"
SHOWN = "the real files, counsel_chat enabled, EPITOME in the place of RedditESS"
LOOKED_AT, SEEDS, SHARE, RUNS = 10, 5, 0.2, 2
PROFILES = ("research", "noncommercial", "permissive")
NEAR_SAYS = "near-duplicates: "
MERGED = "data/merged/merged_mental_health_dataset.parquet"
TEXTS = ("input", "response", "rejected_response")
Hits = dict[tuple[str, str], list[str]]  # source, finding -> ids
Found = dict[str, dict[str, Any]]  # id -> record and attributes


# --- screens ---------------------------------------------------------------------------------------------------


def sources(project: Path) -> list[str]:
    """Sources of the build that have rows, as the ledger orders them."""
    merge = json.loads((project / "data/reports/ledger.json").read_text())["merge"]
    there = [*merge, *sorted(path.stem for path in (project / "data/screened").glob("*.parquet"))]
    return [
        key for key in dict.fromkeys(there) if pq.read_metadata(project / f"data/normalized/{key}.parquet").num_rows
    ]


def shown(name: str) -> str:
    """Findings by which rows are counted: all languages but the corpus's own as one."""
    return "language:other" if name.startswith("language:") and name not in ("language:en", "language:und") else name


def hits(project: Path) -> tuple[Hits, Counter[str]]:
    """Ids of the rows of each finding and source, in the order of the ids' ends; and rows of each source."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for key in sources(project):
        screened = read_batches(project / f"data/screened/{key}.parquet")
        for rows, attributes in aligned(read_batches(project / f"data/normalized/{key}.parquet"), screened):
            findings, ids = policy.findings(rows, attributes), rows["id"].to_pylist()
            counts[key] += len(ids)
            for row, name in zip(findings.rows.tolist(), findings.names, strict=True):
                if name != "language:en":
                    found[key, shown(name)].add(ids[row])
            for row, topics in enumerate(attributes["topics"].to_pylist()):
                if topics and topics["topics"]:
                    found[key, "topic"].add(ids[row])
    return {name: sorted(ids, key=lambda id: id[::-1]) for name, ids in found.items()}, counts


def labels() -> dict[tuple[str, str], dict[str, bool]]:
    """What was seen, by source and finding, then by row."""
    seen: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for line in map(json.loads, LABELS.read_text(encoding="utf-8").splitlines() if LABELS.exists() else ()):
        seen[line["source"], line["finding"]][line["id"]] = line["right"]
    return seen


def flagged(project: Path) -> list[str]:
    found, counts = hits(project)
    seen = labels()
    rows = []
    for (key, name), ids in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        right = [seen[key, name][id] for id in ids[:LOOKED_AT] if id in seen.get((key, name), {})]
        precision = f"{sum(right)} of {len(right)}" if right else "not looked at"
        rows.append(f"{name} | {key} | {len(ids)} | {len(ids) / counts[key]:.1%} | {precision}")
    return table("finding | source | rows | share of its rows | right of those looked at", rows)


JUDGED_DRAWS = ("sixth", "test")


def crisis(project: Path) -> Iterator[str]:
    """The crisis screen on the rows labelled by eye; what each draw is, tests/data/crisis/README.md says."""
    from benchmarks import screens_crisis

    root = os.environ.get("MHDATA_REAL")
    if not root:
        raise SystemExit("MHDATA_REAL is not set: it names the folder of real upstream files")
    for draw in JUDGED_DRAWS:
        yield f"Draw `{draw}`, weighed ({'read after the last freeze' if draw == 'test' else 'tuned by since it was read'}):"
        yield ""
        yield from screens_crisis.report(list(screens_crisis.cases(draw, Path(root))))
        yield ""


def cost(project: Path) -> Iterator[str]:
    """CPU of the screen stages as processes of one worker, start and reading and writing included."""
    rows, spent, size = [], 0.0, 0
    for key in sources(project):
        table_of = pq.read_table(project / f"data/normalized/{key}.parquet", columns=["type", "turns", *TEXTS])
        text_bytes = sum(int(row_bytes(batch.select(list(TEXTS))).sum()) for batch in table_of.to_batches())
        cpu = min(_screened(project, key) for _ in range(RUNS))
        rows.append(f"{key} | {text_bytes / 1e6:.2f} | {cpu:.2f} | {cpu / text_bytes * 1e6:.2f}")
        spent, size = spent + cpu, size + text_bytes
    rows.append(f"all | {size / 1e6:.2f} | {spent:.2f} | {spent / size * 1e6:.2f}")
    yield from table("source | MB of text | CPU s | CPU s per MB", rows)


def _screened(project: Path, key: str) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
        tree["engine"] = {"kind": "local", "workers": 1}
        (folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        (folder / "data").mkdir()
        (folder / "data/normalized").symlink_to((project / "data/normalized").resolve())
        words = [sys.executable, "-m", "stages.screen", key]
        return run(words, folder, folder / "log.txt", PYTHONPATH=str(HERE.parent)).cpu


def draw(project: Path, out: Path) -> None:
    """Write the hits to look at: number, source, finding, id, and the words in question."""
    found, _ = hits(project)
    wanted = {(key, name): ids[:LOOKED_AT] for (key, name), ids in found.items()}
    with out.open("w", encoding="utf-8") as lines:
        for key in sources(project):
            ids = {id for (source, _), some in wanted.items() if source == key for id in some}
            records = _rows(project / f"data/normalized/{key}.parquet", ids)
            attributes = _rows(project / f"data/screened/{key}.parquet", ids)
            for (source, name), some in sorted(wanted.items()):
                for id in some if source == key else []:
                    words = context(name, records[id], attributes[id])
                    line = {"source": key, "finding": name, "id": id, "words": words}
                    lines.write(json.dumps(line, ensure_ascii=False) + "\n")


def _rows(path: Path, ids: set[str]) -> Found:
    wanted = pa.array(sorted(ids), pa.string())
    batches = (batch.filter(pa.compute.is_in(batch["id"], wanted)) for batch in read_batches(path))
    return {row["id"]: row for batch in batches for row in batch.to_pylist()}


NEAR = {  # where to look for what a quality tag says
    "url": r"https?:|www\.|\.(?:com|org|net)",
    "placeholder": r"\[[^\]]{1,30}\]|<[^>]{1,20}>|\{[^}]{1,20}\}|_{3,}",
    "glued_sentences": r"[a-z][.?!][A-Z]",
    "html": r"<[^>]+>|&#?\w+;",
    "mojibake": r"Ã.|â.|\ufffd",
    "self_promotion": r"\bmy (?:\w+ )?(?:book|website|site|blog|practice|office|podcast|course|profile)|contact me|visit|feel free to|LMFT|LPC",
    "ai_disclaimer": r"language model|\bAI\b|artificial intelligence|digital",
    "moderator": r"moderat\w+|\brules?\b|subreddit",
}


def context(name: str, record: dict[str, Any], attributes: dict[str, Any]) -> str:
    kind, _, what = name.partition(":")
    if kind == "pii":
        spans = [s for s in attributes["pii"]["spans"] if what in (s["type"], s["tier"]) and s["field"] != "turns"]
        return " … ".join(_around(record[s["field"]], s["start"], s["end"], 60) for s in spans[:2])
    if kind.startswith("crisis"):
        spans = [s for s in attributes["crisis"]["evidence"] if s["field"] == "input"][:2]
        said = " … ".join(_around(record["input"], s["start"], s["end"], 130) for s in spans) or record["input"][:300]
        end = f" ==> {record['response'][:200]}" if name == "crisis-unreferred" else ""
        return said + end
    if kind == "topic":
        return f"{[t['topic'] for t in attributes['topics']['topics']][:2]}: {record['input'][:220]}"
    if what in NEAR:
        said = " || ".join(record[field] or "" for field in TEXTS)
        places = list(re.finditer(NEAR[what], said, re.IGNORECASE if what != "glued_sentences" else 0))[:2]
        return " … ".join(_around(said, *place.span(), 50) for place in places) or said[:200]
    language = attributes["language"] if kind == "language" else {}
    given = [f"{field}={language[field]}" for field in language if isinstance(language[field], str)]
    return f"{given} {record['input'][:110]} || {(record['response'] or '')[:160]}"


def _around(value: str, start: int, end: int, width: int) -> str:
    return f"{value[max(0, start - width) : start]}[[{value[start:end]}]]{value[end : end + width]}".replace("\n", " ")


def changed(tree: Any, change: Any) -> Any:
    """A tree of params with some values changed.

    >>> changed({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    if not isinstance(tree, dict) or not isinstance(change, dict):
        return change
    return tree | {key: changed(tree.get(key), value) for key, value in change.items()}


# --- duplicates and licences: merge alone, in folders that share the screened records -----------------------------


class Run:
    """`python -m stages.merge` with other params, and what it took."""

    def __init__(self, project: Path, change: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            tree = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
            tree = changed(tree, change)
            (folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
            (folder / "data").mkdir()
            for part in ("normalized", "screened", "deny.txt", "benchmarks"):
                (folder / "data" / part).symlink_to((project / "data" / part).resolve())
            child = subprocess.Popen(
                [sys.executable, "-m", "stages.merge"], cwd=folder, env={**os.environ, "PYTHONPATH": str(HERE.parent)},
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            said = child.stdout.read() if child.stdout else ""
            _, status, usage = os.wait4(child.pid, 0)
            if status:
                raise SystemExit(f"stages.merge ended with {status}: {said}")
            self.said = [line.removeprefix(NEAR_SAYS) for line in said.splitlines() if line.startswith(NEAR_SAYS)]
            self.cpu, self.peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
            self.made = Merged(folder)


class Merged:
    """What a merge has left in a project."""

    def __init__(self, folder: Path) -> None:
        ledgers = (folder / "data/ledger/merge").glob("*.json")
        self.ledger = {path.stem: json.loads(path.read_text()) for path in ledgers}
        self.duplicates = pq.read_table(folder / "data/merged/duplicates.parquet").to_pylist()
        merged = pq.read_table(folder / MERGED, columns=["source", "cluster"]).to_pylist()
        self.rows = Counter(row["source"] for row in merged)
        sizes = Counter(row["cluster"] for row in merged if row["cluster"])
        self.clusters, self.largest = len(sizes), max(sizes.values(), default=0)


def duplicates(project: Path) -> Iterator[str]:
    exact, both = Run(project, {"merge": {"near": False}}), Run(project, {})
    yield from table(
        "search | rows removed | CPU s of merge | peak MB",
        [
            f"exact alone | {len(exact.made.duplicates)} | {exact.cpu:.1f} | {exact.peak:.0f}",
            f"exact and near | {len(both.made.duplicates)} | {both.cpu:.1f} | {both.peak:.0f}",
        ],
    )
    pairs = Counter((row["method"], row["source"], row["kept_source"]) for row in both.made.duplicates)
    kept = {key: len({row["kept"] for row in both.made.duplicates if row["method"] == key}) for key in METHODS}
    rows = [f"{method} | {a} | {b} | {count}" for (method, a, b), count in sorted(pairs.items())]
    yield from table("method | removed from | kept in | rows", rows)
    yield from table("method | clusters with a removed row", [f"{key} | {count}" for key, count in kept.items()])
    yield (
        f"Clusters of rows that stay and must stand on one side (Jaccard 0.5): {both.made.clusters}, the largest of "
        f"{both.made.largest} rows. Search: {'; '.join(both.said)}. {SEEN}"
    )
    yield ""


SEEN = (
    "200 pairs of the real files were read by eye, word by word where they differ: 60 of the two releases of "
    "CounselChat, 92 of CounselChat and Amod, and all 48 that near adds to exact within Amod, MentalChat16K and "
    "Depression. None is false."
)
METHODS = ("exact", "exact+near", "near", "answer")


TEMPLATES = ("trace", "psych_101")
JUDGED = {
    "trace": "25 read, 0 the same row: another age group, phase, goal, prompt or number in one form",
    "psych_101": "25 read, 0 the same row: another participant's choices in one experiment's form",
}


def templates(project: Path) -> Iterator[str]:
    """What the switch `near` would remove from the sources that have it off, and what the pairs were, read by eye."""
    on = Run(project, {"sources": {key: {"near": True} for key in TEMPLATES}})
    rows = []
    for key in TEMPLATES:
        gone = [row for row in on.made.duplicates if row["source"] == key and row["method"] == "near"]
        scores = sorted(row["score"] for row in gone)
        middle = f"{scores[len(scores) // 2] / 1000:.2f}" if scores else "-"
        rows.append(f"{key} | {on.made.ledger[key]['in']} | {len(gone)} | {middle} | {JUDGED[key]}")
    yield from table("source | rows | near would remove | middle similarity | pairs (drawn by seed)", rows)
    yield "So the switch stays off for both. On which side of the split their rows stand follows the clusters all the same."
    yield ""


def licences(project: Path) -> Iterator[str]:
    """Rows of each profile; PROJECT itself stands for research."""
    runs = {"research": Merged(project)} | {name: Run(project, {"profile": name}).made for name in PROFILES[1:]}
    declared = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["sources"]
    given = {key: account["in"] for key, account in sorted(runs["research"].ledger.items()) if account["in"]}
    rows = [
        f"{key} | {declared[key]['license']} | {count} | " + " | ".join(str(run.rows[key]) for run in runs.values())
        for key, count in given.items()
    ]
    counts = " | ".join(str(run.rows.total()) for run in runs.values())
    rows.append(f"all | | {sum(given.values())} | {counts}")
    yield from table("source | licence | normalized | " + " | ".join(runs), rows)
    refused = [
        f"{name} | {key} | {run.ledger[key]['rejected']['license']}"
        for name, run in runs.items()
        for key in given
        if run.ledger[key]["rejected"].get("license")
    ]
    yield from table("profile | source | rows left out for their licence", refused)


# --- split, decontamination, audit ---------------------------------------------------------------------------------


def leaks(project: Path) -> Iterator[str]:
    """Validation rows whose question, as written or folded, stands in train: by a split of rows, and by ours."""
    sides = pq.read_table(project / "data/split/split.parquet", columns=["side"])["side"].to_pylist()
    merged = pq.read_table(project / MERGED, columns=["source", "input"]).to_pylist()
    rows = []
    for key in sources(project):
        inputs = pq.read_table(project / f"data/normalized/{key}.parquet", columns=["input"])["input"]
        written, folded = inputs.to_pylist(), _folded(inputs.combine_chunks())
        by_row = [(_leak(written, sides_of), _leak(folded, sides_of)) for sides_of in _random(len(written))]
        mine = [(row["input"], side) for row, side in zip(merged, sides, strict=True) if row["source"] == key]
        ours = _leak(_folded(pa.array([value for value, _ in mine], pa.string())), [side for _, side in mine])
        mean = [sum(pair[i] for pair in by_row) / len(by_row) for i in (0, 1)]
        rows.append(f"{key} | {mean[0]:.1%} | {mean[1]:.1%} | {ours:.1%}")
    yield from table("source | by row, as written | by row, folded | ours, folded", rows)


def _folded(inputs: pa.Array) -> list[str]:
    return list(text.fold_or_nfkc(inputs).to_pylist())


def _random(count: int) -> Iterator[list[str]]:
    for seed in range(SEEDS):
        chosen = set(random.Random(seed).sample(range(count), round(count * SHARE)))
        yield ["validation" if i in chosen else "train" for i in range(count)]


def _leak(inputs: list[str], sides: list[str]) -> float:
    train = {value for value, side in zip(inputs, sides, strict=True) if side == "train"}
    held = [value for value, side in zip(inputs, sides, strict=True) if side == "validation"]
    return sum(value in train for value in held) / max(1, len(held))


def pairs(project: Path) -> Iterator[str]:
    """Every validation row with every train row, of all sources, on three-word shingles without a sketch."""
    from tests.near_oracle import most_alike

    sides = pq.read_table(project / "data/split/split.parquet", columns=["side"])["side"].to_pylist()
    rows = pq.read_table(project / MERGED, columns=["source", *TEXTS]).to_pylist()
    lines = []
    for name, fields in (("question", TEXTS[:1]), ("whole row", TEXTS)):
        texts: dict[str, list[str]] = defaultdict(list)
        of = []
        for row, side in zip(rows, sides, strict=True):
            texts[side].append("\n".join(row[field] or "" for field in fields))
            if side == "validation":
                of.append(row["source"])
        best = most_alike(texts["train"], texts["validation"])
        for key in sources(project):
            mine = best[[source == key for source in of]]
            middle = int(((mine >= 0.5) & (mine < 0.7)).sum())
            lines.append(f"{key} | {name} | {len(mine)} | {int((mine >= 0.7).sum())} | {middle}")
    yield from table("source | compared | validation rows | with a train row at 0.7 or more | at 0.5 to 0.7", lines)


def contamination(project: Path) -> list[str]:
    split = {path.stem: json.loads(path.read_text()) for path in sorted((project / "data/ledger/split").glob("*.json"))}
    lines = [
        (line, made["details"]["held_out"])
        for made in split.values()
        if made["in"]
        for line in made["details"]["contamination"]
    ]
    rows = [
        f"{line['benchmark']} | {line['source']} | {line['questions']} of {line['size']} | {line['exact']} | "
        f"{line['overlap']} | {held}"
        for line, held in lines
    ]
    return table("benchmark | source | questions found | rows, exact | rows, by overlap | rows held out", rows)


def audit(project: Path) -> list[str]:
    rows = []
    for key, made in json.loads((project / "data/reports/audit.json").read_text()).items():
        rules = [
            ("majority class", made["majority"]),
            (f"length: {made['length']['rule']}", made["length"]["accuracy"]),
            (f"best word: {made['best_word']['word']}", made["best_word"]["accuracy"]),
            (f"part of a word: {made['label_name']['part']}", made["label_name"]["accuracy"]),
            (f"one line: {made['one_line_rule']['rule']}", made["one_line_rule"]["accuracy"]),
            ("TF-IDF and logistic regression", made["model"]["accuracy"]),
        ]
        rows += [f"{key} | {name} | {accuracy}" for name, accuracy in rules]
        rows += [
            f"{key} | duplicates with conflicting labels (texts) | {made['duplicates']['conflicting_texts']}",
            f"{key} | rows that the model contradicts | {made['model']['contradicts']}",
            f"{key} | rows in the order of their labels | {'yes' if made['order']['sorted'] else 'no'}",
            f"{key} | an artefact of its source | {'yes' if made['artefact'] else 'no'}",
        ]
    return table("source | rule | accuracy or count", rows)


SECTIONS: dict[str, tuple[str, Callable[[Path], Iterable[str]]]] = {
    "flagged": ("Rows flagged, and how many of ten (all, where there are fewer) were right, looked at by eye", flagged),
    "crisis": ("Crisis on rows labelled by eye (flag, and review for a person to look at)", crisis),
    "cost": ("What the default screens cost (text: input, response, rejected response; the lower of two runs)", cost),
    "duplicates": ("Duplicates by method", duplicates),
    "templates": ("Near-duplicates where the switch is off", templates),
    "licences": ("Rows by licence profile", licences),
    "leaks": (f"Validation rows whose question stands in train (by row: mean of {SEEDS} seeds)", leaks),
    "pairs": ("Alike across the split, of all sources, by comparing every row with every other", pairs),
    "contamination": ("Benchmarks", contamination),
    "audit": ("Labels", audit),
}


def report(project: Path, wanted: list[str]) -> str:
    """The whole report, with the wanted sections made anew."""
    kept = sections(REPORT)
    parts = ["# Data that can be trusted: the figures", f"Made by `python -m benchmarks.trust` from {SHOWN}."]
    for name, (title, make) in SECTIONS.items():
        parts += [
            f"## {title}",
            "\n".join(make(project)).strip()
            if name in wanted
            else kept.get(title, f"Not made yet: `python -m benchmarks.trust PROJECT {name}`."),
        ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    project = Path(sys.argv[1]).resolve()
    if "--draw" in sys.argv:
        draw(project, Path(sys.argv[sys.argv.index("--draw") + 1]))
        return
    wanted = sys.argv[2:] or list(SECTIONS)
    REPORT.write_text(report(project, wanted), encoding="utf-8")


if __name__ == "__main__":
    main()
