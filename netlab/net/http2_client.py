"""The client's side of HTTP/2 connections (RFC 9113): many requests at once on one connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from netlab.errors import RemoteProtocolError
from netlab.model.roles import HttpVersion
from netlab.net.context import RoleContext
from netlab.net.exchange import Tunnel
from netlab.net.http2_request import Asked, BodyError, Http2Response
from netlab.net.http2_streams import (
    Http2Tunnel,
    Multiplexer,
    StreamResetError,
    code_name,
    reset_by_peer,
)
from netlab.net.stream import Stream
from netlab.net.upstream import (
    ClientConnection,
    ConnectionState,
    Outgoing,
    Response,
    Target,
    UpstreamError,
    failed,
)
from netlab.proto.http import (
    NO_HEADERS,
    Data,
    End,
    GoAway,
    HttpEvent,
    Promise,
    RequestHead,
    Reset,
    ResponseHead,
)
from netlab.proto.http2 import ClientCodec, ErrorCodes

_CAPACITY = 100  # until the server's SETTINGS say (RFC 9113 section 6.5.2 recommends no less)
_MOST = 1000
_WRITE_S = 30.0
_CLOSE_S = 1.0

OnPush = Callable[[RequestHead, Response], Awaitable[None]]


class Http2Connection(ClientConnection):
    """An HTTP/2 connection. Its tasks live in `ctx.tasks` until it ends, by either side."""

    version: HttpVersion = "2"

    def __init__(
        self, ctx: RoleContext, stream: Stream, target: Target, on_push: OnPush | None = None
    ) -> None:
        self.target = target
        self.flow = stream.flow
        self.tls = stream.tls
        self.state = ConnectionState(capacity=_CAPACITY)
        self._ctx = ctx
        self._stream = stream
        self._on_push = on_push
        self._codec = ClientCodec(push=on_push is not None)
        self._multiplexer = Multiplexer(self._codec, stream, _WRITE_S)
        self._asked: dict[int, Asked] = {}
        self._settled = asyncio.Event()
        self._ponged = asyncio.Event()
        self._pings = 0
        self._task: asyncio.Task[None]

    @classmethod
    async def start(
        cls,
        ctx: RoleContext,
        stream: Stream,
        target: Target,
        *,
        on_push: OnPush | None = None,
        ping_s: float = 0,
    ) -> Http2Connection:
        """Speak HTTP/2 on `stream`, agreed on by ALPN or by prior knowledge.

        `on_push` gets what the server pushes; without it the server may not. With `ping_s`, a server that
        does not answer a PING, sent every so many seconds, for as long is taken for gone.
        """
        connection = cls(ctx, stream, target, on_push)
        connection._task = ctx.tasks.create_task(connection._run(ping_s))
        return connection

    def __repr__(self) -> str:
        return f"<HTTP/2 to {self.target}: {self.state}>"

    # The connection's life.

    async def _run(self, ping_s: float) -> None:
        cause = "cancelled"
        try:
            cause = await self._speak(ping_s)
        finally:
            self._leave(cause)
            for asked in list(self._asked.values()):
                self._fail(asked, StreamResetError(cause))
            self._settled.set()
            self._stream.abort()
            self._ctx.emit("connection-closed", self.flow, cause=cause)

    async def _speak(self, ping_s: float) -> str:
        """Read and write until the connection ends; why it did."""
        tasks = self._ctx.tasks
        reading, writing = tasks.create_task(self._read()), tasks.create_task(self._write())
        pinging = tasks.create_task(self._ping(ping_s)) if ping_s else None
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            self._multiplexer.finish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await asyncio.wait({writing})
                    await self._stream.close()
            return self.state.cause
        finally:
            reading.cancel()
            writing.cancel()
            if pinging is not None:
                pinging.cancel()

    async def _write(self) -> None:
        try:
            await self._multiplexer.write_all()
        except OSError as error:
            self._leave(str(error) or type(error).__name__)
            self._stream.abort()  # which ends the reader

    async def _read(self) -> None:
        """Until the connection ends; why is in `state` at once, so that nobody asks any more."""
        try:
            while data := await self._stream.read():
                self._codec.tick(self._ctx.now())
                for event in self._codec.receive(data):
                    self._on_event(event)
                self._after_reading()
            self._codec.receive(b"")
            cause = "the server closed it"
        except (OSError, RemoteProtocolError) as error:
            cause = str(error) or type(error).__name__
            if isinstance(error, RemoteProtocolError):
                self._ctx.emit("error", self.flow, cause=cause)
        self._leave(cause)

    def _after_reading(self) -> None:
        if self._codec.settled and not self.state.closed:
            self.state.capacity = min(self._codec.max_concurrent, _MOST)
            self._settled.set()
        if self._codec.pongs:
            self._codec.pongs.clear()
            self._ponged.set()
        self._multiplexer.flush()

    async def _ping(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                async with asyncio.timeout(every_s):
                    await self.ping()
            except TimeoutError:
                self._leave("no answer to a PING")
                self._stream.abort()
                return

    async def ping(self) -> None:
        """Returns when the server has answered a PING."""
        self._ponged.clear()
        self._pings += 1
        self._codec.ping(self._pings.to_bytes(8, "big"))
        self._multiplexer.flush()
        await self._ponged.wait()

    def _leave(self, cause: str) -> None:
        """No more requests here."""
        if not self.state.closed:
            self.state.cause = cause  # first: whoever is told that it is closed asks why
            self.state.closed = True

    async def close(self) -> None:
        self._leave("closed")
        if not self._task.done():
            self._codec.go_away()
            for asked in list(self._asked.values()):
                self._give_up(asked, StreamResetError("the connection was closed"))
            self._multiplexer.finish()
            await asyncio.wait({self._task})

    def abort(self) -> None:
        self._leave("aborted")
        self._stream.abort()
        self._task.cancel()

    # What comes in.

    def _on_event(self, event: HttpEvent) -> None:
        match event:
            case GoAway():
                self._on_goaway(event)
            case Promise():
                self._asked[event.head.stream] = Asked(self._multiplexer, event.head)
            case Data() | End() | Reset() | ResponseHead():
                asked = self._asked.get(event.stream)
                if asked is not None:
                    self._on_answer(asked, event)
            case RequestHead():
                raise AssertionError("a server sends no requests")

    def _on_answer(self, asked: Asked, event: Data | End | Reset | ResponseHead) -> None:
        match event:
            case Data():
                asked.put(event.data)
            case End():
                asked.end(event.trailers)
                if asked.over:
                    self._forget(asked)
            case Reset():
                self._fail(asked, reset_by_peer(event.code))
                if asked.over:
                    self._forget(asked)
            case ResponseHead() if event.informational:
                asked.informational.append(event)
            case ResponseHead():
                if not asked.head.done():
                    asked.head.set_result(event)
                if asked.stream % 2 == 0:
                    self._ctx.tasks.create_task(self._pushed(asked, event))

    async def _pushed(self, asked: Asked, head: ResponseHead) -> None:
        assert self._on_push is not None  # the codec lets no promise through
        try:
            await self._on_push(asked.request, Http2Response(self, asked, head, _WRITE_S))
        finally:
            self._forget(asked)

    def _on_goaway(self, event: GoAway) -> None:
        self._leave(f"the server said GOAWAY ({code_name(event.code)})")
        for asked in list(self._asked.values()):
            if asked.stream % 2 and asked.stream > event.stream:
                self._give_up(asked, StreamResetError(self.state.cause, unsent=True))

    def _fail(self, asked: Asked, error: StreamResetError) -> None:
        asked.fail(error)
        self._multiplexer.fail(asked.stream, error)

    def _give_up(self, asked: Asked, error: StreamResetError) -> None:
        self._fail(asked, error)
        self._codec.send(Reset(ErrorCodes.CANCEL, asked.stream))

    # Requests.

    def emit(self, event: str, request: RequestHead, **data: Any) -> None:
        traceparent = request.headers.get("traceparent")
        self._ctx.emit(event, self.flow, **data, traceparent=traceparent, version="2", stream=request.stream)

    def _ask(self, head: RequestHead, *, ends: bool) -> Asked:
        if self.state.closed or self._codec.exhausted:
            self._leave("no stream identifiers are left")
            raise UpstreamError(f"{self.target}: {self.state.cause}", unsent=True)
        if self.state.active >= self.state.capacity:
            raise UpstreamError(
                f"{self.target} takes no more than {self.state.capacity} requests", unsent=True
            )
        stream = self._codec.next_stream()
        request = replace(head, stream=stream, version="2", scheme="http" if self.tls is None else "https")
        end = (End(stream=stream),) if ends else ()
        self._multiplexer.send(request, *end)
        asked = self._asked[stream] = Asked(self._multiplexer, request)
        self.state.active += 1
        self.state.requests += 1
        self.emit("request-sent", request, method=head.method, target=head.target)
        return asked

    def _forget(self, asked: Asked) -> None:
        """The request is over; a stream that is not is given up."""
        if self._asked.pop(asked.stream, None) is None:
            return
        self._multiplexer.reset(asked.stream, ErrorCodes.CANCEL)
        if asked.stream % 2:
            self.state.active -= 1

    def _failed(self, error: Exception) -> UpstreamError:
        return failed(self.target, error, unsent=isinstance(error, StreamResetError) and error.unsent)

    async def next_part(self, asked: Asked, timeout_s: float) -> bytes | None:
        try:
            return await asked.next_part(timeout_s)
        except BodyError as error:
            raise error.error from None
        except OSError as error:
            raise self._failed(error) from error

    @asynccontextmanager
    async def exchange(self, request: Outgoing) -> AsyncIterator[Response]:
        asked = self._ask(request.head, ends=request.body is None and request.trailers is None)
        sending = None
        if request.body is not None or request.trailers is not None:
            sending = self._ctx.tasks.create_task(self._send(asked, request))
        try:
            head = await self._head(asked, request.timeout_s)
            yield Http2Response(self, asked, head, request.timeout_s)
        finally:
            if sending is not None and not sending.done():
                sending.cancel()
                await asyncio.wait({sending})
            self._forget(asked)

    async def _head(self, asked: Asked, timeout_s: float) -> ResponseHead:
        try:
            async with asyncio.timeout(timeout_s):
                return await asked.head
        except BodyError as error:
            raise error.error from None
        except OSError as error:
            raise self._failed(error) from error

    async def _send(self, asked: Asked, request: Outgoing) -> None:
        """The body, beside the response that may come before its end."""
        stream = asked.stream
        try:
            if request.body is not None:
                await self._send_body(asked, request.body, request.timeout_s)
            if self._codec.is_open(stream):
                trailers = request.trailers() if request.trailers is not None else NO_HEADERS
                self._multiplexer.send(End(trailers, stream))
        except StreamResetError:
            return  # the response, or its absence, says
        except (OSError, BodyError) as error:
            self._multiplexer.send(Reset(ErrorCodes.CANCEL, stream))
            asked.fail(error)

    async def _send_body(self, asked: Asked, body: AsyncIterator[bytes], timeout_s: float) -> None:
        while True:
            try:
                part = await anext(body, None)
            except Exception as error:
                raise BodyError(error) from error
            if part is None:
                return
            if part:
                await self._multiplexer.write(asked.stream, part, timeout_s)

    async def tunnel(self, head: RequestHead, timeout_s: float = 30.0) -> tuple[ResponseHead, Tunnel | None]:
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError as error:
            raise failed(self.target, error) from error
        if not self._codec.extended_connect and not self.state.closed:
            raise UpstreamError(f"{self.target} takes no extended CONNECT (RFC 8441)", unsent=True)
        asked = self._ask(head, ends=False)
        try:
            answer = await self._head(asked, timeout_s)
        except BaseException:
            self._forget(asked)
            raise
        if not 200 <= answer.status < 300:
            self._forget(asked)
            return answer, None
        done = partial(self._tunnel_closed, asked)
        return answer, Http2Tunnel(self._multiplexer, self._stream, asked, timeout_s, done)

    def _tunnel_closed(self, asked: Asked) -> None:
        """Our side has ended. The stream is over when the server's has, too."""
        asked.over = True
        if not self._codec.is_receiving(asked.stream):
            self._forget(asked)
