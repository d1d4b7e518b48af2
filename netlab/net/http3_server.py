"""The server's side of HTTP/3 connections (RFC 9114): each request in a task of its own."""

from __future__ import annotations

import asyncio
import contextlib

from aioquic.quic.events import HandshakeCompleted, QuicEvent

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.model.roles import TlsServer
from netlab.net import sockets
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Handler, Timeouts
from netlab.net.http1_server import as_mapping
from netlab.net.http3_exchange import Http3Exchange
from netlab.net.http3_stream import Multiplexer, StreamResetError, reset_by_peer
from netlab.net.quic_server import ServerLink, listen_quic
from netlab.proto.http import Data, End, GoAway, Headers, HttpEvent, RequestHead, Reset, ResponseHead
from netlab.proto.http3 import Http3
from netlab.proto.http3_frames import ErrorCode

# Requests that may be replayed by somebody on the way may come in 0-RTT (RFC 8470 section 3).
_SAFE = {"GET", "HEAD", "OPTIONS"}
_TOO_EARLY = ResponseHead(425, Headers((("content-length", "0"),)))
_CANCELLED = 200  # requests that a client may give up beyond those that it lets end


async def serve_http3(
    ctx: RoleContext,
    port: int,
    handler: Handler,
    tls: TlsServer,
    timeouts: Timeouts | None = None,
    *,
    hosts: tuple[str, ...] = sockets.EVERYWHERE,
) -> int:
    """Serve HTTP/3 on UDP `port` (0: a free one) until the role stops; the port's number.

    `handler` must respond to each exchange; it is cancelled where the client gives up its stream. A peer
    that breaks HTTP/3 gets the code of RFC 9114 section 8.1 on the stream or the connection.
    Raises LabError where the port can't be had.
    """

    def serve(link: ServerLink) -> _Connection:
        return _Connection(link, handler, timeouts or Timeouts())

    return await listen_quic(ctx, port, serve, tls, hosts=hosts)


class _Connection:
    """What runs on one link."""

    def __init__(self, link: ServerLink, handler: Handler, timeouts: Timeouts) -> None:
        self._link = link
        self._ctx = link.ctx
        self._handler = handler
        self._timeouts = timeouts
        self._http = Http3(link.quic, is_client=False)
        self._multiplexer = Multiplexer(link, self._http)
        self._exchanges: dict[int, Http3Exchange] = {}
        self._confirmed = False
        self._cancelled = 0
        self._headless: frozenset[int] = frozenset()
        self._watch: asyncio.TimerHandle | None = None

    # What comes in.

    def received(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted):
            self._confirmed = True
        for one in self._http.receive(event):
            self._on(one)
        if self._http.failed:
            self._ctx.emit("error", self._link.flow, cause=self._http.failed)
        elif self._watch is None and self._http.headless:
            self._watch_heads()

    def _on(self, event: HttpEvent) -> None:
        match event:
            case RequestHead():
                self._begin(event)
            case Data():
                self._exchanges[event.stream].incoming.put(event.data)
            case End():
                self._exchanges[event.stream].incoming.end(event.trailers)
            case Reset():
                self._on_reset(event)
            case GoAway():
                pass  # of a client: it wants no more pushes, and gets none anyway
            case _:
                raise LocalProtocolError(f"a server got {event}")

    def _begin(self, head: RequestHead) -> None:
        self._ctx.emit(
            "request-received",
            self._link.flow,
            method=head.method,
            target=head.target,
            traceparent=head.headers.get("traceparent"),
            headers=as_mapping(head.headers),
            version="3",
            stream=head.stream,
        )
        peer = Peer(self._link.flow.remote, self._link.flow.remote_port)
        exchange = Http3Exchange(self._multiplexer, head, peer, self._timeouts)
        self._exchanges[head.stream] = exchange
        early = not self._confirmed and (head.method not in _SAFE or bool(head.protocol))
        work = self._too_early(exchange) if early else self._serve(exchange)
        exchange.task = self._ctx.in_flight(work)

    def _on_reset(self, event: Reset) -> None:
        exchange = self._exchanges.get(event.stream)
        if exchange is None:
            return
        self._give_up(exchange, reset_by_peer(event.code))
        self._cancelled += 1
        if self._cancelled > _CANCELLED:  # as in HTTP/2's "rapid reset" (RFC 9114 section 10.5)
            self._link.quic.close(
                error_code=ErrorCode.EXCESSIVE_LOAD, reason_phrase="too many cancelled requests"
            )

    def _give_up(self, exchange: Http3Exchange, error: Exception) -> None:
        exchange.incoming.fail(error)
        self._multiplexer.wake_writer(exchange.request.stream)
        if exchange.task is not None and not exchange.tunnelling:  # a tunnel's reads and writes tell of it
            exchange.task.cancel()

    # What goes on.

    async def _too_early(self, exchange: Http3Exchange) -> None:
        """RFC 8470 section 5.2: the client sends it again, when the handshake is done."""
        try:
            await exchange.respond(_TOO_EARLY)
        finally:
            self._finish(exchange)

    async def _serve(self, exchange: Http3Exchange) -> None:
        try:
            await self._handler(exchange)
            if not exchange.begun:
                head = exchange.request
                error = LocalProtocolError(f"no response to {head.method} {head.target}")
                await self._failed(exchange, error)
        except (OSError, RemoteProtocolError, LocalProtocolError) as failure:
            await self._failed(exchange, failure)
        finally:
            self._finish(exchange)

    async def _failed(self, exchange: Http3Exchange, error: Exception) -> None:
        """The peer's fault, or an upstream's: said by a status where one can still be sent. Where it is ours,
        the others on this connection go on."""
        if isinstance(error, LocalProtocolError):
            self._ctx.emit("error", exchange.flow, cause=str(error))
            exchange.abort()
            return
        if not exchange.begun and not isinstance(error, StreamResetError):
            status = error.status if isinstance(error, RemoteProtocolError) else 0
            with contextlib.suppress(OSError):
                await exchange.respond(ResponseHead(status or 400))
            return
        exchange.abort()

    def _finish(self, exchange: Http3Exchange) -> None:
        stream = exchange.request.stream
        self._http.reset_unsent(stream)
        self._http.stop_reading(stream)
        exchange.incoming.drop()
        self._multiplexer.forget(stream)
        self._exchanges.pop(stream, None)
        self._cancelled = max(0, self._cancelled - 1) if exchange.begun else self._cancelled
        self._link.wake()  # and then, if the role stops, the link is closed

    # Slow heads.

    def _watch_heads(self) -> None:
        """A request's head must be whole within its time, or within twice that (against slowloris)."""
        now = self._http.headless
        for stream in self._headless & now:
            self._http.reset(stream, ErrorCode.REQUEST_INCOMPLETE)
        self._headless = now - self._headless
        self._watch = None
        if now:
            loop = asyncio.get_running_loop()
            self._watch = loop.call_later(self._timeouts.head, self._watch_heads)
        self._link.wake()

    # The connection's life.

    def sent(self) -> None:
        self._multiplexer.sent()
        if self._ctx.stopping:
            self._close_if_done()

    def stopping(self) -> None:
        """GOAWAY; the link ends when the last exchange has."""
        self._http.go_away()
        self._link.wake()

    def _close_if_done(self) -> None:
        if self._ctx.stopping and not self._exchanges and self._link.quic.delivered:
            asyncio.get_running_loop().call_soon(self._link.close, int(ErrorCode.NO_ERROR))

    def ended(self, cause: str) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._multiplexer.finish()
        for exchange in list(self._exchanges.values()):
            self._give_up(exchange, StreamResetError(f"the connection ended: {cause}"))
