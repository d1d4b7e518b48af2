"""Rate limits: may this request pass now, and what is the client told?

Two algorithms, each with a few numbers per key; of keys, the least recently seen is forgotten first, and
then has its whole quota again. What clients are told: RateLimit-Policy and RateLimit
(draft-ietf-httpapi-ratelimit-headers-09, sections 3 and 4), Retry-After (RFC 9110 section 10.2.3).

`now` is in seconds of any steady clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from typing import Protocol

from netlab.model.roles.limits import RateLimit
from netlab.proto.http import Headers

_LONGEST_KEY = 64  # characters that are kept; of longer ones a hash


@dataclass(frozen=True, slots=True)
class Outcome:
    """`remaining`: requests that may still pass now. `reset_s`: until the whole quota is there again, if
    nobody asks. `retry_s`: until a request may pass; 0 where one may now."""

    allowed: bool
    remaining: int
    reset_s: float
    retry_s: float


class _State(Protocol):
    def look(self, now: float) -> Outcome:
        """How a request would fare, which is not counted."""
        ...

    def take(self, now: float) -> None:
        """Count a request that passes."""
        ...


class _Bucket:
    """A token bucket."""

    __slots__ = ("_at", "_rate", "_size", "_tokens")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._size = float(limit.burst or limit.quota)
        self._rate = limit.quota / (limit.window_ns / 1e9)
        self._tokens = self._size
        self._at = now

    def look(self, now: float) -> Outcome:
        self._fill(now)
        # What sums of floats lack to a whole token must not make a client wait that came at its time.
        remaining = int(self._tokens + 1e-9)
        retry_s = 0.0 if remaining else (1 - self._tokens) / self._rate
        return Outcome(remaining > 0, remaining, (self._size - self._tokens) / self._rate, retry_s)

    def take(self, now: float) -> None:
        self._fill(now)
        self._tokens = max(0.0, self._tokens - 1)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._size, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)


class _Window:
    """Two counters: of the window that runs, and of the one before, as if its requests came evenly."""

    __slots__ = ("_before", "_count", "_length", "_quota", "_start")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._quota = limit.quota
        self._length = limit.window_ns / 1e9
        self._start = now
        self._count = self._before = 0

    def look(self, now: float) -> Outcome:
        self._roll(now)
        passed = (now - self._start) / self._length
        used = self._before * (1 - passed) + self._count
        remaining = max(0, int(self._quota - used + 1e-9))
        windows = 2.0 if self._count else 1.0 if self._before else passed
        reset_s = (windows - passed) * self._length
        return Outcome(remaining > 0, remaining, reset_s, 0.0 if remaining else self._wait(passed))

    def take(self, now: float) -> None:
        self._roll(now)
        self._count += 1

    def _wait(self, passed: float) -> float:
        """Seconds until one more fits: in this window, or in the next, whose `before` this one is."""
        room = self._quota - 1 - self._count
        if room >= 0:
            return (1 - room / self._before - passed) * self._length
        return (1 - passed + 1 - (self._quota - 1) / self._count) * self._length

    def _roll(self, now: float) -> None:
        windows = int(max(0.0, now - self._start) // self._length)
        if windows:
            self._before = self._count if windows == 1 else 0
            self._count = 0
            self._start += windows * self._length


class Limiter:
    """One limit, for every key apart."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._states: OrderedDict[str, _State] = OrderedDict()

    def look(self, key: str, now: float) -> Outcome:
        """How a request of `key` would fare, which is not counted."""
        return self._state(key, now).look(now)

    def take(self, key: str, now: float) -> Outcome:
        """Count a request of `key` if it may pass. A refused one counts for nothing."""
        state = self._state(key, now)
        found = state.look(now)
        if not found.allowed:
            return found
        state.take(now)
        after = state.look(now)
        return Outcome(True, after.remaining, after.reset_s, after.retry_s)

    def __len__(self) -> int:
        """Keys that are remembered."""
        return len(self._states)

    def _state(self, key: str, now: float) -> _State:
        if len(key) > _LONGEST_KEY:
            key = blake2b(key.encode(), digest_size=16).hexdigest()
        state = self._states.get(key)
        if state is None:
            bucket = self.limit.algorithm == "token-bucket"
            state = self._states[key] = _Bucket(self.limit, now) if bucket else _Window(self.limit, now)
            if len(self._states) > self.limit.keys:
                self._states.popitem(last=False)
        self._states.move_to_end(key)
        return state


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refused_by`: the limit that is reached; empty: the request may pass. `fields` go on its response,
    whichever it is: RateLimit-Policy, RateLimit, and Retry-After where it is refused."""

    refused_by: str
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def allowed(self) -> bool:
        return not self.refused_by


class Limits:
    """Several limits, each of which must let a request pass. One that is refused costs nothing.

    `beside`: limits that these are counted with, and that others may be counted with too.
    """

    def __init__(self, limits: Sequence[RateLimit], beside: Limits | None = None) -> None:
        shared = beside.limiters if beside is not None else ()
        self.limiters: tuple[Limiter, ...] = (*shared, *(Limiter(limit) for limit in limits))
        self._policy = ", ".join(_policy(one.limit) for one in self.limiters)

    def check(self, client: str, headers: Headers, now: float) -> Verdict:
        """Of a request of `client` (its address) with these headers."""
        if not self.limiters:
            return Verdict("")
        keyed = [(one, _key(one.limit, client, headers)) for one in self.limiters]
        found = [(one, one.look(key, now)) for one, key in keyed]
        refusing = [(one, outcome) for one, outcome in found if not outcome.allowed]
        if not refusing:
            found = [(one, one.take(key, now)) for one, key in keyed]
        state = ", ".join(_state(one.limit, outcome) for one, outcome in found)
        fields = (("RateLimit-Policy", self._policy), ("RateLimit", state))
        if not refusing:
            return Verdict("", fields)
        retry_s = max(outcome.retry_s for _, outcome in refusing)
        return Verdict(refusing[0][0].limit.name, (*fields, ("Retry-After", str(max(1, _whole(retry_s))))))


def _key(limit: RateLimit, client: str, headers: Headers) -> str:
    """Values of headers don't meet addresses: each has its own first letter."""
    kind, _, name = limit.by.partition(":")
    if kind == "all":
        return ""
    value = headers.get(name) if kind == "header" else ""
    return f"h{value}" if value else f"c{client}"


def _policy(limit: RateLimit) -> str:
    return f'"{limit.name}";q={limit.quota};w={max(1, _whole(limit.window_ns / 1e9))}'


def _state(limit: RateLimit, outcome: Outcome) -> str:
    return f'"{limit.name}";r={outcome.remaining};t={_whole(outcome.reset_s)}'


def _whole(seconds: float) -> int:
    return ceil(seconds - 1e-9)
