"""One active check of an upstream: a connection, and where it is asked for, a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from netlab.errors import RemoteProtocolError
from netlab.model.roles import Health, TlsClient
from netlab.net.context import RoleContext
from netlab.net.http1_client import Http1Connection
from netlab.net.sockets import address_port
from netlab.net.stream import Stream
from netlab.net.upstream import Outgoing, Target, UpstreamError
from netlab.proto.http import Headers, RequestHead

PURPOSE = "health-check"


@dataclass(frozen=True, slots=True)
class Way:
    """How a check reaches an upstream. `tls_name`: within TLS, as `tls` says. `first`: what a connection to
    it has to begin with (a PROXY header)."""

    tls_name: str = ""
    tls: TlsClient = field(default_factory=TlsClient)
    first: bytes = b""


async def probe(ctx: RoleContext, upstream: str, health: Health, way: Way) -> str:
    """Why the upstream is not healthy; "" if it is."""
    try:
        async with asyncio.timeout(health.timeout_ns / 1e9), _connected(ctx, upstream, way) as stream:
            return await _ask(ctx, stream, upstream, health, way.tls_name) if health.http else ""
    except (OSError, UpstreamError, RemoteProtocolError) as error:
        return str(error) or "no answer in time"


@asynccontextmanager
async def _connected(ctx: RoleContext, upstream: str, way: Way) -> AsyncIterator[Stream]:
    address, port = address_port(upstream)
    stream = await ctx.connect(
        address,
        port,
        tls=ctx.tls_client(way.tls) if way.tls_name else None,
        server_name=way.tls_name,
        purpose=PURPOSE,
        first=way.first,
    )
    cause = "done"
    try:
        yield stream
    except BaseException as error:
        cause = str(error) or type(error).__name__
        raise
    finally:
        await stream.close()
        ctx.emit("connection-closed", stream.flow, cause=cause, purpose=PURPOSE)


async def _ask(ctx: RoleContext, stream: Stream, upstream: str, health: Health, tls_name: str) -> str:
    head = RequestHead("GET", health.http, Headers((("Host", tls_name or upstream), ("Connection", "close"))))
    connection = Http1Connection(ctx, stream, Target(*address_port(upstream)))
    async with connection.exchange(Outgoing(head)) as response:
        await response.read()
        status = response.head.status
    return "" if status in health.expect else f"GET {health.http} was answered {status}"
