"""The body of a response, with the packets of each of its bytes: for what is said piece by piece in one."""

from __future__ import annotations

from netlab.errors import RemoteProtocolError
from netlab.proto.http import Data, RequestHead
from netlab.proto.http1 import ResponseParser
from netlab.trace.connection import Connection
from netlab.trace.message import Exchange, Extent, placed_events
from netlab.trace.tunnel import Tunnelled, tunnelled


def response_body(connection: Connection, exchange: Exchange) -> Tunnelled:
    """As much of it as the capture has; without the framing of HTTP, compressed where it is."""
    if connection.http != "1.1":
        return tunnelled(connection, exchange, "server")
    request, extent = exchange.request, exchange.response_extent
    message = connection.plain[1][extent.start : extent.end]
    parser = ResponseParser()
    parser.expect(request.method if isinstance(request, RequestHead) else "GET")
    data, pieces, upto = bytearray(), list[tuple[int, Extent]](), 0
    for end, event in placed_events(parser, message):
        if isinstance(event, Data) and event.data:
            start = message.find(event.data, max(end - len(event.data) - _FRAMING, upto), end)
            if start < 0:
                raise RemoteProtocolError("a body whose bytes aren't where they were read")
            upto = start + len(event.data)
            pieces.append((len(data), Extent(extent.start + start, extent.start + upto)))
            data += event.data
    return Tunnelled(bytes(data), tuple(pieces))


_FRAMING = 2  # a chunk's line end, which may have been read with its last byte
