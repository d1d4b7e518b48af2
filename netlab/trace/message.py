"""Messages in the plain bytes of one connection: where each begins and ends, and which trace it is of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from netlab.errors import RemoteProtocolError
from netlab.proto.http import Data, End, HttpEvent, RequestHead, ResponseHead
from netlab.proto.http1 import RequestParser, ResponseParser

# version, trace-id, parent-id, flags (W3C Trace Context, section 3.2)
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes from `start` to before `end` of one direction's plain bytes."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its response, in HTTP (`request` is its head) or SQL (`request` is its text).

    `response` is the head, or in SQL what the server says it did ("SELECT 1"); None, and its extent
    empty, where the capture ends before it.
    """

    trace_id: str
    request: RequestHead | str
    request_extent: Extent
    response: ResponseHead | str | None
    response_extent: Extent


def trace_id_in(data: bytes) -> str:
    """The trace-id of the first traceparent in `data`, or ""."""
    found = _TRACEPARENT.search(data)
    return found[1].decode() if found else ""


def http_exchanges(up: bytes, down: bytes) -> tuple[Exchange, ...]:
    """The requests in `up`, each with its response in `down`, of an HTTP/1.1 connection.

    What is no HTTP, or no longer, ends the list: a capture may stop within a message.
    """
    requests = [
        (head, extent) for head, extent in _messages(RequestParser(), up) if isinstance(head, RequestHead)
    ]
    parser = ResponseParser()
    for head, _ in requests:
        parser.expect(head.method)
    answers = [(head, extent) for head, extent in _messages(parser, down) if isinstance(head, ResponseHead)]
    found = []
    for number, (head, extent) in enumerate(requests):
        response, answered = answers[number] if number < len(answers) else (None, Extent(0, 0))
        trace_id = trace_id_in(head.headers.get("traceparent").encode())
        found.append(Exchange(trace_id, head, extent, response, answered))
    return tuple(found)


def _messages(
    parser: RequestParser | ResponseParser, data: bytes
) -> Iterator[tuple[RequestHead | ResponseHead, Extent]]:
    """Final heads with the extents of their messages; an informational response is part of the next."""
    start, head = 0, None
    for end, event in _events(parser, data):
        if isinstance(event, (RequestHead, ResponseHead)):
            head = event
        elif isinstance(event, End) and head is not None:
            yield head, Extent(start, end)
            start, head = end, None


def _events(parser: RequestParser | ResponseParser, data: bytes) -> Iterator[tuple[int, HttpEvent]]:
    """Events, each with the offset of the first byte after it.

    Byte by byte, so that the offsets are exact, but for the inside of bodies of known length.
    """
    place, body = 0, 0
    try:
        while place < len(data):
            step = max(1, min(body, len(data) - place))
            events = parser.receive(data[place : place + step])
            place, body = place + step, 0
            for event in events:
                yield place, event
                body = max(_body_of(event), body)
        for event in parser.receive(b""):  # a response may end with its connection
            yield place, event
    except RemoteProtocolError:
        return  # not HTTP, or cut off: what came before it stands


def _body_of(event: HttpEvent) -> int:
    """How many bytes of body surely come before the last one."""
    if isinstance(event, Data) or not isinstance(event, (RequestHead, ResponseHead)):
        return 0
    length = event.headers.get("content-length")
    return int(length) - 1 if length.isdecimal() else 0
