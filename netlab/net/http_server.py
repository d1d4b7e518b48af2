"""Serving HTTP on a TCP connection, in the version that its handshake agreed on."""

from __future__ import annotations

from netlab.model.roles import HttpVersion
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Handler, Timeouts
from netlab.net.http1_server import serve_http1
from netlab.net.stream import Stream

_ALPN: dict[HttpVersion, str] = {"2": "h2", "1.1": "http/1.1"}  # the server's order of preference
BOTH: tuple[HttpVersion, ...] = ("1.1", "2")


def alpn_of(versions: tuple[HttpVersion, ...]) -> tuple[str, ...]:
    """What a TLS server offers over TCP, the best first; empty where only HTTP/3 is spoken."""
    return tuple(name for version, name in _ALPN.items() if version in versions)


async def serve_http(
    ctx: RoleContext,
    stream: Stream,
    peer: Peer,
    handler: Handler,
    timeouts: Timeouts | None = None,
    versions: tuple[HttpVersion, ...] = BOTH,
) -> None:
    """Serve a connection until either side ends it. `handler` must respond to each exchange.

    A peer that breaks HTTP gets the version's own error where one can still be sent; then
    RemoteProtocolError.
    """
    await serve_http1(ctx, stream, peer, handler, timeouts or Timeouts())
