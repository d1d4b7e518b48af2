"""A stored response of a shared cache: whether it may be stored, how old it is, how long it is fresh.

Sections are of RFC 9111.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from email.utils import formatdate

from netlab.policy.cache_control import (
    field_names,
    http_date,
    is_targeted,
    request_directives,
    response_directives,
    seconds,
)
from netlab.policy.conditional import is_strong
from netlab.policy.ranges import Span, content_range
from netlab.proto.http import Headers, RequestHead, ResponseHead, end_to_end, members

# RFC 9110 section 15.1: those that may be given a lifetime without being told one.
_HEURISTIC_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
# What this cache understands (section 5.2.2.3).
_UNDERSTOOD = _HEURISTIC_STATUSES | {206, 302, 303, 307, 400, 403, 500, 502, 503, 504}
# What answers conditions and ranges, which are not part of the key.
_OF_CONDITIONS = frozenset({304, 412, 416})
_HEURISTIC_FRACTION = 0.1  # section 4.2.2
_HEURISTIC_LONGEST_S = 86_400.0
# Section 3.2: what belongs to the content that is stored, and not to what a 304 says.
_NOT_REFRESHED = ("content-length", "content-encoding", "content-range")
_NOT_STORED = ("proxy-authentication-info",)  # section 3.1, beside the hop-by-hop fields
_NEVER_STALE = frozenset({"must-revalidate", "proxy-revalidate", "s-maxage"})
_ERRORS = frozenset({500, 502, 503, 504})  # RFC 5861 section 4
_TAG_FIELDS = ("cache-tag", "surrogate-key")

Varied = tuple[tuple[str, str | None], ...]  # request fields that Vary named, and their values


@dataclass(frozen=True, slots=True)
class Stored:
    """`received_at`: seconds of the epoch; `initial_age_s`: how old it was then (section 4.2.3). `stale`:
    it has been declared so before its time. `part`: which bytes of how many there are, where it is not the
    whole (206). `varied`: what the request had in the fields that Vary names. `default_s`: its lifetime
    where nobody says one. `packed`: the same response, compressed, once somebody has wanted it so. `ready`:
    heads of answers, by version, age and remaining time, that may be sent again."""

    head: ResponseHead
    body: bytes
    received_at: float
    initial_age_s: float
    varied: Varied = ()
    stale: bool = False
    part: tuple[Span, int] | None = None
    default_s: float = 0.0
    packed: Stored | None = field(default=None, compare=False)
    ready: dict[tuple[str, int, int], ResponseHead] = field(
        init=False, compare=False, repr=False, default_factory=dict
    )
    told: dict[str, str] = field(init=False, compare=False, repr=False)
    lifetime_s: float = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Both are needed for every hit, so they are read once."""
        object.__setattr__(self, "told", response_directives(self.head.headers))
        told_s = lifetime(self.head, self.received_at)
        object.__setattr__(self, "lifetime_s", self.default_s if told_s is None else told_s)

    @property
    def size(self) -> int:
        """Bytes that it takes in the cache."""
        own = len(self.body) + sum(len(name) + len(value) + 4 for name, value in self.head.headers)
        return own + (self.packed.size if self.packed is not None else 0)

    @property
    def validators(self) -> Headers:
        """The conditions of a request that revalidates it; empty where it has no validator."""
        conditions = Headers()
        if self.part is not None:
            return conditions
        if etag := self.head.headers.get("etag"):
            conditions = conditions.plus("If-None-Match", etag)
        if modified := self.head.headers.get("last-modified"):
            conditions = conditions.plus("If-Modified-Since", modified)
        return conditions

    @property
    def tags(self) -> frozenset[str]:
        """By which it can be purged: members of Cache-Tag, words of Surrogate-Key."""
        named = [self.head.headers.get(name).replace(",", " ").split() for name in _TAG_FIELDS]
        return frozenset(tag for words in named for tag in words)

    def age(self, now: float) -> float:
        return self.initial_age_s + max(0.0, now - self.received_at)

    def remaining(self, now: float) -> float:
        """Seconds that it is still fresh; negative: stale for so long."""
        left = self.lifetime_s - self.age(now)
        return min(left, 0.0) if self.stale else left

    @property
    def must_ask(self) -> bool:
        """no-cache without field names: never without asking (section 5.2.2.4)."""
        return self.told.get("no-cache") == ""

    @property
    def never_stale(self) -> bool:
        """Whether it forbids to be used when it is stale (section 4.2.4)."""
        return self.must_ask or bool(self.told.keys() & _NEVER_STALE)

    def stale_for(self, directive: str, now: float, default_s: float = 0.0) -> bool:
        """Whether stale-while-revalidate or stale-if-error (RFC 5861) lets it be used now."""
        if self.never_stale:
            return False
        told = self.told
        allowed = seconds(told[directive]) if directive in told else default_s
        return 0 <= -self.remaining(now) < allowed

    def refreshed(self, head: ResponseHead, requested_at: float, now: float) -> Stored | None:
        """After a 304, or a HEAD's 200: its fields replace the stored ones (section 3.2), and its age counts
        anew. None where it is about another response (section 4.3.4)."""
        if not self._is_selected_by(head):
            return None
        dated = _dated(head, now)
        news = end_to_end(dated.headers).without(*_NOT_REFRESHED, *_NOT_STORED)
        news = news.without(*_private_fields(news))
        kept = self.head.headers.without("age", *(name for name, _ in news))
        fields = Headers((*kept, *news))
        return replace(
            self,
            head=self.head.with_headers(fields),
            received_at=now,
            initial_age_s=initial_age(dated, requested_at, now),
            stale=False,
            packed=None,
        )

    def _is_selected_by(self, head: ResponseHead) -> bool:
        told, own = head.headers.get("etag"), self.head.headers.get("etag")
        if not told or not own:
            return True
        if is_strong(told) and is_strong(own):
            return told == own
        return told.removeprefix("W/") == own.removeprefix("W/")


def stored(
    head: ResponseHead,
    body: bytes,
    requested_at: float,
    now: float,
    request: RequestHead | None = None,
    default_s: float = 0.0,
) -> Stored:
    """What to store of a response to a request that left at `requested_at`."""
    age = initial_age(head, requested_at, now)
    head = _dated(head, now)
    kept = end_to_end(head.headers).without(*_NOT_STORED, *_private_fields(head.headers))
    varied = varied_of(request, head) if request is not None else ()
    part = content_range(head.headers) if head.status == 206 else None
    if part is not None and part[0].size == part[1]:  # the part is the whole
        whole = kept.without("content-range").having("Content-Length", str(part[1]))
        head, kept, part = replace(head, status=200, reason="OK"), whole, None
    return Stored(head.with_headers(kept), body, now, age, varied, part=part, default_s=default_s)


def shareable(request: RequestHead, asked: RequestHead, response: ResponseHead, now: float) -> bool:
    """Whether the response to `asked`, of the same key, answers `request` too, which came meanwhile
    (section 4: what is allowed to be reused)."""
    told = response_directives(response.headers)
    fresh = (lifetime(response, now) or 0.0) > initial_age(response, now, now)
    allowed = storable(asked, response) and storable(request, response)
    same = varied_of(request, response) == varied_of(asked, response)
    return allowed and same and fresh and "no-cache" not in told and response.status != 206


def _dated(head: ResponseHead, now: float) -> ResponseHead:
    """With Date, which who receives it adds where it is missing (RFC 9110 section 6.6.1)."""
    if http_date(head.headers.get("date"), now) is not None:
        return head
    return head.with_headers(head.headers.having("Date", formatdate(int(now), usegmt=True)))


def _private_fields(headers: Headers) -> tuple[str, ...]:
    return field_names(response_directives(headers).get("private", ""))


def storable(request: RequestHead, response: ResponseHead) -> bool:
    """Section 3, for a shared cache."""
    told = response_directives(response.headers)
    if request.method != "GET" or response.informational or response.status in _OF_CONDITIONS:
        return False
    if "must-understand" in told:
        if response.status not in _UNDERSTOOD:
            return False
    elif "no-store" in told:
        return False
    if told.get("private") == "" or "no-store" in request_directives(request.headers):
        return False
    if request.headers.has("authorization") and not told.keys() & {"public", "s-maxage", "must-revalidate"}:
        return False  # section 3.5
    if any("*" in name for name in members(response.headers.get("vary"))):
        return False  # it would match no request
    if response.status == 206 and content_range(response.headers) is None:
        return False
    return _is_given_a_lifetime(response, told)


def _is_given_a_lifetime(response: ResponseHead, told: dict[str, str]) -> bool:
    """Section 3's last condition. A Set-Cookie stops no storing where the origin says that the response is
    to be cached (section 7.3), but nobody guesses a lifetime for it."""
    if told.keys() & {"public", "max-age", "s-maxage"}:
        return True
    if response.headers.has("expires") and not is_targeted(response.headers):
        return True
    return response.status in _HEURISTIC_STATUSES | {206} and not response.headers.has("set-cookie")


def lifetime(head: ResponseHead, received_at: float) -> float | None:
    """Section 4.2.1: s-maxage, else max-age, else Expires, else a guess from Last-Modified. Seconds; None
    where there is nothing to go by."""
    told = response_directives(head.headers)
    for name in ("s-maxage", "max-age"):
        if name in told:
            return float(seconds(told[name]))
    date = _date(head, received_at)
    if head.headers.has("expires") and not is_targeted(head.headers):
        expires = http_date(head.headers.get("expires"), received_at)
        return max(0.0, expires - date) if expires is not None else 0.0
    modified = http_date(head.headers.get("last-modified"), received_at)
    if modified is None or (head.status not in _HEURISTIC_STATUSES | {206} and "public" not in told):
        return None
    return min(_HEURISTIC_LONGEST_S, max(0.0, date - modified) * _HEURISTIC_FRACTION)


def initial_age(head: ResponseHead, requested_at: float, now: float) -> float:
    """Section 4.2.3, corrected_initial_age. Of several ages the first counts, and one that is no number
    does not (section 5.1)."""
    apparent = max(0.0, now - _date(head, now))
    delay = max(0.0, now - requested_at)
    told = head.headers.get("age").partition(",")[0].strip()
    return max(apparent, seconds(told) + delay)


def _date(head: ResponseHead, default: float) -> float:
    date = http_date(head.headers.get("date"), default)
    return default if date is None else date


def varied_of(request: RequestHead, head: ResponseHead) -> Varied:
    """Section 4.1: what the fields that Vary names had in the request."""
    names = sorted({name.lower() for name in members(head.headers.get("vary"))})
    return tuple((name, normal(name, request.headers)) for name in names)


_CASELESS = frozenset({"accept-encoding", "accept-language", "accept-charset"})


def normal(name: str, headers: Headers) -> str | None:
    """A field's value in a form that is the same where its meaning is the same; None where it is absent."""
    if not headers.has(name):
        return None
    value = ",".join(" ".join(one.split()) for one in members(headers.get(name)))
    return value.replace(" ", "").lower() if name in _CASELESS else value


def is_negative(status: int) -> bool:
    """Whether it says that there is nothing, of those that may be kept without being told so."""
    return status in _HEURISTIC_STATUSES and status >= 400


def is_error(status: int) -> bool:
    """What stale-if-error is about (RFC 5861 section 4)."""
    return status in _ERRORS
