"""A stored response of a shared cache: whether it may be stored, how old it is, how long it is fresh.

Sections are of RFC 9111.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netlab.policy.cache_control import directives, http_date, request_directives, seconds
from netlab.proto.http import Headers, RequestHead, ResponseHead, end_to_end

# RFC 9110 section 15.1: those that may be given a lifetime without being told one.
_HEURISTIC_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
# What this cache understands, so may store: not parts (206), nor answers to conditions (304).
_STORABLE_STATUSES = _HEURISTIC_STATUSES | {302, 307, 400, 403, 500, 502, 503, 504}
_HEURISTIC_FRACTION = 0.1  # section 4.2.2
_HEURISTIC_LONGEST_S = 86_400.0
_NOT_REFRESHED = frozenset({"content-length", "content-encoding", "content-range", "content-type"})


@dataclass(frozen=True, slots=True)
class Stored:
    """`received_at`: seconds of the epoch; `initial_age_s`: how old it was then (section 4.2.3)."""

    head: ResponseHead
    body: bytes
    received_at: float
    initial_age_s: float

    @property
    def size(self) -> int:
        """Bytes that it takes in the cache."""
        return len(self.body) + sum(len(name) + len(value) + 4 for name, value in self.head.headers)

    @property
    def lifetime_s(self) -> float:
        return lifetime(self.head, self.received_at)

    @property
    def validators(self) -> Headers:
        """The conditions of a request that revalidates it; empty where it has no validator."""
        conditions = Headers()
        if etag := self.head.headers.get("etag"):
            conditions = conditions.plus("If-None-Match", etag)
        if modified := self.head.headers.get("last-modified"):
            conditions = conditions.plus("If-Modified-Since", modified)
        return conditions

    def age(self, now: float) -> float:
        return self.initial_age_s + max(0.0, now - self.received_at)

    def remaining(self, now: float) -> float:
        """Seconds that it is still fresh; negative: stale for so long."""
        return self.lifetime_s - self.age(now)

    def refreshed(self, head: ResponseHead, requested_at: float, now: float) -> Stored:
        """After a 304: its fields replace the stored ones (section 3.2), and its age counts anew."""
        fields = self.head.headers.without("age")
        for name, _ in end_to_end(head.headers):
            if name.lower() not in _NOT_REFRESHED:
                fields = fields.having(name, head.headers.get(name))
        age = initial_age(head, requested_at, now)
        return replace(self, head=self.head.with_headers(fields), received_at=now, initial_age_s=age)


def stored(head: ResponseHead, body: bytes, requested_at: float, now: float) -> Stored:
    """What to store of a response to a request that left at `requested_at`."""
    kept = head.with_headers(end_to_end(head.headers))
    return Stored(kept, body, now, initial_age(head, requested_at, now))


def storable(request: RequestHead, response: ResponseHead) -> bool:
    """Section 3, for a shared cache."""
    told = directives(response.headers)
    if request.method != "GET" or response.status not in _STORABLE_STATUSES:
        return False
    forbidden = "no-store" in told and "must-understand" not in told
    if forbidden or "private" in told or "no-store" in request_directives(request.headers):
        return False
    if request.headers.has("authorization") and not told.keys() & {"public", "s-maxage", "must-revalidate"}:
        return False  # section 3.5
    if "*" in response.headers.get("vary"):
        return False  # it would match no request
    explicit = told.keys() & {"public", "max-age", "s-maxage"} or response.headers.has("expires")
    return bool(explicit) or response.status in _HEURISTIC_STATUSES


def lifetime(head: ResponseHead, received_at: float) -> float:
    """Section 4.2.1: s-maxage, else max-age, else Expires, else a guess from Last-Modified. Seconds."""
    told = directives(head.headers)
    for name in ("s-maxage", "max-age"):
        if name in told:
            return float(seconds(told[name]))
    date = _date(head, received_at)
    if head.headers.has("expires"):
        expires = http_date(head.headers.get("expires"))
        return max(0.0, expires - date) if expires is not None else 0.0
    modified = http_date(head.headers.get("last-modified"))
    if modified is None or (head.status not in _HEURISTIC_STATUSES and "public" not in told):
        return 0.0
    return min(_HEURISTIC_LONGEST_S, max(0.0, date - modified) * _HEURISTIC_FRACTION)


def initial_age(head: ResponseHead, requested_at: float, now: float) -> float:
    """Section 4.2.3, corrected_initial_age."""
    apparent = max(0.0, now - _date(head, now))
    delay = max(0.0, now - requested_at)
    return max(apparent, seconds(head.headers.get("age")) + delay)


def _date(head: ResponseHead, default: float) -> float:
    date = http_date(head.headers.get("date"))
    return default if date is None else date
