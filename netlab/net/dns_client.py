"""The asking side of DNS: a socket per query, so a random source port from the kernel (RFC 5452, 9.2)."""

from __future__ import annotations

import asyncio
import socket
from typing import Self

from netlab.errors import RemoteProtocolError
from netlab.model.event import Flow
from netlab.net import sockets
from netlab.net.context import RoleContext
from netlab.proto.dns import FrameCodec

PORT = 53
_DATAGRAM = 65_535


class UdpQuery:
    """A connected UDP socket for one query: the kernel lets in only what comes from the server.

    Raises OSError: no route, or the server's port is closed (ICMP). Use it as a context manager.
    """

    def __init__(self, server: str, port: int = PORT) -> None:
        self._socket = socket.socket(sockets.family_of(server), socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect((server, port))
        except OSError:
            self._socket.close()
            raise
        self.flow: Flow = sockets.flow_of(self._socket, "udp")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """The next datagram."""
        return await asyncio.get_running_loop().sock_recv(self._socket, _DATAGRAM)


class TcpQuery:
    """A TCP connection for one query. Raises OSError, and RemoteProtocolError where it ends too soon."""

    def __init__(self, ctx: RoleContext, server: str, port: int = PORT) -> None:
        self._ctx = ctx
        self._server = server
        self._port = port

    async def __aenter__(self) -> Self:
        self._stream = await self._ctx.connect(self._server, self._port)
        self._codec = FrameCodec()
        self.flow: Flow = self._stream.flow
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.close()
        self._ctx.emit("connection-closed", self.flow, cause="done")

    async def send(self, data: bytes) -> None:
        await self._stream.write(self._codec.send(data))

    async def receive(self) -> bytes:
        """The next message."""
        messages: list[bytes] = []
        while not messages:
            data = await self._stream.read()
            messages = self._codec.receive(data)
            if not data:
                raise RemoteProtocolError(f"{self._server} closed the connection without an answer")
        return messages[0]
