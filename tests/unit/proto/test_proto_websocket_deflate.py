"""permessage-deflate (RFC 7692): negotiation, messages with and without context, bombs."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import RemoteProtocolError
from netlab.proto.websocket import Failed, Message, Ping, Prepared, WebSocketCodec, frame
from netlab.proto.websocket_deflate import Agreed, Deflate, choose, conclude, offer, parse_extensions

MASK = b"mask"
TEXT = b"to be, or not to be: that is the question. " * 4


def pair(agreed: Agreed, max_message: int = 1 << 20) -> tuple[WebSocketCodec, WebSocketCodec]:
    """A client's side and a server's."""
    client = WebSocketCodec(client=True, deflate=Deflate(agreed, client=True), max_message=max_message)
    server = WebSocketCodec(client=False, deflate=Deflate(agreed, client=False), max_message=max_message)
    return client, server


def chosen(value: str) -> str | None:
    agreed = choose(parse_extensions(value))
    return agreed.parameters() if agreed else None


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ("permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        (offer(), "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"),
        (
            'permessage-deflate; client_max_window_bits="10"; server_max_window_bits=9',
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
                " server_max_window_bits=12"
            ),
        ),
        ("x-webkit-deflate-frame, permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        # declined (section 7.1): what we don't know, can't do, or is malformed; the next offer counts
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=010", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
        ("permessage-deflate; unknown", None),
        (
            "permessage-deflate; unknown, permessage-deflate",
            "permessage-deflate; server_max_window_bits=12",
        ),
        ("", None),
    ],
)
def test_what_a_server_accepts(offered: str, answer: str | None) -> None:
    assert chosen(offered) == answer


@pytest.mark.parametrize("value", ["a b", "a; =1", 'a; b="', "a; b=", ";", "a;;b", "a; b=c d"])
def test_malformed_fields(value: str) -> None:
    with pytest.raises(RemoteProtocolError, match="malformed"):
        parse_extensions(value)


@pytest.mark.parametrize(
    "answer",
    [
        "permessage-bzip2",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; novelty",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    ],
)
def test_answers_that_fail_the_client(answer: str) -> None:
    with pytest.raises(RemoteProtocolError):
        conclude(parse_extensions(answer))


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_messages_both_ways(bits: int, takeover: bool) -> None:
    client, server = pair(Agreed(bits, bits, takeover, takeover))
    sizes = []
    for _ in range(3):
        for sender, receiver in ((client, server), (server, client)):
            data = sender.send(Message(TEXT))
            assert len(data) < len(TEXT)
            assert receiver.receive(data) == [Message(TEXT)]
            sizes.append(len(data))
    assert (sizes[2] < sizes[0]) is takeover, sizes


@given(st.lists(st.binary(max_size=2000), max_size=5), st.integers(9, 15), st.booleans())
def test_any_messages(messages: list[bytes], bits: int, takeover: bool) -> None:
    client, server = pair(Agreed(bits, bits, takeover, takeover))
    for data in messages:
        message = Message(data, is_text=False)
        assert server.receive(client.send(message)) == [message]
        assert client.receive(server.send(message)) == [message]


def squeezed(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_fragments_with_a_ping_between() -> None:
    """Only the first frame has RSV1 (section 6.1), and control frames are never compressed."""
    _, server = pair(Agreed())
    payload = squeezed(TEXT)
    data = (
        frame(1, payload[:5], mask=MASK, fin=False, compressed=True)
        + frame(9, b"!", mask=MASK)
        + frame(0, payload[5:], mask=MASK)
    )
    assert server.receive(data) == [Ping(b"!"), Message(TEXT)]
    assert server.receive(frame(1, b"plain", mask=MASK)) == [Message(b"plain")]


@pytest.mark.parametrize("opcode", [0x0, 0x8, 0x9, 0xA])
def test_rsv1_where_it_may_not_be(opcode: int) -> None:
    _, server = pair(Agreed())
    start = frame(1, b"a", mask=MASK, fin=False) if opcode == 0 else b""
    (event,) = server.receive(start + frame(opcode, b"", mask=MASK, compressed=True))
    assert isinstance(event, Failed)
    assert event.code == 1002


def test_a_final_block_ends_a_stream_and_the_message_goes_on() -> None:
    """BFINAL set (section 7.2.3.4); the next message refers to the last one's window."""
    _, server = pair(Agreed())
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    final = compressor.compress(TEXT) + compressor.flush(zlib.Z_FINISH) + b"\x00"
    assert server.receive(frame(1, final, mask=MASK, compressed=True)) == [Message(TEXT)]
    referring = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=TEXT)
    payload = (referring.compress(TEXT) + referring.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(payload) < len(squeezed(TEXT))
    assert server.receive(frame(1, payload, mask=MASK, compressed=True)) == [Message(TEXT)]


def test_a_bomb_fails_with_1009_at_the_limit() -> None:
    _, server = pair(Agreed(), max_message=10_000)
    bomb = squeezed(bytes(50_000_000))
    assert len(bomb) < 60_000
    (event,) = server.receive(frame(2, bomb[:9_000], mask=MASK, compressed=True, fin=False))
    assert isinstance(event, Failed)
    assert event.code == 1009


def test_a_message_as_large_as_allowed() -> None:
    client, server = pair(Agreed(), max_message=10_000)
    message = Message(bytes(10_000), is_text=False)
    assert server.receive(client.send(message)) == [message]
    (event,) = server.receive(client.send(Message(bytes(10_001), is_text=False)))
    assert isinstance(event, Failed)


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"\x03\x00" * 400])
def test_what_is_no_deflate_stream_fails_with_1007(payload: bytes) -> None:
    _, server = pair(Agreed())
    (event,) = server.receive(frame(1, payload, mask=MASK, compressed=True))
    assert isinstance(event, Failed)
    assert event.code == 1007


def test_compressed_text_is_checked_too() -> None:
    _, server = pair(Agreed())
    (event,) = server.receive(frame(1, squeezed(b"\xc0\xaf" * 50), mask=MASK, compressed=True))
    assert isinstance(event, Failed)
    assert event.code == 1007


def test_a_message_to_many_is_compressed_once_where_no_context_is_kept() -> None:
    prepared = Prepared(Message(TEXT))
    agreed = Agreed(server_bits=12, server_takeover=False)
    (client, first), (_, second) = pair(agreed), pair(agreed)
    data = first.send(prepared)
    assert second.send(prepared) is data
    assert client.receive(data) == [Message(TEXT)]
    plain = WebSocketCodec(client=False).send(prepared)
    assert WebSocketCodec(client=True).receive(plain) == [Message(TEXT)]
