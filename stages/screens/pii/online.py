"""E-mail addresses, URLs and user names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from stages.params import Pii
from stages.screens.pii import lists, policy
from stages.screens.pii.spans import PERSONAL, PUBLIC, Span, before

# --- e-mail ------------------------------------------------------------------------------------------

_LOCAL = re.compile(r"[A-Za-z0-9_%+'](?:[A-Za-z0-9_.%+'-]{0,62}[A-Za-z0-9_%+-])?(?= ?$)")
_DOMAIN = re.compile(r" ?((?:[A-Za-z0-9-]{1,63} ?\. ?){1,5}[A-Za-z]{2,24})")
_TIGHT_DOMAIN = re.compile(r"((?:[A-Za-z0-9-]{1,63}\.){1,5}[A-Za-z]{2,24})")
_SPELLED = re.compile(
    r"(?P<local>[A-Za-z0-9][\w+-]*(?:(?:\.| ?[\[({]?\bdot\b[\])}]? ?)[\w+-]+){0,3})"
    r"(?: ?[\[({<] ?(?:at|@) ?[\])}>] ?| +at +| ?@ ?)"
    r"(?P<domain>[A-Za-z0-9-]{2,40}(?:(?: ?[\[({<] ?(?:dot|\.) ?[\])}>] ?| +dot +|\.)[A-Za-z]{2,20}){1,3})\b",
    re.I,
)
_DOT = re.compile(r" ?[\[({<] ?(?:dot|\.) ?[\])}>] ?| +dot +", re.I)


@cache
def _top_domains() -> frozenset[str]:
    return lists.words("top_domain")


def _cut_domain(domain: str) -> str | None:
    """The domain without a word that the text glued to its end ("host.comThis"); None where no top domain is left."""
    head, _, top = domain.rpartition(".")
    top = top.strip()
    if re.fullmatch(r"[A-Z][a-z]*", top) and head.rpartition(".")[2].lower() in _top_domains():
        return head  # "host.com.Then"
    if top.lower() in _top_domains() or ((top.islower() or top.isupper()) and len(top) <= 6):
        return domain
    for size in range(min(len(top) - 1, 6), 1, -1):
        if top[:size].lower() in _top_domains() and top[size].isupper():
            return domain[: len(domain) - len(top) + size]
    return None


def emails(view: str, at: int, params: Pii) -> Iterator[Span]:
    """`name@host.org`, spaces around the signs allowed where the top domain is known; `at` is the @."""
    local = _LOCAL.search(view, max(0, at - 65), at)
    if local is None:
        return
    spaced = view[local.end() : at] == " " or view[at + 1 : at + 2] == " "
    match = _TIGHT_DOMAIN.match(view, at + 1, at + 150) or _DOMAIN.match(view, at + 1, at + 150)
    domain = _cut_domain(match.group(1)) if match else None
    if match is None or domain is None:
        return
    plain = domain.replace(" ", "")
    if (spaced or " " in domain) and plain.rpartition(".")[2].lower() not in _top_domains():
        return
    yield _mail(view, local.start(), match.start(1) + len(domain), local.group(), plain, "shape", params)


def spelled_emails(view: str, at: int, params: Pii) -> Iterator[Span]:
    """`name (at) host dot com`; `at` is inside it."""
    low, high = max(0, at - 60), at + 60
    for match in _SPELLED.finditer(view, low, high):
        domain = _DOT.sub(".", match["domain"]).replace(" ", "")
        known = domain.rpartition(".")[2].lower() in _top_domains()
        if match.start() <= at < match.end() and "@" not in match.group() and known:
            yield _mail(view, match.start(), match.end(), match["local"], domain, "spelled", params)


def _mail(view: str, start: int, end: int, local: str, domain: str, check: str, params: Pii) -> Span:
    tier, reason = policy.mail_tier(local, domain, view, start, end, frozenset(params.public_sites))
    return Span(start, end, "email", tier, reason or check, 98 if check == "shape" else 90)


# --- URLs --------------------------------------------------------------------------------------------

_URL_TAIL = re.compile(r"""[^\s<>"'`{}|\\^\[\]]{1,2000}""")
_SCHEME = re.compile(r"(?:https?|ftp)$", re.I)
_BARE_HOST = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}$")
_BARE_TOP = {"com", "org", "net", "edu", "gov", "info", "io", "app", "gg", "blog", "online", "health", "link"}
_COUNTRY = re.compile(r"\.(?:(?:co|org|ac|gov|com|net)\.)?(?:uk|ca|au|nz|ie|de|fr|eu)\b")
_NEXT_URL = re.compile(r"https?://|(?<=[a-z])www\.", re.I)
_GLUED_PATH = re.compile(r"(?:\.(?:html?|php|aspx?|pdf|gif|jpe?g|png)|/|\?|(?<=[a-z]{3}))(?=[A-Z][a-z]*$)")
_GLUED_HOST = re.compile(r"\.(?:com|org|net|edu|gov|ca|info|io)(?=[A-Z\d).]|\.?[A-Z][a-z]+$)", re.I)


def urls(view: str, at: int, params: Pii) -> Iterator[Span]:
    """`at` is the colon of a scheme, the first letter of `www.`, or the dot before a top domain."""
    start = _url_start(view, at)
    match = None if start is None else _URL_TAIL.match(view, start)
    if start is None or match is None:
        return
    url = _trim(match.group())
    if url.endswith(".") or "." not in url:
        return
    tier, reason = policy.url_tier(url, view, start, start + len(url), frozenset(params.public_sites))
    yield Span(start, start + len(url), "url", tier, reason, 95 if "//" in url or url[:4].lower() == "www." else 85)


def _url_start(view: str, at: int) -> int | None:
    if view[at] == ":":
        scheme = _SCHEME.search(view, max(0, at - 5), at)
        return scheme.start() if scheme else None
    if view[at] in "wW":
        inside = view[at - 1 : at] == "/" or view[max(0, at - 4) : at].lower() == "www."
        return None if inside else at
    host = _BARE_HOST.search(view, max(0, at - 100), at)
    if host is None or (host.start() > 0 and view[host.start() - 1] in "@/.-_"):
        return None
    if "www." in host.group().lower():
        return None
    top = re.match(r"[A-Za-z]+", view[at + 1 : at + 25])
    if top is None:
        return None
    has_path = view[at + 3 : at + 4] == "/" and top.group().islower()  # t.me/name
    known = top.group().lower() in _BARE_TOP or has_path or _COUNTRY.match(view, at) is not None
    return host.start() if known and _is_bare(host.group(), view[at + 1 : at + 2]) else None


def _is_bare(host: str, first: str) -> bool:
    """A bare domain, not two sentences that the text glued together ("the end.In")."""
    return len(host) >= 2 and (first.islower() or not host.islower()) and not host.isdigit()


def _trim(url: str) -> str:
    """Without what the text glued to the end: another URL, a word after the path, closing punctuation."""
    if other := _NEXT_URL.search(url, 8):
        url = url[: other.start()]
    scheme = url.find("//") + 2 if "//" in url[:8] else 0
    host_end = min((i for i in (url.find(sign, scheme) for sign in "/?#") if i > 0), default=len(url))
    host = url[:host_end]
    if glued := _GLUED_HOST.search(host, scheme + 4):
        after = host[glued.end() :]
        if after and not after.startswith("."):
            return host[: glued.end()]
    if glued := _GLUED_PATH.search(url, host_end):
        url = url[: glued.end()].removesuffix("?")
    url = url.rstrip(".,;:!?*'~-")
    while url.endswith(")") and url.count("(") < url.count(")"):
        url = url[:-1].rstrip(".,;:!?*'~-")
    return re.sub(r"(?<=\.(?:com|org|net|gov|edu))\.[A-Z][a-z]+$", "", url)


# --- user names --------------------------------------------------------------------------------------

_AT_NAME = re.compile(r"@([A-Za-z_][\w.]{1,29})(?:@[\w.-]+\.[a-z]{2,})?")
_USER_PATH = re.compile(r"u/([A-Za-z0-9_-]{3,20})(?![\w/])", re.I)
_TAG = re.compile(r"[A-Za-z_][\w.]{1,31}$")


def at_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """`@name`; `at` is the @."""
    if at > 0 and (view[at - 1].isalnum() or view[at - 1] in "._%+-/@"):
        return
    match = _AT_NAME.match(view, at)
    if match is None:
        return
    end = match.end() - (len(match.group()) - len(match.group().rstrip(".")))
    name = match.group(1).rstrip(".").lower()
    if name in lists.words("not_handle") or len(name) < 2:
        return
    public = name in lists.public_sites() or name.strip("_0123456789") in lists.public_sites()
    yield Span(at, end, "handle", PUBLIC if public else PERSONAL, "organisation" if public else "at-name", 90)


def user_paths(view: str, at: int, params: Pii) -> Iterator[Span]:
    """`u/name` and `/u/name`; `at` is the u."""
    match = _USER_PATH.match(view, at)
    ahead = before(view, at, 2)
    path = len(ahead) == 2 and ahead[1] == "/" and (ahead[0].isalnum() or ahead[0] in "/.:")
    inside = path or ahead[-1:].isalnum()
    if match is None or inside:
        return
    if match.group(1).lower() in lists.words("not_handle"):
        return
    start = at - 1 if ahead[-1:] == "/" else at
    yield Span(start, match.end(), "handle", PERSONAL, "user-path", 95)


def discord_tags(view: str, at: int, params: Pii) -> Iterator[Span]:
    """`name#1234`; `at` is the #."""
    match = _TAG.search(view, max(0, at - 33), at)
    if match is None or match.group().lower() in lists.words("not_tag") or view[at + 5 : at + 6].isalnum():
        return
    if match.start() > 0 and view[match.start() - 1] in "/@&":
        return
    yield Span(match.start(), at + 5, "handle", PERSONAL, "tag", 92)


_VALUE = r"[\"'(]?(?P<value>@?\w[\w.-]{1,31}(?:#\d{4})?)"


@cache
def _platform_then_name() -> re.Pattern[str]:
    kind = r"(?P<kind>(?: (?:id|tag|user ?name|handle|account|name|profile|acc|gamertag|friend code))*)"
    return re.compile(
        rf"{lists.any_of('platform')}(?:'s)?{kind}"
        rf"(?P<link>(?: ?[:=] ?| [-(] ?| (?:is|are|was|at|as|me at|me @|it's|its|would be)[: ] ?| @ ?| )+){_VALUE}",
        re.I,
    )


@cache
def _name_then_platform() -> re.Pattern[str]:
    return re.compile(
        rf"\b(?:add|follow|dm|message|find|hmu|hit|pm|i'm|i am|im|me|it's|its|is|as|known as|at|@|handle|username)"
        rf"(?: (?:me|us|up|at|as|is|@|:))* {_VALUE}[\"')]? (?:on|over on|in|at) (?:my )?$",
        re.I,
    )


_SIGNED = re.compile(r"[_\d#]|[a-z]\.[a-z\d]|[a-z][A-Z]")
_FIRM_KIND = re.compile(r"id|tag|user ?name|handle|friend code|gamertag", re.I)


def platform_names(view: str, at: int, params: Pii) -> Iterator[Span]:
    """A platform's word with a user name beside it; `at` is the platform's first letter."""
    if at > 0 and view[at - 1] in "./@-#_":
        return
    match = _platform_then_name().match(view, at, at + 110)
    if match and _is_user_name(match, view[at : at + 8], view[match.end() : match.end() + 1]):
        yield _platform_span(match)
        return
    platform = re.match(rf"{lists.any_of('platform')}\b", view[at : at + 15], re.I)
    match = _name_then_platform().search(view, max(0, at - 70), at) if platform else None
    if match and _SIGNED.search(match["value"]) and not _is_plain_number(match["value"]):
        yield _platform_span(match)


def _platform_span(match: re.Match[str]) -> Span:
    start, end = match.span("value")
    value = match["value"].rstrip(".-")
    return Span(start, end - (len(match["value"]) - len(value)), "handle", PERSONAL, "platform", 85)


def _is_plain_number(value: str) -> bool:
    return re.fullmatch(r"[\d.,-]+(?:st|nd|rd|th|k|am|pm|%|s|x|hrs?|min)?", value, re.I) is not None


def _is_user_name(match: re.Match[str], platform: str, after: str) -> bool:
    """Whether a word beside a platform is a user name: by its own signs, or by a firm link and no common word."""
    value, link = match["value"].strip(".-@\"'"), match["link"]
    word = value.lower()
    if len(value) < 3 or word in lists.words("common_word") or word in lists.words("platform"):
        return False
    firm = _FIRM_KIND.search(match["kind"] + platform) is not None
    if _is_plain_number(value):
        return firm and len(value) >= 7 and value.isdigit()
    signed = _SIGNED.search(value) is not None
    linked = link.strip() != ""
    if signed:
        return linked or firm or re.search(r"[_#]|\d$", value) is not None
    says = ":" in link or "=" in link or "@" in link or (firm and linked)
    return says and len(value) >= 4 and not value[0].isupper() and after not in ("'", "-", "/")
