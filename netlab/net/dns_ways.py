"""How one question gets to a resolver, and its answer back: over UDP, TCP, TLS or HTTPS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from netlab.errors import RemoteProtocolError
from netlab.model.event import Flow
from netlab.model.roles import DnsClient, Pool, TlsClient
from netlab.net.context import RoleContext
from netlab.net.dns_channel import DOT_PORT, DnsChannel
from netlab.net.dns_client import TcpQuery, UdpQuery
from netlab.net.pool import ConnectionPool
from netlab.net.upstream import Outgoing, Target, UpstreamError
from netlab.proto.dns import Message, decode, encode
from netlab.proto.http import Headers, RequestHead

DOH_PORT = 443
DOH_PATH = "/dns-query"  # RFC 8484 section 4.1.1 has it as its example, and so all use it
DOH_TYPE = "application/dns-message"
Asking = Callable[[Flow], None]  # told when the query leaves


class Way(Protocol):
    async def ask(self, server: str, query: Message, asking: Asking) -> tuple[Message, Flow]:
        """The response to `query`, and on which flow it came.

        Raises OSError (also TimeoutError), RemoteProtocolError, UpstreamError.
        """
        ...

    async def close(self) -> None: ...


def way_of(ctx: RoleContext, settings: DnsClient, timeout_s: float) -> Way:
    """As the settings say; each wait for an answer is at most `timeout_s`."""
    port = settings.port
    if settings.protocol == "https":
        return _Https(ctx, timeout_s)
    if settings.protocol == "udp":
        return _Udp(ctx, timeout_s, port)
    tls = settings.protocol == "tls"
    return _Channels(ctx, timeout_s, DOT_PORT if tls else port, tls=tls)


class _Udp:
    """A socket for each query; what doesn't fit comes over TCP."""

    def __init__(self, ctx: RoleContext, timeout_s: float, port: int) -> None:
        self._ctx = ctx
        self._timeout_s = timeout_s
        self._port = port

    async def ask(self, server: str, query: Message, asking: Asking) -> tuple[Message, Flow]:
        async with asyncio.timeout(self._timeout_s):
            with UdpQuery(server, self._port) as udp:
                response = await self._over(udp, query, asking)
        if not response.truncated:
            return response, udp.flow
        async with asyncio.timeout(self._timeout_s), TcpQuery(self._ctx, server, self._port) as tcp:
            return await self._over(tcp, query, asking), tcp.flow

    async def _over(self, link: UdpQuery | TcpQuery, query: Message, asking: Asking) -> Message:
        asking(link.flow)
        await link.send(encode(query))
        response = None
        while response is None:
            response = _fitting(await link.receive(), query)
        return response

    async def close(self) -> None:
        return


class _Channels:
    """One connection to each resolver."""

    def __init__(self, ctx: RoleContext, timeout_s: float, port: int, *, tls: bool) -> None:
        self._ctx = ctx
        self._timeout_s = timeout_s
        self._port = port
        self._tls = tls
        self._channels: dict[str, DnsChannel] = {}

    async def ask(self, server: str, query: Message, asking: Asking) -> tuple[Message, Flow]:
        channel = self._channels.get(server)
        if channel is None:
            channel = self._channels[server] = DnsChannel(self._ctx, server, self._port, tls=self._tls)
        async with asyncio.timeout(self._timeout_s):
            flow = await channel.flow()
            asking(flow)
            response = _fitting(await channel.query(encode(query)), query)
        if response is None:
            raise RemoteProtocolError(f"{server} gave another answer than was asked for")
        return response, flow

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()


class _Https:
    """POST requests over HTTP/2, or 1.1, on a connection that is kept (RFC 8484)."""

    def __init__(self, ctx: RoleContext, timeout_s: float) -> None:
        self._pool = ConnectionPool(ctx, Pool())
        self._timeout_s = timeout_s

    async def ask(self, server: str, query: Message, asking: Asking) -> tuple[Message, Flow]:
        data = encode(query)
        authority = f"[{server}]" if ":" in server else server
        headers = Headers(
            (
                ("Host", authority),
                ("Accept", DOH_TYPE),
                ("Content-Type", DOH_TYPE),
                ("Content-Length", str(len(data))),
            )
        )
        head = RequestHead("POST", DOH_PATH, headers, scheme="https")
        target = Target(server, DOH_PORT, TlsClient(), server, ("2", "1.1"), self._timeout_s)
        async with asyncio.timeout(self._timeout_s):
            lease = await self._pool.lease(target, head, self._timeout_s)
            asking(lease.connection.flow)
            outgoing = Outgoing(head, _whole(data), timeout_s=self._timeout_s)
            async with self._pool.exchange(target, outgoing, lease=lease) as answer:
                if answer.head.status != 200:
                    raise UpstreamError(f"{server} answers DNS over HTTPS by {answer.head.status}")
                response = _fitting(await answer.read(), query)
        if response is None:
            raise RemoteProtocolError(f"{server} gave another answer than was asked for")
        return response, answer.flow

    async def close(self) -> None:
        await self._pool.close()


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _fitting(data: bytes, query: Message) -> Message | None:
    """The response, if it is one to `query`; else it was forged, or late for an earlier query."""
    try:
        response = decode(data)
    except RemoteProtocolError:
        return None
    if not response.response or response.id != query.id:
        return None
    same = query.question and response.question and response.question.key == query.question.key
    unread = response.question is None and response.rcode != "NOERROR"
    return response if same or unread else None
