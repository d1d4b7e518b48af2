"""QUIC frames, packets and keys against the RFCs' own examples, and against rubbish."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.decode.quic_frames import frames
from netlab.decode.quic_keys import V1, V2, initial_keys
from netlab.decode.quic_packet import Reader, full_number, split
from netlab.decode.quic_parameters import parameters
from netlab.decode.quic_stream import QuicStream


def varint(value: int) -> bytes:
    for width, mark in ((1, 0), (2, 1), (4, 2), (8, 3)):
        if value < 1 << (8 * width - 2):
            return (value | mark << (8 * width - 2)).to_bytes(width, "big")
    raise ValueError(value)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("c2197c5eff14e88c", 151288809941952652),
        ("9d7f3e7d", 494878333),
        ("7bbd", 15293),
        ("25", 37),
        ("4025", 37),
    ],
)
def test_the_numbers_of_rfc_9000_appendix_a(data: str, value: int) -> None:
    assert Reader(bytes.fromhex(data)).varint() == value


def test_a_packet_number_of_rfc_9000_appendix_a() -> None:
    assert full_number(0x9B32, 16, 0xA82F30EA) == 0xA82F9B32
    assert full_number(0, 8, -1) == 0
    assert full_number(0x01, 8, 0xFE) == 0x101
    assert full_number(0xFE, 8, 0x101) == 0xFE


def test_the_initial_header_protection_of_rfc_9001_appendix_a() -> None:
    client, _ = initial_keys(bytes.fromhex("8394c8f03e515708"), V1)
    assert client.header_mask(bytes.fromhex("d1b1c98dd7689fb8ec11d242b123dc9b")).hex() == "437b9aec36"
    assert client.generation == 0
    assert client.next.next.generation == 2
    other, _ = initial_keys(bytes.fromhex("8394c8f03e515708"), V2)
    assert other.secret != client.secret


EXAMPLES = [
    (b"\x01", "PING", {}),
    (
        b"\x04" + varint(4) + varint(256) + varint(70000),
        "RESET_STREAM",
        {"stream_id": 4, "error_code": 256, "final_size": 70000},
    ),
    (b"\x05\x04\x01", "STOP_SENDING", {"stream_id": 4, "error_code": 1}),
    (b"\x06\x05\x03abc", "CRYPTO", {"offset": 5, "data": b"abc"}),
    (b"\x07\x02xy", "NEW_TOKEN", {"token": b"xy"}),
    (b"\x08\x04rest", "STREAM", {"stream_id": 4, "offset": 0, "fin": 0, "data": b"rest"}),
    (b"\x0f\x04\x09\x02hi", "STREAM", {"stream_id": 4, "offset": 9, "fin": 1, "data": b"hi"}),
    (b"\x10" + varint(99999), "MAX_DATA", {"maximum": 99999}),
    (b"\x11\x08\x07", "MAX_STREAM_DATA", {"stream_id": 8, "maximum": 7}),
    (b"\x12\x07", "MAX_STREAMS_BIDI", {"maximum": 7}),
    (b"\x13\x07", "MAX_STREAMS_UNI", {"maximum": 7}),
    (b"\x14\x07", "DATA_BLOCKED", {"limit": 7}),
    (b"\x15\x08\x07", "STREAM_DATA_BLOCKED", {"stream_id": 8, "limit": 7}),
    (b"\x16\x07", "STREAMS_BLOCKED_BIDI", {"limit": 7}),
    (b"\x17\x07", "STREAMS_BLOCKED_UNI", {"limit": 7}),
    (
        b"\x18\x02\x01\x04abcd" + bytes(16),
        "NEW_CONNECTION_ID",
        {
            "sequence_number": 2,
            "retire_prior_to": 1,
            "connection_id": b"abcd",
            "stateless_reset_token": bytes(16),
        },
    ),
    (b"\x19\x03", "RETIRE_CONNECTION_ID", {"sequence_number": 3}),
    (b"\x1a12345678", "PATH_CHALLENGE", {"data": b"12345678"}),
    (b"\x1b12345678", "PATH_RESPONSE", {"data": b"12345678"}),
    (
        b"\x1c\x0a\x06\x02no",
        "CONNECTION_CLOSE",
        {"error_code": 10, "frame_type": 6, "reason_phrase": "no", "application": 0},
    ),
    (b"\x1d\x0a\x02no", "CONNECTION_CLOSE", {"error_code": 10, "reason_phrase": "no", "application": 1}),
    (b"\x1e", "HANDSHAKE_DONE", {}),
    (b"\x30data", "DATAGRAM", {"data": b"data"}),
    (b"\x31\x02da", "DATAGRAM", {"data": b"da"}),
    (
        b"\x02\x0a\x05\x01\x02\x01\x03",
        "ACK",
        {"largest_acknowledged": 10, "ack_delay": 5, "ranges": ((8, 10), (2, 5))},
    ),
    (
        b"\x03\x0a\x05\x00\x02\x01\x02\x03",
        "ACK",
        {"largest_acknowledged": 10, "ack_delay": 5, "ranges": ((8, 10),), "ect0": 1, "ect1": 2, "ecn_ce": 3},
    ),
    (b"\0\0\0", "PADDING", {"length": 3}),
]


@pytest.mark.parametrize(("data", "name", "fields"), EXAMPLES)
def test_each_frame_by_name(data: bytes, name: str, fields: dict[str, object]) -> None:
    (found,), problem = frames(data)
    assert problem == ""
    assert (found.name, dict(found.fields), found.start, found.end) == (name, fields, 0, len(data))
    assert found.eliciting == (name not in ("PADDING", "ACK", "CONNECTION_CLOSE"))
    assert name in str(found)


@pytest.mark.parametrize(("data", "name", "fields"), EXAMPLES)
def test_a_frame_that_is_cut_is_told_with_its_place(data: bytes, name: str, fields: object) -> None:
    if name in ("PADDING", "DATAGRAM") or len(data) == 1 or data[:1] == b"\x08":
        return  # these go on to the end of the packet
    found, problem = frames(b"\x01" + data[:-1])
    assert [one.name for one in found] == ["PING"]
    assert problem == "frame at byte 1 of the payload: ends too early"


def test_frames_that_make_no_sense() -> None:
    assert frames(b"\x01\x21\x01")[1].endswith("unknown frame type 0x21")
    assert frames(b"\x02\x01\x00\x00\x05")[1].endswith("an ACK of packet numbers below 0")
    assert frames(b"\x18\x01\x00\x15" + bytes(50))[1].endswith("a connection ID of 21 bytes")


def test_coalesced_packets() -> None:
    head = b"\xe0" + struct.pack(">I", 1) + b"\x02ab\x01c"
    one = head + varint(30) + bytes(30)
    first, second, short = split(one + one + b"\x40" + bytes(40))
    assert [(p.type, p.start, p.end) for p in (first, second)] == [
        ("Handshake", 0, len(one)),
        ("Handshake", len(one), 2 * len(one)),
    ]
    assert (first.destination, first.source, first.number_at) == (b"ab", b"c", len(one) - 30)
    assert (short.type, short.source, short.end) == ("1-RTT", None, 2 * len(one) + 41)
    assert split(one[:-1]) == ()
    assert [p.type for p in split(one + bytes(20))] == ["Handshake"]


def test_a_version_that_is_not_known() -> None:
    (found,) = split(b"\xc0\xfa\xce\xb0\x02\x02ab\x01c" + bytes(100))
    assert (found.type, found.destination, found.source) == ("version 0xfaceb002", b"ab", b"c")


def test_parameters_by_name() -> None:
    data = b"\x01\x01\x1e" + b"\x0f\x02ab" + b"\x0c\x00" + b"\x1b\x01z"
    assert parameters(data) == {
        "max_idle_timeout": 30,
        "initial_source_connection_id": b"ab",
        "disable_active_migration": b"",
        "0x1b": b"z",
    }
    with pytest.raises(ValueError, match="ends too early"):
        parameters(data[:-1])


def test_a_stream_knows_who_carried_what() -> None:
    stream = QuicStream(4)
    stream.add(0, b"abc", False, (1, 10), 1)
    stream.add(6, b"ghi", True, (2, 11), 2)
    assert (stream.data, stream.gaps, stream.finished) == (b"abc", ((3, 6),), False)
    stream.add(3, b"def", False, (5, 14), 5)
    assert (stream.data, stream.finished, stream.fin_frame) == (b"abcdefghi", True, 2)
    assert [(one.carrier, one.completer) for one in stream.arrivals()] == [(1, 1), (5, 5), (2, 5)]
    stream.add(1, b"bcd", False, (6, 15), 6)
    (repeat,) = stream.repeats
    assert (repeat.first.frame, repeat.again.number, repeat.again.start, repeat.again.end) == (1, 15, 1, 4)


@given(st.binary(max_size=300))
def test_random_payloads_never_raise(data: bytes) -> None:
    found, problem = frames(data)
    assert problem or not data or found[-1].end == len(data)
    split(data)
    split(b"\xc0\0\0\0\1" + data)


@given(st.binary(max_size=100))
def test_random_parameters_raise_only_value_error(data: bytes) -> None:
    with suppress(ValueError):
        parameters(data)
