"""Server-sent events in captured connections over HTTP/1.1 (chunked or not), 2 and 3."""

from __future__ import annotations

import pytest

from netlab.decode.tls import KeyLog
from netlab.proto import sse
from netlab.trace.bodies import response_body
from netlab.trace.connection import Connection, connections
from netlab.trace.server_sent import event_streams
from tests.kit.quic_bytes import MS as QUIC_MS
from tests.kit.quic_bytes import network
from tests.kit.tcp_path import MS, TcpPath

GET = b"GET /events HTTP/1.1\r\nHost: a.example\r\nAccept: text/event-stream\r\n\r\n"
EVENTS = (
    sse.encode("one", event_id="1"),
    sse.comment("still here"),
    sse.encode("two\nlines", event_id="2"),
    sse.encode("x" * 3000, event_id="3"),
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


def over_http11(chunked: bool) -> Connection:
    path = TcpPath()
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n" + framing + b"\r\n"
    path.server.heard = lambda _: path.server.send(head)
    path.client.send(GET)
    path.connect()
    path.settle(200 * MS)
    for event in EVENTS:
        path.server.send(chunk(event) if chunked else event)
        path.settle(100 * MS)
    (found,) = connections(path.frames("client"), KeyLog())
    return found


def over_http3() -> Connection:
    made = network()
    made.connect()
    made.fetch("/warm")
    assert made.h3_server is not None
    stream = made.ask("/events", [(b":protocol", b"none")])  # so that the kit leaves the answer to us
    made.tunnel_fields = [(b"content-type", b"text/event-stream")]
    made.settle(100 * QUIC_MS)
    for event in EVENTS:
        made.h3_server.send_data(stream, event, end_stream=False)
        made.settle(100 * QUIC_MS)
    (found,) = connections(made.frames("client"), made.keys)
    return found


@pytest.mark.parametrize("chunked", [True, False])
def test_events_over_http11(chunked: bool) -> None:
    check(over_http11(chunked))


def test_events_over_http3() -> None:
    check(over_http3())


def check(connection: Connection) -> None:
    (stream,) = event_streams(connection)
    assert stream.problem == ""
    assert [(one.event.id, len(one.event.data)) for one in stream.events] == [("1", 3), ("2", 9), ("3", 3000)]
    first, second, third = stream.events
    assert (first.text_bytes, first.overhead) == (len(EVENTS[0]), len(EVENTS[0]) - 3)
    apart = second.sent.time_ns - first.sent.time_ns
    assert apart == pytest.approx(200 * MS, rel=0.001)  # a comment lies between
    assert len(third.frames) == 3
    assert third.whole.time_ns > third.sent.time_ns
    assert third.stream_bytes >= third.text_bytes
    body = response_body(connection, stream.exchange)
    assert body.data == b"".join(EVENTS)
    assert body.extents_of(0, 3)


def test_other_responses_are_no_event_streams() -> None:
    path = TcpPath()
    path.server.heard = lambda _: path.server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata: 1\n\n")
    path.client.send(GET)
    path.connect()
    path.settle(200 * MS)
    (found,) = connections(path.frames("client"), KeyLog())
    assert event_streams(found) == ()
    assert response_body(found, found.exchanges[0]).data == b"data: 1\n\n"
