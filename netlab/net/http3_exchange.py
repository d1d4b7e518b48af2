"""One request and its response over HTTP/3, on the server's side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from email.utils import formatdate

from netlab.errors import LocalProtocolError
from netlab.net.connection import Peer
from netlab.net.exchange import Body, Exchange, Timeouts, Trailers, Tunnel
from netlab.net.http3_stream import Http3Tunnel, Incoming, Multiplexer, StreamResetError, too_slow
from netlab.proto.http import NO_HEADERS, End, Headers, RequestHead, ResponseHead
from netlab.proto.http3_frames import ErrorCode

_BODILESS = {204, 205, 304}


class Http3Exchange(Exchange):
    """`task` runs its handler. `incoming` is the request's body."""

    def __init__(
        self, multiplexer: Multiplexer, request: RequestHead, peer: Peer, timeouts: Timeouts
    ) -> None:
        self._multiplexer = multiplexer
        self._timeouts = timeouts
        self.tunnelling = False
        self._expects = request.headers.get("expect").lower() == "100-continue"
        self.request = request
        self.peer = peer
        self.flow = multiplexer.link.flow
        self.incoming = Incoming(multiplexer.link, request.stream)
        self.task: asyncio.Task[None] | None = None

    async def body(self) -> AsyncIterator[bytes]:
        if self._expects and not self.begun:
            self._expects = False
            self._multiplexer.send(ResponseHead(100, stream=self.request.stream))
        while True:
            try:
                part = await self.incoming.get(self._timeouts.body)
            except TimeoutError as error:
                raise too_slow("the request's body") from error
            if part is None:
                break
            yield part
        self.trailers = self.incoming.trailers

    async def respond(self, head: ResponseHead, body: Body = b"", trailers: Trailers | None = None) -> None:
        if not self._multiplexer.http.writable(self.request.stream):
            raise StreamResetError("the client takes no response")
        if self.begun:
            raise LocalProtocolError("a second response")
        self.begun = True
        bodiless = self.request.method == "HEAD" or head.status in _BODILESS
        headers = self._complete(head, body)
        self._emit_size = 0
        if bodiless:
            body, trailers = b"", None
        await self._send(head.with_headers(headers), body, trailers)
        self._multiplexer.link.ctx.emit(
            "response-sent",
            self._multiplexer.link.flow,
            status=head.status,
            bytes=self._emit_size,
            traceparent=self.traceparent,
            version="3",
            stream=self.request.stream,
        )

    def _complete(self, head: ResponseHead, body: Body) -> Headers:
        headers = head.headers
        if not headers.has("date"):
            headers = headers.plus("Date", formatdate(usegmt=True))
        missing = head.status not in _BODILESS and not headers.has("content-length")
        if isinstance(body, bytes) and missing:
            headers = headers.plus("Content-Length", str(len(body)))
        return headers

    async def _send(self, head: ResponseHead, body: Body, trailers: Trailers | None) -> None:
        stream, send = self.request.stream, self._multiplexer.send
        head = ResponseHead(head.status, head.headers, stream=stream, version="3")
        last = trailers is None
        if isinstance(body, bytes):
            send(head, end=last and not body)
            await self._multiplexer.write(stream, body, self._timeouts.body, end=last)
            self._emit_size = len(body)
        else:
            send(head)
            async for part in body:
                self._emit_size += len(part)
                await self._multiplexer.write(stream, part, self._timeouts.body)
            if last:
                send(End(stream=stream))
        if trailers is not None:
            send(End(trailers(), stream))

    async def inform(self, head: ResponseHead) -> None:
        if self.begun or head.status == 101:
            raise LocalProtocolError("an informational response after the final one, or 101")
        self._multiplexer.send(ResponseHead(head.status, head.headers, stream=self.request.stream))

    async def tunnel(self, headers: Headers = NO_HEADERS) -> Tunnel:
        if not self.request.protocol:
            raise LocalProtocolError("a tunnel that the client did not ask for")
        if self.begun:
            raise LocalProtocolError("a tunnel after a response")
        self.begun = True
        self._multiplexer.send(ResponseHead(200, headers, stream=self.request.stream))
        self._tunnel = Http3Tunnel(self._multiplexer, self.request.stream, self.incoming, self._timeouts.body)
        self._multiplexer.link.ctx.emit(
            "response-sent",
            self._multiplexer.link.flow,
            status=200,
            bytes=0,
            traceparent=self.traceparent,
            version="3",
            stream=self.request.stream,
        )
        return Http3Tunnel(self._multiplexer, self.request.stream, self.incoming, self._timeouts.body)

    def abort(self) -> None:
        stream = self.request.stream
        self._multiplexer.http.reset(stream, ErrorCode.INTERNAL_ERROR)
        self._multiplexer.forget(stream)
        self._multiplexer.link.wake()
