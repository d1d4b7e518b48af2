"""When a client connects again: exponential back-off with full jitter, and what the server asks for."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from netlab.policy.backoff import ceiling_s


class Backoff:
    """Delays in seconds: each is drawn from 0 to `base_s` × 2ⁿ, at most `cap_s`; n grows with failures.

    Full jitter keeps clients that lost one server at once from coming back at once.
    """

    def __init__(self, rng: random.Random, *, base_s: float = 0.5, cap_s: float = 30.0) -> None:
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._wait_s = 0.0
        self.attempts = 0  # failures in a row

    def ask(self, delay_s: float) -> None:
        """The server's word (the `retry` of SSE): until it says otherwise, a delay is at least this."""
        self._wait_s = max(delay_s, 0.0)

    def succeeded(self) -> None:
        self.attempts = 0

    def delay(self, retry_after_s: float | None = None) -> float:
        """How long to wait after one more failure. `retry_after_s`: what the failure itself asked for
        (Retry-After); it is waited for in full, with the jitter on top."""
        ceiling = ceiling_s(self.attempts, self._base_s, self._cap_s)
        self.attempts += 1
        floor = self._wait_s if retry_after_s is None else retry_after_s
        return floor + self._rng.uniform(0, ceiling)


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After field: a number of them, or a date (RFC 9110 section 10.2.3).
    None where it is neither."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)
