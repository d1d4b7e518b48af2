"""Serving HTTP on a connection, in the version that its handshake agreed on."""

from __future__ import annotations

from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Handler, Timeouts
from netlab.net.http1_server import serve_http1
from netlab.net.stream import Stream


async def serve_http(
    ctx: RoleContext, stream: Stream, peer: Peer, handler: Handler, timeouts: Timeouts | None = None
) -> None:
    """Serve a connection until either side ends it. `handler` must respond to each exchange.

    A peer that breaks HTTP gets the version's own error where one can still be sent; then
    RemoteProtocolError.
    """
    await serve_http1(ctx, stream, peer, handler, timeouts)
