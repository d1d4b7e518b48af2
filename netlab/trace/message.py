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
    """Bytes from `start` to before `end` of one direction's plain bytes; in QUIC, of its stream `stream`."""

    start: int
    end: int
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its response, in HTTP (`request` is its head) or SQL (`request` is its text).

    `response` is the head, or in SQL what the server says it did ("SELECT 1"); None where the capture
    doesn't have it. Extents in the order of the bytes, headers and framing included; several where
    other streams' frames lie between (HTTP/2). `whole`: the response's end is there. `stream`: its
    number in HTTP/2 and 3. Bodies in bytes, without framing. `problem`: what can't be read of it.
    """

    trace_id: str
    request: RequestHead | str
    request_extents: tuple[Extent, ...]
    response: ResponseHead | str | None
    response_extents: tuple[Extent, ...] = ()
    stream: int = 0
    whole: bool = True
    request_body: int = 0
    response_body: int = 0
    problem: str = ""

    @property
    def request_extent(self) -> Extent:
        """From its first byte to its last."""
        return _hull(self.request_extents)

    @property
    def response_extent(self) -> Extent:
        return _hull(self.response_extents)


def _hull(extents: tuple[Extent, ...]) -> Extent:
    if not extents:
        return Extent(0, 0)
    return Extent(extents[0].start, extents[-1].end, extents[0].stream)


def trace_id_in(data: bytes) -> str:
    """The trace-id of the first traceparent in `data`, or ""."""
    found = _TRACEPARENT.search(data)
    return found[1].decode() if found else ""


def http_exchanges(up: bytes, down: bytes) -> tuple[Exchange, ...]:
    """The requests in `up`, each with its response in `down`, of an HTTP/1.1 connection.

    What is no HTTP, or no longer, ends the list: a capture may stop within a message.
    """
    requests = [one for one in _messages(RequestParser(), up) if isinstance(one.head, RequestHead)]
    parser = ResponseParser()
    for asked in requests:
        assert isinstance(asked.head, RequestHead)
        parser.expect(asked.head.method)
    answers = _messages(parser, down)
    return tuple(_exchange(asked, next(answers, None)) for asked in requests)


@dataclass(slots=True)
class _Message:
    """`whole` is False for one that the capture has only the beginning of."""

    head: RequestHead | ResponseHead
    extent: Extent
    body: int
    whole: bool


def _exchange(asked: _Message, answer: _Message | None) -> Exchange:
    head = asked.head
    assert isinstance(head, RequestHead)
    trace_id = trace_id_in(head.headers.get("traceparent").encode())
    if answer is None or not isinstance(answer.head, ResponseHead):
        return Exchange(trace_id, head, (asked.extent,), None, whole=False, request_body=asked.body)
    return Exchange(
        trace_id,
        head,
        (asked.extent,),
        answer.head,
        (answer.extent,),
        whole=answer.whole,
        request_body=asked.body,
        response_body=answer.body,
    )


def _messages(parser: RequestParser | ResponseParser, data: bytes) -> Iterator[_Message]:
    """Final heads with the extents of their messages; an informational response is part of the next.
    After a switch of protocols, 101, there are no more."""
    start, body, place = 0, 0, 0
    head: RequestHead | ResponseHead | None = None
    for end, event in placed_events(parser, data):
        place = end
        if isinstance(event, Data):
            body += len(event.data)
        elif isinstance(event, (RequestHead, ResponseHead)):
            head = event
            if isinstance(event, ResponseHead) and event.status == 101:
                yield _Message(head, Extent(start, end), 0, whole=True)
                return
        elif isinstance(event, End) and head is not None:
            yield _Message(head, Extent(start, end), body, whole=True)
            start, head, body = end, None, 0
    if head is not None and not (isinstance(head, ResponseHead) and head.informational):
        yield _Message(head, Extent(start, place), body, whole=False)


def placed_events(parser: RequestParser | ResponseParser, data: bytes) -> Iterator[tuple[int, HttpEvent]]:
    """Events, each with the offset of the first byte after it.

    Byte by byte, so that the offsets are exact, but for the inside of heads and of bodies of known length.
    """
    place, body, between = 0, 0, True
    try:
        while place < len(data):
            step = max(1, min(body, len(data) - place))
            if between:
                # All of the head but its last byte: nothing can come of that.
                step = max(step, data.find(_HEAD_END, place) + len(_HEAD_END) - 1 - place)
            events = parser.receive(data[place : place + step])
            place, body, between = place + step, 0, False
            for event in events:
                yield place, event
                body = max(_body_of(event), body)
                between = isinstance(event, End) or (isinstance(event, ResponseHead) and event.informational)
        for event in parser.receive(b""):  # a response may end with its connection
            yield place, event
    except RemoteProtocolError:
        return  # not HTTP, or cut off: what came before it stands


_HEAD_END = b"\r\n\r\n"


def _body_of(event: HttpEvent) -> int:
    """How many bytes of body surely come before the last one."""
    if isinstance(event, Data) or not isinstance(event, (RequestHead, ResponseHead)):
        return 0
    length = event.headers.get("content-length")
    return int(length) - 1 if length.isdecimal() else 0
