"""Which upstream is next: round robin."""

from __future__ import annotations

from collections.abc import Container


class RoundRobin:
    """Takes upstreams in turn, passing over those that may not be used now."""

    def __init__(self, upstreams: tuple[str, ...]) -> None:
        self._upstreams = upstreams
        self._next = 0

    def choose(self, usable: Container[str]) -> str | None:
        """The next usable upstream; None where there is none."""
        for _ in self._upstreams:
            upstream = self._upstreams[self._next]
            self._next = (self._next + 1) % len(self._upstreams)
            if upstream in usable:
                return upstream
        return None

    def order(self, usable: Container[str]) -> list[str]:
        """All usable upstreams, the one whose turn it is first: whom to try one after another."""
        first = self.choose(usable)
        if first is None:
            return []
        at = self._upstreams.index(first)
        turned = self._upstreams[at:] + self._upstreams[:at]
        return [upstream for upstream in turned if upstream in usable]
