"""HTTP/1.1 messages, frames of HTTP/2 and HTTP/3, and what runs in them: WebSocket frames, sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netlab.decode.field import Field
from netlab.decode.quic import Side
from netlab.proto.http import Data, End, Headers, RequestHead, ResponseHead
from netlab.proto.http1 import RequestParser, ResponseParser
from netlab.proto.http2_reader import PREFACE, Http2Frame
from netlab.proto.http3_reader import Http3Frame
from netlab.trace.message import Extent, placed_events
from netlab.trace.parts import APPLICATION, Part, Parts, cut, fact
from netlab.trace.server_sent import SentEvent, event_streams
from netlab.trace.websockets import SocketFrame, websockets

_OWN_FIELDS = 6  # of the pairs that a summary may show


def http_parts(parts: Parts) -> None:
    """Adds those of a connection that speaks HTTP."""
    connection = parts.connection
    if connection.http == "1.1":
        _http1(parts)
    elif connection.http == "2":
        _http2(parts)
    for frame3 in connection.http3.frames:
        _http3(parts, frame3)
    for socket in websockets(connection):
        for one in socket.frames:
            _socket(parts, one)
    for stream in event_streams(connection):
        for event in stream.events:
            _sent_event(parts, event)


# ---------------------------------------------------------------------------------------- HTTP/1.1


def _http1(parts: Parts) -> None:
    up, down = parts.connection.plain
    responses = ResponseParser()
    for method in _requests(parts, up):
        responses.expect(method)
    start, size = 0, 0
    head: ResponseHead | None = None
    for end, event in placed_events(responses, down):
        if isinstance(event, ResponseHead):
            head = event
            if event.informational or event.status == 101:
                _message(parts, head, "server", start, end, 0)
                start, head = end, None
                if event.status == 101:
                    return
        elif isinstance(event, Data):
            size += len(event.data)
        elif isinstance(event, End) and head is not None:
            _message(parts, head, "server", start, end, size)
            start, size, head = end, 0, None
    if head is not None:
        _message(parts, head, "server", start, len(down), size, whole=False)


def _requests(parts: Parts, up: bytes) -> Iterator[str]:
    """Adds the requests, and gives their methods."""
    start, size = 0, 0
    head: RequestHead | None = None
    for end, event in placed_events(RequestParser(), up):
        if isinstance(event, RequestHead):
            head = event
            yield head.method
        elif isinstance(event, Data):
            size += len(event.data)
        elif isinstance(event, End) and head is not None:
            _message(parts, head, "client", start, end, size)
            start, size, head = end, 0, None
    if head is not None:
        _message(parts, head, "client", start, len(up), size, whole=False)


def _message(
    parts: Parts,
    head: RequestHead | ResponseHead,
    sender: Side,
    start: int,
    end: int,
    body: int,
    *,
    whole: bool = True,
) -> None:
    if isinstance(head, RequestHead):
        line = f"{head.method} {head.target}"
        own = (fact("method", head.method), fact("target", head.target))
    else:
        line = f"{head.status} {head.reason}".rstrip()
        own = (fact("status", head.status), fact("reason", head.reason))
    fields = (*own, *_headers(head.headers), fact("body", body, f"{body} bytes"))
    text = cut(line) + (f", {body} bytes" if body else "")
    if not whole:
        text += ", its end isn't in the capture"
        fields = (*fields, fact("incomplete", 1, "its end isn't in the capture"))
    parts.message("HTTP/1.1", line, text, sender, (Extent(start, end),), fields)


def _headers(headers: Headers | Iterable[tuple[str, str]]) -> Iterator[Field]:
    return (fact(name, value) for name, value in headers)


# ---------------------------------------------------------------------------------- HTTP/2, HTTP/3


def _http2(parts: Parts) -> None:
    read = parts.connection.http2
    if read.sent:
        parts.message("HTTP/2", "preface", "connection preface", "client", (Extent(0, len(PREFACE)),))
    for frame in read.sent:
        _frame2(parts, frame, "client")
    for frame in read.answered:
        _frame2(parts, frame, "server")


def _frame2(parts: Parts, frame: Http2Frame, sender: Side) -> None:
    fields = [fact("stream", frame.stream), fact("flags", ", ".join(frame.flags))]
    length = frame.end - frame.start - 9
    fields += [fact("length", length), *(fact(name, value) for name, value in frame.facts)]
    fields += _headers(frame.headers or ())
    if frame.problem:
        fields.append(fact("problem", frame.problem))
    text = _frame_text(frame, length)
    parts.message("HTTP/2", frame.type, text, sender, (Extent(frame.start, frame.end),), fields)


def _http3(parts: Parts, frame: Http3Frame) -> None:
    length = frame.end - frame.start - frame.header_length
    fields = [fact("stream", frame.stream), fact("length", length)]
    fields += [fact(name, value) for name, value in frame.facts]
    fields += _headers(frame.headers or ())
    if frame.problem:
        fields.append(fact("problem", frame.problem))
    text = _frame_text(frame, length)
    extents = (Extent(frame.start, frame.end, frame.stream),)
    parts.message("HTTP/3", frame.type, text, frame.sender, extents, fields)


def _frame_text(frame: Http2Frame | Http3Frame, length: int) -> str:
    words = [frame.type]
    if frame.stream or isinstance(frame, Http3Frame):
        words.append(f"stream {frame.stream}")
    found = dict(frame.headers or ())
    if ":method" in found:
        words.append(f"{found[':method']} {found.get(':path', found.get(':authority', ''))}")
    elif ":status" in found:
        words.append(found[":status"])
    elif frame.facts:
        words.append(", ".join(f"{name}={value}" for name, value in frame.facts[:_OWN_FIELDS]))
    if frame.type == "DATA":
        words.append(f"{length} bytes")
    return cut(" ".join(words))


# ------------------------------------------------------------------------------ WebSocket and SSE


def _socket(parts: Parts, one: SocketFrame) -> None:
    frame = one.frame
    fields = [
        fact("opcode", frame.opcode, frame.name),
        fact("FIN", int(frame.fin)),
        fact("masked", int(frame.masked)),
        fact("compressed", int(frame.compressed)),
        fact("length", len(frame.payload)),
    ]
    text = f"{frame.name}, {len(frame.payload)} bytes"
    if frame.close_code:
        fields.append(fact("close code", frame.close_code))
        text = f"close {frame.close_code}"
    if frame.message is not None and frame.opcode in (0, 1):
        said = frame.message.decode(errors="replace")
        fields.append(fact("message", said))
        text += f": {cut(said, 60)}"
    if frame.problem:
        fields.append(fact("problem", frame.problem))
    spans = {number: parts.payload(number) for number in one.frames}
    parts.add(
        Part(APPLICATION, "WebSocket", frame.name, text, one.sender, one.whole.frame, spans, tuple(fields))
    )


def _sent_event(parts: Parts, one: SentEvent) -> None:
    event = one.event
    fields = (fact("event", event.event), fact("id", event.id), fact("data", event.data))
    text = f"{event.event}{f' {event.id}' if event.id else ''}: {cut(event.data, 60)}"
    spans = {number: parts.payload(number) for number in one.frames}
    parts.add(Part(APPLICATION, "SSE", event.event, text, "server", one.whole.frame, spans, fields))
