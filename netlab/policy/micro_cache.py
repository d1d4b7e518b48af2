"""A cache for a moment: of what anybody may see and everybody asks for at once, one answer is enough.

It is no shared cache of RFC 9111 (that is `policy.cache`): what it keeps is as old as its server could have
sent it itself, had it been a little slower. So it keeps nothing that says it is for one client alone, varies,
or must not be stored. `now` is in seconds of any steady clock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from netlab.policy.cache_control import directives
from netlab.proto.http import RequestHead, ResponseHead

_CREDENTIALS = ("authorization", "cookie", "range", "if-range", "cache-control", "pragma")
_KEPT = frozenset((200, 301, 308, 404, 410))


@dataclass(frozen=True, slots=True)
class Kept:
    """`at`: when it came."""

    head: ResponseHead
    body: bytes
    at: float


def may_share(request: RequestHead) -> bool:
    """Whether the answer to another's request will do: a GET or HEAD without credentials."""
    plain = request.method in {"GET", "HEAD"} and not request.protocol
    return plain and not any(request.headers.has(name) for name in _CREDENTIALS)


def key_of(request: RequestHead) -> str:
    return f"{request.method} {request.scheme} {request.authority.lower()} {request.target}"


class MicroCache:
    """Answers for `seconds`, at most so many `entries` and `size` bytes of bodies; the oldest go first."""

    def __init__(self, seconds: float, entries: int = 1000, size: int = 16 * 1024 * 1024) -> None:
        self._seconds = seconds
        self._entries = entries
        self._size = size
        self._used = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def get(self, key: str, now: float) -> Kept | None:
        """What was kept and is not too old."""
        self._expire(now)
        return self._kept.get(key)

    def put(self, key: str, head: ResponseHead, body: bytes, now: float) -> bool:
        """Keep it, where it may be kept."""
        self._expire(now)
        if head.status not in _KEPT or not _for_all(head) or len(body) > self._size // 4:
            return False
        self._drop(key)
        self._kept[key] = Kept(head, body, now)
        self._used += len(body)
        while len(self._kept) > self._entries or self._used > self._size:
            self._drop(next(iter(self._kept)))
        return True

    def _expire(self, now: float) -> None:
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            if now - oldest.at < self._seconds:
                return
            self._drop(key)

    def _drop(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._used -= len(kept.body)


def _for_all(head: ResponseHead) -> bool:
    if head.headers.has("set-cookie") or head.headers.has("vary"):
        return False
    said = directives(head.headers)
    return not any(name in said for name in ("no-store", "private", "no-cache"))
