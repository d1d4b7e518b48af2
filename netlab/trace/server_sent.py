"""Server-sent events in captured responses, each with its packets (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from netlab.errors import RemoteProtocolError
from netlab.proto.http import ResponseHead
from netlab.proto.sse import CONTENT_TYPE, EventParser, ServerSentEvent
from netlab.trace.bodies import response_body
from netlab.trace.connection import Connection
from netlab.trace.message import Exchange
from netlab.trace.round_trips import Moment

_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")  # what ends an event: a line's end, and an empty line


@dataclass(frozen=True, slots=True)
class SentEvent:
    """`sent` with its first byte, `whole` when it could be read. `text_bytes`: of the event as written, field
    names and empty line included; `stream_bytes`: of the transport's stream, whole TLS records included."""

    event: ServerSentEvent
    sent: Moment
    whole: Moment
    frames: tuple[int, ...]
    text_bytes: int
    stream_bytes: int

    @property
    def overhead(self) -> int:
        """What the event stream put around the data."""
        return self.text_bytes - len(self.event.data.encode())


@dataclass(frozen=True, slots=True)
class EventStream:
    """`exchange` asked for it. `problem`: why reading stopped before the end, or ""."""

    exchange: Exchange
    events: tuple[SentEvent, ...]
    problem: str = ""


def event_streams(connection: Connection) -> tuple[EventStream, ...]:
    """The responses of a connection that are event streams, ended or not."""
    return tuple(_stream(connection, one) for one in connection.exchanges if _is_stream(one))


def _is_stream(exchange: Exchange) -> bool:
    response = exchange.response
    if not isinstance(response, ResponseHead) or response.status != 200:
        return False
    return response.headers.get("content-type").partition(";")[0].strip().lower() == CONTENT_TYPE


def _stream(connection: Connection, exchange: Exchange) -> EventStream:
    found: list[SentEvent] = []
    try:
        found.extend(_events(connection, exchange))
    except RemoteProtocolError as error:
        return EventStream(exchange, tuple(found), str(error))
    return EventStream(exchange, tuple(found))


def _events(connection: Connection, exchange: Exchange) -> Iterator[SentEvent]:
    body, parser, start = response_body(connection, exchange), EventParser(), 0
    for blank in _BLANK.finditer(body.data):
        extents = body.extents_of(start, blank.end())
        for event in parser.receive(body.data[start : blank.end()]):
            if not connection.down.has(extents):
                return
            yield SentEvent(
                event,
                connection.moment(connection.down.first(extents)),
                connection.moment(connection.down.whole(extents)),
                connection.down.frames_of(extents),
                blank.end() - start,
                sum(b - a for a, b in {connection.down.place(one) for one in extents}),
            )
        start = blank.end()
