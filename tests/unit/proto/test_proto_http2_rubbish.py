"""HTTP/2's codecs against bytes that nobody would send: an error of the protocol, or events; nothing else."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.errors import RemoteProtocolError
from netlab.proto.http import Data, End, HttpEvent, RequestHead, Reset, ResponseHead
from netlab.proto.http2 import ClientCodec, ServerCodec
from tests.kit.http2_peer import GET, POST, Encoding, data, opening, parsed, raw
from tests.kit.http2_peer import settings as settings_frame

FRAMES = st.builds(
    raw,
    st.integers(0, 0x12),
    st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D, 0xFF]),
    st.sampled_from([0, 1, 2, 3, 5, 2**31 - 1, 2**32 - 1]),
    st.binary(max_size=40),
)


def hear(codec: ServerCodec | ClientCodec, said: bytes) -> list[HttpEvent]:
    """Events; none where there is an error of the protocol. Another exception fails the test."""
    with contextlib.suppress(RemoteProtocolError):
        return codec.receive(said)
    return []


def answer(server: ServerCodec, events: list[HttpEvent]) -> None:
    for event in events:
        if isinstance(event, RequestHead) and server.is_open(event.stream):
            server.send(ResponseHead(200, stream=event.stream), End(stream=event.stream))
        elif isinstance(event, Data):
            server.consumed(event.stream, len(event.data))


def dialogue() -> bytes:
    encoding = Encoding()
    return (
        opening()
        + encoding.headers(1, [*POST, ("content-length", "9"), ("priority", "u=1, i")], ends=False)
        + data(1, b"some", "PADDED", ends=False, pad_length=3)
        + b"".join(encoding.split(3, [*GET, ("cookie", "a=b")], 3))
        + raw(8, 0, 1, b"\0\0\1\0")
        + data(1, b"abcde")
        + raw(2, 0, 5, b"\0\0\0\1\7")
        + raw(0x10, 0, 0, b"\0\0\0\5u=2")
        + settings_frame(INITIAL_WINDOW_SIZE=1000, MAX_FRAME_SIZE=20_000)
        + encoding.headers(5, GET, "PADDED", pad_length=7)
        + raw(3, 0, 5, b"\0\0\0\x08")
        + raw(7, 0, 0, bytes(8))
    )


@given(st.lists(FRAMES, max_size=12))
@settings(max_examples=300, deadline=None)
def test_frames_of_any_kind_to_a_server(frames: list[bytes]) -> None:
    server = ServerCodec()
    server.receive(opening() + Encoding().headers(1, POST, ends=False))
    for frame in frames:
        answer(server, hear(server, frame))
    parsed(server.outgoing())


@given(st.lists(FRAMES, max_size=12))
@settings(max_examples=300, deadline=None)
def test_frames_of_any_kind_to_a_client(frames: list[bytes]) -> None:
    client = ClientCodec(push=True)
    client.receive(settings_frame())
    client.send(RequestHead("POST", "/", stream=1))
    client.outgoing()
    for frame in frames:
        for event in hear(client, frame):
            if isinstance(event, Data):
                client.consumed(event.stream, len(event.data))
    client.send(Reset(8, 1))
    parsed(client.outgoing())


@pytest.mark.parametrize("seed", range(300))
def test_a_dialogue_with_bytes_changed(seed: int) -> None:
    rng = random.Random(seed)
    said = bytearray(dialogue())
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(24, len(said))
        match rng.randrange(3):
            case 0:
                said[at] = rng.randrange(256)
            case 1:
                del said[at : at + rng.randint(1, 4)]
            case _:
                said[at:at] = rng.randbytes(rng.randint(1, 4))
    server = ServerCodec()
    while said:
        size = rng.randint(1, 50)
        answer(server, hear(server, bytes(said[:size])))
        del said[:size]
    hear(server, b"")
    assert len(server.outgoing()) < 100_000
