"""What a resolver remembers of name servers: how fast they are, and which know no EDNS.

Servers that were not asked yet count as fast, so that each is tried at some time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

_LIMIT = 10_000
_UNKNOWN_S = 0.032  # an unknown server's time is drawn below it
_WEIGHT = 0.3  # of the newest measurement
_SILENT_S = 4.0  # no server counts as slower
_DECAY = 0.98  # of the others, so that one that was slow is tried again after some time


@dataclass(slots=True)
class _Known:
    srtt_s: float
    edns: bool = True


class Servers:
    """By address. The longest unused leaves first."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def in_order(self, addresses: Iterable[str]) -> list[str]:
        """The fastest first, by smoothed round trip time."""
        return sorted(addresses, key=lambda address: self._at(address).srtt_s)

    def answered(self, address: str, after_s: float, others: Iterable[str] = ()) -> None:
        """The server answered; the `others` could have been asked in its place."""
        known = self._at(address)
        known.srtt_s += _WEIGHT * (after_s - known.srtt_s)
        for other in others:
            if other != address:
                self._at(other).srtt_s *= _DECAY

    def silent(self, address: str, waited_s: float) -> None:
        """The server did not answer, or was of no use."""
        known = self._at(address)
        known.srtt_s = min(_SILENT_S, max(2 * known.srtt_s, waited_s))

    def speaks_edns(self, address: str) -> bool:
        return self._at(address).edns

    def no_edns(self, address: str) -> None:
        """It answered a query with EDNS by FORMERR (RFC 6891 section 7)."""
        self._at(address).edns = False

    def _at(self, address: str) -> _Known:
        known = self._known.get(address)
        if known is None:
            known = self._known[address] = _Known(self._rng.uniform(0, _UNKNOWN_S))
            if len(self._known) > _LIMIT:
                self._known.popitem(last=False)
        self._known.move_to_end(address)
        return known
