"""Asking once over HTTP/1.1, on a connection of its own; `net.pool` keeps connections, in any version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from netlab.net.context import RoleContext
from netlab.net.http1_client import Http1Connection
from netlab.net.upstream import Outgoing, Response, Target, failed
from netlab.proto.http import RequestHead


@asynccontextmanager
async def fetch(
    ctx: RoleContext,
    target: Target,
    head: RequestHead,
    body: AsyncIterator[bytes] | None = None,
    *,
    connect_s: float = 5.0,
    timeout_s: float = 30.0,
) -> AsyncIterator[Response]:
    """Connect, send, and wait for the response's head; the connection is closed at the end.

    `timeout_s` bounds the wait for the head, and for each next part of the body. Raises UpstreamError.
    """
    try:
        stream = await ctx.connect(
            target.address,
            target.port,
            tls=ctx.tls_client(target.tls) if target.tls is not None else None,
            server_name=target.server_name,
            timeout_s=connect_s,
        )
    except OSError as error:
        raise failed(target, error, unsent=True) from error
    connection = Http1Connection(ctx, stream, target)
    try:
        async with connection.exchange(Outgoing(head, body, timeout_s=timeout_s)) as response:
            yield response
    finally:
        await connection.close()
