"""WebSocket messages of a connection, frame by frame, with what each cost.

Sources: RFC 6455; RFC 8441 (over HTTP/2); RFC 9220 (over HTTP/3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlab.decode.quic import Side
from netlab.proto.http import RequestHead, ResponseHead
from netlab.proto.websocket_reader import Deflate, WebSocketFrame, WebSocketReader
from netlab.trace.carriage import Carriage
from netlab.trace.connection import Connection
from netlab.trace.message import Exchange, Extent
from netlab.trace.round_trips import Moment
from netlab.trace.tunnel import Tunnelled, tunnelled


@dataclass(frozen=True, slots=True)
class SocketFrame:
    """A WebSocket frame at this interface: `sent` with its first byte, `whole` when it could be read.

    `overhead`: bytes of its own header, 2 to 14. `stream_bytes`: what it took of the
    transport's stream, whole TLS records (their head and tag, and HTTP/2's around it) included.
    """

    sender: Side
    frame: WebSocketFrame
    sent: Moment
    whole: Moment
    frames: tuple[int, ...]
    stream_bytes: int

    @property
    def overhead(self) -> int:
        return self.frame.header_length

    @property
    def payload_length(self) -> int:
        return len(self.frame.payload)


@dataclass(frozen=True, slots=True)
class WebSocket:
    """`opened`: the exchange that upgraded the connection, or its stream. `frames` of both sides, by time."""

    opened: Exchange
    deflate: Deflate | None
    frames: tuple[SocketFrame, ...]

    def of(self, sender: Side) -> tuple[SocketFrame, ...]:
        return tuple(one for one in self.frames if one.sender == sender)


def websockets(connection: Connection) -> tuple[WebSocket, ...]:
    """The WebSocket connections in a connection: one over HTTP/1.1, or one for each such stream."""
    return tuple(_websocket(connection, exchange) for exchange in connection.exchanges if _upgraded(exchange))


def _upgraded(exchange: Exchange) -> bool:
    request, response = exchange.request, exchange.response
    if not isinstance(request, RequestHead) or not isinstance(response, ResponseHead):
        return False
    asked = request.protocol == "websocket" or "websocket" in request.headers.get("upgrade").lower()
    return asked and response.status in (101, 200)


def _websocket(connection: Connection, exchange: Exchange) -> WebSocket:
    response = exchange.response
    assert isinstance(response, ResponseHead)
    deflate = Deflate.of(response.headers.get("sec-websocket-extensions"))
    found: list[SocketFrame] = []
    for sender, carriage in (("client", connection.up), ("server", connection.down)):
        side: Side = "client" if sender == "client" else "server"
        resets = deflate is not None and (
            deflate.client_resets if side == "client" else deflate.server_resets
        )
        reader = WebSocketReader(deflate is not None, resets)
        said = tunnelled(connection, exchange, side)
        found += _frames(connection, side, carriage, reader, said)
    return WebSocket(exchange, deflate, tuple(sorted(found, key=lambda one: one.sent)))


def _frames(
    connection: Connection, sender: Side, carriage: Carriage, reader: WebSocketReader, said: Tunnelled
) -> Iterator[SocketFrame]:
    for frame in reader.receive(said.data):
        extents: Sequence[Extent] = said.extents_of(frame.start, frame.end)
        if not carriage.has(extents):
            return
        yield SocketFrame(
            sender,
            frame,
            connection.moment(carriage.first(extents)),
            connection.moment(carriage.whole(extents)),
            carriage.frames_of(extents),
            sum(end - start for start, end in {carriage.place(extent) for extent in extents}),
        )
