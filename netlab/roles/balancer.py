"""The layer 4 balancer: splices each TCP connection, and each client's UDP, to a usable upstream."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

from netlab.errors import InputError
from netlab.model.event import Flow
from netlab.model.roles import BalancerSpec
from netlab.model.roles.balancer import COUNTING
from netlab.net.accepting import Acceptor
from netlab.net.context import RoleContext
from netlab.net.health_check import Way
from netlab.net.sockets import address_port, allow_open_files
from netlab.net.splice import Splice
from netlab.net.udp_splice import UdpSplice
from netlab.net.upstream_group import UpstreamGroup, change
from netlab.proto.proxy_protocol import Header, encode

_CONNECT_S = 2.0
_LOCAL = encode(Header())  # there is no client behind a check's connection


async def serve(spec: BalancerSpec, ctx: RoleContext) -> None:
    """Serve until told to stop; then open connections have the drain's time to end."""
    allow_open_files()
    balancer = _Balancer(spec, ctx)
    acceptor = Acceptor(ctx, balancer.handle)
    port = acceptor.listen(spec.listen)
    datagrams = UdpSplice(ctx, balancer.upstreams.choose, balancer.upstreams.result)
    if spec.udp:
        datagrams.listen(port)
    balancer.upstreams.start_checks()
    ctx.on_settings(balancer.settings)
    ctx.ready(port)
    await ctx.stopped()
    acceptor.close()
    datagrams.close()


class _Balancer:
    def __init__(self, spec: BalancerSpec, ctx: RoleContext) -> None:
        self._spec = spec
        self._ctx = ctx
        way = Way(spec.health.tls_name, first=_LOCAL if spec.proxy_protocol else b"")
        self.upstreams = UpstreamGroup(ctx, spec, spec.health, way)

    def settings(self, settings: Mapping[str, str]) -> dict[str, str]:
        """What an operator changes while it runs. Raises InputError."""
        algorithm = settings.get("algorithm", "")
        if self._spec.udp and algorithm in COUNTING:
            raise InputError(f"`{algorithm}` counts connections, which UDP does not have")
        return change(self._ctx, [self.upstreams], settings)

    async def handle(self, client: socket.socket, flow: Flow) -> None:
        """One client's connection, to its end."""
        for name in self.upstreams.order(flow.remote):
            with self.upstreams.busy(name):
                upstream = await self._connected(name, flow)
                if upstream is not None:
                    await self._pass(client, flow, name, *upstream)
                    return
        self._ctx.emit("error", flow, cause="no upstream takes connections")

    async def _connected(self, name: str, client: Flow) -> tuple[socket.socket, Flow] | None:
        address, port = address_port(name)
        try:
            async with asyncio.timeout(_CONNECT_S):
                sock, flow = await self._ctx.connect_socket(address, port)
        except OSError as error:
            cause = f"{name}: {error or 'no answer in time'}"
            self._ctx.emit("error", client, cause=cause)
            self.upstreams.result(name, cause)
            return None
        self._ctx.emit("upstream-chosen", client, upstream=name, upstream_flow=list(flow))
        return sock, flow

    async def _pass(
        self, client: socket.socket, flow: Flow, name: str, upstream: socket.socket, upstream_flow: Flow
    ) -> None:
        splice = Splice(
            client,
            upstream,
            answered=lambda: self.upstreams.result(name, ""),
            silent=lambda: self.upstreams.result(name, f"{name}: the connection ended before its first byte"),
        )
        cause = "done"
        try:
            if self._spec.proxy_protocol:
                upstream.send(encode(_header(flow)))  # into a buffer that is empty
            await splice.run()
        except OSError as error:
            cause = str(error)
            raise
        finally:
            upstream.close()
            self._ctx.emit("connection-closed", upstream_flow, cause=cause)


def _header(client: Flow) -> Header:
    return Header(client.remote, client.remote_port, client.local, client.local_port)
