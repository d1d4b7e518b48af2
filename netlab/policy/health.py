"""Is an upstream healthy? By rise and fall, as load balancers count (guide 8.2)."""

from __future__ import annotations


class HealthMachine:
    """Healthy at first; unhealthy after `fall` failures in a row, healthy again after `rise` successes."""

    def __init__(self, rise: int, fall: int) -> None:
        self._rise = rise
        self._fall = fall
        self._streak = 0  # of results against the present state
        self.healthy = True

    def result(self, success: bool) -> bool:
        """Take in one check's result. True where it changed the state."""
        if success == self.healthy:
            self._streak = 0
            return False
        self._streak += 1
        if self._streak < (self._fall if self.healthy else self._rise):
            return False
        self.healthy = success
        self._streak = 0
        return True
