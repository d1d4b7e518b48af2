"""A connection to a resolver that stays open for many queries at once: TCP or TLS (RFC 7766, RFC 7858)."""

from __future__ import annotations

import asyncio

from netlab.errors import RemoteProtocolError
from netlab.model.event import Flow
from netlab.model.roles import TlsClient
from netlab.net.context import RoleContext
from netlab.net.stream import Stream
from netlab.proto.dns import FrameCodec

DOT_PORT = 853
DOT_ALPN = ("dot",)  # registered for RFC 7858


class DnsChannel:
    """Opens at the first query, and again at the next after the resolver has closed it.

    `tls`: over TLS; the certificate must carry the resolver's address.
    """

    def __init__(self, ctx: RoleContext, server: str, port: int, *, tls: bool) -> None:
        self._ctx = ctx
        self._server = server
        self._port = port
        self._tls = tls
        self._opening = asyncio.Lock()
        self._stream: Stream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[bytes]] = {}

    async def flow(self) -> Flow:
        """Of the connection, which is opened where there is none. Raises OSError."""
        return (await self._open()).flow

    async def query(self, data: bytes) -> bytes:
        """The response with the query's id. Raises OSError, RemoteProtocolError where the connection ends."""
        stream = await self._open()
        number = int.from_bytes(data[:2], "big")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await stream.write(FrameCodec().send(data))
            return await future
        finally:
            if self._waiting.get(number) is future:
                del self._waiting[number]

    def taken(self, number: int) -> bool:
        """Whether a query of this id waits for its answer."""
        return number in self._waiting

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _open(self) -> Stream:
        async with self._opening:
            if self._stream is None:
                context = self._ctx.tls_client(TlsClient(), DOT_ALPN) if self._tls else None
                self._stream = await self._ctx.connect(
                    self._server, self._port, tls=context, server_name=self._server, purpose="dns"
                )
                self._reader = self._ctx.tasks.create_task(self._read(self._stream))
            return self._stream

    async def _read(self, stream: Stream) -> None:
        codec = FrameCodec()
        cause = "the resolver closed the connection"
        try:
            while data := await stream.read():
                for message in codec.receive(data):
                    future = self._waiting.get(int.from_bytes(message[:2], "big"))
                    if future is not None and not future.done():
                        future.set_result(message)
        except OSError as error:
            cause = str(error)
        finally:
            self._stream = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(RemoteProtocolError(f"{self._server}: {cause}"))
            await stream.close()
            self._ctx.emit("connection-closed", stream.flow, cause=cause)
