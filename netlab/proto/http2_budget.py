"""How much of what costs us and not the peer we put up with on one connection (RFC 9113 section 10.5)."""

from __future__ import annotations


class Budget:
    """A token bucket: `burst` at once, and `per_second` in the long run. Time is passed in, in seconds."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = burst
        self._now: float | None = None

    def tick(self, now: float) -> None:
        if self._now is not None:
            self._left = min(self._burst, self._left + (now - self._now) * self._per_second)
        self._now = now

    def spend(self, amount: float = 1) -> bool:
        """False where there is not enough left."""
        self._left -= amount
        return self._left >= 0
