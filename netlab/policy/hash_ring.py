"""A hash ring: keys and upstreams on one circle, a key belongs to the next upstream clockwise."""

from __future__ import annotations

from bisect import bisect
from hashlib import blake2b

_POINTS = 160  # of each upstream: the share of each then differs from the mean by about 8%


class HashRing:
    """Where an upstream goes, its keys pass to their next ones; no other key moves."""

    def __init__(self, upstreams: tuple[str, ...]) -> None:
        marks = sorted((_hash(f"{one}#{point}"), one) for one in upstreams for point in range(_POINTS))
        self._at = [at for at, _ in marks]
        self._owners = [owner for _, owner in marks]

    def walk(self, key: str) -> list[str]:
        """Every upstream once, in the order in which the circle is met from the key on."""
        start = bisect(self._at, _hash(key))
        return list(dict.fromkeys(self._owners[start:] + self._owners[:start]))


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
