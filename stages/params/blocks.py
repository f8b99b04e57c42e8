"""The blocks of params.yaml that say what the pipeline does: one class each, its fields typed and bounded."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0, le=2**53)]  # what JSON and a double hold exactly
Positive = Annotated[int, Meta(ge=1, le=2**53)]
Seed = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Score = Annotated[int, Meta(ge=-100_000, le=100_000)]
Kind = Literal["chat", "pairs", "kto", "classification", "segments"]
Action = Literal["keep", "tag", "hold", "redact", "drop"]  # see stages/policy.py

# Names only: what each licence permits and asks stands in stages/licenses.
PROFILES = ("research", "noncommercial", "permissive")
LICENSES = (
    "MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "CC-BY-NC-4.0",
    "LicenseRef-RAIL-D", "LicenseRef-llama3", "LicenseRef-user", "LicenseRef-synthetic",
)  # fmt: skip


# A listing of stages/formats would make each of its modules a dep of every export.
FORMATS = (
    "alpaca", "axolotl_segments", "bedrock", "classification", "dpo", "dpo_text", "gemini", "hub", "huggingface",
    "inspect_ai", "kto", "kto_text", "llama_factory", "mlx", "openai", "openai_preference", "preference",
    "prompt_completion", "promptfoo", "sharegpt",
)  # fmt: skip


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all blocks: an unknown key is an error."""


class Pin(Strict, frozen=True, kw_only=True):
    """What an upstream file must be: size and a hash, where they are known."""

    bytes: Positive | None = None
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    blob: Annotated[str, Meta(pattern="^[0-9a-f]{40}$")] | None = None  # git-blob sha1, as the Hub's tree API gives it


class Pairs(Strict, frozen=True, kw_only=True):
    """Limits for preference pairs that we derive (see field.md, rule R5)."""

    max_per_post: Positive = 5
    length_ratio: Annotated[float, Meta(ge=1.0)] = 2.0  # longer over shorter, in characters


class Source(Strict, frozen=True, kw_only=True):
    """One source. `dataset` is its Hub id, `files` its upstream files with their pins."""

    dataset: str
    license: str
    files: dict[str, Pin]
    priority: Positive  # order of sources in every file, and which of two duplicates stays: lower first
    revision: str | None = None
    enabled: bool = True
    at: str | None = None  # your own files: a folder, or an address for fsspec; else data/local/<source>
    optional: bool = False  # may have no file: an empty table and a visible note
    license_files: dict[str, Pin] = {}
    enters: list[Kind] = []
    keep_all: bool = False  # no row of it leaves as a duplicate
    near: bool = True  # its rows may leave as near-duplicates
    max_reject_share: Share = 0.05
    max_chars: Positive = 1_000_000  # of one text; longer rows are rejected
    columns: dict[str, str] | None = None  # our field -> the user's column, for a source without a fixed schema
    labels: dict[str, str] | None = None  # upstream label -> ours, for classification
    pairs: Pairs | None = None

    @property
    def declared(self) -> dict[str, Pin]:
        """All files by upstream path, licences first: when a licence has changed, nothing else matters."""
        return {**self.license_files, **self.files}

    def __post_init__(self) -> None:
        taken: dict[str, str] = {}
        for name, column in (self.columns or {}).items():
            if column in taken:
                raise ValueError(
                    f"columns.{taken[column]} and columns.{name} are both {column!r}: give each its own column"
                )
            taken[column] = name


class Engine(Strict, frozen=True, kw_only=True):
    """Where batches run. Changes no output and is no dep of one."""

    kind: Literal["local", "ray"] = "local"
    workers: Annotated[int, Meta(ge=1, le=1024)] = 2
    address: str | None = None


class Screen(Strict, frozen=True, kw_only=True):
    """Base of all screens' params."""

    enabled: bool = True


class Language(Screen, frozen=True, kw_only=True):
    """Declared languages (codes of py3langid), the corpus's own first; a text is one of them or `und`.

    Undeclared ones are for the most part `und`, which exports keep: declare widely. These cost slangy English nothing.
    """

    languages: tuple[str, ...] = tuple(
        "en ar bg bn cs de el es fa fi fr he hi hu id it ja ko nl pl pt ro ru sv sw ta te th tl tr uk ur vi zh".split()  # noqa: SIM905
    )
    min_letters: Count = 20  # a Chinese, Japanese or Korean one counts as three
    min_confidence: Annotated[int, Meta(ge=0, le=100)] = 20  # percent, for a language other than the first


class Quality(Screen, frozen=True, kw_only=True):
    """Quality tags."""

    short_words: Count = 5  # fewer words than this are `short`


class Topics(Screen, frozen=True, kw_only=True):
    """Topics by lexicon."""

    min_score: Positive = 2  # weight of distinct cues that a topic needs


class Pii(Screen, frozen=True, kw_only=True):
    """Direct identifiers of persons. Lists here add to those beside the screen."""

    regions: tuple[Annotated[str, Meta(pattern="^[A-Z]{2}$")], ...] = ("US", "GB", "AU")  # of phone numbers without a +
    names: bool = True  # cues of names, tier hint: reported, never redacted by default
    links_only: tuple[str, ...] = (
        "behavioral-experiment",
    )  # types of record of which e-mail and URLs alone are sought
    helplines: tuple[Annotated[str, Meta(pattern=r"^\d{1,3}:\d{3,14}$")], ...] = ()  # public lines, as country:number
    public_sites: tuple[str, ...] = ()  # registered names ("samaritans") whose pages and mailboxes are public


class Crisis(Screen, frozen=True, kw_only=True):
    """Crisis in what the person wrote. Thresholds are scores of the linear model, in hundredths of a logit."""

    promote: Score = -200  # from here a weak anchor is a flag
    review: Score = -340  # from here a text is for review without any anchor
    alone: Score = 100  # from here a text is a flag without a sure anchor
    not_persons: tuple[str, ...] = ("behavioral-experiment", "clinical")  # types of record that nobody in need writes


class Referral(Screen, frozen=True, kw_only=True):
    """What help an answer names. Lists here add to those beside the screen."""

    lines: tuple[str, ...] = ()  # further crisis lines: numbers or names


class NamesSpacy(Screen, frozen=True, kw_only=True):
    """Optional: names of persons by a spaCy model (requirements-ner.txt)."""

    enabled: bool = False
    model: str = "en_core_web_sm"  # a name that spaCy loads, or a folder


class ToxicityDetoxify(Screen, frozen=True, kw_only=True):
    """Optional: toxicity by a Detoxify model (requirements-toxicity.txt), from files of yours."""

    enabled: bool = False
    checkpoint: str = ""
    config: str = ""  # folder with the model's configuration and tokenizer


class Screens(Strict, frozen=True, kw_only=True):
    """One field per module of stages/screens, by its name."""

    language: Language = Language()
    pii: Pii = Pii()
    crisis: Crisis = Crisis()
    referral: Referral = Referral()
    quality: Quality = Quality()
    topics: Topics = Topics()
    names_spacy: NamesSpacy = NamesSpacy()
    toxicity_detoxify: ToxicityDetoxify = ToxicityDetoxify()


class Merge(Strict, frozen=True, kw_only=True):
    """Near-duplicates: words shared by three in a row, as Jaccard similarity of the sets of such runs."""

    remove: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.7  # from here on one of two rows leaves
    together: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5  # from here on two rows stand on one side of the split
    short: Positive = 20  # words of a text under which nothing but the same will do
    near: bool = True  # false: only exact duplicates are looked for
    answers: Literal["report", "drop"] = "report"  # the same answer under a reworded question


class Decontaminate(Strict, frozen=True, kw_only=True):
    """Benchmarks whose questions must not be trained on: data/benchmarks/<name>.json holds their hashes."""

    benchmarks: tuple[Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")], ...] = ("mentalchat16k_eval",)
    min_overlap: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5  # share of a question's 13-word runs that a row must hold


class Split(Strict, frozen=True, kw_only=True):
    """Shares of rows by seeded hash of the group; the rest trains."""

    seed: Seed
    validation: Share = 0.2
    test: Share = 0.0

    def __post_init__(self) -> None:
        if self.validation + self.test > 1:
            raise ValueError(f"validation {self.validation} and test {self.test} make more than 1: lower one of them")


class Mixture(Strict, frozen=True, kw_only=True):
    """How often a source's training rows stand in the chat formats; validation and test stay whole.

    `weights` asks for shares, and leaves out sources that it does not name. `rates` asks for copies of each row, and
    takes sources that it does not name once. Rows are chosen by a hash of their id: with `rates` a new row changes
    no other; with `weights`, `total` or `caps` it moves a source's threshold by its own share.
    """

    unit: Literal["rows", "tokens"] = "rows"  # tokens of export.tokenizer, or characters where none is declared
    weights: dict[str, Annotated[float, Meta(gt=0.0)]] = {}  # source -> part of the whole
    rates: dict[str, Annotated[float, Meta(ge=0.0, le=100.0)]] = {}  # source -> copies of each row; 0.5: every second
    total: Positive | None = None  # units in all, with weights; by default as many as max_repeats allows
    caps: dict[str, Positive] = {}  # source -> most units
    max_repeats: Annotated[float, Meta(ge=1.0, le=100.0)] = 1.0  # copies of a row, with weights
    seed: Seed = 20250101

    def __post_init__(self) -> None:
        if self.weights and self.rates:
            raise ValueError("weights and rates are both given: keep one of them")
        if self.total and not self.weights:
            raise ValueError("total is given without weights: add weights, or limit sources by caps")

    @property
    def wanted(self) -> bool:
        return bool(self.weights or self.rates or self.caps)


class Service(Strict, frozen=True, kw_only=True):
    """What a hosted service takes; its documentation says, and changes."""

    min_rows: Count = 1  # of training
    max_validation: Positive | None = None  # rows; the rest of validation is left out, by hash


class Export(Strict, frozen=True, kw_only=True):
    """What the rows of all formats have in common."""

    sources: list[str] = []  # empty: all
    turns: Literal["all", "single", "multi"] = "all"  # conversations of one exchange, of more, or both
    system: Literal["constant", "source", "pool", "none"] = "constant"
    system_message: str = "You are a helpful mental health assistant."
    system_pool: list[str] = []  # with `system: pool`: one of these, by hash of the row's id
    instruction: str = "Respond to the following message in a helpful, supportive manner:"
    tokenizer: Literal["o200k_base", "cl100k_base"] | None = None  # needs tiktoken and its rank file; else characters
    max_tokens: Positive | None = 65_536  # of a row's texts, where a tokenizer is declared
    max_characters: Positive | None = 262_144  # of a row's texts, where none is
    shard_mb: Annotated[int, Meta(ge=1, le=500)] = 500  # a larger file becomes -00000-of-0000N; services take 512
    labels: tuple[str, ...] = (
        "not-depression",
        "depression",
    )  # of classification rows; the place is the label's number
    mixture: Mixture = Mixture()
    services: dict[str, Service] = field(
        default_factory=lambda: {
            "openai": Service(min_rows=10),
            "openai_preference": Service(min_rows=10),
            "gemini": Service(max_validation=5000),
            "bedrock": Service(min_rows=32),
        }
    )  # format -> what its service takes

    def __post_init__(self) -> None:
        if self.system == "pool" and not any(message.strip() for message in self.system_pool):
            raise ValueError("system is `pool` but system_pool is empty: list at least one message")
        if self.system_message and not self.system_message.strip():
            raise ValueError("system_message is blank: write it, or set system to none")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels holds a name twice: take one out")

    @property
    def unit(self) -> str:
        """What lengths are counted in."""
        return self.tokenizer or "characters"


class Card(Strict, frozen=True, kw_only=True):
    """What the published dataset is called: names and a date that no stage can know."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]*$")] = "mental-health-conversations"
    title: str = "Mental-health conversations"
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")] = "0.1.0"
    date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] = "2025-01-01"  # of publication
    creator: str = "The authors of the mhdata pipeline"
    url: str | None = None  # where it is published

    def __post_init__(self) -> None:
        try:
            datetime.date.fromisoformat(self.date)
        except ValueError:
            raise ValueError(f"date {self.date} is in no calendar: give the day of publication as YYYY-MM-DD") from None
