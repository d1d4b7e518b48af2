"""A gateway between two tunnels: a WebSocket passed through, whatever version of HTTP each side speaks."""

from __future__ import annotations

import asyncio
import base64

from netlab.errors import RemoteProtocolError
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange, Tunnel
from netlab.net.pool import ConnectionPool
from netlab.net.upstream import Target, UpstreamError
from netlab.proto.http import Headers, RequestHead, ResponseHead, end_to_end
from netlab.proto.websocket_handshake import accept_key

_OF_BODY = ("content-length", "content-type", "content-encoding", "content-range", "etag", "last-modified")
_KEY, _ACCEPT = "Sec-WebSocket-Key", "Sec-WebSocket-Accept"


async def pass_tunnel(
    ctx: RoleContext, pool: ConnectionPool, exchange: Exchange, head: RequestHead, target: Target
) -> None:
    """Open a tunnel to `target` for what the exchange asks; on success both are one until either ends.

    An upstream that refuses is passed on with its status, without what describes its body, which is not
    passed. Raises UpstreamError, also where it succeeds in something else than the tunnel: over HTTP/2 and
    3 a client would take that for one.
    """
    asked = _asked(ctx, exchange, head, target)
    answer, upstream = await pool.tunnel(target, asked)
    if upstream is None and answer.status < 300:
        raise UpstreamError(f"{target}: it answered {answer.status}, and opened no tunnel")
    if upstream is None:
        fields = end_to_end(answer.headers).without(*_OF_BODY)
        await exchange.respond(ResponseHead(answer.status, fields))
        return
    try:
        _check(asked, answer, target)
        client = await exchange.tunnel(_answered(exchange, answer))
    except BaseException:
        upstream.abort()
        raise
    await splice(client, upstream)


def _asked(ctx: RoleContext, exchange: Exchange, head: RequestHead, target: Target) -> RequestHead:
    """HTTP/1.1 has a key that the answer must prove to have read (RFC 6455 section 1.3); an extended
    CONNECT has none (RFC 8441 section 5). A body of the client's is not passed."""
    head = head.with_headers(head.headers.without("content-length", "expect"))
    if target.versions != ("1.1",):
        return head.with_headers(head.headers.without(_KEY))
    if exchange.request.version == "1.1":
        return head
    key = base64.b64encode(ctx.rng.randbytes(16)).decode()
    return head.with_headers(head.headers.having(_KEY, key))


def _check(asked: RequestHead, answer: ResponseHead, target: Target) -> None:
    key = asked.headers.get(_KEY)
    if answer.status == 101 and key and answer.headers.get(_ACCEPT) != accept_key(key):
        raise UpstreamError(f"{target}: its {_ACCEPT} does not fit the key")


def _answered(exchange: Exchange, answer: ResponseHead) -> Headers:
    headers = end_to_end(answer.headers).without(_ACCEPT, "content-length", "date")
    key = exchange.request.headers.get(_KEY)
    return headers.plus(_ACCEPT, accept_key(key)) if exchange.request.version == "1.1" else headers


async def splice(one: Tunnel, other: Tunnel) -> None:
    """Both directions, each at the pace of its reader, until both have ended; where one breaks, both do."""
    ended = False
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(one, other))
            both.create_task(_pump(other, one))
        ended = True
    except* (OSError, RemoteProtocolError, UpstreamError):
        pass
    finally:
        if not ended:  # cancelled, too: else the pool would wait for its connection
            one.abort()
            other.abort()


async def _pump(source: Tunnel, sink: Tunnel) -> None:
    while data := await source.read():
        await sink.write(data)
    await sink.close()
