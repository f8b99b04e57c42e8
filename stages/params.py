"""params.yaml as typed, checked values; an unknown key is refused with the nearest valid one."""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
import yaml
from msgspec import Meta, Struct, field

from stages.errors import ParamsError

PATH = Path("params.yaml")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads words as YAML 1.2 does, and with it DVC: `off` is a word, only `true` and `false` are truth values."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [rule for rule in rules if first in "tTfF" or not rule[0].endswith(":bool")]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Kind = Literal["chat", "pairs", "kto", "classification", "segments"]
Action = Literal["keep", "tag", "hold", "redact", "drop"]  # see stages/policy.py

# Names only: what each licence permits and asks stands in stages/licenses.
PROFILES = ("research", "noncommercial", "permissive")
LICENSES = (
    "MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "CC-BY-NC-4.0",
    "LicenseRef-RAIL-D", "LicenseRef-llama3", "LicenseRef-user", "LicenseRef-synthetic",
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


class Engine(Strict, frozen=True, kw_only=True):
    """Where batches run. Changes no output and is no dep of one."""

    kind: Literal["local", "ray"] = "local"
    workers: Positive = 2
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

    promote: int = -300  # from here a weak anchor is a flag
    review: int = -365  # from here a text is for review without any anchor
    alone: int = 200  # from here a text is a flag without a sure anchor
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

    seed: int
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
    rates: dict[str, Annotated[float, Meta(ge=0.0)]] = {}  # source -> copies of each row; 0.5 is every second row
    total: Positive | None = None  # units in all, with weights; by default as many as max_repeats allows
    caps: dict[str, Positive] = {}  # source -> most units
    max_repeats: Annotated[float, Meta(ge=1.0, le=100.0)] = 1.0  # copies of a row, with weights
    seed: int = 20250101

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


# --- made by a language model: synthesize, paraphrase, judge --------------------------------------------------

Mode = Literal["off", "replay", "live"]  # nothing; stored answers only; ask the endpoint for what is missing
Seconds = Annotated[float, Meta(ge=0.0)]
Band = tuple[Positive, Positive]  # fewest and most words


class Endpoint(Strict, frozen=True, kw_only=True):
    """Any server that speaks OpenAI's chat completions. The address is no part of an answer's key, the labels are."""

    base_url: str = "http://127.0.0.1:8080/v1"
    provider: str = "scripted"  # our label for who serves the model
    model: str = "scripted"
    key_env: str = "LLM_API_KEY"  # name of the environment variable that holds the key
    timeout_s: Annotated[float, Meta(gt=0.0)] = 300.0
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    def __post_init__(self) -> None:
        try:
            url = urlsplit(self.base_url)
            whole = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            raise ValueError("base_url is no address: give one such as http://127.0.0.1:8080/v1") from None
        if url.username is not None or url.password is not None or "@" in url.netloc:
            raise ValueError(f"base_url holds credentials: take them out and put the key into ${self.key_env}")
        if not whole or url.query or url.fragment:
            raise ValueError(
                "base_url must start with http:// or https://, name a host, and end with the path, such as .../v1"
            )
        for name in ("provider", "model", "key_env"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} is blank: fill it in")


class Sampling(Strict, frozen=True, kw_only=True):
    """How the model is asked. All of it is part of an answer's key."""

    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 1.0
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    max_tokens: Positive = 900
    response_format: Literal["text", "json_schema"] = "text"


class PageSampling(Sampling, frozen=True, kw_only=True):
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.7
    max_tokens: Positive = 1200
    response_format: Literal["text", "json_schema"] = "json_schema"


class JudgeSampling(PageSampling, frozen=True, kw_only=True):
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.0
    max_tokens: Positive = 400


class Price(Strict, frozen=True, kw_only=True, rename={"prompt": "in", "completion": "out"}):
    """US dollars for a million tokens in and out."""

    prompt: Annotated[float, Meta(ge=0.0)]
    completion: Annotated[float, Meta(ge=0.0)]

    @property
    def free(self) -> bool:
        return self.prompt == 0 and self.completion == 0


class Limits(Strict, frozen=True, kw_only=True):
    """What one run may spend. `max_cost_usd` counts all stored answers of this model, earlier runs included."""

    concurrency: Annotated[int, Meta(ge=1, le=256)] = 8
    max_requests: Positive = 5000  # in one run, retries included
    max_cost_usd: Annotated[float, Meta(ge=0.0)] | None = None
    price_per_mtok: Price | None = None
    max_attempts_per_slot: Annotated[int, Meta(ge=1, le=100)] = 4
    max_rounds: Positive = 5  # attempts that one run may make for a slot
    allow_partial: bool = False  # a result with rows missing is a success


class Retry(Strict, frozen=True, kw_only=True):
    max_tries: Positive = 6
    base_s: Seconds = 1.0
    cap_s: Seconds = 60.0  # longest wait, whatever the server asks for
    honour_retry_after: bool = True


class Model(Strict, frozen=True, kw_only=True):
    """Base of the blocks that ask a language model. Live needs declared prices, and a budget where they are not 0."""

    mode: Mode = "off"
    seed: int = 20250101
    endpoint: Endpoint = Endpoint()
    sampling: Sampling = Sampling()
    limits: Limits = Limits()
    retry: Retry = Retry()

    def __post_init__(self) -> None:
        price, budget = self.limits.price_per_mtok, self.limits.max_cost_usd
        if self.mode != "live":
            return
        if price is None:
            raise ValueError(
                "mode live needs limits.price_per_mtok: what a million tokens cost, {in: 0, out: 0} for your own server"
            )
        if not price.free and not budget:
            raise ValueError("mode live with a price needs a budget: set limits.max_cost_usd above 0")


class Topic(Strict, frozen=True, kw_only=True):
    """A topic and its share; the weights need not sum to anything. Weight 0 switches a topic off."""

    name: str
    weight: float

    @property
    def label(self) -> str:
        return self.name.strip()

    def __post_init__(self) -> None:
        if not self.label:
            raise ValueError("a topic's name is blank: name it or take the entry out")
        if "," in self.name or not self.name.isprintable():
            raise ValueError(f"topic {self.name!r}: a name holds no comma and no control character: rename it")
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"topic {self.name!r} has the weight {self.weight}: give a finite number of 0 or more")


class Length(Strict, frozen=True, kw_only=True):
    """Words that a text may have."""

    question: Band = (60, 300)
    answer: Band = (120, 450)

    def __post_init__(self) -> None:
        for name in ("question", "answer"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"length.{name}: {low} is more than {high}: give [fewest, most]")


class NearDup(Strict, frozen=True, kw_only=True):
    rouge_l: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.7  # F1 of the longest common subsequence of words
    tfidf: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.6  # cosine over words and pairs of words


class Opening(Strict, frozen=True, kw_only=True):
    """How alike texts may begin, as shares of the wanted rows; questions and answers apart."""

    words: Positive = 5
    max_share: Share = 0.02  # of rows with one and the same opening
    sharing: dict[Positive, Share] = field(
        default_factory=lambda: {5: 0.2, 8: 0.05}
    )  # first words -> rows that share them with any other row


class Filters(Strict, frozen=True, kw_only=True):
    near_dup: NearDup = NearDup()
    opening: Opening = Opening()
    banned_openings: list[str] = []  # of answers; whole words, case and punctuation aside
    refusal: list[str] = []  # phrases anywhere in a text, compared alike
    leftovers: list[str] = []  # regular expressions (RE2) anywhere in a text


class Gate(Strict, frozen=True, kw_only=True):
    """Rows the judge finds worse than `min_mean` (1 to 10) are rejected."""

    enabled: bool = False
    min_mean: Annotated[float, Meta(ge=1.0, le=10.0)] = 7.0


class Policy(Strict, frozen=True, kw_only=True):
    crisis_topics: tuple[str, ...] = ("Self-harm", "Domestic Violence")
    require_resources: bool = True  # an answer to a crisis must name a crisis line or an emergency number


class Synthesize(Model, frozen=True, kw_only=True):
    """Questions and answers made on demand, in fixed numbers per topic."""

    total: Positive = 1000
    min_per_topic: Count = 1
    topics: list[Topic] = []
    length: Length = Length()
    filters: Filters = Filters()
    judge: Gate = Gate()
    policy: Policy = Policy()
    license: str = "LicenseRef-user"  # what the terms of your model give its output
    keep_fixture: bool = False  # let rows of the scripted server into the build

    def __post_init__(self) -> None:
        super().__post_init__()
        labels = [topic.label.casefold() for topic in self.topics]
        for place, label in enumerate(labels):
            if label in labels[:place]:
                raise ValueError(f"topic {self.topics[place].name!r} is listed twice: take one entry out")
        used = sum(topic.weight > 0 for topic in self.topics)
        if self.topics and not used:
            raise ValueError("the weights of all topics are 0: give at least one topic a weight above 0")
        if self.mode != "off" and not self.topics:
            raise ValueError("topics is empty: list at least one {name, weight}")
        labels = [topic.label for topic in self.topics]
        for name in self.policy.crisis_topics:
            near = difflib.get_close_matches(name, labels, 1, 0.8)
            if near and name not in labels:  # else its answers would need no referral, without a word
                raise ValueError(f"policy.crisis_topics: no topic is named {name!r}: did you mean {near[0]!r}")
        if self.total < used * self.min_per_topic:
            raise ValueError(
                f"total is {self.total}, but {used} topics times min_per_topic {self.min_per_topic} make "
                f"{used * self.min_per_topic}: raise total or lower min_per_topic"
            )


class Page(Strict, frozen=True, kw_only=True):
    """How a transcript is cut: at form feeds, and pages beyond `words` again, before a turn where `on_turn`."""

    split: Literal["formfeed_or_words", "words"] = "formfeed_or_words"
    words: Annotated[int, Meta(ge=50)] = 400
    on_turn: bool = True


class MinWords(Strict, frozen=True, kw_only=True):
    """Rounds with fewer than n words leave: question plus answer, either of them, or both."""

    n: Count = 40
    scope: Literal["total", "either", "both"] = "total"


class Leak(Strict, frozen=True, kw_only=True):
    """What of a page must not stand in what was made of it."""

    max_shared_words: Positive = 12  # consecutive words: so many, or more, are a leak
    pii: tuple[Literal["email", "phone", "ssn", "date", "name_in_page"], ...] = (
        "email",
        "phone",
        "ssn",
        "date",
        "name_in_page",
    )


class Paraphrase(Model, frozen=True, kw_only=True):
    """One question-and-answer round per page of an interview transcript. Transcripts are private."""

    sampling: PageSampling = PageSampling()
    page: Page = Page()
    min_words: MinWords = MinWords()
    allow_remote: bool = False  # let pages go to any host
    hosts: list[str] = []  # hosts beside this machine that may see pages
    leak: Leak = Leak()
    license: str = "LicenseRef-user"
    keep_fixture: bool = False


class Judge(Model, frozen=True, kw_only=True):
    """Seven scores per answer by a judge model."""

    of: Literal["synthesize", "answers"] = "synthesize"  # rows of synthesize, or data/<origin>/judge/answers.jsonl
    sample: Count = 200  # rows judged, drawn by seeded hash; 0 is all
    repeats: Annotated[int, Meta(ge=1, le=50)] = 3
    bootstrap: Annotated[int, Meta(ge=100, le=100_000)] = 1000
    sampling: JudgeSampling = JudgeSampling()


class Params(Strict, frozen=True, kw_only=True):
    origin: Literal["sample", "hub", "local"]
    sources: dict[str, Source]
    split: Split
    formats: list[str]
    profile: str | list[str] = "research"
    export: Export = Export()
    card: Card = Card()
    screens: Screens = Screens()
    merge: Merge = Merge()
    policy: dict[str, dict[str, Action]] = {}  # a source's key or `default` -> finding -> action
    decontaminate: Decontaminate = Decontaminate()
    synthesize: Synthesize = Synthesize()
    paraphrase: Paraphrase = Paraphrase()
    judge: Judge = Judge()
    engine: Engine = Engine()


def load(*names: str, path: Path = PATH) -> Params:
    """Read and check the whole of params.yaml; give the named blocks ("split", "sources.trace"), or all.

    A stage names what it reads, exactly as its `params` in dvc.yaml does: the other blocks are then out of its
    reach. `engine` is never named there, since where batches run changes no output.
    Raises ParamsError that names the key, what was expected, and the nearest valid key.
    """
    params = _read(path)
    return _only(params, names) if names else params


class Unread:
    """Stands for a block that the stage did not name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, field: str) -> Any:
        raise AssertionError(f"params: {self._name}.{field} is read but not named in load(), nor in dvc.yaml")


def _only(params: Params, names: tuple[str, ...]) -> Params:
    blocks = {name.partition(".")[0] for name in names} | {"engine"}
    changes: dict[str, Any] = {name: Unread(name) for name in Params.__struct_fields__ if name not in blocks}
    inner = [name.partition(".")[2] for name in names if name.startswith("sources.")]
    if inner and "sources" not in names:
        for key in inner:
            if key not in params.sources:
                near = difflib.get_close_matches(key, params.sources, 1, 0.5) or list(params.sources)
                raise ParamsError(f"{PATH} has no source {key!r}: choose of {', '.join(near)}")
        changes["sources"] = {key: params.sources[key] for key in inner}
    return msgspec.structs.replace(params, **changes)


def _read(path: Path) -> Params:
    try:
        tree = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 it is a safe loader
    except FileNotFoundError:
        raise ParamsError(
            f"{path} is missing: run from the project's root, or restore it with `git checkout {path}`"
        ) from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    try:
        params = msgspec.convert(tree, Params)
    except msgspec.ValidationError as error:
        raise ParamsError(f"{path}: {_explain(_located(str(error), tree))}") from None
    _check(params)
    return params


# Tables made by a language model: they enter merge after all sources, as sources of their own.
MADE = ("synthesize", "paraphrase")


def with_made(params: Params) -> Params:
    """The same params with the tables of MADE among the sources."""
    made = {
        key: Source(
            dataset=key, license=getattr(params, key).license, files={}, priority=10_000 + place, enters=["chat"]
        )
        for place, key in enumerate(MADE)
    }
    return msgspec.structs.replace(params, sources={**params.sources, **made})


def ordered(params: Params) -> list[str]:
    """Keys of all sources in their declared order: by priority, then key."""
    return sorted(params.sources, key=lambda key: (params.sources[key].priority, key))


_SOURCES = Path(__file__).parent / "sources"
_KEY = re.compile(r"^[a-z][a-z0-9_]*$")


# What a rule of `policy` may name (stages/policy.py), beside `language:` with a declared code: a test compares.
FINDINGS = (
    "pii", "pii:public", "pii:hint", "pii:email", "pii:url", "pii:card", "pii:ssn", "pii:medical_id", "pii:phone",
    "pii:ip", "pii:handle", "pii:birth_date", "pii:address", "pii:name",
    "crisis", "crisis-review", "crisis-unreferred",
    "quality", "quality:base64", "quality:short", "quality:url", "quality:self_promotion", "quality:ai_disclaimer",
    "quality:placeholder", "quality:moderator", "quality:glued_sentences", "quality:mojibake", "quality:html",
    "language", "language:und",
)  # fmt: skip


def _check_policy(params: Params) -> None:
    """Raise ParamsError for a rule about something no screen finds: a slip would switch a protection off."""
    known = (*FINDINGS, *(f"language:{code}" for code in params.screens.language.languages))
    for source, rules in params.policy.items():
        for finding in rules:
            if finding not in known:
                near = difflib.get_close_matches(finding, known, 1, 0.5)
                mend = f"did you mean `{near[0]}`" if near else f"known are {', '.join(known)}"
                raise ParamsError(f"{PATH}: policy.{source}: no screen finds {finding!r}: {mend}")


def _check(params: Params) -> None:
    _check_policy(params)
    for key in params.policy:
        if key not in ("default", *MADE) and key not in params.sources:
            near = difflib.get_close_matches(key, params.sources, 1, 0.5) or ["default"]
            raise ParamsError(f"{PATH}: policy.{key} is no source: did you mean `{near[0]}`?")
    if params.merge.together > params.merge.remove:
        raise ParamsError(f"{PATH}: merge.together is above merge.remove: rows to remove must stand on one side first")
    for key, source in params.sources.items():
        if not _KEY.match(key):
            raise ParamsError(f"{PATH}: sources.{key}: a source's key is lower-case letters, digits and underscores")
        if not (_SOURCES / f"{key}.py").exists():
            _check_slip(key)
        if not source.files:
            raise ParamsError(f"{PATH}: sources.{key}.files is empty: name at least one upstream file")
        for file in [*source.files, *source.license_files]:
            if file.startswith("/") or ".." in Path(file).parts:
                raise ParamsError(f"{PATH}: sources.{key}: {file!r} is no path inside a dataset")
        check_license(source.license, f"sources.{key}.license")
    _check_export(params)
    check_license(params.synthesize.license, "synthesize.license")
    check_license(params.paraphrase.license, "paraphrase.license")
    check_profile(params.profile)


def _check_slip(key: str) -> None:
    """Raise ParamsError if a source's key without a module is nearly the name of one; stages.sources refuses others."""
    near = difflib.get_close_matches(key, [module.stem for module in _SOURCES.glob("[a-z]*.py")], 1, 0.7)
    if near:
        raise ParamsError(f"{PATH}: sources.{key} has no module stages/sources/{key}.py: did you mean {near[0]}")


def _check_export(params: Params) -> None:
    """Raise ParamsError unless the sources that `export` names are sources."""
    mixture, known = params.export.mixture, (*params.sources, *MADE)
    named = {
        "export.sources": params.export.sources,
        **{f"export.mixture.{name}": list(getattr(mixture, name)) for name in ("weights", "rates", "caps")},
    }
    for where, keys in named.items():
        for key in keys:
            if key not in known:
                raise ParamsError(f"{PATH}: {where}: there is no source {key!r}: {_nearest(key, known)}")


def check_license(name: str, where: str) -> None:
    """Raise ParamsError unless a licence of that name is described in stages/licenses."""
    if name not in LICENSES:
        near = _nearest(name, LICENSES)
        raise ParamsError(
            f"{PATH}: {where}: the licence {name!r} is unknown: {near}, or describe it in stages/licenses"
        )


def check_profile(profile: str | list[str]) -> None:
    """Raise ParamsError unless it is the name of a profile, or a list of known licences."""
    if isinstance(profile, list):
        if not profile:
            raise ParamsError(f"{PATH}: profile is an empty list: name at least one licence, or a profile")
        for name in profile:
            check_license(name, "profile")
    elif profile in LICENSES:
        raise ParamsError(f"{PATH}: profile takes a list of licences: write [{profile}]")
    elif profile not in PROFILES:
        near = _nearest(profile, PROFILES)
        raise ParamsError(f"{PATH}: profile {profile!r} is unknown: {near}, or give a list of licences")


def _nearest(name: str, valid: tuple[str, ...]) -> str:
    lower = {known.lower(): known for known in valid}
    near = difflib.get_close_matches(name.lower(), lower, 1, 0.5)
    return f"did you mean {lower[near[0]]}" if near else f"known are {', '.join(valid)}"


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`(?: - at `\$\.?(?P<at>[^`]*)`)?$")
_PROBLEM = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<at>[^`]*)`)?$", re.S)


def _located(message: str, tree: Any) -> str:
    """msgspec writes `sources[...]` for any source: say which one."""
    if "$.sources[...]" not in message:
        return message
    for key, block in tree["sources"].items():
        try:
            msgspec.convert(block, Source)
        except msgspec.ValidationError as error:
            what, _, at = str(error).partition(" - at `$")
            return f"{what} - at `$.sources.{key}{at.rstrip('`')}`"
    return message


def _explain(message: str) -> str:
    if unknown := _UNKNOWN.match(message):
        at, name = unknown["at"] or "", unknown["name"]
        valid = _fields_at(at)
        near = difflib.get_close_matches(name, valid, 1, 0.5)
        mend = f"did you mean `{near[0]}`?" if near else f"valid are {', '.join(valid)}"
        return f"unknown key `{at + '.' if at else ''}{name}`; {mend}"
    problem = _PROBLEM.match(message)
    assert problem is not None
    return f"`{problem['at'] or 'the file'}`: {problem['what'][0].lower() + problem['what'][1:]}"


def _fields_at(at: str) -> list[str]:
    """Names of the fields of the block at a dotted path; a mapping's key leads to its values."""
    kind: Any = Params
    for part in [part for part in re.split(r"[.\[\]]+", at.replace("[...]", ".any")) if part]:
        block = _block(kind)
        kind = (
            get_type_hints(block)[part]
            if isinstance(block, type) and issubclass(block, Struct)
            else get_args(block)[-1]
        )
    return list(_block(kind).__struct_fields__)


def _block(kind: Any) -> Any:
    """The Struct or mapping that a type stands for: `X | None` and Annotated undone."""
    if get_origin(kind) in (dict, list) or not get_args(kind):
        return kind
    return next((_block(inner) for inner in get_args(kind) if inner is not type(None)), kind)
