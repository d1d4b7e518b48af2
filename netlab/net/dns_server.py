"""The answering side of DNS: UDP and TCP on one port of every address of the node.

A UDP answer leaves from the address that the query came to (RFC 1035 says nothing, but clients and NAT
insist): the kernel tells it with each datagram (IP_PKTINFO, ip(7); RFC 3542, 6) and is told it in turn.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.model.event import Flow
from netlab.net import sockets
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.datagrams import ask_for_destination, destination, from_address
from netlab.net.stream import Stream
from netlab.proto.dns import FrameCodec, Message, decode, encode, format_error, reply

TCP_IDLE_S = 10.0  # RFC 7766, 6.2.3: a few seconds
IN_FLIGHT_LIMIT = 1000
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
    ctx: RoleContext, port: int, answer: Answerer, hosts: tuple[str, ...] = sockets.EVERYWHERE
) -> AsyncIterator[int]:
    """Serve `answer` until the block ends; gives the port (a free one for 0).

    Emits `dns-query` and `dns-answer` for every query. Raises LabError where the port can't be had.
    """
    server = _Server(ctx, answer)
    udp = sockets.bound(port, socket.SOCK_DGRAM, hosts)
    loop = asyncio.get_running_loop()
    try:
        port = await ctx.listen(udp[0].getsockname()[1], server.tcp, hosts=hosts)
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
        wire = await self._respond(data, flow)
        if wire is None or sock.fileno() < 0:
            return
        try:
            sock.sendmsg([wire], from_address(sock, flow.local), 0, remote)
        except OSError as error:  # no route back, a full queue: DNS over UDP is tried again
            self._ctx.emit("error", flow, cause=f"answer not sent: {error}")

    # TCP.

    async def tcp(self, stream: Stream, _peer: Peer) -> None:
        """Answer one query after the other, until the client ends or is silent for TCP_IDLE_S."""
        codec = FrameCodec()
        while True:
            async with asyncio.timeout(TCP_IDLE_S):
                data = await stream.read()
            for message in codec.receive(data):
                wire = await self._respond(message, stream.flow)
                if wire is None:
                    return
                await stream.write(codec.send(wire))
            if not data:
                return

    # Both.

    async def _respond(self, data: bytes, flow: Flow) -> bytes | None:
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
            return encode(response, limit)
        except LocalProtocolError as error:
            self._ctx.emit("error", flow, cause=str(error))
            return encode(reply(query, "SERVFAIL"), limit)

    def _emit(self, event: str, query: Message, flow: Flow, **data: Any) -> None:
        asked = query.question
        name, type_ = (asked.name, asked.type) if asked else ("", "")
        self._ctx.emit(event, flow, side="server", qname=name, qtype=type_, **data)
