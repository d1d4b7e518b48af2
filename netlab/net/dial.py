"""Opening a connection to a target: TCP, TLS, or QUIC, and the version of HTTP that both sides speak."""

from __future__ import annotations

import asyncio
from typing import assert_never

from netlab.errors import NetlabError
from netlab.model.roles import HttpVersion
from netlab.net.context import RoleContext
from netlab.net.http1_client import Http1Connection
from netlab.net.http2_client import Http2Connection
from netlab.net.http3_client import Http3Connection, open_http3
from netlab.net.stream import Stream
from netlab.net.upstream import ClientConnection, Target, UpstreamError, failed

_ALPN: dict[HttpVersion, str] = {"1.1": "http/1.1", "2": "h2", "3": "h3"}


async def dial(ctx: RoleContext, target: Target, connect_s: float) -> ClientConnection:
    """A new connection to `target`, in one of its versions, within `connect_s`.

    Raises UpstreamError (`unsent`): refused, unreachable, silent, a certificate that is not believed, or
    no version that both sides speak.
    """
    try:
        async with asyncio.timeout(connect_s):
            if "3" in target.versions:
                return await _quic(ctx, target, connect_s)
            return await _tcp(ctx, target, connect_s)
    except UpstreamError as error:
        raise UpstreamError(str(error), error.status, unsent=True, check=error.check) from error
    except TimeoutError as error:
        raise UpstreamError(_silence(target, connect_s), 504, unsent=True) from error
    except (OSError, NetlabError) as error:
        raise failed(target, error, unsent=True) from error


def _silence(target: Target, connect_s: float) -> str:
    if "3" in target.versions:
        return f"{target}: no answer by QUIC in {connect_s:g} s; UDP may be blocked on the way"
    return f"{target}: no connection in {connect_s:g} s"


async def _quic(ctx: RoleContext, target: Target, connect_s: float) -> ClientConnection:
    if target.tls is None:
        raise UpstreamError(f"{target}: HTTP/3 needs TLS, and this is plain http")
    connection = await open_http3(ctx, target, connect_s)
    if connection.link.handshaking:
        ctx.tasks.create_task(_in_time(connection, connect_s))
    return connection


async def _in_time(connection: Http3Connection, connect_s: float) -> None:
    """With 0-RTT a connection is there before the server has said a word; it must do so in time, too."""
    try:
        async with asyncio.timeout(connect_s):
            await connection.link.confirmed()
    except TimeoutError:
        connection.link.close(0, _silence(connection.target, connect_s))
    except OSError:
        return  # the connection has ended, and says why


async def _tcp(ctx: RoleContext, target: Target, connect_s: float) -> ClientConnection:
    stream = await _connected(ctx, target, connect_s)
    try:
        return await _speaking(ctx, target, stream)
    except BaseException:  # cancelled too: nobody else has the stream yet
        stream.abort()
        raise


async def _connected(ctx: RoleContext, target: Target, connect_s: float) -> Stream:
    context = None
    if target.tls is not None:
        context = ctx.tls_client(target.tls, tuple(_ALPN[version] for version in target.versions))
    return await ctx.connect(
        target.address, target.port, tls=context, server_name=target.server_name, timeout_s=connect_s
    )


async def _speaking(ctx: RoleContext, target: Target, stream: Stream) -> ClientConnection:
    version = _agreed(target, stream)
    match version:
        case "1.1":
            return Http1Connection(ctx, stream, target)
        case "2":
            return await Http2Connection.start(ctx, stream, target)
        case "3":
            raise UpstreamError(f"{target}: HTTP/3 does not go over TCP")
        case _:
            assert_never(version)


def _agreed(target: Target, stream: Stream) -> HttpVersion:
    """What ALPN chose; a server without ALPN speaks HTTP/1.1. Without TLS, "2" alone is prior knowledge."""
    if stream.tls is None:
        return "2" if target.versions == ("2",) else "1.1"
    chosen = stream.tls.alpn
    for version in target.versions:
        if chosen == _ALPN[version] or (not chosen and version == "1.1"):
            return version
    wanted = " or ".join(f"HTTP/{version}" for version in target.versions)
    raise UpstreamError(f"{target} does not speak {wanted}: it chose {chosen or 'nothing'} by ALPN")
