"""The answering side of DNS: UDP and TCP on one port of every address of the node.

A UDP answer leaves from the address that the query came to (RFC 1035 says nothing, but clients and NAT
insist): the kernel tells it with each datagram (IP_PKTINFO, ip(7); RFC 3542, 6) and is told it in turn.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.model.event import Flow
from netlab.model.roles import TlsServer
from netlab.net import sockets
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.datagrams import ask_for_destination, destination, from_address
from netlab.net.dns_channel import DOT_ALPN, DOT_PORT
from netlab.net.dns_https import DnsOverHttps
from netlab.net.dns_ways import DOH_PORT
from netlab.net.http_listen import listen_http
from netlab.net.stream import Stream
from netlab.proto.dns import FrameCodec, Message, decode, encode, format_error, reply

TCP_IDLE_S = 10.0  # RFC 7766, 6.2.3: a few seconds
IN_FLIGHT_LIMIT = 1000
PIPELINE_LIMIT = 100  # queries at once of one connection
_DATAGRAM = 65_535


@dataclass(frozen=True, slots=True)
class Answered:
    """A response; `cached` where it cost no further query; `cause` of a SERVFAIL."""

    message: Message
    cached: bool = False
    cause: str = ""


# A query and its flow (the server's end first) ─► the answer.
Answerer = Callable[[Message, Flow], Awaitable[Answered]]


@asynccontextmanager
async def dns_server(
    ctx: RoleContext,
    port: int,
    answer: Answerer,
    hosts: tuple[str, ...] = sockets.EVERYWHERE,
    *,
    dot: bool = False,
    doh: bool = False,
) -> AsyncIterator[int]:
    """Serve `answer` until the block ends; gives the port (a free one for 0).

    `dot`, `doh`: also over TLS and HTTPS, on their own ports, with the node's certificate.
    Emits `dns-query` and `dns-answer` for every query. Raises LabError where the port can't be had.
    """
    server = _Server(ctx, answer)
    udp = sockets.bound(port, socket.SOCK_DGRAM, hosts)
    loop = asyncio.get_running_loop()
    try:
        port = await ctx.listen(udp[0].getsockname()[1], server.tcp, hosts=hosts)
        if dot:
            context = ctx.tls_server(TlsServer(), DOT_ALPN)
            await ctx.listen(DOT_PORT, server.tcp, tls=context, hosts=hosts)
        if doh:
            await listen_http(ctx, DOH_PORT, ("2", "1.1"), TlsServer(), DnsOverHttps(server.respond).handle)
        for sock in udp:
            ask_for_destination(sock)
            loop.add_reader(sock, server.readable, sock)
        yield port
    finally:
        for sock in udp:
            loop.remove_reader(sock)
            sock.close()


class _Server:
    def __init__(self, ctx: RoleContext, answer: Answerer) -> None:
        self._ctx = ctx
        self._answer = answer
        self._in_flight: set[asyncio.Task[None]] = set()

    # UDP.

    def readable(self, sock: socket.socket) -> None:
        """Take one datagram; the event loop calls again while there are more."""
        try:
            data, control, _, remote = sock.recvmsg(_DATAGRAM, 256)
        except (BlockingIOError, ConnectionError):
            return  # a wrong checksum, or ICMP for an earlier answer whose asker has left
        flow = Flow("udp", destination(control), sock.getsockname()[1], remote[0], remote[1])
        if len(self._in_flight) >= IN_FLIGHT_LIMIT:
            self._ctx.emit(
                "error", flow, cause=f"more than {IN_FLIGHT_LIMIT} queries at once: one is dropped"
            )
            return
        task = self._ctx.tasks.create_task(self._udp(sock, data, flow, remote))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _udp(self, sock: socket.socket, data: bytes, flow: Flow, remote: Any) -> None:
        wire = await self.respond(data, flow)
        if wire is None or sock.fileno() < 0:
            return
        try:
            sock.sendmsg([wire], from_address(sock, flow.local), 0, remote)
        except OSError as error:  # no route back, a full queue: DNS over UDP is tried again
            self._ctx.emit("error", flow, cause=f"answer not sent: {error}")

    # TCP.

    async def tcp(self, stream: Stream, _peer: Peer) -> None:
        """Answer queries until the client ends, or has sent no whole one for TCP_IDLE_S.

        They may be many at once, and each is answered when its answer is there (RFC 7766 section 6.2.1.1).
        """
        codec = FrameCodec()
        async with asyncio.TaskGroup() as group:
            ended = await self._pipeline(stream, codec, group)
        if ended:
            codec.receive(b"")  # complains of half a message

    async def _pipeline(self, stream: Stream, codec: FrameCodec, group: asyncio.TaskGroup) -> bool:
        """Whether the client has ended; else it was silent for too long, or has gone."""
        room = asyncio.Semaphore(PIPELINE_LIMIT)
        writing = asyncio.Lock()
        try:
            while messages := await self._messages(stream, codec):
                for message in messages:
                    await room.acquire()
                    work = self._over_tcp(stream, message, writing)
                    group.create_task(work).add_done_callback(lambda _: room.release())
        except OSError:  # also TimeoutError
            return False
        return True

    async def _messages(self, stream: Stream, codec: FrameCodec) -> list[bytes]:
        """What has come whole; nothing at the end. Raises OSError, TimeoutError."""
        async with self._ctx.idle(TCP_IDLE_S):
            while data := await stream.read():
                if messages := codec.receive(data):
                    return messages
        return []

    async def _over_tcp(self, stream: Stream, message: bytes, writing: asyncio.Lock) -> None:
        wire = await self.respond(message, stream.flow)
        if wire is None:  # an answer, or no message at all: nothing more of this client is worth reading
            stream.abort()
            return
        async with writing:
            try:
                await stream.write(FrameCodec().send(wire))
            except OSError:
                return  # the client has gone; reading says so too

    # Both.

    async def respond(self, data: bytes, flow: Flow) -> bytes | None:
        """The response to what came on the flow; None where nothing is to be said."""
        try:
            query = decode(data)
        except RemoteProtocolError as error:
            self._ctx.emit("error", flow, cause=str(error))
            return format_error(data)
        if query.response:
            return None  # never answer an answer: two servers could keep each other busy for ever
        self._emit("dns-query", query, flow)
        answered = await self._answer(query, flow)
        wire = self._encode(query, answered.message, flow)
        sent = answered.message
        details: dict[str, Any] = {"cause": answered.cause} if answered.cause else {}
        self._emit(
            "dns-answer",
            query,
            flow,
            rcode=sent.rcode,
            answers=[one.data for one in sent.answers],
            cached=answered.cached,
            **details,
        )
        return wire

    def _encode(self, query: Message, response: Message, flow: Flow) -> bytes:
        limit = query.udp_limit if flow.protocol == "udp" else _DATAGRAM
        try:
            if _refers(response) and len(encode(response)) > limit:
                response = replace(response, truncated=True)  # else glue would be missed (RFC 9471)
            return encode(response, limit)
        except LocalProtocolError as error:
            self._ctx.emit("error", flow, cause=str(error))
            return encode(reply(query, "SERVFAIL"), limit)

    def _emit(self, event: str, query: Message, flow: Flow, **data: Any) -> None:
        asked = query.question
        name, type_ = (asked.name, asked.type) if asked else ("", "")
        self._ctx.emit(event, flow, side="server", qname=name, qtype=type_, **data)


def _refers(response: Message) -> bool:
    """Whether it is a referral: servers of a zone below, and their addresses."""
    return bool(response.additional) and not response.answers and not response.authoritative
