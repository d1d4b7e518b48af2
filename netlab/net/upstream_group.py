"""The upstreams of a balancer or of a proxy's route, as a role uses them: `policy.upstreams` with a clock,
active checks, and events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from netlab.model.roles import Balanced, Health
from netlab.net.context import RoleContext
from netlab.net.health_check import Way, probe
from netlab.net.sockets import address_port
from netlab.policy.dns_location import Locations
from netlab.policy.upstream_settings import Changes, joined, read_changes
from netlab.policy.upstreams import Upstreams


class UpstreamGroup:
    """`health` None: no active checks. `way`: how they go."""

    def __init__(self, ctx: RoleContext, spec: Balanced, health: Health | None, way: Way) -> None:
        self._ctx = ctx
        self._health = health
        self._way = way
        locations = Locations(ctx.launch.locations)
        zones = {one.to: locations.of(address_port(one.to)[0]) for one in spec.servers}
        self._upstreams = Upstreams(spec, health, ctx.rng, zones)

    def start_checks(self) -> None:
        """Check every upstream from now on, until the role ends."""
        if self._health is not None:
            for name in self._upstreams.names:
                self._ctx.tasks.create_task(self._check(name, self._health))

    def order(self, client: str, bound: str = "") -> list[str]:
        """Whom to try one after another for a client; `bound`: the one to which it belongs, if any."""
        return self._upstreams.order(client, self._ctx.now(), bound)

    def choose(self, client: str) -> str | None:
        return self._upstreams.choose(client, self._ctx.now())

    def busy(self, upstream: str) -> AbstractContextManager[None]:
        """The upstream has one connection or request more while this lasts."""
        return self._upstreams.busy(upstream)

    def result(self, upstream: str, cause: str) -> None:
        """How a connection or a request to it went; no cause means well."""
        if self._upstreams.result(upstream, not cause, self._ctx.now()):
            self._ctx.emit("health-changed", upstream=upstream, healthy=False, cause=cause)

    @property
    def names(self) -> tuple[str, ...]:
        return self._upstreams.names

    @property
    def settings(self) -> dict[str, str]:
        return self._upstreams.settings

    def check(self, changes: Changes) -> None:
        """Raises InputError where these upstreams can't be changed so."""
        self._upstreams.check(changes)

    def apply(self, changes: Changes) -> None:
        self._upstreams.apply(changes, self._ctx.now())

    async def _check(self, name: str, health: Health) -> None:
        """One active check after another."""
        while True:
            cause = await probe(self._ctx, name, health, self._way)
            healthy = self._upstreams.checked(name, not cause, self._ctx.now())
            if healthy is not None:
                self._ctx.emit("health-changed", upstream=name, healthy=healthy, cause=cause)
            await asyncio.sleep(health.interval_ns / 1e9)


def change(ctx: RoleContext, groups: Sequence[UpstreamGroup], settings: Mapping[str, str]) -> dict[str, str]:
    """Change what an operator wants changed of these groups: all of it or nothing. A name may be a node's, or
    an upstream as it is written. Gives the settings of these keys as they were before.

    Raises InputError where a setting is wrong.
    """
    names = list(dict.fromkeys(name for group in groups for name in group.names))

    def find(name: str) -> list[str]:
        if name in names:
            return [name]
        addresses = ctx.addresses_of(name)
        return [one for one in names if address_port(one)[0] in addresses]

    changes = read_changes(settings, find)
    for group in groups:
        group.check(changes)
    before = {key: joined(key, [group.settings[key] for group in groups]) for key in settings}
    for group in groups:
        group.apply(changes)
    return before
