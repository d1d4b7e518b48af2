"""The client's side of HTTP/3 connections (RFC 9114): many requests at once on one QUIC connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aioquic.quic.events import HandshakeCompleted, QuicEvent

from netlab.errors import LocalProtocolError
from netlab.model.event import Flow
from netlab.model.roles import HttpVersion
from netlab.net.context import RoleContext
from netlab.net.exchange import Tunnel
from netlab.net.http3_request import Asked, Http3Response
from netlab.net.http3_stream import Http3Tunnel, Multiplexer, StreamResetError, reset_by_peer
from netlab.net.quic_client import ClientLink, connect_quic
from netlab.net.roaming import follow
from netlab.net.stream import TlsInfo
from netlab.net.upstream import (
    ClientConnection,
    ConnectionState,
    Outgoing,
    Response,
    Target,
    UpstreamError,
    failed,
)
from netlab.proto.http import Data, End, GoAway, HttpEvent, RequestHead, Reset, ResponseHead
from netlab.proto.http3 import Http3
from netlab.proto.http3_frames import ErrorCode

_CAPACITY = 100
_SAFE = {"GET", "HEAD", "OPTIONS"}  # what may be replayed by somebody on the way (RFC 8470 section 2.1)
_TOO_EARLY = 425


async def open_http3(ctx: RoleContext, target: Target, connect_s: float = 10.0) -> Http3Connection:
    """A connection to `target`. Where a session ticket allows 0-RTT it is there at once, and safe requests
    leave with its first flight.

    Raises OSError (TlsError, TimeoutError), UpstreamError where the target has no TLS.
    """
    if target.tls is None:
        raise UpstreamError(f"{target}: HTTP/3 needs TLS")
    made: list[Http3Connection] = []

    def use(link: ClientLink) -> Http3Connection:
        made.append(Http3Connection(ctx, target, link))
        return made[0]

    await connect_quic(
        ctx, target.address, target.port, target.tls, target.server_name, use, timeout_s=connect_s
    )
    follow(ctx, made[0].link)
    return made[0]


class Http3Connection(ClientConnection):
    """An HTTP/3 connection; `link` is its QUIC connection, which can move (`link.migrate`)."""

    version: HttpVersion = "3"

    def __init__(self, ctx: RoleContext, target: Target, link: ClientLink) -> None:
        self.target = target
        self.link = link
        self.state = ConnectionState(capacity=_CAPACITY)
        self._ctx = ctx
        self._http = Http3(link.quic, is_client=True)
        self._multiplexer = Multiplexer(link, self._http)
        self._asked: dict[int, Asked] = {}
        self._settled = asyncio.Event()  # the server's SETTINGS have come, or never will

    def __repr__(self) -> str:
        return f"<HTTP/3 to {self.target}: {self.state}>"

    @property
    def flow(self) -> Flow:  # type: ignore[override] # it changes when the connection moves
        return self.link.flow

    @property
    def tls(self) -> TlsInfo | None:  # type: ignore[override] # with 0-RTT it is known later
        return self.link.tls

    # What comes in.

    def received(self, event: QuicEvent) -> None:
        for one in self._http.receive(event):
            self._on(one)
        if self._http.settings_known and not self._settled.is_set():
            self._settled.set()
        if isinstance(event, HandshakeCompleted):
            self.state.capacity = min(_CAPACITY, max(1, self.link.quic.streams_allowed))

    def _on(self, event: HttpEvent) -> None:
        if isinstance(event, GoAway):
            self._on_goaway(event.stream)
            return
        if not isinstance(event, ResponseHead | Data | End | Reset):
            raise LocalProtocolError(f"a client got {event}")
        asked = self._asked.get(event.stream)
        if asked is None:
            return  # given up before
        if isinstance(event, ResponseHead):
            asked.on_head(event)
        elif isinstance(event, Data):
            asked.incoming.put(event.data)
        elif isinstance(event, End):
            asked.incoming.end(event.trailers)
        else:
            asked.fail(reset_by_peer(event.code), unsent=event.code == ErrorCode.REQUEST_REJECTED)

    def _on_goaway(self, last: int) -> None:
        """Requests after `last` were not acted on, and never will be (RFC 9114 section 5.2)."""
        self._leave("the server takes no more requests (GOAWAY)")
        for stream, asked in list(self._asked.items()):
            if stream > last:
                asked.fail(StreamResetError("not taken by the server (GOAWAY)"), unsent=True)

    def _leave(self, cause: str) -> None:
        if not self.state.closed:
            self.state.cause = cause
            self.state.closed = True

    # Application of the link.

    def sent(self) -> None:
        self._multiplexer.sent()

    def stopping(self) -> None:
        """Links of clients are not told."""

    def ended(self, cause: str) -> None:
        self._leave(self._http.failed or cause)
        self._settled.set()
        self._multiplexer.finish()
        for asked in list(self._asked.values()):
            asked.fail(StreamResetError(f"the connection ended: {self.state.cause}"))

    # Requests.

    @asynccontextmanager
    async def exchange(self, request: Outgoing) -> AsyncIterator[Response]:
        early = await self._may_begin(request)
        asked = self._begin(request.head, request)
        try:
            head = await asked.answer()
            if head.status == _TOO_EARLY and early:
                self._finish(asked)
                await self._confirmed()
                asked = self._begin(request.head, request)
                head = await asked.answer()
            yield Http3Response(asked, head)
        finally:
            self._finish(asked)

    async def _may_begin(self, request: Outgoing) -> bool:
        """Whether it goes in 0-RTT; what may not waits for the handshake. Raises UpstreamError."""
        early = self.link.handshaking
        if early and (request.head.method not in _SAFE or request.body is not None or request.head.protocol):
            await self._confirmed()
            early = False
        if self.state.closed:
            raise UpstreamError(f"{self.target}: {self.state.cause}", unsent=True)
        return early

    async def _confirmed(self) -> None:
        try:
            await self.link.confirmed()
        except OSError as error:
            raise failed(self.target, error, unsent=True) from error

    def _begin(self, head: RequestHead, request: Outgoing) -> Asked:
        stream = self._http.next_stream()
        asked = self._asked[stream] = Asked(self._multiplexer, self.target, request, stream)
        self.state.active += 1
        self.state.requests += 1
        self._multiplexer.send(replace(head, stream=stream, version="3"), end=asked.bodiless)
        self._ctx.emit(
            "request-sent",
            self.flow,
            method=head.method,
            target=head.target,
            traceparent=head.headers.get("traceparent"),
            version="3",
            stream=stream,
        )
        if not asked.bodiless:
            asked.sender = self._ctx.tasks.create_task(asked.send_body())
        return asked

    def _finish(self, asked: Asked) -> None:
        """Both directions are done with; what is not whole is given up."""
        if self._asked.pop(asked.stream, None) is None:
            return
        self.state.active -= 1
        if asked.sender is not None:
            asked.sender.cancel()
        self._http.reset(asked.stream, ErrorCode.REQUEST_CANCELLED)
        asked.incoming.drop()
        self._multiplexer.forget(asked.stream)
        self.link.wake()

    # Tunnels.

    async def tunnel(self, head: RequestHead, timeout_s: float = 30.0) -> tuple[ResponseHead, Tunnel | None]:
        await self._allows_connect(timeout_s)
        asked = self._begin(head, Outgoing(head, timeout_s=timeout_s))
        try:
            answer = await asked.answer()
        except BaseException:
            self._finish(asked)
            raise
        if not 200 <= answer.status < 300:
            self._finish(asked)
            return answer, None
        tunnel = Http3Tunnel(self._multiplexer, asked.stream, asked.incoming, timeout_s)
        tunnel.on_end = lambda: self._finish(asked)
        return answer, tunnel

    async def _allows_connect(self, timeout_s: float) -> None:
        await self._confirmed()
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError as error:
            raise failed(self.target, error, unsent=True) from error
        if self.state.closed:
            raise UpstreamError(f"{self.target}: {self.state.cause}", unsent=True)
        if not self._http.allows_connect:
            raise UpstreamError(f"{self.target} takes no extended CONNECT (RFC 9220)", unsent=True)

    # The end.

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._leave("closed")
        self.link.close(ErrorCode.NO_ERROR)
