"""Slow start: who comes back gets more and more of what it would be chosen for, so that it can warm up."""

from __future__ import annotations

_FIRST = 0.1  # the share at the beginning: none at all would show nobody that it works
_WHOLE = 1.0 - 1e-9  # ten times a tenth is less than one in binary fractions


class SlowStart:
    """From a tenth to all within `seconds`; 0: all at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._saved: dict[str, float] = {}

    def admits(self, upstream: str, since: float, now: float) -> bool:
        """Whether one that came back at `since`, and is chosen, gets this one: evenly spread, no chance."""
        if now - since >= self.seconds:
            self._saved.pop(upstream, None)
            return True
        saved = self._saved.get(upstream, 0.0) + max(_FIRST, (now - since) / self.seconds)
        admitted = saved >= _WHOLE
        self._saved[upstream] = saved - 1.0 if admitted else saved
        return admitted
