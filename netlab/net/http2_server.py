"""The server's side of HTTP/2 connections (RFC 9113): each request in a task of its own."""

from __future__ import annotations

import asyncio
import contextlib

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Handler, Timeouts
from netlab.net.http2_exchange import Http2Exchange, Responder
from netlab.net.http2_streams import StreamResetError, reset_by_peer
from netlab.net.stream import Stream, TcpStream
from netlab.proto.http import Data, End, GoAway, Headers, HttpEvent, RequestHead, Reset, ResponseHead
from netlab.proto.http2 import NO_STREAM_YET, ErrorCodes, Limits, ServerCodec

_LEFTOVER = 256 * 1024  # of a request's body that nobody wanted, taken before the stream is reset
_LINGER_S = 0.5
_GRACE_S = 0.5  # for requests that are on their way when the role stops
_FAREWELL = b"farewell"


async def serve_http2(
    ctx: RoleContext,
    stream: Stream,
    peer: Peer,
    handler: Handler,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve a connection, from its preface on, until either side ends it. `handler` must respond to each
    exchange; it is cancelled where the client gives up its stream.

    A peer that breaks HTTP/2 gets RST_STREAM or GOAWAY; after GOAWAY RemoteProtocolError.
    """
    await _Connection(ctx, stream, peer, handler, timeouts or Timeouts(), limits).run()


class _Exchange(Http2Exchange):
    """With what the connection must know of it: the handler's task, as long as it runs; then how much more
    of the request's body is taken, and until when."""

    task: asyncio.Task[None] | None = None
    runs = False  # the task has begun
    left = _LEFTOVER
    expiry: asyncio.TimerHandle | None = None


class _Connection:
    def __init__(
        self,
        ctx: RoleContext,
        stream: Stream,
        peer: Peer,
        handler: Handler,
        timeouts: Timeouts,
        limits: Limits | None,
    ) -> None:
        self.ctx = ctx
        self.stream = stream
        self.peer = peer
        self.timeouts = timeouts
        self.codec = ServerCodec(limits)
        self._handler = handler
        self._exchanges: dict[int, _Exchange] = {}
        self._error: Exception | None = None
        self._peer_leaves = False
        self._ponged = asyncio.Event()
        self._head_since = 0.0  # when bytes of a head began to come
        self._timer: asyncio.Timeout | None = None

    # The connection.

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._responder = Responder(self.ctx, self.codec, self.stream, self.timeouts, tasks)
                self.multiplexer = self._responder.multiplexer
                await self._serve_all(tasks)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # a bug of ours; the others follow from it
        if isinstance(self._error, RemoteProtocolError):
            await self._linger()
        if self._error is not None:
            raise self._error

    async def _serve_all(self, tasks: asyncio.TaskGroup) -> None:
        writer = tasks.create_task(self._write())
        farewell = tasks.create_task(self._say_farewell())
        await self._read()
        farewell.cancel()
        for exchange in list(self._exchanges.values()):
            self._give_up(exchange, StreamResetError("the connection has ended"))
        self.multiplexer.finish()
        await asyncio.wait({writer})

    async def _write(self) -> None:
        try:
            await self.multiplexer.write_all()
        except OSError as error:
            self._error = self._error or error
            self.stream.abort()  # which ends the reader

    async def _read(self) -> None:
        """Until either side ends the connection; an error of the peer's goes into `_error`."""
        try:
            async with asyncio.timeout(None) as timer:
                self._timer = timer
                self._rearm()
                while data := await self.stream.read():
                    self._receive(data)
                self.codec.receive(b"")
        except TimeoutError as error:
            self._expired(error, ours=timer.expired())
        except (OSError, RemoteProtocolError) as error:
            self._error = self._error or error
        finally:
            self._timer = None

    def _receive(self, data: bytes) -> None:
        self.codec.tick(self.ctx.now())
        for event in self.codec.receive(data):
            self._on_event(event)
        if self.codec.pongs:
            self._ponged.set()
        self._rearm()
        self.multiplexer.flush()

    def _rearm(self) -> None:
        """A head must be whole in time; where nothing goes on, something must begin in time."""
        if self._timer is None or self._timer.expired():
            return
        now = asyncio.get_running_loop().time()
        begun = self.codec.in_block or (self.codec.buffered() and not self._exchanges)
        self._head_since = (self._head_since or now) if begun or not self.codec.settled else 0.0
        if self._over:
            self._timer.reschedule(0)
        elif self._head_since:
            self._timer.reschedule(self._head_since + self.timeouts.head)
        else:
            self._timer.reschedule(None if self._exchanges else now + self.timeouts.idle)

    @property
    def _over(self) -> bool:
        """Nothing is to be done any more."""
        return (self.codec.leaving or self._peer_leaves) and not self._exchanges

    def _expired(self, error: TimeoutError, *, ours: bool) -> None:
        if not ours:
            self._error = self._error or error  # the transport's own
        elif self._head_since and not self._over:
            self.codec.go_away(ErrorCodes.ENHANCE_YOUR_CALM, "too slow")
            self._error = RemoteProtocolError("the request's head took too long", 408)
        elif not self.codec.leaving:
            self.codec.go_away()

    async def _say_farewell(self) -> None:
        """When the role stops: GOAWAY in two steps, so that requests on their way are still taken
        (RFC 9113 section 6.8)."""
        await self.ctx.stopped()
        if self.codec.settled:
            self.codec.go_away(last=NO_STREAM_YET)
            self.codec.pongs.clear()
            self._ponged.clear()
            self.codec.ping(_FAREWELL)
            self.multiplexer.flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await self._ponged.wait()
        self.codec.go_away()
        for exchange in [one for one in self._exchanges.values() if one.task is None]:
            self._stop_leftover(exchange)
        self.multiplexer.flush()
        self._rearm()

    async def _linger(self) -> None:
        """Read on for a moment: closing a socket with unread bytes resets it, and GOAWAY is lost."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_LINGER_S):
                if isinstance(self.stream, TcpStream):
                    await self.stream.write_eof()
                for _ in range(64):
                    if not await self.stream.read():
                        return

    # What comes in.

    def _on_event(self, event: HttpEvent) -> None:
        if isinstance(event, RequestHead):
            self._begin(event)
            return
        if isinstance(event, GoAway):
            self._peer_leaves = True
            return
        assert isinstance(event, (Data, End, Reset))  # clients send nothing else
        exchange = self._exchanges.get(event.stream)
        if exchange is None:
            if isinstance(event, Reset):
                self.multiplexer.fail(event.stream, reset_by_peer(event.code))
        elif isinstance(event, Data):
            self._on_data(exchange, event)
        elif isinstance(event, End):
            exchange.inbox.end(event.trailers)
            if exchange.task is None:
                self._forget(exchange)
        elif isinstance(event, Reset):
            self._give_up(exchange, reset_by_peer(event.code))

    def _begin(self, head: RequestHead) -> None:
        headers = _as_mapping(head.headers)
        self.ctx.emit(
            "request-received",
            self.stream.flow,
            method=head.method,
            target=head.target,
            traceparent=headers.get("traceparent", ""),
            headers=headers,
            version="2",
            stream=head.stream,
        )
        exchange = self._exchanges[head.stream] = _Exchange(self._responder, self.peer, head)
        exchange.task = self._tasks.create_task(self._serve(exchange), name="exchange")

    def _on_data(self, exchange: _Exchange, event: Data) -> None:
        if exchange.task is not None:
            exchange.inbox.put(event.data)
            return
        exchange.left -= len(event.data)
        self.codec.consumed(event.stream, len(event.data))
        if exchange.left < 0:
            self._stop_leftover(exchange)

    async def _serve(self, exchange: _Exchange) -> None:
        stream = exchange.request.stream
        exchange.runs = True
        try:
            await self._handler(exchange)
            if not exchange.begun:
                raise LocalProtocolError(
                    f"no response to {exchange.request.method} {exchange.request.target}"
                )
        except RemoteProtocolError as error:
            await self._refuse(exchange, error)
        except OSError as error:
            self.ctx.emit("error", self.stream.flow, cause=str(error) or type(error).__name__, stream=stream)
            self._responder.reset(stream, ErrorCodes.CANCEL)
        finally:
            self._after(exchange)

    async def _refuse(self, exchange: _Exchange, error: RemoteProtocolError) -> None:
        stream = exchange.request.stream
        self.ctx.emit("error", self.stream.flow, cause=str(error), stream=stream)
        if exchange.begun or not self.codec.is_open(stream):
            self._responder.reset(stream, ErrorCodes.CANCEL)
        else:
            await exchange.respond(ResponseHead(error.status or 400))

    def _after(self, exchange: _Exchange) -> None:
        """The handler is done. A body that nobody wanted is taken within reason, so that the client can
        finish and see the response; then RST_STREAM says to stop (RFC 9113 section 8.1)."""
        exchange.task, exchange.runs = None, False
        stream = exchange.request.stream
        if not self.codec.is_known(stream):
            self._forget(exchange)
            return
        if self.codec.is_open(stream):
            self._responder.reset(stream, ErrorCodes.INTERNAL_ERROR)
        self.codec.consumed(stream, NO_STREAM_YET)
        if self.codec.is_receiving(stream) and not self.codec.leaving and self._timer is not None:
            loop = asyncio.get_running_loop()
            exchange.expiry = loop.call_later(self.timeouts.body, self._stop_leftover, exchange)
            return
        self._responder.reset(stream, ErrorCodes.NO_ERROR)
        self._forget(exchange)

    def _stop_leftover(self, exchange: _Exchange) -> None:
        self._responder.reset(exchange.request.stream, ErrorCodes.NO_ERROR)
        self._forget(exchange)

    def _give_up(self, exchange: _Exchange, error: StreamResetError) -> None:
        """The stream is closed: the handler has nobody to answer."""
        exchange.inbox.fail(error)
        self.multiplexer.fail(exchange.request.stream, error)
        if exchange.task is not None:
            exchange.task.cancel()
        if not exchange.runs:  # a task that is cancelled before its first step has no last one
            self._forget(exchange)

    def _forget(self, exchange: _Exchange) -> None:
        if exchange.expiry is not None:
            exchange.expiry.cancel()
        self._exchanges.pop(exchange.request.stream, None)
        if not self._exchanges:
            self._rearm()


def _as_mapping(headers: Headers) -> dict[str, str]:
    """For events."""
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
