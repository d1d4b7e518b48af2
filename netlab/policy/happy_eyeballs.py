"""Happy Eyeballs, version 2 (RFC 8305): which of a host's addresses to try, and when.

Seconds of any steady clock; no input or output. IPv6 goes first, the families in turn; an attempt that is
not there after ATTEMPT_DELAY_S gets company, and one that failed is followed at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

RESOLUTION_DELAY_S = 0.050  # section 3: how long IPv4 addresses wait for IPv6 ones
ATTEMPT_DELAY_S = 0.250  # section 5


class HappyEyeballs:
    """`versions`: the IP versions whose addresses are being looked up. `preferred`: an address that worked
    before, which goes first (section 4)."""

    def __init__(self, versions: Iterable[int], preferred: str = "") -> None:
        self._unanswered = set(versions)
        self._preferred = preferred
        self._untried: dict[int, list[str]] = {6: [], 4: []}
        self._tried: list[str] = []
        self._running: set[str] = set()
        self._ready_at: float | None = None
        self._next_at = 0.0

    def answered(self, version: int, addresses: Iterable[str], now: float) -> None:
        """The lookup of one version is over; without addresses where there are none, or where it failed."""
        found = list(addresses)
        self._unanswered.discard(version)
        self._untried[version] += found
        if not self._unanswered or (found and version == 6):
            self._ready_at = now
        elif found and self._ready_at is None:
            self._ready_at = now + RESOLUTION_DELAY_S

    def failed(self, address: str, now: float) -> None:
        """An attempt failed: the next need not wait."""
        self._running.discard(address)
        self._next_at = now

    def ready(self, now: float) -> bool:
        """Whether connecting may begin: IPv6 addresses are there, or will not be, or are late."""
        return self._ready_at is not None and self._ready_at <= now

    def next(self, now: float) -> str | None:
        """The address to try now; None where none is due."""
        if not self.ready(now) or (self._running and now < self._next_at):
            return None
        address = self._first()
        if address is not None:
            self._tried.append(address)
            self._running.add(address)
            self._next_at = now + ATTEMPT_DELAY_S
        return address

    def deadline(self) -> float | None:
        """When `next` or `ready` says something new by itself; None: only after an answer or a failure."""
        if self._ready_at is None:
            return None
        if not self._tried:
            return self._ready_at
        return self._next_at if any(self._untried.values()) else None

    @property
    def over(self) -> bool:
        """Nothing is left to try, and nothing runs."""
        return not self._unanswered and not self._running and not any(self._untried.values())

    def _first(self) -> str | None:
        """Of the family that was not tried last, IPv6 at first (section 4)."""
        for addresses in self._untried.values():
            if self._preferred in addresses:
                addresses.remove(self._preferred)
                return self._preferred
        last = ip_address(self._tried[-1]).version if self._tried else 4
        for version in (4, 6) if last == 6 else (6, 4):
            if self._untried[version]:
                return self._untried[version].pop(0)
        return None
