"""WebSocket messages: framing, fragments, UTF-8, control frames, closing (RFC 6455), limits."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import LocalProtocolError
from netlab.proto.websocket import (
    NO_CODE,
    Closing,
    Failed,
    Message,
    Ping,
    Pong,
    Prepared,
    WebSocketCodec,
    WebSocketEvent,
    frame,
    valid_close_code,
)
from tests.kit.feed3 import feed3

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x01\x02\x03\x04"


def server(max_message: int = 1 << 20) -> WebSocketCodec:
    return WebSocketCodec(client=False, max_message=max_message)


def masked(opcode: int, payload: bytes = b"", **options: bool) -> bytes:
    return frame(opcode, payload, mask=MASK, **options)


def fails(data: bytes, code: int, max_message: int = 1 << 20) -> Failed:
    """The server fails the connection with `code`, whole or byte by byte, and reads nothing after it."""
    events = feed3(lambda: server(max_message), data, list)
    assert isinstance(events[-1], Failed), events
    assert events[-1].code == code, events
    codec = server(max_message)
    codec.receive(data)
    assert codec.receive(masked(TEXT, b"more")) == []
    return events[-1]


def test_the_frames_of_the_rfc() -> None:
    """The examples of section 5.7."""
    client = WebSocketCodec(client=True)
    assert client.receive(bytes.fromhex("810548656c6c6f")) == [Message(b"Hello")]
    assert server().receive(bytes.fromhex("818537fa213d7f9f4d5158")) == [Message(b"Hello")]
    assert client.receive(bytes.fromhex("010348656c80026c6f")) == [Message(b"Hello")]
    assert client.receive(bytes.fromhex("890548656c6c6f")) == [Ping(b"Hello")]
    assert frame(BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frame(BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536])
def test_every_length_goes_both_ways(size: int) -> None:
    message = Message(b"*" * size)
    client = WebSocketCodec(client=True)
    assert server().receive(client.send(message)) == [message]
    assert client.receive(server().send(message)) == [message]


def test_whole_and_byte_by_byte_with_control_frames_between_fragments() -> None:
    data = (
        masked(TEXT, "ab€"[:2].encode(), fin=False)
        + masked(PING, b"1")
        + masked(CONTINUATION, fin=False)
        + masked(PONG, b"unasked")
        + masked(CONTINUATION, "€".encode())
        + masked(BINARY, b"\xff\x00")
    )
    expected: list[WebSocketEvent] = [Ping(b"1"), Pong(b"unasked"), Message("ab€".encode())]
    assert feed3(server, data, list, trailing=b"\x81") == [*expected, Message(b"\xff\x00", is_text=False)]


@given(st.text(), st.lists(st.integers(0, 40), max_size=6))
def test_text_in_any_fragments_comes_whole(text: str, cuts: list[int]) -> None:
    data, parts = text.encode(), []
    for cut in cuts:
        parts.append(data[:cut])
        data = data[cut:]
    parts.append(data)
    frames = [
        masked(CONTINUATION if number else TEXT, part, fin=number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]
    assert server().receive(b"".join(frames)) == [Message(text.encode())]


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"unmasked"),  # section 5.1
        bytes([0x81 | 0x40]) + masked(TEXT, b"x")[1:],  # RSV1 without an extension (5.2)
        bytes([0x81 | 0x20]) + masked(TEXT, b"x")[1:],
        bytes([0x81 | 0x10]) + masked(TEXT)[1:],
        bytes([0x89 | 0x40]) + masked(PING)[1:],
        *(masked(opcode) for opcode in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)),
        masked(PING, fin=False),  # 5.5
        masked(CLOSE, fin=False),
        b"\x89\xfe\x00\x7e" + MASK + bytes(126),  # a control frame of 126 bytes
        masked(CONTINUATION, b"of nothing"),  # 5.4
        masked(TEXT, b"a", fin=False) + masked(TEXT, b"b"),
        masked(TEXT, b"a") + masked(CONTINUATION, b"b"),
        b"\x81\xfe\x00\x05" + MASK + b"short",  # a length that is longer than it need be (5.2)
        b"\x81\xff" + struct.pack("!Q", 5) + MASK + b"short",
        b"\x81\xff" + struct.pack("!Q", 1 << 63) + MASK,
    ],
)
def test_what_breaks_the_framing_fails_with_1002(data: bytes) -> None:
    fails(data, 1002)


def test_a_client_refuses_masked_frames() -> None:
    (event,) = WebSocketCodec(client=True).receive(masked(TEXT, b"x"))
    assert isinstance(event, Failed)
    assert event.code == 1002


def test_what_came_before_the_breach_is_kept() -> None:
    events = server().receive(masked(TEXT, b"fine") + masked(3) + masked(TEXT, b"late"))
    assert [type(event) for event in events] == [Message, Failed]


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xce\xba\xe1\xbd", b"\xf8\x88\x80"]
)
def test_text_that_is_not_utf8_fails_with_1007(text: bytes) -> None:
    fails(masked(TEXT, text), 1007)


def test_bad_utf8_fails_before_its_message_or_frame_is_whole() -> None:
    codec = server()
    assert codec.receive(masked(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", fin=False)) == []
    (event,) = codec.receive(masked(CONTINUATION, b"\xf4\x90\x80\x80" + b"edited")[:8])
    assert isinstance(event, Failed)
    assert event.code == 1007


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return masked(CLOSE, struct.pack("!H", code) + reason)


def test_close_frames() -> None:
    assert server().receive(masked(CLOSE)) == [Closing(NO_CODE)]
    assert server().receive(close_frame(1000, "Tschüß".encode())) == [Closing(1000, "Tschüß")]
    assert server().receive(close_frame(3999) + masked(TEXT, b"late")) == [Closing(3999)]
    fails(masked(CLOSE, b"\x03"), 1002)
    fails(close_frame(1000, b"\xff"), 1007)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_close_codes_that_may_not_be_on_the_wire(code: int) -> None:
    fails(close_frame(code), 1002)
    assert not valid_close_code(code)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_close_codes_that_may(code: int) -> None:
    assert server().receive(close_frame(code)) == [Closing(code)]


def test_a_message_has_a_limit_that_costs_no_memory() -> None:
    codec = server(1000)
    assert codec.receive(masked(BINARY, bytes(1000))) == [Message(bytes(1000), is_text=False)]
    (event,) = server(1000).receive(b"\x82\xff" + struct.pack("!Q", 1 << 40) + MASK)  # no payload came yet
    assert isinstance(event, Failed)
    assert event.code == 1009
    fails(masked(TEXT, bytes(600), fin=False) + masked(CONTINUATION, bytes(600)), 1009, 1000)


def test_what_is_buffered_is_bounded() -> None:
    codec = server(1000)
    for _ in range(200):
        codec.receive(masked(CONTINUATION if codec.buffered() else TEXT, b"abcd", fin=False))
    assert codec.buffered() == 800


def test_nothing_goes_out_after_close() -> None:
    codec = server()
    assert codec.close(1001, "bye") == frame(CLOSE, b"\x03\xe9bye")
    assert codec.close(1000) == b""
    with pytest.raises(LocalProtocolError, match="closing"):
        codec.send(Message(b"x"))
    for control in (codec.ping, codec.pong):
        with pytest.raises(LocalProtocolError, match="closing"):
            control(b"")
    assert codec.receive(close_frame(1001)) == [Closing(1001)]


def test_what_we_may_not_send() -> None:
    with pytest.raises(LocalProtocolError, match="1006"):
        server().close(1006)
    with pytest.raises(LocalProtocolError, match="125"):
        server().ping(bytes(126))


def test_a_long_reason_is_cut_between_characters() -> None:
    (event,) = WebSocketCodec(client=True).receive(server().close(1000, "ä" * 100))
    assert event == Closing(1000, "ä" * 61)


def test_masks_are_drawn_anew() -> None:
    client = WebSocketCodec(client=True)
    assert len({client.ping(b"same") for _ in range(20)}) > 1


def test_a_message_to_many_is_one_frame() -> None:
    prepared = Prepared(Message(b"news"))
    first, second = server().send(prepared), server().send(prepared)
    assert first is second
    assert WebSocketCodec(client=True).receive(first) == [Message(b"news")]


@given(st.binary(max_size=300))
def test_rubbish_raises_nothing(data: bytes) -> None:
    codec = server(10_000)
    events = codec.receive(data)
    assert all(isinstance(event, WebSocketEvent) for event in events)
    assert codec.buffered() <= len(data)
