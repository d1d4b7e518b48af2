"""HTTP/3 read from captured streams; QPACK's dynamic table by pylsqpack's own encoder."""

from __future__ import annotations

import pylsqpack
from hypothesis import given
from hypothesis import strategies as st

from netlab.proto.http3_reader import Http3Frame, Http3Reader


def framed(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + (len(body) | 0x4000).to_bytes(2, "big") + body


def control(capacity: int) -> bytes:
    """A control stream with SETTINGS."""
    pairs = b"\x01" + (capacity | 0x4000).to_bytes(2, "big") + b"\x07\x10"
    return b"\x00" + framed(4, pairs)


ASK = [(b":method", b"GET"), (b":path", b"/x"), (b":scheme", b"https"), (b"x-own", b"value")]
SHOWN = tuple((name.decode(), value.decode()) for name, value in ASK)


def encoder() -> pylsqpack.Encoder:
    made = pylsqpack.Encoder()
    made.apply_settings(4096, 16)
    return made


def dynamic() -> tuple[bytes, bytes, bytes]:
    """The encoder stream, and two field sections, of which the second refers to the table."""
    made = encoder()
    start = made.apply_settings(4096, 16)
    first_stream, first = made.encode(0, ASK)
    second_stream, second = made.encode(4, ASK)
    return start + first_stream + second_stream, first, second


def test_a_request_in_one_piece() -> None:
    reader = Http3Reader()
    _, block = pylsqpack.Encoder().encode(0, ASK)
    data = framed(1, block) + framed(0, b"body")
    head, body = reader.receive("client", 0, data)
    assert (head.type, head.headers, head.start, head.header_length) == ("HEADERS", SHOWN, 0, 3)
    assert (body.type, body.content, body.start, body.end) == ("DATA", b"body", head.end, len(data))
    assert reader.kind("client", 0) == "request"


def test_byte_by_byte_is_the_same() -> None:
    _, block = pylsqpack.Encoder().encode(0, ASK)
    data = framed(1, block) + framed(0, b"body") + framed(0x21, b"grease")
    whole = Http3Reader().receive("client", 0, data)
    single = Http3Reader()
    assert [frame for byte in data for frame in single.receive("client", 0, bytes((byte,)))] == whole
    assert single.buffered() == 0
    assert whole[2].type == "type 0x21"


def fields_of(frames: list[Http3Frame]) -> list[tuple[int, object]]:
    return [(one.stream, one.headers) for one in frames if one.type == "HEADERS"]


def test_the_dynamic_table_in_order() -> None:
    instructions, first, second = dynamic()
    reader = Http3Reader()
    reader.receive("server", 3, control(4096))
    reader.receive("client", 6, b"\x02" + instructions)
    found = reader.receive("client", 0, framed(1, first)) + reader.receive("client", 4, framed(1, second))
    assert fields_of(found) == [(0, SHOWN), (4, SHOWN)]
    assert reader.kind("client", 6) == "QPACK encoder"
    assert reader.kind("server", 3) == "control"


def test_fields_that_wait_for_the_encoder_stream() -> None:
    instructions, first, second = dynamic()
    reader = Http3Reader()
    reader.receive("server", 3, control(4096))
    found = reader.receive("client", 4, framed(1, second) + framed(0, b"body"))
    assert [one.type for one in found] == ["DATA"]
    assert fields_of(reader.receive("client", 6, b"\x02" + instructions)) == [(4, SHOWN)]
    assert fields_of(reader.receive("client", 0, framed(1, first))) == [(0, SHOWN)]
    assert reader.finish() == []


def test_fields_that_wait_for_settings() -> None:
    """0-RTT: the client knows the server's settings from before."""
    instructions, _, second = dynamic()
    reader = Http3Reader()
    reader.receive("client", 6, b"\x02" + instructions)
    assert reader.receive("client", 4, framed(1, second)) == []
    found = reader.receive("server", 3, control(4096))
    assert [one.type for one in found] == ["SETTINGS", "HEADERS"]
    assert found[1].headers == SHOWN
    assert found[0].fact("QPACK_MAX_TABLE_CAPACITY") == 4096


def test_fields_that_can_never_be_decoded_say_why() -> None:
    _, _, second = dynamic()
    reader = Http3Reader()
    reader.receive("client", 4, framed(1, second))
    (left,) = reader.finish()
    assert (left.headers, left.stream) == (None, 4)
    assert "size (SETTINGS) the capture lacks" in left.problem
    reader.receive("server", 3, control(4096))
    (left,) = reader.finish()
    assert "instructions the capture lacks" in left.problem
    reader.receive("client", 6, b"\x02\xff\xff\x03\x01a")
    (left,) = reader.finish()
    assert "encoder stream of QPACK is damaged" in left.problem


def test_other_frames() -> None:
    reader = Http3Reader()
    found = reader.receive("server", 3, control(0) + framed(7, b"\x08") + framed(13, b"\x05"))
    assert [(one.type, one.facts) for one in found[1:]] == [
        ("GOAWAY", (("id", 8),)),
        ("MAX_PUSH_ID", (("push_id", 5),)),
    ]
    _, block = pylsqpack.Encoder().encode(0, ASK)
    (promise,) = reader.receive("server", 0, framed(5, b"\x03" + block))
    assert (promise.facts, promise.headers) == ((("push_id", 3),), SHOWN)
    (pushed,) = reader.receive("server", 15, b"\x01\x03" + framed(1, block))
    assert (pushed.headers, pushed.start) == (SHOWN, 2)
    assert reader.receive("server", 19, b"\x40\x54whatever") == []
    assert reader.kind("server", 19) == "type 0x54"


@given(st.lists(st.tuples(st.integers(0, 7), st.binary(max_size=80)), max_size=20))
def test_random_streams_never_raise(pieces: list[tuple[int, bytes]]) -> None:
    reader = Http3Reader()
    for stream, data in pieces:
        reader.receive("server" if stream & 1 else "client", stream, data)
    reader.finish()
