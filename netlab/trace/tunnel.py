"""The bytes of a tunnel in an HTTP connection: what follows 101 in HTTP/1.1, and the DATA of an extended
CONNECT's stream in HTTP/2 and 3 (RFC 8441, RFC 9220)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from netlab.decode.quic import Side
from netlab.proto.http2_reader import HEADER_LENGTH
from netlab.trace.connection import Connection
from netlab.trace.message import Exchange, Extent


@dataclass(frozen=True, slots=True)
class Tunnelled:
    """One direction. `pieces`: where each starts in `data`, and its place in the connection's plain bytes."""

    data: bytes
    pieces: tuple[tuple[int, Extent], ...]

    def extents_of(self, start: int, end: int) -> tuple[Extent, ...]:
        """Where the connection has the tunnel's bytes from `start` to before `end`."""
        row = max(bisect_right(self.pieces, start, key=lambda one: one[0]) - 1, 0)
        found: list[Extent] = []
        while row < len(self.pieces) and self.pieces[row][0] < end:
            at, extent = self.pieces[row]
            first, last = max(start - at, 0), min(end - at, extent.end - extent.start)
            if first < last:
                found.append(Extent(extent.start + first, extent.start + last, extent.stream))
            row += 1
        return tuple(found)


def tunnelled(connection: Connection, exchange: Exchange, sender: Side) -> Tunnelled:
    """What `sender` put into the tunnel that `exchange` opened."""
    if connection.quic is not None:
        return _of_http3(connection, exchange, sender)
    if connection.http == "2":
        return _of_http2(connection, exchange, sender)
    up, down = connection.plain
    data, extents = (
        (up, exchange.request_extents) if sender == "client" else (down, exchange.response_extents)
    )
    start = extents[-1].end if extents else len(data)
    return Tunnelled(data[start:], ((0, Extent(start, len(data))),))


def _of_http2(connection: Connection, exchange: Exchange, sender: Side) -> Tunnelled:
    read = connection.http2
    data, pieces = bytearray(), list[tuple[int, Extent]]()
    for frame in read.sent if sender == "client" else read.answered:
        if frame.type == "DATA" and frame.stream == exchange.stream and frame.content:
            # after the frame's header, and a pad length where it is padded
            start = frame.start + HEADER_LENGTH + ("PADDED" in frame.flags)
            pieces.append((len(data), Extent(start, start + len(frame.content))))
            data += frame.content
    return Tunnelled(bytes(data), tuple(pieces))


def _of_http3(connection: Connection, exchange: Exchange, sender: Side) -> Tunnelled:
    data, pieces = bytearray(), list[tuple[int, Extent]]()
    for frame in connection.http3.frames:
        if (frame.type, frame.stream, frame.sender) == ("DATA", exchange.stream, sender) and frame.content:
            start = frame.start + frame.header_length
            pieces.append((len(data), Extent(start, frame.end, frame.stream)))
            data += frame.content
    return Tunnelled(bytes(data), tuple(pieces))
