"""One active check of an upstream: a connection, and where it is asked for, a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from netlab.errors import RemoteProtocolError
from netlab.model.roles import Health, TlsClient
from netlab.net.context import RoleContext
from netlab.net.http1_client import Http1Connection
from netlab.net.sockets import address_port
from netlab.net.stream import Stream
from netlab.net.upstream import Outgoing, Target, UpstreamError
from netlab.proto.http import Headers, RequestHead

PURPOSE = "health-check"


async def probe(
    ctx: RoleContext, upstream: str, health: Health, *, tls_name: str = "", first: bytes = b""
) -> str:
    """Why the upstream is not healthy; "" if it is. `tls_name`: check within TLS. `first`: what a connection
    to it has to begin with (a PROXY header)."""
    try:
        async with (
            asyncio.timeout(health.timeout_ns / 1e9),
            _connected(ctx, upstream, tls_name, first) as stream,
        ):
            return await _ask(ctx, stream, upstream, health, tls_name) if health.http else ""
    except (OSError, UpstreamError, RemoteProtocolError) as error:
        return str(error) or "no answer in time"


@asynccontextmanager
async def _connected(ctx: RoleContext, upstream: str, tls_name: str, first: bytes) -> AsyncIterator[Stream]:
    address, port = address_port(upstream)
    stream = await ctx.connect(
        address,
        port,
        tls=ctx.tls_client(TlsClient()) if tls_name else None,
        server_name=tls_name,
        purpose=PURPOSE,
        first=first,
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
