"""One request and its response on a client's HTTP/1.1 connection, both streamed, and both at once."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from netlab.errors import RemoteProtocolError
from netlab.net.context import RoleContext
from netlab.net.stream import Stream
from netlab.net.upstream import Outgoing, Target, failed
from netlab.proto.http import NO_HEADERS, Data, End, Headers, HttpEvent, RequestHead, ResponseHead
from netlab.proto.http1 import ClientCodec

_CONTINUE_S = 1.0  # a server that knows no 100 (Continue) is not waited for (RFC 9110 section 10.1.1)
_WITH_CONTENT = frozenset(("POST", "PUT", "PATCH"))  # RFC 9110 section 8.6: they say that there is none


class Cycle:
    """`complete`: both messages are whole. `cause`: why the connection can't go on, if it can't."""

    def __init__(
        self, ctx: RoleContext, stream: Stream, target: Target, codec: ClientCodec, request: Outgoing
    ) -> None:
        self.flow = stream.flow
        self.informational: list[ResponseHead] = []
        self.trailers = NO_HEADERS
        self.complete = False
        self.cause = ""
        self._ctx = ctx
        self._stream = stream
        self._target = target
        self._codec = codec
        self._request = request
        self._traceparent = request.head.headers.get("traceparent")
        self._events: deque[HttpEvent] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._broken: Exception | None = None  # what ended the request's body
        self._continue = asyncio.Event()
        self._progress = ctx.now()  # when the last byte of the request went out
        self._status = 0
        self._size = 0

    def failed(self, cause: str) -> None:
        """The connection can't go on."""
        self.cause = self.cause or cause

    def gave_up(self, error: BaseException) -> None:
        """Who asked left by this; what is whole already is none the worse."""
        if not self.complete:
            self.failed(str(error) or type(error).__name__)

    # The request.

    async def send(self) -> None:
        """All of a request without a body; of another its head, and the body beside what follows."""
        head = _framed(self._request)
        data = self._codec.send(head)
        if self._request.body is None:
            await self._write(data + self._codec.send(End(self._request_trailers())))
        else:
            await self._write(data)
            if not head.headers.has("expect"):
                self._continue.set()
            self._sender = self._ctx.tasks.create_task(self._send_body())
        self._ctx.emit(
            "request-sent",
            self.flow,
            method=head.method,
            target=head.target,
            traceparent=self._traceparent,
        )

    def _request_trailers(self) -> Headers:
        return self._request.trailers() if self._request.trailers is not None else NO_HEADERS

    async def _write(self, data: bytes) -> bool:
        """A server may answer before it has read all, and close; so a failing write is not the end:
        the response, or its absence, says."""
        try:
            async with asyncio.timeout(self._request.timeout_s):
                await self._stream.write(data)
        except OSError:
            return False
        self._progress = self._ctx.now()
        return True

    async def _send_body(self) -> None:
        """What goes wrong is told to who reads the response, by the end of the connection."""
        assert self._request.body is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(_CONTINUE_S):
                await self._continue.wait()
        try:
            async for part in self._request.body:
                if not await self._write(self._codec.send(Data(part))):
                    return
            await self._write(self._codec.send(End(self._request_trailers())))
        except Exception as error:  # noqa: BLE001 - whatever the source raises belongs to the reader
            self._broken = error
            self._stream.abort()

    async def stop_sending(self) -> None:
        """The request's body is no longer wanted."""
        sender = self._sender
        if sender is not None and not sender.done():
            sender.cancel()
            await asyncio.wait({sender})

    # The response.

    async def head(self) -> ResponseHead:
        """The final one's, or 101's. Raises UpstreamError, or what the request's body raised."""
        while True:
            event = await self._next()
            assert isinstance(event, ResponseHead)  # the codec gives nothing else first
            self._continue.set()
            if not event.informational or event.status == 101:
                self._status = event.status
                return event
            self.informational.append(event)

    async def next_part(self) -> bytes | None:
        """None at the end. Raises UpstreamError, or what the request's body raised."""
        if self._status and self.complete:
            return None
        event = await self._next()
        if isinstance(event, Data):
            self._size += len(event.data)
            return event.data
        self._ended(event)
        return None

    async def skip(self, limit: int) -> None:
        """Read a body that nobody wants; past `limit` the connection can't go on."""
        while (part := await self.next_part()) is not None:
            limit -= len(part)
            if limit < 0:
                self.failed("given up within a response")
                return

    def settle(self) -> None:
        """Of a response without a body the end has come with its head, and nobody may have asked."""
        if not self.complete and self._status and self._events and isinstance(self._events[0], End):
            self._ended(self._events.popleft())

    def _ended(self, event: HttpEvent) -> None:
        assert isinstance(event, End)  # behind a response's head the codec gives nothing else but Data
        self.trailers = event.trailers
        self.complete = True
        self._ctx.emit(
            "response-received",
            self.flow,
            status=self._status,
            bytes=self._size,
            traceparent=self._traceparent,
        )

    async def _next(self) -> HttpEvent:
        try:
            while not self._events:
                await self._receive()
        except (OSError, RemoteProtocolError) as error:
            self.failed(str(error) or type(error).__name__)
            if self._broken is not None:
                raise self._broken from error
            raise failed(self._target, error) from error
        return self._events.popleft()

    async def _receive(self) -> None:
        data = await self._read()
        self._events.extend(self._codec.receive(data))
        if not data and not self._events:
            raise RemoteProtocolError("the connection ended before a response")

    async def _read(self) -> bytes:
        """Waits for the peer as long as the request's body makes progress, and then `timeout_s`."""
        while True:
            begun = self._ctx.now()
            try:
                async with asyncio.timeout(self._request.timeout_s):
                    return await self._stream.read()
            except TimeoutError:
                if self._progress <= begun:
                    raise


def _framed(request: Outgoing) -> RequestHead:
    """With what HTTP/1.1 needs to cut the body (RFC 9112 section 6)."""
    head = request.head
    headers = head.headers
    given = headers.has("content-length") or headers.has("transfer-encoding")
    if request.body is not None and not given:
        return head.with_headers(headers.plus("Transfer-Encoding", "chunked"))
    if request.body is None and not given and head.method in _WITH_CONTENT:
        return head.with_headers(headers.plus("Content-Length", "0"))
    return head
