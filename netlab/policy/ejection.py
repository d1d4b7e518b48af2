"""Passive checks: an upstream whose requests fail in a row is left alone for a while."""

from __future__ import annotations


class Ejections:
    """Ejects after `failures` in a row (0: never) for `seconds`, at most `percent` of the upstreams."""

    def __init__(self, upstreams: tuple[str, ...], failures: int, seconds: float, percent: int) -> None:
        self.failures = failures
        self._seconds = seconds
        self._most = len(upstreams) * percent // 100
        self._streak = dict.fromkeys(upstreams, 0)
        self._until = dict.fromkeys(upstreams, float("-inf"))

    def usable(self, now: float) -> list[str]:
        """Those not ejected at `now` (seconds of a monotonic clock)."""
        return [upstream for upstream, until in self._until.items() if until <= now]

    def until(self, upstream: str) -> float:
        """When its last ejection ends, or has ended; minus infinity where there was none."""
        return self._until[upstream]

    def result(self, upstream: str, success: bool, now: float) -> bool:
        """Take in how a request to the upstream went. True where that ejects it."""
        self._streak[upstream] = 0 if success else self._streak[upstream] + 1
        usable = self.usable(now)
        room = len(self._until) - len(usable) < self._most
        if not self.failures or self._streak[upstream] < self.failures or upstream not in usable or not room:
            return False
        self._streak[upstream] = 0
        self._until[upstream] = now + self._seconds
        return True
