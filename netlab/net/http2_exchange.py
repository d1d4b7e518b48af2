"""One request and its response over HTTP/2, as roles see it, and how responses are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from email.utils import formatdate
from functools import lru_cache

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Body, Exchange, Timeouts, Trailers, Tunnel
from netlab.net.http2_streams import Http2Tunnel, Inbox, Multiplexer, StreamResetError
from netlab.net.stream import Stream
from netlab.proto.http import NO_HEADERS, Data, End, Headers, HttpEvent, RequestHead, ResponseHead
from netlab.proto.http2 import ErrorCodes, ServerCodec


class Http2Exchange(Exchange):
    """One request and its response."""

    def __init__(self, responder: Responder, peer: Peer, request: RequestHead) -> None:
        self.request = request
        self.peer = peer
        self.flow = responder.flow
        self.inbox = Inbox(responder.multiplexer, request.stream)
        self._responder = responder

    async def body(self) -> AsyncIterator[bytes]:
        responder, inbox = self._responder, self.inbox
        expect = self.request.headers.get("expect").lower()
        if expect == "100-continue" and not self.begun and not inbox.ended:
            responder.send(inbox.stream, ResponseHead(100, stream=inbox.stream))
        try:
            while (part := await inbox.next_part(responder.timeouts.body)) is not None:
                yield part
        except TimeoutError as error:
            raise RemoteProtocolError("the request's body took too long", 408) from error
        self.trailers = inbox.trailers

    async def respond(self, head: ResponseHead, body: Body = b"", trailers: Trailers | None = None) -> None:
        self.begun = True
        await self._responder.respond(self.request, head, body, trailers)

    async def inform(self, head: ResponseHead) -> None:
        if self.begun or not head.informational or head.status == 101:
            raise LocalProtocolError(f"an informational response {head.status} may not come now")
        self._responder.send(self.request.stream, _on(head, self.request.stream))

    async def push(self, request: RequestHead, head: ResponseHead, body: bytes) -> bool:
        return await self._responder.push(self.request, request, head, body)

    async def tunnel(self, headers: Headers = NO_HEADERS) -> Tunnel:
        if self.begun or not self.protocol:
            raise LocalProtocolError("a tunnel that the client did not ask for")
        self.begun = True
        return self._responder.accept(self, headers)

    def abort(self) -> None:
        self.begun = True
        self._responder.reset(self.request.stream, ErrorCodes.INTERNAL_ERROR)


def _on(head: ResponseHead, stream: int) -> ResponseHead:
    return ResponseHead(head.status, head.headers, "", stream, "2")


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Responder:
    """What all exchanges of a connection send with."""

    def __init__(
        self,
        ctx: RoleContext,
        codec: ServerCodec,
        stream: Stream,
        timeouts: Timeouts,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.flow = stream.flow
        self.timeouts = timeouts
        self.multiplexer = Multiplexer(codec, stream, timeouts.body)
        self._ctx = ctx
        self._codec = codec
        self._stream = stream
        self._tasks = tasks

    def send(self, stream: int, *events: HttpEvent) -> None:
        """Raises StreamResetError where the client has given the stream up."""
        if not self._codec.is_open(stream):
            raise StreamResetError("the stream is closed")
        self.multiplexer.send(*events)

    def reset(self, stream: int, code: int) -> None:
        self.multiplexer.reset(stream, code)

    async def respond(
        self, request: RequestHead, head: ResponseHead, body: Body, trailers: Trailers | None
    ) -> None:
        bodiless = request.method == "HEAD" or head.status in {204, 304}
        sent = self._completed(head, body, request.stream)
        if not self._codec.is_open(request.stream):
            raise StreamResetError("the stream is closed")
        if bodiless:
            self.multiplexer.send(sent, End(stream=request.stream))
            size = 0
        elif isinstance(body, bytes):
            size = await self._send_whole(sent, body, trailers)
        else:
            size = await self._send_parts(sent, body, trailers)
        self._sent(request, head.status, size)

    def _completed(self, head: ResponseHead, body: Body, stream: int) -> ResponseHead:
        """With Date, and Content-Length where the body is known (of HEAD: where there would be one)."""
        names = {name.lower() for name, _ in head.headers}
        added: tuple[tuple[str, str], ...] = ()
        if "date" not in names:
            added = (("date", _date(self._ctx.now_ns() // 1_000_000_000)),)
        if isinstance(body, bytes) and "content-length" not in names and head.status not in {204, 304}:
            added = (*added, ("content-length", str(len(body))))
        return ResponseHead(head.status, Headers((*head.headers, *added)), "", stream, "2")

    async def _send_whole(self, head: ResponseHead, body: bytes, trailers: Trailers | None) -> int:
        """A small response leaves in one write, with others that are ready."""
        stream = head.stream
        end = End(trailers() if trailers is not None else NO_HEADERS, stream)
        if self.multiplexer.fits(stream, len(body)):
            self.multiplexer.send_body(Data(body, stream), head, end=end)
        else:
            self.multiplexer.send(head)
            await self.multiplexer.write(stream, body, self.timeouts.body, ends=not end.trailers)
            if end.trailers:
                self.send(stream, end)
        return len(body)

    async def _send_parts(
        self, head: ResponseHead, body: AsyncIterator[bytes], trailers: Trailers | None
    ) -> int:
        stream, size = head.stream, 0
        self.multiplexer.send(head)
        async for part in body:
            if part:
                size += len(part)
                await self.multiplexer.write(stream, part, self.timeouts.body)
        self.send(stream, End(trailers() if trailers is not None else NO_HEADERS, stream))
        return size

    async def push(self, parent: RequestHead, request: RequestHead, head: ResponseHead, body: bytes) -> bool:
        stream = parent.stream
        if (
            not self._codec.is_open(stream)
            or stream % 2 == 0
            or not self._codec.can_push
            or self._codec.leaving
        ):
            return False
        promised = self._codec.promise(stream, request)
        self._tasks.create_task(self._push(request, self._completed(head, body, promised), body))
        return True

    async def _push(self, request: RequestHead, head: ResponseHead, body: bytes) -> None:
        """A client that does not want it resets it, and that is all."""
        try:
            size = await self._send_whole(head, b"" if request.method == "HEAD" else body, None)
        except OSError:
            self.reset(head.stream, ErrorCodes.CANCEL)
            return
        self._sent(replace(request, stream=head.stream), head.status, size, pushed=True)

    def _sent(self, request: RequestHead, status: int, size: int, **more: bool) -> None:
        self._ctx.emit(
            "response-sent",
            self.flow,
            status=status,
            bytes=size,
            traceparent=next((value for name, value in request.headers if name == "traceparent"), ""),
            version="2",
            stream=request.stream,
            **more,
        )

    def accept(self, exchange: Http2Exchange, headers: Headers) -> Http2Tunnel:
        """Open the tunnel that an extended CONNECT asked for (RFC 8441 section 4)."""
        stream = exchange.request.stream
        self.send(stream, ResponseHead(200, headers, "", stream, "2"))
        self._sent(exchange.request, 200, 0)
        return Http2Tunnel(self.multiplexer, self._stream, exchange.inbox, self.timeouts.body)
