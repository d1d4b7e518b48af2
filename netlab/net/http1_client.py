"""The client's side of HTTP/1.1: one request on a connection of its own, bodies streamed both ways."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from netlab.errors import RemoteProtocolError
from netlab.net.context import RoleContext
from netlab.net.stream import Stream
from netlab.net.upstream import Response, Target, failed
from netlab.proto.http import Data, End, HttpEvent, RequestHead, ResponseHead
from netlab.proto.http1 import ClientCodec

_MAX_HEAD = 64 * 1024


class _Response(Response):
    """A response whose head has come; its body comes as it is asked for."""

    def __init__(self, head: ResponseHead, reader: _Reader) -> None:
        self.head = head
        self.flow = reader.flow
        self._reader = reader

    async def body(self) -> AsyncIterator[bytes]:
        """Raises UpstreamError where the body ends early."""
        while (part := await self._reader.next_part()) is not None:
            yield part


@asynccontextmanager
async def fetch(
    ctx: RoleContext,
    target: Target,
    head: RequestHead,
    body: AsyncIterator[bytes] | None = None,
    *,
    connect_s: float = 5.0,
    timeout_s: float = 30.0,
) -> AsyncIterator[Response]:
    """Connect, send, and wait for the response's head; the connection is closed at the end.

    `timeout_s` bounds the wait for the head, and for each next part of the body. The request should
    say `Connection: close`. Raises UpstreamError.
    """
    try:
        stream = await ctx.connect(
            target.address,
            target.port,
            tls=ctx.tls_client(target.tls) if target.tls is not None else None,
            server_name=target.server_name,
            timeout_s=connect_s,
        )
    except OSError as error:
        raise failed(target, error, unsent=True) from error
    reader = _Reader(ctx, stream, target, head, timeout_s)
    try:
        await reader.send(head, body)
        yield _Response(await reader.head(), reader)
    finally:
        await reader.close()


class _Reader:
    def __init__(
        self, ctx: RoleContext, stream: Stream, target: Target, request: RequestHead, timeout_s: float
    ) -> None:
        self._ctx = ctx
        self._stream = stream
        self._target = target
        self._timeout_s = timeout_s
        self.flow = stream.flow
        self._codec = ClientCodec(_MAX_HEAD)
        self._events: deque[HttpEvent] = deque()
        self._traceparent = request.headers.get("traceparent")
        self._status = 0
        self._size = 0
        self._cause = ""

    async def send(self, head: RequestHead, body: AsyncIterator[bytes] | None) -> None:
        if body is None:
            await self._write(self._codec.send(head) + self._codec.send(End()))
        else:
            await self._write(self._codec.send(head))
            async for part in body:
                await self._write(self._codec.send(Data(part)))
            await self._write(self._codec.send(End()))
        self._ctx.emit(
            "request-sent",
            self._stream.flow,
            method=head.method,
            target=head.target,
            traceparent=self._traceparent,
        )

    async def _write(self, data: bytes) -> None:
        """A server may answer before it has read all, and close; so a failing write is not the end:
        the response, or its absence, says."""
        with suppress(OSError):
            async with asyncio.timeout(self._timeout_s):
                await self._stream.write(data)

    async def head(self) -> ResponseHead:
        """The final response's; informational ones are passed over."""
        while True:
            event = await self._next()
            if isinstance(event, ResponseHead) and not event.informational:
                self._status = event.status
                return event

    async def next_part(self) -> bytes | None:
        if self._cause:
            return None
        event = await self._next()
        if isinstance(event, Data):
            self._size += len(event.data)
            return event.data
        self._cause = "done"
        self._ctx.emit(
            "response-received",
            self._stream.flow,
            status=self._status,
            bytes=self._size,
            traceparent=self._traceparent,
        )
        return None

    async def _next(self) -> HttpEvent:
        try:
            while not self._events:
                await self._receive()
        except (OSError, RemoteProtocolError) as error:
            raise failed(self._target, error) from error
        return self._events.popleft()

    async def _receive(self) -> None:
        async with asyncio.timeout(self._timeout_s):
            data = await self._stream.read()
        self._events.extend(self._codec.receive(data))
        if not data and not self._events:
            raise RemoteProtocolError("the connection ended before a response")

    async def close(self) -> None:
        if self._cause:
            await self._stream.close()
        else:
            self._stream.abort()
        self._ctx.emit("connection-closed", self._stream.flow, cause=self._cause or "aborted")
