"""The shared cache of a CDN edge (RFC 9111): what to answer, what to ask, what to keep."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from netlab.policy.cache_answer import serves
from netlab.policy.cache_control import request_directives, seconds
from netlab.policy.cache_key import PLAIN_KEY, Key, KeySettings, key_of
from netlab.policy.conditional import is_strong
from netlab.policy.purge import Condition
from netlab.policy.ranges import Span
from netlab.policy.stored import Stored, Varied, normal, storable, stored
from netlab.proto.http import RequestHead, ResponseHead

Variant = tuple[Key, Varied]
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_MOST_VARIANTS = 64  # of one key: whoever makes up field values must not fill the cache
_PURGES = 256  # remembered for responses that are still on their way
_INVALIDATED = 10_000  # keys, likewise
# Python's objects for an entry take about this much beside what its bytes do. Small entries are bounded by
# their number, or a cache of many would take far more memory than its capacity says.
_ENTRY_BYTES = 1024
_FEWEST_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class Hit:
    """Answer with it. `refresh`: it is stale, and asked about meanwhile (RFC 5861 section 3)."""

    stored: Stored
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class Revalidate:
    """Ask the origin whether it is still good. `cause` is RFC 9211's: stale or request."""

    stored: Stored
    cause: str
    only_cached: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """`cause` is RFC 9211's: uri-miss, vary-miss, partial, request, method. `only_cached`: the client wants
    504 instead."""

    cause: str
    only_cached: bool = False


Lookup = Hit | Revalidate | Miss


@dataclass(frozen=True, slots=True)
class Kept:
    """It is stored from now on, in place of what was stored as the same variant."""

    variant: Variant
    entry: Stored


@dataclass(frozen=True, slots=True)
class Dropped:
    """It is not to be used any more."""

    variant: Variant


@dataclass(frozen=True, slots=True)
class Purged:
    """Nor is anything of which `condition` is true; softly: not without asking."""

    condition: Condition
    soft: bool


@dataclass(frozen=True, slots=True)
class Invalidated:
    """Nor is anything of this key."""

    key: Key


Change = Kept | Dropped | Purged | Invalidated


class Cache:
    """Holds at most `capacity` bytes of responses and keys, in at most a `capacity` / 1024 entries (64 in a
    tiny one); what was used least recently goes first. `now`: epoch seconds.

    `journal`: where a second store, behind this one, is told of every change but those for want of room.
    """

    def __init__(
        self, capacity: int, settings: KeySettings = PLAIN_KEY, journal: list[Change] | None = None
    ) -> None:
        self._journal = journal
        self._capacity = capacity
        self._most_entries = max(_FEWEST_ENTRIES, capacity // _ENTRY_BYTES)
        self._settings = PLAIN_KEY if settings == PLAIN_KEY else settings  # which key_of knows at a glance
        self._latest: tuple[RequestHead | None, Key] = None, ("", "")
        self._size = 0
        self._stored: OrderedDict[Variant, Stored] = OrderedDict()
        self._variants: dict[Key, dict[Varied, None]] = {}  # in the order of storing
        self._purges: deque[tuple[float, Condition]] = deque()
        self._invalidated: OrderedDict[Key, float] = OrderedDict()  # when, in that order
        self._forgotten_at = float("-inf")  # the last purge of which no more is known

    @property
    def size(self) -> int:
        return self._size

    def __len__(self) -> int:
        return len(self._stored)

    def key_of(self, request: RequestHead) -> Key:
        if self._latest[0] is not request:  # of one request it is wanted several times
            self._latest = request, key_of(request, self._settings)
        return self._latest[1]

    def variants(self, key: Key) -> list[Variant]:
        """What is here of `key`."""
        return [(key, varied) for varied in self._variants.get(key, ())]

    def admit(self, variant: Variant, entry: Stored) -> None:
        """Take what a second store has kept, unless there is something newer here."""
        if variant not in self._stored and _cost(variant, entry) <= self._capacity:
            self._put(variant, entry)

    def add_packed(self, request: RequestHead, entry: Stored, packed: Stored) -> None:
        """Keep the compressed form of `entry` with it, if it is still here."""
        variant = self.key_of(request), entry.varied
        if self._stored.get(variant) is entry:
            self._put(variant, replace(entry, packed=packed))

    def look_up(self, request: RequestHead, now: float) -> Lookup:
        """Section 4."""
        if request.method not in {"GET", "HEAD"}:
            return Miss("method")
        asked = request_directives(request.headers)
        only_cached = "only-if-cached" in asked
        if request.headers.has("if-match") or request.headers.has("if-unmodified-since"):
            # A cache does not evaluate these (section 4.3.2).
            return Miss("request", only_cached)
        variant = self._find(request)
        if variant is None:
            cause = "vary-miss" if self.key_of(request) in self._variants else "uri-miss"
            return Miss(cause, only_cached)
        found = self._stored[variant]
        self._stored.move_to_end(variant)
        if not serves(request, found):
            return Miss("partial", only_cached)
        return _usable(found, asked, now, only_cached)

    def store(
        self,
        request: RequestHead,
        response: ResponseHead,
        body: bytes,
        requested_at: float,
        now: float,
        default_s: float = 0.0,
    ) -> Stored | None:
        """Keep a whole response, or the whole part of a 206, if the rules allow it; None where they don't,
        where it is too large, its length is not what its head says, or it was asked for before a purge of
        it. `default_s`: how long it is fresh where it says nothing."""
        if not storable(request, response):
            return None
        entry = stored(response, body, requested_at, now, request, default_s)
        variant = self.key_of(request), entry.varied
        if not _is_whole(entry) or _cost(variant, entry) > self._capacity:
            return None
        if self._was_purged(variant[0], entry, requested_at):
            return None
        entry = _combined(self._stored.get(variant), entry)
        if _cost(variant, entry) > self._capacity:
            return None
        self._keep(variant, entry)
        return entry

    def refresh(
        self, request: RequestHead, entry: Stored, response: ResponseHead, requested_at: float, now: float
    ) -> Stored | None:
        """The stored response after the origin's 304; kept if it was not dropped meanwhile. None where the
        304 is about another response, which is to be asked for without conditions then."""
        fresh = entry.refreshed(response, requested_at, now)
        variant = self.key_of(request), entry.varied
        if self._stored.get(variant) is entry:
            if fresh is None or not storable(replace(request, method="GET"), fresh.head):
                self._drop(variant)
                self._tell(Dropped(variant))
            else:
                self._keep(variant, fresh)
        return fresh

    def head_seen(self, request: RequestHead, response: ResponseHead, asked_at: float, now: float) -> None:
        """Section 4.3.5: the answer to a HEAD makes the stored response to a GET fresh, or stale."""
        variant = self._find(request)
        if request.method != "HEAD" or response.status != 200 or variant is None:
            return
        entry = self._stored[variant]
        if entry.head.status != 200 or not storable(replace(request, method="GET"), response):
            return
        length = response.headers.get("content-length", str(len(entry.body)))
        fresh = entry.refreshed(response, asked_at, now) if length == str(len(entry.body)) else None
        self._keep(variant, fresh or replace(entry, stale=True))

    def invalidate(self, request: RequestHead, response: ResponseHead, now: float) -> bool:
        """Section 4.4: an unsafe method that succeeded makes what is stored for its URI useless, and for
        those of Location and Content-Location, if they are of the same origin. Whether it did."""
        if request.method in _SAFE or not 200 <= response.status < 400:
            return False
        base = f"https://{request.authority}{request.target}"
        keys = {self.key_of(request)}
        for name in ("location", "content-location"):
            if target := _same_origin(base, response.headers.get(name)):
                keys.add(self.key_of(replace(request, target=target)))
        for key in keys:
            self._tell(Invalidated(key))
            self._invalidated.pop(key, None)
            self._invalidated[key] = now
            for variant in self.variants(key):
                self._drop(variant)
        while len(self._invalidated) > _INVALIDATED:
            self._forgotten_at = max(self._forgotten_at, self._invalidated.popitem(last=False)[1])
        return True

    def purge(self, condition: Condition, now: float, *, soft: bool = False) -> int:
        """Drop what `condition` is true of, or, softly, declare it stale; how many responses that are. Of
        what has been asked for already and is on its way nothing is stored."""
        self._tell(Purged(condition, soft))
        self._purges.append((now, condition))
        if len(self._purges) > _PURGES:
            self._forgotten_at = max(self._forgotten_at, self._purges.popleft()[0])
        chosen = self.matching(condition)
        for variant in chosen:
            if soft:
                self._stored[variant] = replace(self._stored[variant], stale=True)
            else:
                self._drop(variant)
        return len(chosen)

    def matching(self, condition: Condition) -> list[Variant]:
        return [variant for variant, entry in self._stored.items() if condition(variant[0], entry)]

    def _was_purged(self, key: Key, entry: Stored, requested_at: float) -> bool:
        if requested_at <= max(self._forgotten_at, self._invalidated.get(key, float("-inf"))):
            return True
        for at, condition in reversed(self._purges):
            if at < requested_at:
                return False
            if condition(key, entry):
                return True
        return False

    def _find(self, request: RequestHead) -> Variant | None:
        """Section 4.1: of the stored responses whose Vary fields match, the newest."""
        key = self.key_of(request)
        variants = self._variants.get(key, {})
        for varied in reversed(variants):
            if all(normal(name, request.headers) == value for name, value in varied):
                return key, varied
        return None

    def _keep(self, variant: Variant, entry: Stored) -> None:
        self._put(variant, entry)
        self._tell(Kept(variant, entry))

    def _tell(self, change: Change) -> None:
        if self._journal is not None:
            self._journal.append(change)

    def _put(self, variant: Variant, entry: Stored) -> None:
        old = self._stored.pop(variant, None)
        if old is not None:
            self._size -= _cost(variant, old)
        variants = self._variants.setdefault(variant[0], {})
        variants.pop(variant[1], None)
        variants[variant[1]] = None
        self._stored[variant] = entry
        self._size += _cost(variant, entry)
        if len(variants) > _MOST_VARIANTS:
            self._drop((variant[0], next(iter(variants))))
        while self._size > self._capacity or len(self._stored) > self._most_entries:
            self._drop(next(iter(self._stored)))

    def _drop(self, variant: Variant) -> None:
        self._size -= _cost(variant, self._stored.pop(variant))
        variants = self._variants[variant[0]]
        del variants[variant[1]]
        if not variants:
            del self._variants[variant[0]]


def _cost(variant: Variant, entry: Stored) -> int:
    """Bytes that it takes, with what it is found by: a URL may be longer than the response."""
    (authority, target), varied = variant
    found_by = sum(len(name) + len(value or "") for name, value in varied)
    return entry.size + len(authority) + len(target) + found_by


def _usable(found: Stored, asked: dict[str, str], now: float, only_cached: bool) -> Lookup:
    if found.must_ask:
        return Revalidate(found, "stale", only_cached)
    if not asked and found.remaining(now) > 0:
        return Hit(found)
    if "no-cache" in asked or not _young_enough(found, asked, now):
        return Revalidate(found, "request" if found.remaining(now) > 0 else "stale", only_cached)
    if found.remaining(now) > 0 or _stale_allowed(found, asked, now):
        return Hit(found)
    if found.stale_for("stale-while-revalidate", now):
        return Hit(found, refresh=True)
    return Revalidate(found, "stale", only_cached)


def _young_enough(entry: Stored, asked: dict[str, str], now: float) -> bool:
    """The request's max-age and min-fresh (section 5.2.1)."""
    if "max-age" in asked and entry.age(now) > seconds(asked["max-age"]):
        return False
    return "min-fresh" not in asked or entry.remaining(now) >= seconds(asked["min-fresh"])


def _stale_allowed(entry: Stored, asked: dict[str, str], now: float) -> bool:
    """max-stale, unless the response forbids it (section 4.2.4)."""
    if "max-stale" not in asked or entry.never_stale:
        return False
    return not asked["max-stale"] or -entry.remaining(now) <= seconds(asked["max-stale"])


def _is_whole(entry: Stored) -> bool:
    """Whether the body is as long as the head says."""
    told = entry.head.headers.get("content-length")
    if entry.part is not None and entry.part[0].size != len(entry.body):
        return False
    return not told or entry.head.status in {204, 205} or told == str(len(entry.body))


def _combined(old: Stored | None, new: Stored) -> Stored:
    """Section 3.4: parts of the same response, by a strong validator, that touch become one."""
    etag = new.head.headers.get("etag")
    if old is None or new.part is None or not is_strong(etag) or old.head.headers.get("etag") != etag:
        return new
    if old.part is None:
        return replace(old, received_at=new.received_at, initial_age_s=new.initial_age_s, stale=False)
    (held, total), (came, same) = old.part, new.part
    if total != same or came.first > held.last + 1 or held.first > came.last + 1:
        return new
    first, second = sorted(((held, old.body), (came, new.body)), key=lambda one: one[0].first)
    overlap = first[0].last + 1 - second[0].first
    body = first[1] + second[1][overlap:]
    span = Span(first[0].first, first[0].first + len(body) - 1)
    fields = new.head.headers.having("Content-Length", str(len(body)))
    if span.size == total:
        head = ResponseHead(200, fields.without("content-range"), "OK")
        return replace(new, head=head, body=body, part=None)
    head = new.head.with_headers(fields.having("Content-Range", span.header(total)))
    return replace(new, head=head, body=body, part=(span, total))


def _same_origin(base: str, reference: str) -> str:
    """The target that a URI reference names; empty: none, or one of another origin."""
    if not reference:
        return ""
    try:
        own, other = urlsplit(base), urlsplit(urljoin(base, reference))
        same = (own.scheme, own.hostname, own.port or 443) == (
            other.scheme,
            other.hostname,
            other.port or 443,
        )
    except ValueError:  # no URI
        return ""
    if not same:
        return ""
    return (other.path or "/") + (f"?{other.query}" if other.query else "")
