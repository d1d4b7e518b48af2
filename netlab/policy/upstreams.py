"""Whom to try for the next connection or request: an algorithm among those that may be used now.

All that a balancer and a route of a proxy know of their upstreams is here. Times are seconds of a monotonic
clock, which the caller reads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random

from netlab.errors import InputError
from netlab.model.roles import Balanced, Health, Server
from netlab.model.roles.balancing import HASHES
from netlab.policy.balance import balance
from netlab.policy.ejection import Ejections
from netlab.policy.health import HealthMachine
from netlab.policy.slow_start import SlowStart
from netlab.policy.sticky import preferring
from netlab.policy.upstream_settings import Changes
from netlab.policy.zones import Zones


@dataclass(slots=True)
class _Member:
    """`since`: when an active check or an operator let it come back."""

    server: Server
    health: HealthMachine
    draining: bool = False
    since: float = float("-inf")


class Upstreams:
    """`health` None: no active checks, all are healthy. `zones`: upstream ─► the location of its node, for
    those whose entry names no zone."""

    def __init__(
        self, spec: Balanced, health: Health | None, rng: Random, zones: Mapping[str, str] | None = None
    ) -> None:
        self._rng = rng
        self._refuses = spec.all_down == "refuse"
        rise, fall = (health.rise, health.fall) if health else (1, 1)
        self._members = {one.to: _Member(one, HealthMachine(rise, fall)) for one in spec.servers}
        places = {name: one.server.zone or (zones or {}).get(name, "") for name, one in self._members.items()}
        self._zones = Zones(spec.zone, places, spec.spill)
        passive = spec.passive
        self._ejections = Ejections(
            tuple(self._members), passive.failures, passive.ejection_ns / 1e9, passive.percent
        )
        self._slow_start = SlowStart(spec.slow_start_ns / 1e9)
        self._algorithm = spec.algorithm
        self._weights = {name: one.server.weight for name, one in self._members.items()}
        self._balance = balance(spec.algorithm, self._weights, rng)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def busy(self, upstream: str) -> AbstractContextManager[None]:
        """The upstream has one connection or request more while this lasts."""
        return self._balance.busy(upstream)

    def order(self, key: str, now: float, bound: str = "") -> list[str]:
        """Whom to try one after another, for a client of this `key` (its address). `bound`: to whom the
        client belongs already; it gets there, also while that one is drained, if it can be used at all."""
        groups = self._groups(now)
        if not groups:
            return []
        reachable = [name for name in self._members if self._reachable(name, now)]
        first, *others = groups
        chosen = first if bound in reachable else self._chosen(first, key, now)
        order = list(dict.fromkeys([*chosen, *first, *(one for group in others for one in group)]))
        return preferring(bound, reachable, order)

    def choose(self, key: str, now: float) -> str | None:
        """The first of that order; None where nobody may be used."""
        return next(iter(self.order(key, now)), None)

    def checked(self, upstream: str, success: bool, now: float) -> bool | None:
        """Take in an active check's result: whether the upstream is healthy now, where that has changed."""
        member = self._members[upstream]
        if not member.health.result(success):
            return None
        if member.health.healthy:
            member.since = now
        return member.health.healthy

    def result(self, upstream: str, success: bool, now: float) -> bool:
        """Take in how a connection or request went. True where that ejects the upstream."""
        return self._ejections.result(upstream, success, now)

    def check(self, changes: Changes) -> None:
        """Raises InputError where these upstreams can't be changed so."""
        algorithm = changes.algorithm or self._algorithm
        news = [one for name, one in changes.weights.items() if self._weights.get(name, one) != one != 1]
        if news and algorithm != "weighted":
            raise InputError(f"{algorithm} has no weights", "say algorithm=weighted too")
        if algorithm in HASHES and self._slow_start.seconds:
            raise InputError(f"{algorithm} ties clients to upstreams: not with `slow_start`")

    def apply(self, changes: Changes, now: float) -> None:
        """What an operator wants, for the upstreams that are here. Call `check` before."""
        if changes.drain is not None:
            for name, member in self._members.items():
                if member.draining and name not in changes.drain:
                    member.since = now
                member.draining = name in changes.drain
        self._weights |= {name: one for name, one in changes.weights.items() if name in self._members}
        if changes.passive is not None:
            self._ejections.failures = changes.passive
        if changes.algorithm or changes.weights:
            self._algorithm = changes.algorithm or self._algorithm
            self._balance = balance(self._algorithm, self._weights, self._rng, self._balance.active)

    @property
    def settings(self) -> dict[str, str]:
        """As they are now, in the words that `read_changes` reads."""
        return {
            "algorithm": self._algorithm,
            "weights": ",".join(f"{name}:{weight}" for name, weight in self._weights.items()),
            "drain": ",".join(name for name, one in self._members.items() if one.draining),
            "passive": str(self._ejections.failures),
        }

    def _groups(self, now: float) -> list[list[str]]:
        """Each is used while those before it can't be: our zone, other zones, backups."""
        groups = self._of([name for name in self._members if self._usable(name, now)])
        if not groups and not self._refuses:
            groups = self._of([name for name, one in self._members.items() if not one.draining])
        return groups

    def _of(self, usable: Collection[str]) -> list[list[str]]:
        primaries = {name for name, one in self._members.items() if not one.server.backup}
        main = [name for name in usable if name in primaries]
        groups = [*self._zones.tiers(main, primaries), [name for name in usable if name not in primaries]]
        return [group for group in groups if group]

    def _usable(self, name: str, now: float) -> bool:
        return not self._members[name].draining and self._reachable(name, now)

    def _reachable(self, name: str, now: float) -> bool:
        return self._members[name].health.healthy and self._ejections.until(name) <= now

    def _chosen(self, group: Sequence[str], key: str, now: float) -> list[str]:
        """By the algorithm; who warms up is chosen only now and then."""
        left = list(group)
        while True:
            chosen = self._balance.order(left, key)
            if len(left) == 1 or self._is_ready(chosen[0], now):
                return chosen
            left.remove(chosen[0])

    def _is_ready(self, name: str, now: float) -> bool:
        since = max(self._members[name].since, self._ejections.until(name))
        return self._slow_start.admits(name, since, now)
