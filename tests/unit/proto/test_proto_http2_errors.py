"""What breaks HTTP/2, by section, and the error that each gets from a server (RFC 9113, RFC 7541)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from hpack import HeaderTuple

from netlab.errors import RemoteProtocolError
from netlab.proto.http import Data, End, HttpEvent, Reset, ResponseHead
from netlab.proto.http2 import Limits, ServerCodec
from tests.kit.http2_peer import GET, POST, PREFACE, Encoding, Fields, data, faults, opening, raw, settings

NO = ErrorCodes.NO_ERROR
PROTOCOL = ErrorCodes.PROTOCOL_ERROR
CLOSED = ErrorCodes.STREAM_CLOSED
SIZE = ErrorCodes.FRAME_SIZE_ERROR
FLOW = ErrorCodes.FLOW_CONTROL_ERROR
REFUSED = ErrorCodes.REFUSED_STREAM
COMPRESSION = ErrorCodes.COMPRESSION_ERROR
CALM = ErrorCodes.ENHANCE_YOUR_CALM

ENCODING = Encoding()
ENCODED_GET = bytes(Encoding().encoder.encode([HeaderTuple(*field) for field in GET]))


class Talk:
    """A server that gets frames, and what it says of them."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.server = ServerCodec(limits)
        self.encoding = Encoding()
        self.said = b""
        self.events: list[HttpEvent] = []
        self.error: RemoteProtocolError | None = None

    def hear(self, *parts: bytes) -> Talk:
        for part in parts:
            try:
                self.events += self.server.receive(part)
            except RemoteProtocolError as error:
                self.error = self.error or error
        self.said += self.server.outgoing()
        return self

    def open(self, stream: int = 1, fields: Fields = GET, *, ends: bool = True) -> Talk:
        return self.hear(self.encoding.headers(stream, fields, ends=ends))

    def answer(self, stream: int = 1) -> Talk:
        """The server's whole response."""
        self.server.send(ResponseHead(200, stream=stream), End(stream=stream))
        return self.hear()


def connected(limits: Limits | None = None) -> Talk:
    talk = Talk(limits).hear(opening())
    talk.said = b""
    return talk


def connection_error(talk: Talk, code: ErrorCodes) -> None:
    assert [fault[:2] for fault in faults(talk.said)] == [("goaway", code)], (faults(talk.said), talk.error)
    assert talk.error is not None
    assert code.name in str(talk.error)


def stream_error(talk: Talk, code: ErrorCodes, stream: int = 1) -> None:
    """The stream is reset, and the connection goes on."""
    assert faults(talk.said) == [("reset", code, stream)], (faults(talk.said), talk.error, talk.events)
    assert talk.error is None
    talk.events.clear()
    highest = 101
    talk.open(highest)
    assert [event.stream for event in talk.events if not isinstance(event, Reset)] == [highest, highest]


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


# Section 5.1: frames in each state of a stream.


def ended(talk: Talk) -> Talk:
    return talk.open().answer()


def half_closed(talk: Talk) -> Talk:
    return talk.open()


def reset_by_client(talk: Talk) -> Talk:
    return talk.open(ends=False).hear(raw(3, 0, 1, b"\0\0\0\x08"))


def reset_by_server(talk: Talk) -> Talk:
    talk.open(ends=False)
    talk.server.send(Reset(ErrorCodes.CANCEL, 1))
    talk.hear()
    talk.said = b""
    return talk


@pytest.mark.parametrize("what", ["DATA", "HEADERS"])
@pytest.mark.parametrize(
    ("state", "code", "of_connection"),
    [(half_closed, CLOSED, False), (ended, CLOSED, True), (reset_by_client, CLOSED, False)],
)
def test_5_1_frames_on_a_stream_that_is_over(
    state: Callable[[Talk], Talk], code: ErrorCodes, of_connection: bool, what: str
) -> None:
    talk = state(connected())
    talk.said = b""
    talk = talk.hear(data(1, b"x")) if what == "DATA" else talk.open()
    (connection_error if of_connection else stream_error)(talk, code)


def test_5_1_frames_that_cross_our_reset_are_ignored() -> None:
    talk = reset_by_server(connected())
    talk.hear(
        data(1, b"x" * 1000, ends=False), raw(8, 0, 1, b"\0\0\0\1"), talk.encoding.headers(1, [("a", "b")])
    )
    assert faults(talk.said) == []
    assert talk.said == raw(8, 0, 0, (1000).to_bytes(4, "big")), "the connection's window gets the bytes back"


@pytest.mark.parametrize("state", [ended, reset_by_client])
def test_5_1_what_may_come_late_is_ignored(state: Callable[[Talk], Talk]) -> None:
    talk = state(connected())
    talk.said = b""
    talk.hear(raw(8, 0, 1, b"\0\0\0\1"), raw(3, 0, 1, bytes(4)), raw(2, 0, 1, bytes(5)))
    assert (faults(talk.said), talk.error) == ([], None)


def test_5_1_1_a_stream_below_the_last_one() -> None:
    connection_error(connected().open(5).open(3), PROTOCOL)


def test_5_1_2_more_streams_than_allowed_are_refused() -> None:
    talk = connected(Limits(streams=2)).open(1).open(3).open(5)
    assert faults(talk.said) == [("reset", REFUSED, 5)]
    talk.answer(1)
    talk.said = b""
    talk.open(7)
    assert faults(talk.said) == []
    talk.hear(talk.encoding.headers(5, [("late", "trailers")]))
    assert (faults(talk.said), talk.error) == ([], None), "what was on its way is ignored"


def test_6_9_a_window_update_by_0_ends_its_stream() -> None:
    stream_error(connected().open(ends=False).hear(raw(8, 0, 1, bytes(4))), PROTOCOL)


def test_6_9_1_a_window_that_becomes_too_large() -> None:
    stream_error(connected().open(ends=False).hear(raw(8, 0, 1, b"\x7f\xff\xff\xff")), FLOW)


def test_6_9_2_settings_that_make_a_window_too_large() -> None:
    talk = connected().open(ends=False).hear(raw(8, 0, 1, b"\x7f\xff\0\0"))
    connection_error(talk.hear(settings(INITIAL_WINDOW_SIZE=2**31 - 1)), FLOW)


def test_6_9_1_more_data_than_the_window() -> None:
    talk = connected(Limits(stream_window=65_535)).open(ends=False)
    talk.hear(*[data(1, bytes(16_384), ends=False)] * 5)
    assert faults(talk.said)[0][:2] == ("goaway", FLOW)


# Section 10.5: floods.


@pytest.mark.parametrize(
    "frame",
    [
        raw(6, 0, 0, bytes(8)),
        settings(),
        data(1, b"", ends=False),
        raw(2, 0, 3, bytes(5)),
        raw(0x77),
        raw(0x10, 0, 0, b"\0\0\0\x09"),
    ],
    ids=["PING", "SETTINGS", "empty DATA", "PRIORITY", "unknown", "PRIORITY_UPDATE"],
)
def test_10_5_a_flood_of_frames_that_say_nothing(frame: bytes) -> None:
    talk = connected().open(ends=False).hear(frame * 100)
    assert talk.error is None, "some are fine"
    connection_error(talk.hear(frame * 1000), CALM)


def test_10_5_budgets_refill_with_time() -> None:
    talk = connected()
    for second in range(20):
        talk.server.tick(second)
        talk.hear(raw(6, 0, 0, bytes(8)) * 90)
    assert talk.error is None


@pytest.mark.parametrize(
    "after", [raw(3, 0, 0, b"\0\0\0\x08"), raw(8, 0, 0, bytes(4))], ids=["RST", "made to"]
)
def test_10_5_rapid_reset(after: bytes) -> None:
    """CVE-2023-44487; and CVE-2025-8671, where the client makes the server reset."""
    talk = connected()
    for stream in range(1, 1000, 2):
        talk.hear(
            talk.encoding.headers(stream, POST, ends=False), after[:5] + stream.to_bytes(4, "big") + after[9:]
        )
    assert faults(talk.said)[-1][:2] == ("goaway", CALM), faults(talk.said)


def test_10_5_continuation_flood() -> None:
    talk = connected().hear(raw(1, 1, 1, ENCODED_GET), *[raw(9, 0, 1)] * 20)
    connection_error(talk, CALM)
    talk = connected().hear(raw(1, 1, 1, ENCODED_GET), *[raw(9, 0, 1, bytes(16_384))] * 20)
    connection_error(talk, CALM)


def test_10_5_1_a_header_list_that_is_too_large_is_answered() -> None:
    talk = connected().open(1, [*GET, *[("a", "x" * 1000)] * 40], ends=False)
    assert talk.events == []
    assert faults(talk.said) == [("reset", NO, 1)]
    talk.open(3)
    assert [event.stream for event in talk.events] == [3, 3]


def test_10_5_1_a_header_bomb() -> None:
    """A small block that becomes a large list: one long field in the table, named again and again."""
    talk = connected()
    bomb = ENCODED_GET + b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000 + b"\xbe" * 8000
    connection_error(talk.hear(raw(1, 5, 1, bomb)), CALM)


def test_a_table_size_beyond_ours_costs_nothing() -> None:
    """SETTINGS_HEADER_TABLE_SIZE says what the client would hold; we need not fill it."""
    talk = connected().hear(settings(HEADER_TABLE_SIZE=2**32 - 1))
    assert talk.error is None
    talk.open()
    talk.server.send(ResponseHead(200, stream=1), End(stream=1))
    assert talk.server._h2.encoder.header_table_size == 4096


def test_settings_that_nobody_knows_are_not_kept() -> None:
    talk = connected()
    known = len(talk.server._h2.remote_settings)
    talk.hear(raw(4, 0, 0, b"".join(key.to_bytes(2, "big") + bytes(4) for key in range(0x100, 0x900))))
    assert talk.said == raw(4, 1), "they are acknowledged"
    assert len(talk.server._h2.remote_settings) == known
