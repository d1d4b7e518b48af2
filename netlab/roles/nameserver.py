"""An authoritative name server: answers from its zones over UDP and TCP."""

from __future__ import annotations

from netlab.model.event import Flow
from netlab.model.roles import NameserverSpec
from netlab.net import sockets
from netlab.net.context import RoleContext
from netlab.net.dns_server import Answered, dns_server
from netlab.policy.dns_zone import Authority
from netlab.proto.dns import Message


async def serve(spec: NameserverSpec, ctx: RoleContext, hosts: tuple[str, ...] = sockets.EVERYWHERE) -> None:
    """Until the role is stopped. Raises InputError for wrong records, LabError where the port is taken."""
    authority = Authority(spec.zones, ctx.launch.locations, ctx.rng)

    async def answer(query: Message, flow: Flow) -> Answered:
        return Answered(authority.answer(query, flow.remote))

    async with dns_server(ctx, spec.listen, answer, hosts) as port:
        ctx.ready(port, zones=[zone.name for zone in spec.zones])
        await ctx.stopped()
