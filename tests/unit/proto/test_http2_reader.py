"""HTTP/2 read from captured bytes, which h2 made; and from rubbish."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import RemoteProtocolError
from netlab.proto.http2_reader import HEADER_LENGTH, PREFACE, Http2Frame, Http2Reader
from tests.kit.feed3 import feed3

ASK = [
    (":method", "GET"),
    (":path", "/x"),
    (":scheme", "https"),
    (":authority", "a.example"),
    ("x-long", "v" * 30_000),
]
ANSWER = [(":status", "200"), ("content-type", "text/plain")]


@cache
def conversation() -> tuple[bytes, bytes]:
    client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    client.initiate_connection()
    server.initiate_connection()
    up, down = client.data_to_send(), server.data_to_send()
    client.receive_data(down)
    server.receive_data(up)
    client.send_headers(1, ASK, end_stream=False)
    client.send_data(1, b"body", end_stream=True, pad_length=3)
    client.send_headers(3, ASK[:-1], end_stream=True)
    more = client.data_to_send()
    server.receive_data(more)
    up += more
    server.push_stream(1, 2, ASK[:-1])
    for stream in (1, 3, 2):
        server.send_headers(stream, ANSWER)
        server.send_data(stream, b"answer %d" % stream, end_stream=True)
    server.close_connection(last_stream_id=3)
    return up, down + server.data_to_send()


def joined(frames: list[Http2Frame]) -> object:
    return frames


def test_a_client_frame_by_frame() -> None:
    up, _ = conversation()
    found = feed3(lambda: Http2Reader(client=True), up, joined, trailing=b"\0\0\4")
    assert found[0].start == len(PREFACE)
    assert all(one.end == other.start for one, other in pairwise(found))
    assert found[-1].end == len(up)
    assert all(one.end - one.start >= HEADER_LENGTH for one in found)
    kinds = [one.type for one in found]
    assert kinds == ["SETTINGS", "SETTINGS", "HEADERS", "CONTINUATION", "DATA", "HEADERS"]
    block = found[3]
    assert (block.headers, block.block_start, block.flags) == (tuple(ASK), found[2].start, ("END_HEADERS",))
    data = found[4]
    assert (data.content, data.ends_stream, data.end - data.start) == (b"body", True, 9 + 1 + 4 + 3)
    assert found[5].headers == tuple(ASK[:-1])
    assert found[5].ends_stream


def test_a_server_frame_by_frame() -> None:
    _, down = conversation()
    found = feed3(lambda: Http2Reader(client=False), down, joined)
    promise = next(one for one in found if one.type == "PUSH_PROMISE")
    assert (promise.promised, promise.stream, promise.headers) == (2, 1, tuple(ASK[:-1]))
    assert [one.content for one in found if one.type == "DATA"] == [b"answer 1", b"answer 3", b"answer 2"]
    assert [one.headers for one in found if one.type == "HEADERS"] == [tuple(ANSWER)] * 3
    assert found[-1].facts == (("last_stream_id", 3), ("error_code", 0))
    assert found[0].fact("MAX_CONCURRENT_STREAMS") == 100


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body


def test_frames_that_are_wrong_do_not_stop_it() -> None:
    data = (
        frame(6, 0, 0, b"short")  # PING has 8 bytes
        + frame(0, 8, 1, b"\x09abc")  # padding of 9 bytes in 4
        + frame(9, 4, 1, b"\x82")  # CONTINUATION of nothing
        + frame(0xC9, 0, 1, b"grease")
        + frame(8, 0, 0, (77).to_bytes(4, "big"))
    )
    found = Http2Reader(client=False).receive(data)
    assert [one.type for one in found] == ["PING", "DATA", "CONTINUATION", "type 0xc9", "WINDOW_UPDATE"]
    assert [bool(one.problem) for one in found] == [True, True, True, False, False]
    assert found[3].content == b"grease"
    assert found[4].fact("window_size_increment") == 77


def test_a_field_block_that_hpack_cannot_decode_ends_all_later_ones() -> None:
    bad, good = frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff\xff"), frame(1, 4, 3, b"\x88")
    one, other = Http2Reader(client=False).receive(bad + good)
    assert (one.headers, other.headers) == (None, None)
    assert "HPACK can't decode" in one.problem
    assert one.problem == other.problem


def test_a_header_bomb_is_not_decoded() -> None:
    value = frame(1, 4, 1, b"\x40\x01a\x7f\x81\x1f" + b"v" * 4096)
    again = frame(1, 4, 3, b"\xbe" * 16_000)
    found = Http2Reader(client=False).receive(value + again)
    assert found[0].headers is not None
    assert found[1].headers is None


def test_what_is_not_http2() -> None:
    with pytest.raises(RemoteProtocolError, match="preface"):
        Http2Reader(client=True).receive(b"GET / HTTP/1.1\r\n\r\n")


@given(st.binary(max_size=400))
def test_random_bytes_never_raise(data: bytes) -> None:
    reader = Http2Reader(client=False)
    found = reader.receive(data)
    assert sum(one.end - one.start for one in found) + reader.buffered() == len(data)


@given(st.data())
def test_damaged_conversations_never_raise(data: st.DataObject) -> None:
    _, down = conversation()
    damaged = bytearray(down)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    Http2Reader(client=False).receive(bytes(damaged))
