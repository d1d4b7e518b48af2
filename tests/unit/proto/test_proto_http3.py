"""HTTP/3's machine, fed frames one by one, byte by byte, and by its own other side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pylsqpack
import pytest
from aioquic.quic.events import QuicEvent, StopSendingReceived, StreamDataReceived, StreamReset

from netlab.errors import LocalProtocolError
from netlab.proto.http import Data, End, GoAway, Headers, HttpEvent, RequestHead, Reset, ResponseHead
from netlab.proto.http3 import Http3
from netlab.proto.http3_frames import (
    ErrorCode,
    FrameType,
    Setting,
    StreamType,
    decode_settings,
    encode_frame,
    encode_settings,
    encode_varint,
    read_varint,
)

Fields = list[tuple[bytes, bytes]]
GET: Fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"h"), (b":path", b"/")]
OK: Fields = [(b":status", b"200")]


@dataclass
class Quic:
    """The streams of a QUIC connection, as far as HTTP/3 needs them; what it did is kept."""

    is_client: bool
    sent: dict[int, bytes] = field(default_factory=lambda: defaultdict(bytes))
    ended: set[int] = field(default_factory=set)
    reset: dict[int, int] = field(default_factory=dict)
    stopped: dict[int, int] = field(default_factory=dict)
    closed: tuple[int, str] | None = None
    events: list[QuicEvent] = field(default_factory=list)  # for the other side
    next_id: dict[bool, int] = field(default_factory=dict)

    def get_next_available_stream_id(self, is_unidirectional: bool = False) -> int:
        return self.next_id.get(is_unidirectional, (not self.is_client) + 2 * is_unidirectional)

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        if bool(stream_id & 1) != self.is_client:
            one_way = bool(stream_id & 2)
            self.next_id[one_way] = max(stream_id + 4, self.get_next_available_stream_id(one_way))
        assert stream_id not in self.ended | set(self.reset), stream_id
        self.sent[stream_id] += data
        if end_stream:
            self.ended.add(stream_id)
        self.events.append(StreamDataReceived(data=data, end_stream=end_stream, stream_id=stream_id))

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self.reset[stream_id] = error_code
        self.events.append(StreamReset(error_code=error_code, stream_id=stream_id))

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        self.stopped[stream_id] = error_code
        self.events.append(StopSendingReceived(error_code=error_code, stream_id=stream_id))

    def close(self, error_code: int = 0, frame_type: int | None = None, reason_phrase: str = "") -> None:
        self.closed = error_code, reason_phrase

    def take(self) -> list[QuicEvent]:
        events, self.events = self.events, []
        return events


def side(is_client: bool) -> tuple[Http3, Quic]:
    quic = Quic(is_client)
    return Http3(quic, is_client=is_client), quic


def block(fields: Fields) -> bytes:
    return encode_frame(FrameType.HEADERS, pylsqpack.Encoder().encode(0, fields)[1])


def data(stream: int, content: bytes, end: bool = False) -> StreamDataReceived:
    return StreamDataReceived(data=content, end_stream=end, stream_id=stream)


def receive(http: Http3, *events: QuicEvent) -> list[HttpEvent]:
    return [found for event in events for found in http.receive(event)]


def pump(client: tuple[Http3, Quic], server: tuple[Http3, Quic]) -> tuple[list[HttpEvent], list[HttpEvent]]:
    """What both hear until neither has anything to say."""
    heard: tuple[list[HttpEvent], list[HttpEvent]] = ([], [])
    while client[1].events or server[1].events:
        heard[1].extend(receive(server[0], *client[1].take()))
        heard[0].extend(receive(client[0], *server[1].take()))
    return heard


# Both sides of ours.


def test_a_request_and_its_response() -> None:
    client, server = side(True), side(False)
    stream = client[0].next_stream()
    head = RequestHead("POST", "/a?b", Headers((("Host", "h.example"), ("X-A", "1"))), stream, "3")
    client[0].send(head)
    client[0].send(Data(b"body", stream))
    client[0].send(End(Headers((("x-sum", "2"),)), stream))
    _, heard = pump(client, server)
    wanted = Headers((("host", "h.example"), ("x-a", "1")))
    assert heard == [
        RequestHead("POST", "/a?b", wanted, 0, "3", "https"),
        Data(b"body", 0),
        End(Headers((("x-sum", "2"),)), 0),
    ]
    server[0].send(ResponseHead(103, Headers((("link", "</x>"),)), stream=0))
    server[0].send(ResponseHead(200, Headers((("Content-Length", "2"),)), stream=0))
    server[0].send(Data(b"ok", 0), end=True)
    heard, _ = pump(client, server)
    assert heard == [
        ResponseHead(103, Headers((("link", "</x>"),)), "", 0, "3"),
        ResponseHead(200, Headers((("content-length", "2"),)), "", 0, "3"),
        Data(b"ok", 0),
        End(stream=0),
    ]
    assert client[1].closed is server[1].closed is None
    assert client[0].next_stream() == 4


def test_no_dynamic_table() -> None:
    """The same request again is as long, and the QPACK streams carry their type only."""
    client, server = side(True), side(False)
    sizes = set()
    for _ in range(6):
        stream = client[0].next_stream()
        client[0].send(RequestHead("GET", "/", Headers((("host", "h"), ("x", "y" * 99))), stream), end=True)
        sizes.add(len(client[1].sent[stream]))
        _, heard = pump(client, server)
        assert [type(one) for one in heard] == [RequestHead, End], heard
    assert len(sizes) == 1, sizes
    assert (client[1].sent[6], client[1].sent[10]) == (b"\2", b"\3")


def test_extended_connect() -> None:
    client, server = side(True), side(False)
    pump(client, server)
    assert client[0].allows_connect
    assert not server[0].allows_connect
    head = RequestHead("GET", "/chat", Headers((("host", "h"),)), 0, "3", "https", "websocket")
    client[0].send(head)
    _, heard = pump(client, server)
    assert heard == [head]
    server[0].send(ResponseHead(200, stream=0))
    server[0].send(Data(b"abc", 0))
    heard, _ = pump(client, server)
    assert heard == [ResponseHead(200, stream=0, version="3"), Data(b"abc", 0)]
    client[0].send(End(stream=0))
    server[0].send(End(stream=0))
    assert pump(client, server) == ([End(stream=0)], [End(stream=0)])


def test_goaway() -> None:
    client, server = side(True), side(False)
    for stream in (0, 4):
        client[0].send(RequestHead("GET", "/", Headers((("host", "h"),)), stream), end=True)
    pump(client, server)
    server[0].go_away()
    late = RequestHead("GET", "/late", Headers((("host", "h"),)), 8)
    client[0].send(late, end=True)  # it crosses the GOAWAY
    heard, served = pump(client, server)
    assert heard == [GoAway(ErrorCode.NO_ERROR, 4), Reset(ErrorCode.REQUEST_REJECTED, 8)]
    assert served == []
    with pytest.raises(LocalProtocolError):
        client[0].send(RequestHead("GET", "/", Headers((("host", "h"),)), 12))
    server[0].send(ResponseHead(200, stream=4), end=True)
    heard, _ = pump(client, server)
    assert heard == [ResponseHead(200, stream=4, version="3"), End(stream=4)]


def test_resets_both_ways() -> None:
    client, server = side(True), side(False)
    client[0].send(RequestHead("POST", "/", Headers((("host", "h"),)), 0))
    pump(client, server)
    client[0].reset(0)
    _, heard = pump(client, server)
    assert heard == [Reset(ErrorCode.REQUEST_CANCELLED, 0)]
    server[0].send(ResponseHead(200, stream=0))  # goes nowhere
    assert 0 not in server[1].sent
    client[0].send(RequestHead("POST", "/", Headers((("host", "h"),)), 4))
    pump(client, server)
    server[0].send(ResponseHead(200, stream=4), end=True)
    server[0].stop_reading(4)
    heard, _ = pump(client, server)
    assert heard == [ResponseHead(200, stream=4, version="3"), End(stream=4)], "NO_ERROR leaves it whole"
    client[0].send(Data(b"more", 4))  # goes nowhere
    assert not client[0].writable(4)


# What a client may do to a server.

SETTINGS = encode_settings({})
CONTROL = encode_varint(StreamType.CONTROL)
BEGUN = CONTROL + SETTINGS


def bytewise(event: StreamDataReceived) -> Iterator[StreamDataReceived]:
    content = event.data
    for index in range(len(content)):
        last = event.end_stream and index == len(content) - 1
        yield data(event.stream_id, content[index : index + 1], last)


def test_bytes_may_come_one_by_one() -> None:
    unknown = encode_frame(0x21, b"grease")
    body = encode_frame(FrameType.DATA, b"abc")
    request = unknown + block(GET) + unknown + body + unknown + block([(b"x-t", b"1")]) + unknown
    for whole in (True, False):
        http, quic = side(False)
        events = [data(2, BEGUN + unknown), data(0, request, True)]
        if not whole:
            events = [one for event in events for one in bytewise(event)]
        heard = receive(http, *events)
        assert quic.closed is None, quic.closed
        assert heard[0] == RequestHead("GET", "/", Headers((("host", "h"),)), 0, "3", "https")
        assert b"".join(one.data for one in heard if isinstance(one, Data)) == b"abc"
        assert heard[-1] == End(Headers((("x-t", "1"),)), 0)
        assert sum(isinstance(one, End) for one in heard) == 1


MALFORMED: dict[str, Fields] = {
    "upper case": [*GET, (b"X-A", b"1")],
    "no method": GET[1:],
    "no scheme": [GET[0], *GET[2:]],
    "no path": GET[:3],
    "no authority": [GET[0], GET[1], GET[3]],
    "empty path": [*GET[:3], (b":path", b"")],
    "status in a request": [*GET, (b":status", b"200")],
    "unknown pseudo-header": [*GET, (b":x", b"1")],
    "pseudo-header twice": [*GET, GET[0]],
    "pseudo-header late": [*GET[:3], (b"a", b"b"), GET[3]],
    "connection": [*GET, (b"connection", b"close")],
    "transfer-encoding": [*GET, (b"transfer-encoding", b"chunked")],
    "te": [*GET, (b"te", b"gzip")],
    "line feed": [*GET, (b"a", b"b\nc")],
    "host differs": [*GET, (b"host", b"other")],
    "two lengths": [*GET, (b"content-length", b"1"), (b"content-length", b"2")],
    "protocol with GET": [*GET, (b":protocol", b"websocket")],
    "CONNECT with a path": [(b":method", b"CONNECT"), *GET[1:]],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_end_their_stream_alone(name: str) -> None:
    http, quic = side(False)
    assert receive(http, data(0, block(MALFORMED[name]), True)) == []
    assert quic.reset == {0: ErrorCode.MESSAGE_ERROR}, quic
    assert quic.closed is None
    assert [type(one) for one in receive(http, data(4, block(GET), True))] == [RequestHead, End]


@pytest.mark.parametrize("sizes", [(3,), (1, 1), (0,)])
def test_bodies_that_lie_about_their_length(sizes: tuple[int, ...]) -> None:
    http, quic = side(False)
    content = block([*GET, (b"content-length", b"2")])
    body = b"".join(encode_frame(FrameType.DATA, bytes(size)) for size in sizes)
    heard = receive(http, data(0, content), data(0, body, True))
    if sum(sizes) == 2:
        assert isinstance(heard[-1], End)
        return
    assert heard[-1] == Reset(ErrorCode.MESSAGE_ERROR, 0)
    assert quic.reset == {0: ErrorCode.MESSAGE_ERROR}
    assert quic.stopped in ({0: ErrorCode.MESSAGE_ERROR}, {})


def test_a_stream_without_a_request() -> None:
    http, quic = side(False)
    assert receive(http, data(0, b"", True)) == []
    assert quic.reset == {0: ErrorCode.REQUEST_INCOMPLETE}
    assert receive(http, data(4, block(GET)[:3]), StreamReset(error_code=7, stream_id=4)) == []
    assert quic.reset[4] == ErrorCode.REQUEST_INCOMPLETE


def test_field_sections_that_are_too_large_get_431() -> None:
    huge = encode_varint(FrameType.HEADERS) + encode_varint(1 << 30)
    wide = block([*GET, *[(b"x-%d" % number, b"v" * 60) for number in range(700)]])
    for content in (huge, wide):
        http, quic = side(False)
        assert receive(http, data(0, content)) == []
        assert 0 in quic.ended
        assert quic.stopped == {0: ErrorCode.NO_ERROR}
        _, fields = pylsqpack.Decoder(0, 0).feed_header(0, quic.sent[0][2:])
        assert (b":status", b"431") in fields
        assert receive(http, data(0, bytes(100_000))) == []


def closes(*events: QuicEvent, is_client: bool = False) -> tuple[int, str] | None:
    http, quic = side(is_client)
    if is_client:
        http.send(RequestHead("GET", "/", Headers((("host", "h"),)), 0), end=True)
    receive(http, *events)
    assert receive(http, data(4, block(GET), True)) == [], "nothing after the end"
    return quic.closed


PUSHED = encode_frame(FrameType.PUSH_PROMISE, b"\0" + block(GET))
BROKEN: dict[str, tuple[ErrorCode, list[QuicEvent]]] = {
    "DATA first": (ErrorCode.FRAME_UNEXPECTED, [data(0, encode_frame(0, b"x"))]),
    "DATA after trailers": (
        ErrorCode.FRAME_UNEXPECTED,
        [data(0, block(GET) + block([(b"a", b"b")]) + encode_frame(0, b"x"))],
    ),
    "HEADERS after trailers": (ErrorCode.FRAME_UNEXPECTED, [data(0, block(GET) + block([]) + block([]))]),
    "SETTINGS on a request": (ErrorCode.FRAME_UNEXPECTED, [data(0, SETTINGS)]),
    "GOAWAY on a request": (ErrorCode.FRAME_UNEXPECTED, [data(0, encode_frame(7, b"\0"))]),
    "MAX_PUSH_ID on a request": (ErrorCode.FRAME_UNEXPECTED, [data(0, encode_frame(13, b"\0"))]),
    "CANCEL_PUSH on a request": (ErrorCode.FRAME_UNEXPECTED, [data(0, encode_frame(3, b"\0"))]),
    "PUSH_PROMISE by a client": (ErrorCode.FRAME_UNEXPECTED, [data(0, PUSHED)]),
    "HTTP/2's PRIORITY": (ErrorCode.FRAME_UNEXPECTED, [data(0, encode_frame(2, b"x"))]),
    "HTTP/2's PING on control": (
        ErrorCode.FRAME_UNEXPECTED,
        [data(2, BEGUN + encode_frame(6, b""))],
    ),
    "a frame cut short": (ErrorCode.FRAME_ERROR, [data(0, block(GET) + b"\0\5abc", True)]),
    "a frame's head cut short": (ErrorCode.FRAME_ERROR, [data(0, block(GET) + b"\0", True)]),
    "no SETTINGS": (ErrorCode.MISSING_SETTINGS, [data(2, CONTROL + encode_frame(0x21, b""))]),
    "SETTINGS twice": (ErrorCode.FRAME_UNEXPECTED, [data(2, BEGUN + SETTINGS)]),
    "DATA on control": (ErrorCode.FRAME_UNEXPECTED, [data(2, BEGUN + encode_frame(0, b""))]),
    "HEADERS on control": (ErrorCode.FRAME_UNEXPECTED, [data(2, BEGUN + block(GET))]),
    "a reserved setting": (ErrorCode.SETTINGS_ERROR, [data(2, CONTROL + encode_frame(4, b"\2\0"))]),
    "a setting twice": (ErrorCode.SETTINGS_ERROR, [data(2, CONTROL + encode_frame(4, b"\1\0\1\0"))]),
    "CONNECT setting 2": (ErrorCode.SETTINGS_ERROR, [data(2, CONTROL + encode_frame(4, b"\x08\2"))]),
    "half a setting": (ErrorCode.FRAME_ERROR, [data(2, CONTROL + encode_frame(4, b"\1"))]),
    "huge SETTINGS": (ErrorCode.EXCESSIVE_LOAD, [data(2, CONTROL + b"\4" + encode_varint(1 << 40))]),
    "a second control stream": (
        ErrorCode.STREAM_CREATION_ERROR,
        [data(2, CONTROL + SETTINGS), data(6, CONTROL)],
    ),
    "a second encoder stream": (ErrorCode.STREAM_CREATION_ERROR, [data(2, b"\2"), data(6, b"\2")]),
    "a second decoder stream": (ErrorCode.STREAM_CREATION_ERROR, [data(2, b"\3"), data(6, b"\3")]),
    "a push stream of a client": (ErrorCode.STREAM_CREATION_ERROR, [data(2, b"\1\0")]),
    "control ends": (ErrorCode.CLOSED_CRITICAL_STREAM, [data(2, CONTROL + SETTINGS, True)]),
    "control is reset": (
        ErrorCode.CLOSED_CRITICAL_STREAM,
        [data(2, CONTROL + SETTINGS), StreamReset(error_code=0, stream_id=2)],
    ),
    "encoder stream ends": (ErrorCode.CLOSED_CRITICAL_STREAM, [data(2, b"\2", True)]),
    "our control is stopped": (
        ErrorCode.CLOSED_CRITICAL_STREAM,
        [StopSendingReceived(error_code=0, stream_id=3)],
    ),
    "GOAWAY grows": (
        ErrorCode.ID_ERROR,
        [data(2, BEGUN + encode_frame(7, b"\4") + encode_frame(7, b"\5"))],
    ),
    "GOAWAY of no number": (ErrorCode.FRAME_ERROR, [data(2, BEGUN + encode_frame(7, b""))]),
    "GOAWAY and more": (ErrorCode.FRAME_ERROR, [data(2, BEGUN + encode_frame(7, b"\0\0"))]),
    "MAX_PUSH_ID shrinks": (
        ErrorCode.ID_ERROR,
        [data(2, BEGUN + encode_frame(13, b"\5") + encode_frame(13, b"\4"))],
    ),
    "CANCEL_PUSH of nothing": (ErrorCode.ID_ERROR, [data(2, BEGUN + encode_frame(3, b"\0"))]),
    "a field section of rubbish": (
        ErrorCode.QPACK_DECOMPRESSION_FAILED,
        [data(0, encode_frame(1, b"\xff" * 9))],
    ),
    "a table entry that never came": (
        ErrorCode.QPACK_DECOMPRESSION_FAILED,
        [data(0, encode_frame(1, b"\2\0\x80"))],
    ),
    "encoder rubbish": (ErrorCode.QPACK_ENCODER_STREAM_ERROR, [data(2, b"\2" + b"\x3f\xff\xff\xff\x7f")]),
    "decoder rubbish": (ErrorCode.QPACK_DECODER_STREAM_ERROR, [data(2, b"\3" + b"\x00")]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_ends_a_server_s_connection(name: str) -> None:
    code, events = BROKEN[name]
    closed = closes(*events)
    assert closed is not None, "the connection goes on"
    assert closed[0] == code, closed


BROKEN_BY_SERVER: dict[str, tuple[ErrorCode, list[QuicEvent]]] = {
    "a push": (ErrorCode.ID_ERROR, [data(0, PUSHED)]),
    "a push stream": (ErrorCode.ID_ERROR, [data(3, b"\1\0")]),
    "MAX_PUSH_ID": (ErrorCode.FRAME_UNEXPECTED, [data(3, BEGUN + encode_frame(13, b"\0"))]),
    "a stream of the server's own": (ErrorCode.STREAM_CREATION_ERROR, [data(1, b"x")]),
    "GOAWAY with a wrong number": (
        ErrorCode.ID_ERROR,
        [data(3, BEGUN + encode_frame(7, b"\1"))],
    ),
    "DATA before the head": (ErrorCode.FRAME_UNEXPECTED, [data(0, encode_frame(0, b"x"))]),
    "DATA after 103 only": (ErrorCode.FRAME_UNEXPECTED, [data(0, block([(b":status", b"103")]) + b"\0\1x")]),
}


@pytest.mark.parametrize("name", BROKEN_BY_SERVER)
def test_what_ends_a_client_s_connection(name: str) -> None:
    code, events = BROKEN_BY_SERVER[name]
    closed = closes(*events, is_client=True)
    assert closed is not None, "the connection goes on"
    assert closed[0] == code, closed


@pytest.mark.parametrize(
    "content",
    [
        block([(b":status", b"101")]),
        block([(b":status", b"2000")]),
        block([(b"a", b"b")]),
        block([(b":status", b"103")]),
        block([*OK, (b"content-length", b"5")]),
        block([(b":status", b"103")]) * 65 + block([*OK]),
        b"",
    ],
)
def test_malformed_responses_end_their_stream(content: bytes) -> None:
    http, quic = side(True)
    http.send(RequestHead("GET", "/", Headers((("host", "h"),)), 0), end=True)
    heard = receive(http, data(0, content, True))
    assert heard[-1] == Reset(ErrorCode.MESSAGE_ERROR, 0), heard
    assert quic.closed is None


def test_streams_that_change_places() -> None:
    http, quic = side(False)
    for stream in (8, 0, 4, 8):
        heard = receive(http, data(stream, block(GET), True))
        assert bool(heard) == (stream != 8 or 8 not in quic.ended), (stream, heard)
        http.send(ResponseHead(200, stream=stream), end=True)


def test_unknown_streams_and_settings_are_nothing() -> None:
    http, quic = side(False)
    settings = encode_settings({0x21: 5, int(Setting.QPACK_MAX_TABLE_CAPACITY): 1 << 40})
    receive(http, data(2, CONTROL + settings), data(6, b"\x21" + bytes(9), True), data(10, b"\x40", True))
    assert quic.closed is None
    assert decode_settings(settings[2:])[0x21] == 5


@pytest.mark.parametrize("value", [0, 63, 64, 16383, 16384, (1 << 30) - 1, 1 << 30, (1 << 62) - 1])
def test_integers(value: int) -> None:
    encoded = encode_varint(value)
    assert read_varint(encoded + b"x", 0) == (value, len(encoded))
    assert read_varint(encoded[:-1], 0) is None
    with pytest.raises(ValueError):
        encode_varint(1 << 62)
