"""Changes to a frame's content: congestion marks and flipped bits."""

from __future__ import annotations

import struct

import pytest

from netlab.wire.frame import VNET, corrupt, ecn_capable, mark

_MACS = bytes(range(12))
VLAN = b"\x81\x00\x00\x05"


def checksum(data: bytes | bytearray) -> int:
    """RFC 1071; 0 over data whose checksum field is right."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(tos: int, tags: bytes = b"", identification: int = 1) -> bytearray:
    header = bytearray(struct.pack("!BBHHHBBH8x", 0x45, tos, 20, identification, 0, 64, 17, 0))
    struct.pack_into("!H", header, 10, checksum(header))
    return bytearray(_MACS + tags + b"\x08\x00" + header)


def ipv6(traffic_class: int, tags: bytes = b"") -> bytearray:
    return bytearray(
        _MACS + tags + b"\x86\xdd" + struct.pack("!I", 6 << 28 | traffic_class << 20) + bytes(36)
    )


@pytest.mark.parametrize("tags", [b"", VLAN, b"\x88\xa8\x00\x01" + VLAN])
@pytest.mark.parametrize("packet", [ipv4, ipv6])
def test_only_packets_that_say_so_can_be_marked(packet, tags: bytes) -> None:  # type: ignore[no-untyped-def]
    assert [ecn_capable(packet(0x28 | ecn, tags)) for ecn in range(4)] == [False, True, True, True]


@pytest.mark.parametrize("frame", [b"", _MACS, _MACS + b"\x08\x06" + bytes(28), ipv4(2)[:-1], ipv6(2)[:-1]])
def test_what_is_no_whole_ip_packet_cannot_be_marked(frame: bytes) -> None:
    assert not ecn_capable(frame)


@pytest.mark.parametrize("tags", [b"", VLAN])
def test_marking_ipv4_keeps_its_checksum_right(tags: bytes) -> None:
    for identification in range(0, 65536, 7):
        frame = ipv4(0x2A, tags, identification)
        mark(frame)
        at = 14 + len(tags)
        assert frame[at + 1] == 0x2B
        assert checksum(frame[at:]) == 0, identification


def test_marking_ipv6_changes_only_the_mark() -> None:
    frame, before = ipv6(0x29), ipv6(0x29)
    mark(frame)
    assert frame == ipv6(0x2B)
    assert sum((one ^ other).bit_count() for one, other in zip(frame, before, strict=True)) == 1


@pytest.mark.parametrize("bit", [0, 7, 8, 300])
def test_one_bit_is_flipped_and_no_other(bit: int) -> None:
    before = bytes(VNET) + bytes(range(60))
    data = bytearray(before)
    assert corrupt(data, bit)
    changed = [
        (at, one ^ other) for at, (one, other) in enumerate(zip(data, before, strict=True)) if one != other
    ]
    assert changed == [(VNET + bit // 8, 1 << bit % 8)]


@pytest.mark.parametrize("payload", [b"even", b"odd"])
def test_an_unfinished_checksum_is_finished_before_a_bit_is_flipped(payload: bytes) -> None:
    """The field holds the pseudo-header's sum; what comes out is wrong by the flipped bit only."""
    pseudo = 0x1234
    udp = struct.pack("!HHHH", 1, 2, 8 + len(payload), pseudo) + payload
    data = bytearray(struct.pack("=BBHHHH", 1, 0, 0, 0, 34, 6) + ipv4(0) + udp)
    assert corrupt(data, 0)
    segment = bytes(data[VNET + 34 :]) + bytes(len(payload) % 2)
    assert checksum(struct.pack("!H", pseudo) + segment) == 0
    assert data[:VNET] == bytes(VNET)


def test_a_frame_that_is_yet_to_be_cut_is_left_alone() -> None:
    before = struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16) + bytes(5000)
    data = bytearray(before)
    assert not corrupt(data, 9)
    assert data == before
