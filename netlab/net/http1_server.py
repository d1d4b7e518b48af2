"""The server's side of HTTP/1.1 connections: one request after another, bodies streamed both ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from email.utils import formatdate
from functools import lru_cache

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Body, Exchange, Handler, Timeouts, Trailers, Tunnel
from netlab.net.http1_tunnel import Http1Tunnel
from netlab.net.idle import IdleWatch
from netlab.net.stream import READ_SIZE, Stream, TcpStream
from netlab.proto.http import NO_HEADERS, Data, End, Headers, HttpEvent, RequestHead, ResponseHead
from netlab.proto.http1 import ServerCodec

_LEFTOVER = 256 * 1024  # of a request's body that nobody wanted, read so that the connection can go on
_LINGER_S = 1.0
_LINGER_BYTES = 4 * 1024 * 1024


async def serve_http1(
    ctx: RoleContext, stream: Stream, peer: Peer, handler: Handler, timeouts: Timeouts | None = None
) -> None:
    """Serve a connection until either side ends it. `handler` must respond to each exchange.

    A peer that breaks HTTP gets a 4xx or 5xx where one can still be sent; then RemoteProtocolError.
    """
    await _Connection(ctx, stream, peer, timeouts or Timeouts()).run(handler)


class _Exchange(Exchange):
    """One request and its response."""

    def __init__(self, connection: _Connection, request: RequestHead) -> None:
        self._connection = connection
        self.request = request
        self.peer = connection.peer
        self.flow = connection.stream.flow

    async def body(self) -> AsyncIterator[bytes]:
        connection = self._connection
        await connection.allow_body(self)
        while (part := await connection.next_part()) is not None:
            yield part
        self.trailers = connection.trailers

    async def respond(self, head: ResponseHead, body: Body = b"", trailers: Trailers | None = None) -> None:
        self.begun = True
        await self._connection.respond(self.request, head, body, trailers)

    async def inform(self, head: ResponseHead) -> None:
        """Nothing is sent to a client of HTTP/1.0, which would take it for the response."""
        if self.begun or not head.informational or head.status == 101:
            raise LocalProtocolError(f"an informational response {head.status} may not come now")
        await self._connection.inform(head)

    async def tunnel(self, headers: Headers = NO_HEADERS) -> Tunnel:
        if self.begun or not self.protocol:
            raise LocalProtocolError("a tunnel that the client did not ask for")
        async for _ in self.body():  # the other protocol begins behind the request (RFC 9110 section 7.8)
            pass
        self.begun = True
        return await self._connection.switch(self.request, headers)

    def abort(self) -> None:
        self.begun = True
        self._connection.abort()


class _Connection:
    def __init__(self, ctx: RoleContext, stream: Stream, peer: Peer, timeouts: Timeouts) -> None:
        self.ctx = ctx
        self.stream = stream
        self.peer = peer
        self.trailers = NO_HEADERS  # of the request at hand, when its body has ended
        self._timeouts = timeouts
        self._codec = ServerCodec(scheme="http" if stream.tls is None else "https")
        self._events: deque[HttpEvent] = deque()
        self._over = False  # cut, or switched to another protocol
        self._idle = IdleWatch(ctx, stream, self._timeouts.idle)

    async def run(self, handler: Handler) -> None:
        try:
            while (head := await self._next_head()) is not None:
                await self._serve(head, handler)
                if self._over or not await self._finish_cycle():
                    return
        except RemoteProtocolError as error:
            await self._refuse(error)
            raise
        except BaseException:
            # A response that breaks off must not look whole, as it would to a peer that reads to the end.
            if not self._codec.can_answer and not self._codec.sent:
                self.stream.abort()
            raise
        finally:
            self._idle.close()

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

    # What comes in.

    async def _next_head(self) -> RequestHead | None:
        """None where the client ends the connection, or stays idle, or the role stops."""
        if not self._events:
            if not self._codec.buffered() and not await self._wake():
                return None
            await self._whole_head()
        if not self._events:
            return None
        head = self._events.popleft()
        assert isinstance(head, RequestHead)  # the codec gives nothing else first
        return head

    async def _wake(self) -> bool:
        """The first bytes of a request; False where none come."""
        try:
            with self._idle:
                data = await self.stream.read()
        except TimeoutError:
            return False
        self._events.extend(self._codec.receive(data))
        return bool(data)

    async def _whole_head(self) -> None:
        if self._events:
            return
        try:
            async with asyncio.timeout(self._timeouts.head):
                while not self._events and await self._receive():
                    pass
        except TimeoutError as error:
            raise RemoteProtocolError("the request's head took too long", 408) from error

    async def _receive(self) -> bool:
        data = await self.stream.read()
        self._events.extend(self._codec.receive(data))
        return bool(data)

    async def allow_body(self, exchange: Exchange) -> None:
        """Say 100 (Continue) to a client that waits for it."""
        if self._codec.expects_continue and not exchange.begun:
            await self._write(self._codec.send(ResponseHead(100)))

    async def next_part(self) -> bytes | None:
        """None at the body's end."""
        while True:
            while not self._events:
                await self._receive_body()
            event = self._events[0]
            if isinstance(event, End):
                self.trailers = event.trailers
                return None  # and it stays, so that asking again is no error
            self._events.popleft()
            if isinstance(event, Data):
                return event.data

    async def _receive_body(self) -> None:
        try:
            async with asyncio.timeout(self._timeouts.body):
                more = await self._receive()
        except TimeoutError as error:
            raise RemoteProtocolError("the request's body took too long", 408) from error
        if not more and not self._events:
            raise RemoteProtocolError("the connection ended within the request's body", 400)

    # What goes out.

    async def respond(
        self, request: RequestHead, head: ResponseHead, body: Body, trailers: Trailers | None
    ) -> None:
        bodiless = request.method == "HEAD" or head.status in {204, 304}
        if bodiless:
            trailers = None
        elif isinstance(body, bytes) and trailers is not None:
            trailers = None if request.version == "1.0" or not trailers() else trailers
        data = self._codec.send(self._completed(head, body, chunked=trailers is not None))
        size = await self._send_body(data, b"" if bodiless else body, trailers)
        self.ctx.emit(
            "response-sent",
            self.stream.flow,
            status=head.status,
            bytes=size,
            traceparent=request.headers.get("traceparent"),
        )

    def _completed(self, head: ResponseHead, body: Body, *, chunked: bool) -> ResponseHead:
        """With Date, and Content-Length where the body is known (of HEAD: where there would be one)."""
        names = {name.lower() for name, _ in head.headers}
        added = []
        if "date" not in names:
            added.append(("Date", _date(self.ctx.now_ns() // 1_000_000_000)))
        framed = chunked or not names.isdisjoint(("content-length", "transfer-encoding"))
        if isinstance(body, bytes) and not framed and head.status not in {204, 304}:
            added.append(("Content-Length", str(len(body))))
        if self.ctx.stopping and "connection" not in names:
            added.append(("Connection", "close"))
        if not added:
            return head
        return ResponseHead(head.status, Headers((*head.headers, *added)), head.reason)

    async def _send_body(self, head: bytes, body: Body, trailers: Trailers | None) -> int:
        """A small response leaves in one write, so in one segment and one TLS record."""
        if isinstance(body, bytes):
            part = self._codec.send(Data(body)) if body else b""
            await self._write(head + part + self._codec.send(_end(trailers)))
            return len(body)
        await self._write(head)
        size = 0
        async for part in body:
            size += len(part)
            await self._write(self._codec.send(Data(part)))
        await self._write(self._codec.send(_end(trailers)))
        return size

    async def inform(self, head: ResponseHead) -> None:
        await self._write(self._codec.send(head))

    async def switch(self, request: RequestHead, headers: Headers) -> Tunnel:
        own = (("Upgrade", request.protocol), ("Connection", "Upgrade"))
        head = ResponseHead(101, Headers((*own, *headers.without("upgrade", "connection"))))
        self._over = True
        await self._write(self._codec.send(head))
        self.ctx.emit(
            "response-sent",
            self.stream.flow,
            status=101,
            bytes=0,
            traceparent=request.headers.get("traceparent"),
        )
        return Http1Tunnel(self.stream, self._codec.trailing())

    def abort(self) -> None:
        self._over = True
        self.stream.abort()

    async def _write(self, data: bytes) -> None:
        """A client that takes nothing is not waited for beyond the body's time: TimeoutError. What the
        kernel takes at once needs no timer, which would cost as much as parsing a request."""
        if not data or (len(data) <= READ_SIZE and self.stream.feed(data)):
            return
        async with asyncio.timeout(self._timeouts.body):
            await self.stream.write(data)

    # Between requests, and at the end.

    async def _finish_cycle(self) -> bool:
        """True where the connection goes on. Reads what the handler left of the body, within reason."""
        left = _LEFTOVER
        while left > 0 and self._codec.keep_alive and not self.ctx.stopping:
            part = await self.next_part()
            if part is None:
                break
            left -= len(part)
        if not self._codec.reusable or self.ctx.stopping:
            if self._codec.buffered() or not self._codec.received:
                await self._linger()
            return False
        self._events.clear()  # of this cycle only its End is left
        self._events.extend(self._codec.next_cycle())
        return True

    async def _refuse(self, error: RemoteProtocolError) -> None:
        if self._over or not self._codec.can_answer:
            self.stream.abort()
            return
        head = self._completed(ResponseHead(error.status or 400), b"", chunked=False)
        fields = head.headers.having("Connection", "close")
        data = self._codec.send(head.with_headers(fields)) + self._codec.send(End())
        with contextlib.suppress(OSError):  # it broke the protocol, and may be gone
            await self._write(data)
            await self._linger()

    async def _linger(self) -> None:
        """Read on for a moment: closing a socket with unread bytes resets it, and the answer is lost
        (RFC 9112 section 9.6)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                if isinstance(self.stream, TcpStream):
                    await self.stream.write_eof()
                left = _LINGER_BYTES
                while left > 0 and (data := await self.stream.read()):
                    left -= len(data)


@lru_cache(maxsize=2)
def _date(now_s: int) -> str:
    """Of many responses a second (RFC 9110 section 5.6.7)."""
    return formatdate(now_s, usegmt=True)


def _end(trailers: Trailers | None) -> End:
    return End(trailers()) if trailers is not None else End()


def as_mapping(headers: Headers) -> dict[str, str]:
    """Names in lower case, for events."""
    found: dict[str, str] = {}
    for name, value in headers:
        lowered = name.lower()
        found[lowered] = f"{found[lowered]}, {value}" if lowered in found else value
    return found
