"""Zones: who is near is preferred, while enough of them can be used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


class Zones:
    """`zone`: our own, "" where all zones are alike. `zones`: upstream ─► its zone. `spill`: the percentage
    of the upstreams of our zone that must be usable for it to carry the load alone."""

    def __init__(self, zone: str, zones: Mapping[str, str], spill: int) -> None:
        self._zone = zone
        self._zones = zones
        self._spill = spill

    def tiers(self, usable: Sequence[str], members: Collection[str]) -> list[list[str]]:
        """The usable ones of these members, grouped: a group is used while those before it can't be."""
        near = [one for one in usable if self._near(one)]
        if not near or 100 * len(near) < self._spill * sum(map(self._near, members)):
            return [list(usable)]
        return [near, [one for one in usable if one not in near]]

    def _near(self, upstream: str) -> bool:
        return bool(self._zone) and self._zones.get(upstream) == self._zone
