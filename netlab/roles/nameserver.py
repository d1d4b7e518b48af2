"""An authoritative name server: answers from its zones over UDP and TCP."""

from __future__ import annotations

from netlab.model.event import Flow
from netlab.model.roles import NameserverSpec
from netlab.net import sockets
from netlab.net.context import RoleContext
from netlab.net.dns_server import Answered, dns_server
from netlab.policy.dns_signing import Signing
from netlab.policy.dns_zone import Authority
from netlab.proto.dns import Message
from netlab.proto.dns_names import fold

_BEFORE_S, _AFTER_S = 3600, 30 * 86_400  # signatures are good for a while before the start, and long after


async def serve(spec: NameserverSpec, ctx: RoleContext, hosts: tuple[str, ...] = sockets.EVERYWHERE) -> None:
    """Until the role is stopped. Raises InputError for wrong records, LabError where the port is taken."""
    authority = Authority(spec.zones, ctx.launch.locations, ctx.rng, _signing(spec, ctx))

    async def answer(query: Message, flow: Flow) -> Answered:
        return Answered(authority.answer(query, flow.remote))

    async with dns_server(ctx, spec.listen, answer, hosts) as port:
        ctx.ready(port, zones=[zone.name for zone in spec.zones])
        await ctx.stopped()


def _signing(spec: NameserverSpec, ctx: RoleContext) -> Signing | None:
    """With the keys that the lab has made; None where no zone is signed."""
    if not ctx.launch.zone_keys:
        return None
    now = ctx.now_ns() // 1_000_000_000
    faulty = {
        fault: frozenset(fold(zone.name) for zone in spec.zones if zone.dnssec_fault == fault)
        for fault in ("bogus", "expired")
    }
    return Signing(
        ctx.launch.zone_keys,
        ctx.launch.signed_zones,
        now - _BEFORE_S,
        now + _AFTER_S,
        faulty["bogus"],
        faulty["expired"],
    )
