"""The layer 4 balancer: splices each TCP connection, and each client's UDP, to the next healthy upstream."""

from __future__ import annotations

import asyncio

from netlab.model.roles import BalancerSpec
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.sockets import address_port
from netlab.net.stream import Stream, TcpStream
from netlab.net.udp_splice import UdpSplice
from netlab.policy.balance import balance
from netlab.policy.health import HealthMachine
from netlab.proto.proxy_protocol import Header, encode

_CONNECT_S = 2.0


async def serve(spec: BalancerSpec, ctx: RoleContext) -> None:
    """Serve until told to stop; check every upstream by a TCP connection of its own."""
    balancer = _Balancer(spec, ctx)
    port = await ctx.listen(spec.listen, balancer.handle)
    datagrams = UdpSplice(ctx, balancer.next_upstream)
    if spec.udp:
        datagrams.listen(port)
    for upstream in spec.upstreams:
        ctx.tasks.create_task(balancer.check(upstream))
    ctx.ready(port)
    await ctx.stopped()
    datagrams.close()


class _Balancer:
    def __init__(self, spec: BalancerSpec, ctx: RoleContext) -> None:
        self._spec = spec
        self._ctx = ctx
        self._turns = balance(spec.algorithm, spec.upstreams, spec.weights, ctx.rng)
        self._health = {
            upstream: HealthMachine(spec.health.rise, spec.health.fall) for upstream in spec.upstreams
        }

    async def handle(self, client: Stream, peer: Peer) -> None:
        assert isinstance(client, TcpStream)  # as this role listens without TLS
        found = await self._upstream(client)
        if found is None:
            self._ctx.emit("error", client.flow, cause="no upstream takes connections")
            client.abort()
            return
        name, upstream = found
        with self._turns.busy(name):
            await self._pass(client, upstream)

    async def _pass(self, client: TcpStream, upstream: TcpStream) -> None:
        try:
            if self._spec.proxy_protocol:
                await upstream.write(encode(_header(client)))
            await _splice(client, upstream)
        finally:
            await upstream.close()
            self._ctx.emit("connection-closed", upstream.flow, cause="done")

    async def _upstream(self, client: TcpStream) -> tuple[str, TcpStream] | None:
        """A connection to the first that takes one, from the one whose turn it is."""
        for name in self._turns.order(self._usable(), client.flow.remote):
            address, port = address_port(name)
            try:
                stream = await self._ctx.connect(address, port, timeout_s=_CONNECT_S)
            except OSError as error:
                self._ctx.emit("error", client.flow, cause=f"{name}: {error or 'no answer in time'}")
                continue
            self._ctx.emit("upstream-chosen", client.flow, upstream=name, upstream_flow=list(stream.flow))
            return name, stream
        return None

    def next_upstream(self, client: str) -> str | None:
        """The upstream for a new client of that address, of those that are healthy."""
        return self._turns.choose(self._usable(), client)

    def _usable(self) -> set[str]:
        return {upstream for upstream, health in self._health.items() if health.healthy}

    async def check(self, name: str) -> None:
        """One health check after another, for ever."""
        health = self._spec.health
        while True:
            cause = await self._probe(name, health.timeout_ns / 1e9)
            if self._health[name].result(cause == ""):
                healthy = self._health[name].healthy
                self._ctx.emit("health-changed", upstream=name, healthy=healthy, cause=cause)
            await asyncio.sleep(health.interval_ns / 1e9)

    async def _probe(self, name: str, timeout_s: float) -> str:
        """Why the upstream is not healthy; empty if it is."""
        address, port = address_port(name)
        try:
            stream = await self._ctx.connect(address, port, timeout_s=timeout_s, purpose="health-check")
            if self._spec.proxy_protocol:
                await stream.write(encode(Header()))  # LOCAL: there is no client behind this connection
            await stream.close()
        except OSError as error:
            return str(error) or "no answer in time"
        self._ctx.emit("connection-closed", stream.flow, cause="done", purpose="health-check")
        return ""


def _header(client: TcpStream) -> Header:
    flow = client.flow
    return Header(flow.remote, flow.remote_port, flow.local, flow.local_port)


async def _splice(one: TcpStream, other: TcpStream) -> None:
    """Both directions, each at the pace of its reader; the end of one is passed on alone (half-close).

    Raises OSError where either connection broke; then both are cut.
    """
    broken = ""
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(one, other))
            both.create_task(_pump(other, one))
    except* OSError as group:
        broken = str(group.exceptions[0])
    if broken:
        one.abort()
        other.abort()
        raise ConnectionError(broken)


async def _pump(source: TcpStream, sink: TcpStream) -> None:
    while data := await source.read():
        await sink.write(data)
    await sink.write_eof()
