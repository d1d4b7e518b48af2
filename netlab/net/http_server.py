"""Serving HTTP on a TCP connection, in the version that its handshake agreed on."""

from __future__ import annotations

import asyncio

from netlab.errors import LocalProtocolError
from netlab.model.roles import HttpVersion
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Handler, Timeouts
from netlab.net.http1_server import serve_http1
from netlab.net.http2_server import serve_http2
from netlab.net.stream import Stream, TcpStream

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 section 3.4
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

    Inside TLS its ALPN says the version; without TLS a client of HTTP/2 begins with its preface (prior
    knowledge, RFC 9113 section 3.3). Where `versions` lacks "2", such a client gets 505.
    A peer that breaks HTTP gets the version's own error where one can still be sent; then
    RemoteProtocolError.
    """
    limits = timeouts or Timeouts()
    if "2" not in versions or "1.1" not in versions:
        http2 = "2" in versions  # who begins otherwise is told so in the version that is spoken
    elif stream.tls is not None:
        http2 = stream.tls.alpn == "h2"
    elif isinstance(stream, TcpStream):
        begun = await _beginning(ctx, stream, limits)
        if not begun:
            return
        http2 = begun.startswith(_PREFACE)
        stream.unread(begun)
    else:
        raise LocalProtocolError(f"{stream!r} has neither TLS nor a way to look ahead")
    if http2:
        await serve_http2(ctx, stream, peer, handler, limits)
    else:
        await serve_http1(ctx, stream, peer, handler, limits)


async def _beginning(ctx: RoleContext, stream: TcpStream, timeouts: Timeouts) -> bytes:
    """As many of the first bytes as tell whether they are the preface; b"" where none come in time."""
    begun = b""
    try:
        async with ctx.idle(timeouts.idle):
            begun = await stream.read()
        async with asyncio.timeout(timeouts.head):
            while len(begun) < len(_PREFACE) and begun and _PREFACE.startswith(begun):
                if not (more := await stream.read()):
                    break
                begun += more
    except TimeoutError:
        pass  # of what has begun HTTP/1.1 says 408
    return begun
