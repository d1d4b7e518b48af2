"""IP fragments put together: in any order, twice, with bytes missing, overlapping; memory stays bounded."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, fragment6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from netlab.decode.fragments import MOST_BYTES, WAIT_NS, Fragments, reassembled
from netlab.decode.fragments import fragment as fragment_of
from netlab.decode.frame import Frame, headers
from netlab.decode.layers import layers

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
SIZES = st.integers(0, 9000)
BODY = bytes(range(256)) * 20


def frames(packets: list[Packet]) -> list[Frame]:
    return [
        Frame(number, number * 1000, "a", "eth0", len(bytes(one)), bytes(one))
        for number, one in enumerate(packets, 1)
    ]


def four(payload: bytes, size: int = 1480, below: Packet = ETHER, id_: int = 7) -> list[Frame]:
    whole = below / IP(src="192.0.2.1", dst="192.0.2.2", id=id_) / UDP(sport=5, dport=6) / payload
    return frames(fragment(whole, size))


def six(payload: bytes, size: int = 1280, id_: int = 7) -> list[Frame]:
    head = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=id_)
    return frames([ETHER / one for one in fragment6(head / UDP(sport=5, dport=6) / payload, size)])


@given(SIZES, st.randoms(use_true_random=False), st.sampled_from((four, six)), st.booleans())
def test_in_any_order_and_twice_the_packet_comes_out(
    size: int, random: Random, make: Callable[[bytes], list[Frame]], twice: bool
) -> None:
    body = (BODY * 2)[:size]
    made = make(body)
    random.shuffle(made)
    if twice and len(made) > 1:
        made.insert(1, made[0])
    whole = list(reassembled(made))
    assert len(whole) == 1
    found = headers(whole[0].data)
    assert found is not None
    assert (found.sport, found.dport, found.payload_length) == (5, 6, size)
    assert whole[0].data[found.payload_offset :] == body
    if len(made) > 1:
        assert whole[0].number == made[-1].number
        assert set(whole[0].fragments) == {one.number for one in made}
    shown = {layer.name: dict(layer.pairs) for layer in layers(whole[0].data)}
    assert "correct" in shown["UDP"]["checksum"]
    assert make is not four or "correct" in shown["IPv4"]["header checksum"]


def test_two_packets_at_once_and_vlan_tags_and_extension_headers() -> None:
    mixed = [one for pair in zip(four(BODY), four(BODY[::-1], id_=8), strict=True) for one in pair]
    found = [one.data[-len(BODY) :] for one in reassembled(mixed)]
    assert found == [BODY, BODY[::-1]]
    (tagged,) = reassembled(four(BODY, below=ETHER / Dot1Q(vlan=9)))
    read = headers(tagged.data)
    assert read is not None
    assert (read.vlan, read.payload_length) == (9, len(BODY))
    pieces = []
    for one in six(BODY):
        packet = Ether(one.data)[IPv6]
        packet = IPv6(src=packet.src, dst=packet.dst) / IPv6ExtHdrHopByHop() / packet[IPv6ExtHdrFragment]
        pieces.append(ETHER / packet)
    (whole,) = reassembled(frames(pieces))
    read = headers(whole.data)
    assert read is not None
    assert (read.sport, read.payload_length) == (5, len(BODY))


def test_fragments_of_several_interfaces_are_several_packets() -> None:
    here = four(BODY)
    there = [replace(one, node="b") for one in here]
    assert len(list(reassembled([*here[:-1], *there]))) == 1


def test_a_fragmented_ping() -> None:
    whole = ETHER / IP(src="192.0.2.1", dst="192.0.2.2", id=9) / ICMP(id=1, seq=2) / BODY
    (one,) = reassembled(frames(fragment(whole, 1000)))
    assert one.data[-len(BODY) :] == BODY
    assert next(layer for layer in layers(one.data) if layer.name == "ICMP").field("sequence number") == 2


def moved(frame: Frame, by: int, payload: bytes | None = None) -> Frame:
    """An IPv4 fragment with its offset moved by `by` bytes, or with another payload."""
    data = bytearray(frame.data)
    word = struct.unpack_from(">H", data, 20)[0]
    struct.pack_into(">H", data, 20, (word & 0xE000) | ((word & 0x1FFF) + by // 8))
    if payload is not None:
        data[34:] = payload
        struct.pack_into(">H", data, 16, 20 + len(payload))
    return replace(frame, data=bytes(data), length=len(data))


@pytest.mark.parametrize("by", [-8, -1480])
def test_fragments_that_overlap_refuse_the_packet_and_its_rest(by: int) -> None:
    made = four(BODY)
    joiner = Fragments()
    sent = [made[0], moved(made[1], by), *made[1:]]
    assert [joiner.add(one) for one in sent] == [None] * len(sent)
    assert set(joiner.refused) == {one.number for one in made}
    assert set(joiner.refused.values()) == {"fragments that overlap (RFC 5722)"}


def test_other_contradictions_are_refused_too() -> None:
    first, middle, *_, last = four(BODY)
    odd = moved(middle, 0, bytes(15))
    beyond = moved(last, 60_000, bytes(1480))
    shorter = moved(last, -2000, bytes(8))
    for pieces, said in (
        ((first, odd), "no multiple of 8"),
        ((first, beyond), "more than 65535"),
        ((first, last, shorter), "don't agree"),
    ):
        joiner = Fragments()
        assert all(joiner.add(one) is None for one in pieces)
        assert any(said in problem for problem in joiner.refused.values()), (said, joiner.refused)


def test_what_never_comes_whole_is_forgotten_in_time() -> None:
    made = four(BODY)
    late = [replace(one, time_ns=one.time_ns + WAIT_NS + 1) for one in made[1:]]
    assert list(reassembled([made[0], *late])) == []


def test_memory_is_bounded() -> None:
    joiner, first = Fragments(), four(BODY)[0]
    for number in range(20_000):  # first fragments of as many packets, which don't go on
        data = bytearray(first.data)
        struct.pack_into(">I", data, 26, number)
        joiner.add(replace(first, number=number + 1, data=bytes(data)))
    assert 0 < joiner.held <= MOST_BYTES


@given(st.binary(max_size=80), st.integers(0, 0xFFFF))
def test_random_bytes_never_raise(data: bytes, word: int) -> None:
    for head in (bytes(12) + b"\x08\x00\x45\0", bytes(12) + b"\x86\xdd\x60"):
        frame = Frame(1, 0, "", "x", 0, head + data)
        fragment_of(frame)
        Fragments().add(frame)
    damaged = bytearray(four(BODY)[0].data)
    struct.pack_into(">H", damaged, 20, word)
    Fragments().add(Frame(1, 0, "", "x", 0, bytes(damaged)))
