"""One request and its response over HTTP/3, on the client's side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from netlab.errors import RemoteProtocolError
from netlab.net.http3_stream import Incoming, Multiplexer
from netlab.net.upstream import Outgoing, Response, Target, UpstreamError, failed
from netlab.proto.http import End, ResponseHead
from netlab.proto.http3_frames import ErrorCode


class Asked:
    """A request that was sent, until its response is whole."""

    def __init__(self, multiplexer: Multiplexer, target: Target, request: Outgoing, stream: int) -> None:
        self.multiplexer = multiplexer
        self.target = target
        self.request = request
        self.stream = stream
        self.incoming = Incoming(multiplexer.link, stream)
        self.informational: list[ResponseHead] = []
        self.sender: asyncio.Task[None] | None = None
        self._head: asyncio.Future[ResponseHead] = asyncio.get_running_loop().create_future()
        self._unsent = False

    @property
    def bodiless(self) -> bool:
        """The head is all of the request."""
        return self.request.body is None and self.request.trailers is None and not self.request.head.protocol

    # What comes in.

    def on_head(self, head: ResponseHead) -> None:
        if head.informational:
            self.informational.append(head)
        elif not self._head.done():
            self._head.set_result(head)

    def fail(self, error: Exception, *, unsent: bool = False) -> None:
        self._unsent = unsent
        if not self._head.done():
            self._head.set_exception(error)
            self._head.exception()  # somebody may have left before
        self.incoming.fail(error)
        self.multiplexer.wake_writer(self.stream)

    # What is waited for.

    async def answer(self) -> ResponseHead:
        """The final response's head. Raises UpstreamError."""
        try:
            async with asyncio.timeout(self.request.timeout_s):
                return await self._head
        except (OSError, RemoteProtocolError) as error:
            raise failed(self.target, error, unsent=self._unsent) from error

    async def part(self) -> bytes | None:
        """More of the body; None at its end. Raises UpstreamError."""
        try:
            return await self.incoming.get(self.request.timeout_s)
        except (OSError, RemoteProtocolError) as error:
            raise failed(self.target, error) from error

    # What goes out.

    async def send_body(self) -> None:
        """A server may answer before it has read all, and take no more: the response says what became of
        it. A source that fails makes the request fail, and the server sees that it is not whole."""
        try:
            async for part in self.request.body or _nothing():
                await self.multiplexer.write(self.stream, part, self.request.timeout_s)
            if not self.request.head.protocol:
                trailers = self.request.trailers
                self.multiplexer.send(End(trailers(), self.stream) if trailers else End(stream=self.stream))
        except (OSError, RemoteProtocolError, UpstreamError) as error:
            if self.multiplexer.http.writable(self.stream):
                self.multiplexer.http.reset(self.stream, ErrorCode.REQUEST_CANCELLED)
                self.multiplexer.link.wake()
                self.fail(error)


async def _nothing() -> AsyncIterator[bytes]:
    parts: tuple[bytes, ...] = ()
    for part in parts:
        yield part


class Http3Response(Response):
    """A response whose head has come."""

    def __init__(self, asked: Asked, head: ResponseHead) -> None:
        self.head = head
        self.flow = asked.multiplexer.link.flow
        self.informational = tuple(asked.informational)
        self._asked = asked
        self._size = 0
        self._whole = False

    async def body(self) -> AsyncIterator[bytes]:
        while not self._whole and (part := await self._asked.part()) is not None:
            self._size += len(part)
            yield part
        if not self._whole:
            self._end()

    def _end(self) -> None:
        self._whole = True
        self.trailers = self._asked.incoming.trailers
        self._asked.multiplexer.link.ctx.emit(
            "response-received",
            self._asked.multiplexer.link.flow,
            status=self.head.status,
            bytes=self._size,
            traceparent=self._asked.request.head.headers.get("traceparent"),
            version="3",
            stream=self._asked.stream,
        )
