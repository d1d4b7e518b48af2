"""Slow start: who comes back takes part in more and more of the choices, so that it can warm up."""

from __future__ import annotations

_FIRST = 0.1  # the share of the choices at the beginning: none at all would never end


class SlowStart:
    """From a tenth to all of the choices within `seconds`; 0: all at once. It says nothing of what share of
    the load that is: the algorithm decides among those that take part."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._saved: dict[str, float] = {}

    def share(self, since: float, now: float) -> float:
        """Of the choices, for one that came back at `since`: at most 1."""
        if now - since >= self.seconds:
            return 1.0
        return max(_FIRST, (now - since) / self.seconds)

    def takes_part(self, upstream: str, since: float, now: float) -> bool:
        """Whether in this choice: evenly spread, never by chance."""
        share = self.share(since, now)
        if share == 1.0:
            self._saved.pop(upstream, None)
            return True
        saved = self._saved.get(upstream, 0.0) + share
        self._saved[upstream] = saved - 1.0 if saved >= 1.0 else saved
        return saved >= 1.0
