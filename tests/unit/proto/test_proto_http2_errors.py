"""Frames and messages that break HTTP/2, by section, and the error that each gets (RFC 9113, RFC 7541)."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes

from netlab.proto.http import Data, End, Reset
from tests.kit.http2_peer import GET, POST, PREFACE, Fields, data, faults, raw, settings
from tests.kit.http2_talk import ENCODED_GET, Talk, connected, connection_error, stream_error

PROTOCOL = ErrorCodes.PROTOCOL_ERROR
SIZE = ErrorCodes.FRAME_SIZE_ERROR
FLOW = ErrorCodes.FLOW_CONTROL_ERROR
COMPRESSION = ErrorCodes.COMPRESSION_ERROR


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(raw(0, 0, 0, b"x"), PROTOCOL, id="6.1 DATA on stream 0"),
        pytest.param(raw(0, 8, 1, b"\x06abc"), PROTOCOL, id="6.1 padding longer than DATA"),
        pytest.param(raw(0, 8, 1, b""), SIZE, id="6.1 padded DATA without a Pad Length"),
        pytest.param(raw(0, 0, 1, b"x"), PROTOCOL, id="5.1 DATA on an idle stream"),
        pytest.param(raw(1, 5, 0, ENCODED_GET), PROTOCOL, id="6.2 HEADERS on stream 0"),
        pytest.param(raw(1, 5, 2, ENCODED_GET), PROTOCOL, id="5.1.1 HEADERS on a stream of the server's"),
        pytest.param(raw(1, 0xD, 1, b"\xff" + ENCODED_GET), PROTOCOL, id="6.2 padding longer than HEADERS"),
        pytest.param(raw(1, 0x25, 1, b"\0\0"), SIZE, id="6.2 HEADERS shorter than its priority"),
        pytest.param(raw(2, 0, 0, bytes(5)), PROTOCOL, id="6.3 PRIORITY on stream 0"),
        pytest.param(raw(2, 0, 1, bytes(4)), SIZE, id="6.3 PRIORITY of 4 bytes on an idle stream"),
        pytest.param(raw(2, 0, 1, b"\0\0\0\x01\0"), PROTOCOL, id="5.3.1 an idle stream depends on itself"),
        pytest.param(raw(3, 0, 0, bytes(4)), PROTOCOL, id="6.4 RST_STREAM on stream 0"),
        pytest.param(raw(3, 0, 1, bytes(4)), PROTOCOL, id="6.4 RST_STREAM on an idle stream"),
        pytest.param(raw(3, 0, 1, bytes(3)), SIZE, id="6.4 RST_STREAM of 3 bytes"),
        pytest.param(raw(4, 0, 1), PROTOCOL, id="6.5 SETTINGS on a stream"),
        pytest.param(raw(4, 1, 0, bytes(6)), SIZE, id="6.5 SETTINGS ACK with a payload"),
        pytest.param(raw(4, 0, 0, bytes(5)), SIZE, id="6.5 SETTINGS of 5 bytes"),
        pytest.param(settings(ENABLE_PUSH=2), PROTOCOL, id="6.5.2 ENABLE_PUSH 2"),
        pytest.param(settings(INITIAL_WINDOW_SIZE=2**31), FLOW, id="6.5.2 INITIAL_WINDOW_SIZE above 2^31-1"),
        pytest.param(settings(MAX_FRAME_SIZE=2**14 - 1), PROTOCOL, id="6.5.2 MAX_FRAME_SIZE below 2^14"),
        pytest.param(settings(MAX_FRAME_SIZE=2**24), PROTOCOL, id="6.5.2 MAX_FRAME_SIZE above 2^24-1"),
        pytest.param(raw(4, 0, 0, b"\0\x08\0\0\0\x02"), PROTOCOL, id="RFC 8441 3 ENABLE_CONNECT_PROTOCOL 2"),
        pytest.param(raw(5, 4, 1, b"\0\0\0\x02" + ENCODED_GET), PROTOCOL, id="8.4 PUSH_PROMISE of a client"),
        pytest.param(raw(6, 0, 1, bytes(8)), PROTOCOL, id="6.7 PING on a stream"),
        pytest.param(raw(6, 0, 0, bytes(6)), SIZE, id="6.7 PING of 6 bytes"),
        pytest.param(raw(7, 0, 1, bytes(8)), PROTOCOL, id="6.8 GOAWAY on a stream"),
        pytest.param(raw(7, 0, 0, bytes(7)), SIZE, id="6.8 GOAWAY of 7 bytes"),
        pytest.param(raw(8, 0, 0, bytes(4)), PROTOCOL, id="6.9 WINDOW_UPDATE by 0"),
        pytest.param(raw(8, 0, 0, bytes(3)), SIZE, id="6.9 WINDOW_UPDATE of 3 bytes"),
        pytest.param(raw(8, 0, 1, b"\0\0\0\1"), PROTOCOL, id="5.1 WINDOW_UPDATE on an idle stream"),
        pytest.param(raw(8, 0, 0, b"\x7f\xff\xff\xff"), FLOW, id="6.9.1 the connection's window too large"),
        pytest.param(raw(9, 4, 1, ENCODED_GET), PROTOCOL, id="6.10 CONTINUATION alone"),
        pytest.param(raw(9, 4, 0, ENCODED_GET), PROTOCOL, id="6.10 CONTINUATION on stream 0"),
        pytest.param(
            raw(0x10, 0, 1, b"\0\0\0\1u=1"), PROTOCOL, id="RFC 9218 7.1 PRIORITY_UPDATE on a stream"
        ),
        pytest.param(
            raw(0x10, 0, 0, b"\0\0\0\0u=1"), PROTOCOL, id="RFC 9218 7.1 PRIORITY_UPDATE of stream 0"
        ),
        pytest.param(raw(0x10, 0, 0, b"\0\0"), SIZE, id="RFC 9218 7.1 PRIORITY_UPDATE too short"),
        pytest.param(raw(0, 0, 1, b"", length=16_385), SIZE, id="4.2 a frame above SETTINGS_MAX_FRAME_SIZE"),
        pytest.param(
            raw(0x77, 0, 1, b"", length=2**24 - 1), SIZE, id="4.2 an unknown frame that is too long"
        ),
    ],
)
def test_a_frame_that_breaks_the_connection(frames: bytes, code: ErrorCodes) -> None:
    connection_error(connected().hear(frames), code)


@pytest.mark.parametrize(
    "first",
    [b"GET / HTTP/1.1\r\n", PREFACE[:-1] + b"X", PREFACE + raw(6, 0, 0, bytes(8)), PREFACE + raw(4, 1, 0)],
    ids=["3.4 another protocol", "3.4 a wrong preface", "3.4 PING before SETTINGS", "3.4 SETTINGS ACK first"],
)
def test_a_connection_that_does_not_begin_as_it_must(first: bytes) -> None:
    talk = Talk().hear(first)
    assert ("goaway", PROTOCOL, 0) in faults(talk.said), talk.error
    assert talk.error is not None


@pytest.mark.parametrize(
    "between",
    [
        raw(6, 0, 0, bytes(8)),
        raw(0x77, 0, 0),
        raw(2, 0, 1, bytes(5)),
        raw(9, 4, 3),
        raw(1, 4, 3),
        raw(0, 0, 1),
    ],
    ids=["PING", "unknown", "PRIORITY", "CONTINUATION of another stream", "HEADERS", "DATA"],
)
def test_4_3_a_header_block_is_not_interrupted(between: bytes) -> None:
    connection_error(connected().hear(raw(1, 1, 1, ENCODED_GET[:2]), between), PROTOCOL)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"\x80", id="RFC 7541 6.1 index 0"),
        pytest.param(b"\xfe", id="RFC 7541 2.3.3 an index that is not there"),
        pytest.param(b"\x7e\x01a", id="RFC 7541 2.3.3 a literal whose name is not there"),
        pytest.param(ENCODED_GET + b"\x20", id="RFC 7541 4.2 a table size update at the end"),
        pytest.param(
            b"\x3f\xe2\x1f" + ENCODED_GET, id="RFC 7541 6.3 a table above SETTINGS_HEADER_TABLE_SIZE"
        ),
        pytest.param(
            b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff", id="RFC 7541 5.2 padding above 7 bits"
        ),
        pytest.param(
            b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90", id="RFC 7541 5.2 padding that is not EOS"
        ),
        pytest.param(b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xf0\x01a", id="RFC 7541 5.2 EOS in a string"),
        pytest.param(b"\x00\x7f\xff\xff\xff\xff\xff\x7f", id="RFC 7541 5.1 an integer without end"),
        pytest.param(b"\x40\x0aabc", id="RFC 7541 5.2 a string longer than its block"),
        pytest.param(b"\x82\x40", id="RFC 7541 6.2 a literal that is cut"),
    ],
)
def test_4_3_a_header_block_that_can_not_be_decompressed(block: bytes) -> None:
    connection_error(connected().hear(raw(1, 5, 1, block)), COMPRESSION)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([*GET, ("X-Upper", "a")], id="8.2.1 a name in upper case"),
        pytest.param([*GET, ("a b", "c")], id="8.2.1 a space in a name"),
        pytest.param([*GET, ("a:b", "c")], id="8.2.1 a colon in a name"),
        pytest.param([*GET, ("", "c")], id="8.2.1 an empty name"),
        pytest.param([*GET, ("é", "c")], id="8.2.1 a name that is not ASCII"),
        pytest.param([*GET, ("a", "b\r\nc: d")], id="8.2.1 a line break in a value"),
        pytest.param([*GET, ("a", "b\0")], id="8.2.1 NUL in a value"),
        pytest.param([*GET, ("a", "b\x01")], id="RFC 9110 5.5 a control character in a value"),
        pytest.param([*GET, ("a", "b\x7f")], id="RFC 9110 5.5 DEL in a value"),
        pytest.param([*GET[:2], (":path", "/é"), GET[3]], id="RFC 3986 a path that is not ASCII"),
        pytest.param([*GET[:3], (":authority", "a/b")], id="RFC 3986 an authority with a path"),
        pytest.param([*GET[:3], (":authority", "a?b")], id="RFC 3986 an authority with a query"),
        pytest.param([*GET, ("a", " b")], id="8.2.1 a value that begins with a space"),
        pytest.param([*GET, ("a", "b\t")], id="8.2.1 a value that ends with a tab"),
        pytest.param([*GET, ("connection", "keep-alive")], id="8.2.2 Connection"),
        pytest.param([*GET, ("keep-alive", "1")], id="8.2.2 Keep-Alive"),
        pytest.param([*GET, ("proxy-connection", "keep-alive")], id="8.2.2 Proxy-Connection"),
        pytest.param([*GET, ("transfer-encoding", "chunked")], id="8.2.2 Transfer-Encoding"),
        pytest.param([*GET, ("upgrade", "websocket")], id="8.2.2 Upgrade"),
        pytest.param([*GET, ("te", "trailers, deflate")], id="8.2.2 TE other than trailers"),
        pytest.param([*GET, (":unknown", "x")], id="8.3 an unknown pseudo-header field"),
        pytest.param([*GET, (":status", "200")], id="8.3 a pseudo-header field of responses"),
        pytest.param([*GET[:3], ("a", "b"), GET[3]], id="8.3 a pseudo-header field after another field"),
        pytest.param([*GET, (":method", "GET")], id="8.3.1 :method twice"),
        pytest.param([*GET, (":path", "/")], id="8.3.1 :path twice"),
        pytest.param([*GET, (":scheme", "http")], id="8.3.1 :scheme twice"),
        pytest.param([*GET, (":authority", "a.example")], id="8.3.1 :authority twice"),
        pytest.param(GET[1:], id="8.3.1 no :method"),
        pytest.param([GET[0], *GET[2:]], id="8.3.1 no :scheme"),
        pytest.param([*GET[:2], GET[3]], id="8.3.1 no :path"),
        pytest.param([*GET[:2], (":path", ""), GET[3]], id="8.3.1 an empty :path"),
        pytest.param([*GET[:2], (":path", "x"), GET[3]], id="8.3.1 :path without a slash"),
        pytest.param([*GET[:2], (":path", "*"), GET[3]], id="8.3.1 an asterisk that is not of OPTIONS"),
        pytest.param([*GET[:2], (":path", "/a b"), GET[3]], id="8.3.1 a space in :path"),
        pytest.param([*GET[:2], (":path", "/#a"), GET[3]], id="8.3.1 a fragment in :path"),
        pytest.param([*GET[:3], (":authority", "u@a.example")], id="8.3.1 userinfo in :authority"),
        pytest.param([*GET[:3], (":authority", "")], id="8.3.1 an empty :authority"),
        pytest.param([*GET, ("host", "b.example")], id="8.3.1 Host is not :authority"),
        pytest.param([*GET[:3], ("host", "a"), ("host", "b")], id="8.3.1 two Hosts"),
        pytest.param([*GET, (":protocol", "websocket")], id="RFC 8441 4 :protocol of GET"),
        pytest.param([(":method", "CONNECT"), *GET[1:]], id="8.5 CONNECT with a path"),
        pytest.param([(":method", "CONNECT")], id="8.5 CONNECT without an authority"),
        pytest.param([*GET, ("content-length", "1")], id="8.1.1 Content-Length without a body"),
        pytest.param([*GET, ("content-length", "x")], id="8.1.1 Content-Length is no number"),
        pytest.param([*GET, ("content-length", "-1")], id="8.1.1 a negative Content-Length"),
        pytest.param(
            [*GET, ("content-length", "0"), ("content-length", "1")], id="8.1.1 two Content-Lengths"
        ),
    ],
)
def test_8_a_malformed_request(fields: Fields) -> None:
    talk = connected().open(1, fields)
    assert talk.events == [], "the application does not see it"
    stream_error(talk, PROTOCOL)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param([data(1, b"four")], PROTOCOL, id="longer"),
        pytest.param([data(1, b"f")], PROTOCOL, id="shorter"),
        pytest.param(
            [data(1, b"fo", ends=False), data(1, b"ur", ends=False)], PROTOCOL, id="longer in parts"
        ),
        pytest.param([data(1, b"f", ends=False), data(1, b"")], PROTOCOL, id="shorter in parts"),
    ],
)
def test_8_1_1_a_body_that_is_not_as_long_as_it_says(body: list[bytes], code: ErrorCodes) -> None:
    talk = connected().open(1, [*POST, ("content-length", "3")], ends=False).hear(*body)
    assert isinstance(talk.events[-1], Reset), talk.events
    stream_error(talk, code)


def test_8_1_1_a_body_that_is_as_long_as_it_says() -> None:
    talk = (
        connected()
        .open(1, [*POST, ("content-length", "3")], ends=False)
        .hear(data(1, b"abc", "PADDED", pad_length=9))
    )
    assert talk.events[1:] == [Data(b"abc", 1), End(stream=1)]
    assert faults(talk.said) == []


def test_8_1_1_trailers_end_a_body_that_is_too_short() -> None:
    talk = connected().open(1, [*POST, ("content-length", "3")], ends=False).open(1, [("x", "y")])
    stream_error(talk, PROTOCOL)


def test_8_1_trailers_must_end_the_stream() -> None:
    stream_error(connected().open(ends=False).open(1, [("x", "y")], ends=False), PROTOCOL)


def test_8_1_trailers_have_no_pseudo_header_fields() -> None:
    stream_error(connected().open(ends=False).open(1, [(":path", "/")]), PROTOCOL)


def test_5_3_1_a_stream_that_depends_on_itself() -> None:
    talk = connected()
    frame = talk.encoding.headers(1, GET, "PRIORITY", depends_on=1)
    stream_error(talk.hear(frame), PROTOCOL)
    stream_error(connected().open(ends=False).hear(raw(2, 0, 1, b"\0\0\0\x01\0")), PROTOCOL)


def test_6_3_a_priority_of_a_wrong_size_ends_its_stream() -> None:
    stream_error(connected().open(ends=False).hear(raw(2, 0, 1, bytes(4))), SIZE)
