"""Which upstream is next, by the algorithms load balancers know. The caller passes randomness in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from itertools import cycle, islice
from random import Random

from netlab.model.roles import Algorithm
from netlab.policy.hash_ring import HashRing


class Balance(ABC):
    """Chooses among `upstreams`, and counts what each has in hand (`busy`).

    `active`: the counts, where another algorithm has begun them.
    """

    def __init__(self, upstreams: tuple[str, ...], active: dict[str, int] | None = None) -> None:
        self._upstreams = upstreams
        self.active = dict.fromkeys(upstreams, 0) if active is None else active

    @contextmanager
    def busy(self, upstream: str) -> Iterator[None]:
        """The upstream has one connection or request more while this lasts."""
        self.active[upstream] += 1
        try:
            yield
        finally:
            self.active[upstream] -= 1

    def choose(self, usable: Collection[str], key: str = "") -> str | None:
        """The upstream to use for `key` (the client's address); None where none is usable."""
        return next(iter(self.order(usable, key)), None)

    def order(self, usable: Collection[str], key: str = "") -> list[str]:
        """All usable upstreams, the chosen one first: whom to try one after another."""
        candidates = [upstream for upstream in self._upstreams if upstream in usable]
        return self._order(candidates, key) if candidates else []

    @abstractmethod
    def _order(self, candidates: list[str], key: str) -> list[str]:
        """The candidates (at least one) in the order in which to try them."""


class RoundRobin(Balance):
    """Takes upstreams in turn, passing over those that may not be used now."""

    def __init__(self, upstreams: tuple[str, ...], active: dict[str, int] | None = None) -> None:
        super().__init__(upstreams, active)
        self._next = 0

    def _order(self, candidates: list[str], key: str) -> list[str]:
        turned = self._upstreams[self._next :] + self._upstreams[: self._next]
        order = [upstream for upstream in turned if upstream in candidates]
        self._next = (self._upstreams.index(order[0]) + 1) % len(self._upstreams)
        return order


class SmoothWeighted(Balance):
    """Weighted turns without bursts: each gains its weight, the richest pays the sum of all."""

    def __init__(self, weights: Mapping[str, int], active: dict[str, int] | None = None) -> None:
        super().__init__(tuple(weights), active)
        self._weights = weights
        self._credit = dict.fromkeys(weights, 0)

    def _order(self, candidates: list[str], key: str) -> list[str]:
        for upstream in candidates:
            self._credit[upstream] += self._weights[upstream]
        order = sorted(candidates, key=lambda upstream: -self._credit[upstream])
        self._credit[order[0]] -= sum(self._weights[upstream] for upstream in candidates)
        return order


class LeastConnections(RoundRobin):
    """The upstream with the fewest in hand; among equals, in turn."""

    def _order(self, candidates: list[str], key: str) -> list[str]:
        return sorted(super()._order(candidates, key), key=self.active.__getitem__)


class IpHash(Balance):
    """The client's address modulo the number of usable upstreams: most keys move when that changes."""

    def _order(self, candidates: list[str], key: str) -> list[str]:
        digest = blake2b(key.encode(), digest_size=8).digest()
        at = int.from_bytes(digest, "big") % len(candidates)
        return list(islice(cycle(candidates), at, at + len(candidates)))


class ConsistentHash(Balance):
    """By a hash ring: only the keys of an upstream that goes move."""

    def __init__(self, upstreams: tuple[str, ...], active: dict[str, int] | None = None) -> None:
        super().__init__(upstreams, active)
        self._ring = HashRing(upstreams)

    def _order(self, candidates: list[str], key: str) -> list[str]:
        return [upstream for upstream in self._ring.walk(key) if upstream in candidates]


class RandomChoice(Balance):
    """Any, each as likely as the others."""

    def __init__(self, upstreams: tuple[str, ...], rng: Random, active: dict[str, int] | None = None) -> None:
        super().__init__(upstreams, active)
        self._rng = rng

    def _order(self, candidates: list[str], key: str) -> list[str]:
        return self._rng.sample(candidates, len(candidates))


class TwoChoices(RandomChoice):
    """The less busy of two drawn at random."""

    def _order(self, candidates: list[str], key: str) -> list[str]:
        drawn = super()._order(candidates, key)
        return sorted(drawn[:2], key=self.active.__getitem__) + drawn[2:]


def balance(
    algorithm: Algorithm, weights: Mapping[str, int], rng: Random, active: dict[str, int] | None = None
) -> Balance:
    """The algorithm of that name, among those that have a weight; `weighted` alone looks at it.

    `active`: what each has in hand already.
    """
    upstreams = tuple(weights)
    match algorithm:
        case "round-robin":
            return RoundRobin(upstreams, active)
        case "weighted":
            return SmoothWeighted(weights, active)
        case "least-connections":
            return LeastConnections(upstreams, active)
        case "ip-hash":
            return IpHash(upstreams, active)
        case "consistent-hash":
            return ConsistentHash(upstreams, active)
        case "random":
            return RandomChoice(upstreams, rng, active)
        case "two-choices":
            return TwoChoices(upstreams, rng, active)
