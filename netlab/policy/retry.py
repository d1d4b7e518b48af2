"""Is a request sent again? Not where that could do harm, nor where retries would bury a server."""

from __future__ import annotations

import random
from dataclasses import dataclass

from netlab.model.roles import Retry
from netlab.model.roles.resilience import RetryOn
from netlab.policy.backoff import wait_s
from netlab.proto.http import RequestHead

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))  # RFC 9110 section 9.2.2


def repeatable(head: RequestHead) -> bool:
    """May it be acted on twice? Its method says so, or its Idempotency-Key makes the second time none."""
    return head.method in IDEMPOTENT or head.headers.has("idempotency-key")


@dataclass(frozen=True, slots=True)
class Failure:
    """Of one attempt. `kind` None: a server answered, and more attempts would change nothing. `unsent`: no
    server saw it, so that it may be repeated whatever it is. `retry_after_s`: what the answer asked for."""

    kind: RetryOn | None
    cause: str
    unsent: bool = False
    retry_after_s: float | None = None


def of_status(head: RequestHead, status: int, retry_after_s: float | None = None) -> Failure | None:
    """The failure that an answer means; None: it is none.

    409 to a request with an Idempotency-Key says that the first one is still being worked on
    (draft-ietf-httpapi-idempotency-key-header-07, section 2.6).
    """
    cause = f"it answered {status}"
    if status >= 500:
        return Failure("http_5xx", cause, retry_after_s=retry_after_s)
    waiting = status == 409 and head.headers.has("idempotency-key")
    if status == 429 or waiting:
        return Failure("http_429", cause, retry_after_s=retry_after_s)
    return None


class Budget:
    """How many retries are fair: `ratio` of the requests, after a `reserve` that is there from the start and
    is the most that can be saved up. So a server that fails for everybody gets little more than once the
    requests, and not `attempts` times."""

    def __init__(self, ratio: float, reserve: int) -> None:
        self._ratio = ratio
        self._most = max(float(reserve), 1.0)
        self._tokens = float(reserve)

    def request(self) -> None:
        """A first attempt."""
        self._tokens = min(self._most, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take one retry out; False where there is none."""
        if self._tokens < 1.0 - 1e-9:  # what sums of floats lack to a whole one
            return False
        self._tokens -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Again:
    """Wait so long, then send it again."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The failure is the answer."""

    cause: str


class Retries:
    """What one caller decides, over all of its requests."""

    def __init__(self, retry: Retry, rng: random.Random) -> None:
        self._retry = retry
        self._rng = rng
        self._budget = Budget(retry.budget, retry.reserve)

    def request(self) -> None:
        """A request begins, with its first attempt."""
        self._budget.request()

    def spend(self) -> bool:
        """An attempt beside the first (hedging) counts as a retry, too."""
        return self._budget.spend()

    def decide(
        self, head: RequestHead, failure: Failure, attempts: int, left_s: float | None
    ) -> Again | GiveUp:
        """After attempt number `attempts`, with `left_s` seconds to the deadline (None: there is none)."""
        if failure.kind is None or not (failure.unsent or failure.kind in self._retry.on):
            return GiveUp("this failure is not tried again")
        if not (failure.unsent or repeatable(head)):
            return GiveUp(f"{head.method} is not idempotent, and has no Idempotency-Key")
        if attempts >= self._retry.attempts:
            return GiveUp(f"{attempts} attempts were made")
        wait = wait_s(self._retry, attempts - 1, self._rng, failure.retry_after_s)
        if left_s is not None and wait >= left_s:
            return GiveUp(f"the next attempt would come in {wait:.3g} s, with {max(left_s, 0):.3g} s left")
        if not self._budget.spend():
            return GiveUp("the retry budget is spent")
        return Again(wait)
