"""A bulkhead: of one upstream's slowness no more is felt than the requests that it may have (guide 8.4)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal


class Compartment:
    """At most `limit` are inside, and `queue` wait, first come, first in."""

    def __init__(self, limit: int, queue: int) -> None:
        self.limit = limit
        self._queue = queue
        self.inside = 0
        self._waiting: dict[Hashable, None] = {}

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def ask(self, ticket: Hashable) -> Literal["enter", "wait", "full"]:
        """ "enter" is followed by `leave` once; "wait" by a ticket that `leave` gives, or by `withdraw`."""
        if self.inside < self.limit and not self._waiting:
            self.inside += 1
            return "enter"
        if len(self._waiting) < self._queue:
            self._waiting[ticket] = None
            return "wait"
        return "full"

    def leave(self) -> Hashable | None:
        """Who waited longest, and is inside now; None: nobody."""
        if self._waiting:
            ticket = next(iter(self._waiting))
            del self._waiting[ticket]
            return ticket
        self.inside -= 1
        return None

    def withdraw(self, ticket: Hashable) -> None:
        """It waits no more."""
        self._waiting.pop(ticket, None)
