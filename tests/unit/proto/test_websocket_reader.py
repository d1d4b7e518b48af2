"""WebSocket read from captured bytes, which wsproto made; and from rubbish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from netlab.proto.websocket_reader import Deflate, WebSocketFrame, WebSocketReader
from tests.kit.feed3 import feed3


def said(client: bool, deflate: bool, resets: bool = False) -> bytes:
    extension = PerMessageDeflate(client_no_context_takeover=resets, server_no_context_takeover=resets)
    extension._enabled = True
    one = Connection(
        ConnectionType.CLIENT if client else ConnectionType.SERVER, [extension] if deflate else []
    )
    return b"".join(
        one.send(event)
        for event in (
            TextMessage("hello, hello, hello"),
            TextMessage("hello, hello, hello again"),
            BytesMessage(bytes(300)),
            Ping(b"are you there"),
            TextMessage("part", message_finished=False),
            TextMessage(" and end"),
            BytesMessage(bytes(70_000)),
            CloseConnection(1001, "going"),
        )
    )


def joined(frames: list[WebSocketFrame]) -> object:
    return frames


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize(("deflate", "resets"), [(False, False), (True, False), (True, True)])
def test_frames_and_messages(client: bool, deflate: bool, resets: bool) -> None:
    data = said(client, deflate, resets)
    found = feed3(lambda: WebSocketReader(deflate, resets), data, joined, trailing=b"\x81")
    assert [one.name for one in found] == [
        "text",
        "text",
        "binary",
        "ping",
        "text",
        "continuation",
        "binary",
        "close",
    ]
    messages = [one.message for one in found if one.message is not None]
    assert messages == [
        b"hello, hello, hello",
        b"hello, hello, hello again",
        bytes(300),
        b"part and end",
        bytes(70_000),
    ]
    assert {one.masked for one in found} == {client}
    assert {one.compressed for one in found if one.opcode == 1} == {deflate}
    assert (found[3].payload, found[-1].close_code, found[-1].payload[2:]) == (
        b"are you there",
        1001,
        b"going",
    )
    for one in found:
        assert one.end - one.start == one.header_length + len(one.payload)
    assert found[-1].end == len(data)


def test_headers_of_2_to_14_bytes() -> None:
    sizes = [one.header_length for one in WebSocketReader().receive(said(client=False, deflate=False))]
    assert sizes[0] == 2
    assert sizes[2] == 4
    assert sizes[6] == 10
    assert WebSocketReader().receive(said(client=True, deflate=False))[6].header_length == 14


def test_what_deflate_agreed_on() -> None:
    assert Deflate.of("") is None
    assert Deflate.of("x-webkit-deflate-frame") is None
    assert Deflate.of("permessage-deflate") == Deflate()
    found = Deflate.of(
        'foo; a="b, c", permessage-deflate; server_no_context_takeover; client_max_window_bits=12'
    )
    assert found == Deflate(client_resets=False, server_resets=True)


def test_damaged_compression_is_told_and_the_frames_go_on() -> None:
    data = b"\xc1\x03\xff\xff\xff" + b"\xc1\x02ab" + b"\x81\x02ok"
    one, other, plain = WebSocketReader(deflate=True).receive(data)
    assert (one.message, other.message, plain.message) == (None, None, b"ok")
    assert "can't inflate" in one.problem
    assert one.problem == other.problem


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_never_raise(data: bytes, deflate: bool) -> None:
    reader = WebSocketReader(deflate)
    found = reader.receive(data)
    assert sum(one.end - one.start for one in found) + reader.buffered() == len(data)
