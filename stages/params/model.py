"""The blocks of params.yaml for what a language model makes: synthesize, paraphrase, judge."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, field

from stages.params.blocks import Count, Positive, Seed, Share, Strict

# --- made by a language model: synthesize, paraphrase, judge --------------------------------------------------

# Tables made by a language model: they enter merge after all sources, as sources of their own.
MADE = ("synthesize", "paraphrase")

Mode = Literal["off", "replay", "live"]  # nothing; stored answers only; ask the endpoint for what is missing
Seconds = Annotated[float, Meta(ge=0.0, le=86_400.0)]
Band = tuple[Positive, Positive]  # fewest and most words


class Endpoint(Strict, frozen=True, kw_only=True):
    """Any server that speaks OpenAI's chat completions. The address is no part of an answer's key, the labels are."""

    base_url: str = "http://127.0.0.1:8080/v1"
    provider: str = "scripted"  # our label for who serves the model
    model: str = "scripted"
    key_env: str = "LLM_API_KEY"  # name of the environment variable that holds the key
    timeout_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] = 300.0
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
    seed: Seed = 20250101
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
        if self.weight < 0:
            raise ValueError(f"topic {self.name!r} has the weight {self.weight}: give a number of 0 or more")


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

    total: Annotated[int, Meta(ge=1, le=100_000)] = 1000  # the plan is held in memory
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
