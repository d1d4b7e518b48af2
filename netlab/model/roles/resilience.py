"""What whoever asks does about an upstream that fails, is slow, or is gone (guide 8.4)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from netlab.model.roles.spec import Spec
from netlab.model.units import DurationNs, Probability

RetryOn = Literal["error", "timeout", "http_5xx", "http_429"]
Jitter = Literal["none", "added", "full"]


class Timeouts(Spec):
    """`connect`: until a connection is open, TLS included. `read`: for the response's head, and for each next
    part of its body. `total`: for all of it, with every attempt and the waits between; 0: no bound."""

    connect_ns: DurationNs = Field(5_000_000_000, alias="connect")
    read_ns: DurationNs = Field(30_000_000_000, alias="read")
    total_ns: DurationNs = Field(0, alias="total")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.connect_ns and self.read_ns):
            raise ValueError("`connect` and `read` need time")
        return self


class Retry(Spec):
    """At most `attempts` in all, where `on` has the failure and the request may be sent twice: its method is
    idempotent (RFC 9110 section 9.2.2), it has an Idempotency-Key, or no server saw it.

    Before attempt n + 2 it waits `base` × 2ⁿ, at most `cap`. `jitter`: `none`; `added`: the guide's, up to
    `spread` more, the sum at most `cap`; `full`: drawn from 0 to that. A Retry-After is waited for on top.
    `budget`: retries may be this share of the requests, beyond the first `reserve`; 100% with a great
    `reserve` bounds nothing.
    """

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    on: tuple[RetryOn, ...] = ("error", "timeout", "http_5xx", "http_429")
    base_ns: DurationNs = Field(100_000_000, alias="base")
    cap_ns: DurationNs = Field(10_000_000_000, alias="cap")
    jitter: Jitter = "full"
    spread_ns: DurationNs = Field(1_000_000_000, alias="spread")
    budget: Probability = 0.2
    reserve: Annotated[int, Field(ge=0)] = 10


class Hedge(Spec):
    """A request that may be sent twice, and has no answer `after` so long, is sent once more beside the
    first, up to `most` times; the first good answer counts, and the others are given up."""

    after_ns: DurationNs = Field(alias="after")
    most: Annotated[int, Field(ge=1, le=10)] = 1


class Breaker(Spec):
    """A circuit breaker for each upstream. It opens after `failures` in a row, or where of the requests that
    ended within `window`, at least `volume`, the share `ratio` failed (0: only in a row). While it is `open`
    every request fails at once; then `probes` at a time may go, and as many good answers in a row close it.
    """

    failures: Annotated[int, Field(ge=1)] = 5
    ratio: Probability = 0.0
    volume: Annotated[int, Field(ge=1)] = 20
    window_ns: Annotated[DurationNs, Field(gt=0)] = Field(10_000_000_000, alias="window")
    open_ns: DurationNs = Field(30_000_000_000, alias="open")
    probes: Annotated[int, Field(ge=1)] = 1


class Bulkhead(Spec):
    """At most `limit` requests at once to each upstream; `of` has other limits for single ones, as
    `host:port`. `queue` more may wait, up to `wait`; the next fails at once."""

    limit: Annotated[int, Field(ge=1)] = 40
    of: dict[str, Annotated[int, Field(ge=1)]] = Field({})
    queue: Annotated[int, Field(ge=0)] = 0
    wait_ns: DurationNs = Field(1_000_000_000, alias="wait")


class Resilience(Spec):
    """What surrounds each request to an upstream: see docs/resilience.md. What is not given is off.

    `deadline`: say in Request-Timeout how many milliseconds are left of `timeouts: {total: …}`; what comes
    with one is bounded by it, and passes on what is left, whatever is set here.
    """

    timeouts: Timeouts = Timeouts()
    retry: Retry | None = None
    hedge: Hedge | None = None
    breaker: Breaker | None = None
    bulkhead: Bulkhead | None = None
    deadline: StrictBool = False

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.deadline and not self.timeouts.total_ns:
            raise ValueError("`deadline` needs `timeouts: {total: …}`, which it says")
        return self


class Shed(Spec):
    """A server refuses with 503 and Retry-After (`retry_after`) what it could answer only late: what is more
    than `concurrency` at once, and while answers take `latency` on average (0: no such bound) all but one
    at a time. /health is always answered."""

    concurrency: Annotated[int, Field(ge=1)] = 100
    latency_ns: DurationNs = Field(0, alias="latency")
    retry_after_ns: DurationNs = Field(1_000_000_000, alias="retry_after")
