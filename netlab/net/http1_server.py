"""The server's side of HTTP/1.1 connections: one request after another, bodies streamed both ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from email.utils import formatdate

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Body, Exchange, Handler, Timeouts, Trailers, Tunnel
from netlab.net.stream import Stream
from netlab.proto.http import NO_HEADERS, Data, End, Headers, HttpEvent, RequestHead, ResponseHead
from netlab.proto.http1 import ServerCodec

_LEFTOVER = 256 * 1024  # of a request's body that nobody wanted, read so that the connection can go on


class _Exchange(Exchange):
    """One request and its response."""

    def __init__(self, connection: _Connection, request: RequestHead) -> None:
        self._connection = connection
        self.request = request
        self.peer = connection.peer
        self.flow = connection.stream.flow

    async def body(self) -> AsyncIterator[bytes]:
        await self._connection.allow_body(self)
        while (event := await self._connection.next_body_event()) is not None:
            yield event.data

    async def respond(self, head: ResponseHead, body: Body = b"", trailers: Trailers | None = None) -> None:
        self.begun = True
        await self._connection.respond(self.request, head, body)

    async def inform(self, head: ResponseHead) -> None:
        raise NotImplementedError

    async def tunnel(self, headers: Headers = NO_HEADERS) -> Tunnel:
        raise NotImplementedError

    def abort(self) -> None:
        self._connection.stream.abort()


async def serve_http1(
    ctx: RoleContext, stream: Stream, peer: Peer, handler: Handler, timeouts: Timeouts | None = None
) -> None:
    """Serve a connection until either side ends it. `handler` must respond to each exchange.

    A peer that breaks HTTP gets a 4xx or 5xx where one can still be sent; then RemoteProtocolError.
    """
    await _Connection(ctx, stream, peer, timeouts or Timeouts()).run(handler)


class _Connection:
    def __init__(self, ctx: RoleContext, stream: Stream, peer: Peer, timeouts: Timeouts) -> None:
        self.ctx = ctx
        self.stream = stream
        self.peer = peer
        self._timeouts = timeouts
        self._codec = ServerCodec()
        self._events: deque[HttpEvent] = deque()

    async def run(self, handler: Handler) -> None:
        try:
            while (head := await self._next_head()) is not None:
                await self._serve(head, handler)
                if not await self._finish_cycle():
                    return
        except RemoteProtocolError as error:
            await self._refuse(error.status or 400)
            raise

    async def _serve(self, head: RequestHead, handler: Handler) -> None:
        self.ctx.emit(
            "request-received",
            self.stream.flow,
            method=head.method,
            target=head.target,
            traceparent=head.headers.get("traceparent"),
            headers=as_mapping(head.headers),
        )
        exchange = _Exchange(self, head)
        await handler(exchange)
        if not exchange.begun:
            raise LocalProtocolError(f"no response to {head.method} {head.target}")

    async def _next_head(self) -> RequestHead | None:
        """None where the client ends the connection, or stays idle, or the role stops."""
        if not self._events and not self._codec.buffered():
            try:
                async with self.ctx.idle(self._timeouts.idle):
                    data = await self.stream.read()
            except TimeoutError:
                return None
            if not data:
                return None
            self._events.extend(self._codec.receive(data))
        try:
            async with asyncio.timeout(self._timeouts.head):
                while not self._events:
                    if not await self._receive():
                        return None
        except TimeoutError as error:
            raise RemoteProtocolError("the request's head took too long", 408) from error
        head = self._events.popleft()
        assert isinstance(head, RequestHead)  # the codec gives nothing else first
        return head

    async def _receive(self) -> bool:
        data = await self.stream.read()
        self._events.extend(self._codec.receive(data))
        return bool(data)

    async def allow_body(self, exchange: Exchange) -> None:
        if self._codec.expects_continue and not exchange.begun:
            await self._write(self._codec.send(ResponseHead(100, reason="Continue")))

    async def next_body_event(self) -> Data | None:
        """None at the body's end."""
        while True:
            while not self._events:
                await self._receive_body()
            event = self._events[0]
            if isinstance(event, End):
                return None  # and it stays, so that asking again is no error
            self._events.popleft()
            if isinstance(event, Data):
                return event

    async def _receive_body(self) -> None:
        try:
            async with asyncio.timeout(self._timeouts.body):
                more = await self._receive()
        except TimeoutError as error:
            raise RemoteProtocolError("the request's body took too long", 408) from error
        if not more and not self._events:
            raise RemoteProtocolError("the connection ended within the request's body", 400)

    async def respond(self, request: RequestHead, head: ResponseHead, body: Body) -> None:
        headers = head.headers
        if not headers.has("date"):
            headers = headers.plus("Date", formatdate(usegmt=True))
        if isinstance(body, bytes) and head.status not in {204, 304} and not headers.has("content-length"):
            headers = headers.plus("Content-Length", str(len(body)))
        if self.ctx.stopping:
            headers = headers.having("Connection", "close")
        data = self._codec.send(head.with_headers(headers))
        bodiless = request.method == "HEAD" or head.status in {204, 304}
        size = await self._send_body(data, b"" if bodiless else body)
        self.ctx.emit(
            "response-sent",
            self.stream.flow,
            status=head.status,
            bytes=size,
            traceparent=request.headers.get("traceparent"),
        )

    async def _send_body(self, head: bytes, body: Body) -> int:
        """A small response leaves in one write, so in one segment and one TLS record."""
        if isinstance(body, bytes):
            part = self._codec.send(Data(body)) if body else b""
            await self._write(head + part + self._codec.send(End()))
            return len(body)
        await self._write(head)
        size = 0
        async for part in body:
            size += len(part)
            await self._write(self._codec.send(Data(part)))
        await self._write(self._codec.send(End()))
        return size

    async def _write(self, data: bytes) -> None:
        """A client that takes nothing is not waited for beyond the body's time: TimeoutError."""
        async with asyncio.timeout(self._timeouts.body):
            await self.stream.write(data)

    async def _finish_cycle(self) -> bool:
        """True where the connection goes on. Reads what the handler left of the body, within reason."""
        left = _LEFTOVER
        while left > 0 and not self._codec.expects_continue:
            event = await self.next_body_event()
            if event is None:
                break
            left -= len(event.data)
        if not self._codec.reusable or self.ctx.stopping:
            return False
        self._events.clear()  # of this cycle only its End is left
        self._events.extend(self._codec.next_cycle())
        return True

    async def _refuse(self, status: int) -> None:
        if not self._codec.can_answer:
            self.stream.abort()
            return
        with contextlib.suppress(OSError):  # it broke the protocol, and may be gone
            head = ResponseHead(status, Headers((("Connection", "close"), ("Content-Length", "0"))))
            await self._write(self._codec.send(head) + self._codec.send(End()))
            await _linger(self.stream)


async def _linger(stream: Stream) -> None:
    """Read on for a moment: closing a socket with unread bytes resets it, and the answer is lost."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            for _ in range(64):
                if not await stream.read():
                    return


def as_mapping(headers: Headers) -> dict[str, str]:
    """Names in lower case, for events."""
    return {name.lower(): headers.get(name) for name, _ in headers}
