"""The shared cache of a CDN edge (RFC 9111): what to answer, what to ask, what to keep."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

from netlab.policy.cache_control import directives, request_directives, seconds
from netlab.policy.conditional import client_has
from netlab.policy.stored import Stored, storable, stored
from netlab.proto.http import Headers, RequestHead, ResponseHead, members

Key = tuple[str, str]
_Variant = tuple[Key, tuple[str, ...]]
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_NOT_MODIFIED_FIELDS = (
    "cache-control",
    "content-location",
    "date",
    "etag",
    "expires",
    "last-modified",
    "vary",
)


@dataclass(frozen=True, slots=True)
class Hit:
    """Fresh enough: answer with it."""

    stored: Stored


@dataclass(frozen=True, slots=True)
class Revalidate:
    """Ask the origin whether it is still good. `cause` is RFC 9211's: stale or request."""

    stored: Stored
    cause: str


@dataclass(frozen=True, slots=True)
class Miss:
    """`cause` is RFC 9211's: uri-miss, vary-miss, method. `only_cached`: the client wants 504 instead."""

    cause: str
    only_cached: bool = False


Lookup = Hit | Revalidate | Miss


class Cache:
    """Holds at most `capacity` bytes; what was used least recently goes first. `now`: epoch seconds."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self._stored: OrderedDict[_Variant, Stored] = OrderedDict()
        self._vary: dict[Key, tuple[str, ...]] = {}  # of the newest response of each key
        self._variants: Counter[Key] = Counter()

    @property
    def size(self) -> int:
        return self._size

    def __len__(self) -> int:
        return len(self._stored)

    def look_up(self, request: RequestHead, now: float) -> Lookup:
        """Section 4."""
        if request.method not in {"GET", "HEAD"}:
            return Miss("method")
        asked = request_directives(request.headers)
        variant = self._variant(request)
        found = self._stored.get(variant)
        if found is None:
            cause = "vary-miss" if variant[0] in self._vary else "uri-miss"
            return Miss(cause, only_cached="only-if-cached" in asked)
        self._stored.move_to_end(variant)
        if _must_ask(found):
            return Revalidate(found, "stale")
        if "no-cache" in asked or not _young_enough(found, asked, now):
            return Revalidate(found, "request")
        if found.remaining(now) > 0 or _stale_allowed(found, asked, now):
            return Hit(found)
        return Revalidate(found, "stale")

    def store(
        self, request: RequestHead, response: ResponseHead, body: bytes, requested_at: float, now: float
    ) -> Stored | None:
        """Keep a whole response if the rules allow it; None where they don't, or it is too large."""
        if not storable(request, response):
            return None
        entry = stored(response, body, requested_at, now)
        if entry.size > self._capacity:
            return None
        names = tuple(sorted(name.lower() for name in members(response.headers.get("vary"))))
        self._vary[key_of(request)] = names
        self._put(self._variant(request), entry)
        return entry

    def refresh(
        self, request: RequestHead, entry: Stored, response: ResponseHead, requested_at: float, now: float
    ) -> Stored:
        """The stored response after the origin's 304; kept if it was not dropped meanwhile."""
        fresh = entry.refreshed(response, requested_at, now)
        variant = self._variant(request)
        if self._stored.get(variant) is entry:
            self._put(variant, fresh)
        return fresh

    def invalidate(self, request: RequestHead, status: int) -> None:
        """Section 4.4: an unsafe method that succeeded makes what is stored for its URI useless."""
        if request.method in _SAFE or not 200 <= status < 400:
            return
        key = key_of(request)
        for variant in [variant for variant in self._stored if variant[0] == key]:
            self._drop(variant)

    def _variant(self, request: RequestHead) -> _Variant:
        """Section 4.1: the stored response's Vary names the request fields that must be the same."""
        key = key_of(request)
        names = self._vary.get(key, ())
        return key, tuple(" ".join(request.headers.get(name).split()) for name in names)

    def _put(self, variant: _Variant, entry: Stored) -> None:
        old = self._stored.pop(variant, None)
        if old is None:
            self._variants[variant[0]] += 1
        else:
            self._size -= old.size
        self._stored[variant] = entry
        self._size += entry.size
        while self._size > self._capacity:
            self._drop(next(iter(self._stored)))

    def _drop(self, variant: _Variant) -> None:
        self._size -= self._stored.pop(variant).size
        key = variant[0]
        self._variants[key] -= 1
        if not self._variants[key]:
            del self._variants[key], self._vary[key]


def key_of(request: RequestHead) -> Key:
    """Authority and target: the edge serves https only."""
    return request.authority.lower(), request.target


def _must_ask(entry: Stored) -> bool:
    """no-cache: never without asking (section 5.2.2.4)."""
    return "no-cache" in directives(entry.head.headers)


def _young_enough(entry: Stored, asked: dict[str, str], now: float) -> bool:
    """The request's max-age and min-fresh (section 5.2.1)."""
    if "max-age" in asked and entry.age(now) > seconds(asked["max-age"]):
        return False
    return "min-fresh" not in asked or entry.remaining(now) >= seconds(asked["min-fresh"])


def _stale_allowed(entry: Stored, asked: dict[str, str], now: float) -> bool:
    """max-stale, unless the response forbids it (section 4.2.4)."""
    told = directives(entry.head.headers)
    if "max-stale" not in asked or told.keys() & {"must-revalidate", "proxy-revalidate", "s-maxage"}:
        return False
    return not asked["max-stale"] or -entry.remaining(now) <= seconds(asked["max-stale"])


def answer(request: RequestHead, entry: Stored, now: float) -> tuple[ResponseHead, bytes]:
    """The response from the cache, with Age: 304 where the client has the same (section 4.3.2)."""
    headers = entry.head.headers.having("Age", str(int(entry.age(now))))
    if entry.head.status == 200 and client_has(request.headers, entry.head.headers):
        kept = Headers((n, v) for n, v in headers if n.lower() in {*_NOT_MODIFIED_FIELDS, "age"})
        return ResponseHead(304, kept, "Not Modified"), b""
    return entry.head.with_headers(headers), entry.body
