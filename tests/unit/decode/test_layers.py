"""The layers of frames: the guide's own example packets, and whatever bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from netlab.decode.layers import Layer, layers

ETHER = Ether(src="00:1a:2b:3c:4d:5e", dst="a4:5e:60:e8:4f:2c")
GUIDE_IP = IP(src="192.168.1.10", dst="93.184.216.34", id=0x1A2B, flags="DF", ttl=64)
GUIDE_TCP = TCP(sport=53124, dport=443, seq=1000, ack=2000, flags="PA", window=65535)
REQUEST = bytes(ETHER / GUIDE_IP / GUIDE_TCP / b"encrypted")


def fields(found: tuple[Layer, ...], osi: int) -> dict[str, str]:
    (layer,) = (layer for layer in found if layer.osi == osi)
    return dict(layer.pairs)


def test_the_guides_packet() -> None:
    found = layers(REQUEST)
    assert [(layer.osi, layer.name) for layer in found] == [(4, "TCP"), (3, "IPv4"), (2, "Ethernet II")]
    tcp = fields(found, 4)
    checksum = tcp.pop("checksum")
    assert checksum.endswith("(correct)"), checksum
    assert tcp == {
        "source port": "53124",
        "destination port": "443",
        "sequence number": "1000",
        "acknowledgment number": "2000",
        "header length": "20 bytes",
        "flags": "PSH, ACK",
        "window size": "65535",
        "data": "9 bytes",
    }
    ip = fields(found, 3)
    checksum = ip.pop("header checksum")
    assert checksum.endswith("(correct)"), checksum
    assert ip == {
        "version": "4",
        "header length": "20 bytes",
        "type of service": "0x00 (DSCP 0, not ECN-capable)",
        "total length": "49 bytes",
        "identification": "0x1a2b",
        "flags": "Don't Fragment",
        "TTL": "64",
        "protocol": "6 (TCP)",
        "source": "192.168.1.10",
        "destination": "93.184.216.34",
    }
    assert fields(found, 2) == {
        "destination MAC": "a4:5e:60:e8:4f:2c",
        "source MAC": "00:1a:2b:3c:4d:5e",
        "EtherType": "0x0800 (IPv4)",
    }


def test_wrong_checksums_are_told() -> None:
    damaged = bytearray(REQUEST)
    damaged[22] -= 1  # the TTL
    damaged[-1] ^= 1
    found = layers(bytes(damaged))
    assert fields(found, 3)["header checksum"].endswith("(wrong)")
    assert fields(found, 4)["checksum"].endswith("(wrong)")


def test_a_cut_segment_is_not_checked() -> None:
    assert "not all of the segment is here" in fields(layers(REQUEST[:-1]), 4)["checksum"]


def test_ethernet_padding_is_no_data() -> None:
    short = bytes(ETHER / GUIDE_IP / TCP(flags="A")) + bytes(6)
    found = fields(layers(short), 4)
    assert found["data"] == "0 bytes"
    assert found["checksum"].endswith("(correct)")


@pytest.mark.parametrize(
    "ip", [IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")]
)
def test_udp(ip: IP | IPv6) -> None:
    found = fields(layers(bytes(ETHER / ip / UDP(sport=5353, dport=53) / b"abc")), 4)
    checksum = found.pop("checksum")
    assert checksum.endswith("(correct)"), checksum
    assert found == {"source port": "5353", "destination port": "53", "length": "11 bytes", "data": "3 bytes"}


def test_ipv6_tcp() -> None:
    found = layers(bytes(ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=63) / GUIDE_TCP / b"x"))
    assert fields(found, 3)["hop limit"] == "63"
    assert fields(found, 3)["next header"] == "6 (TCP)"
    assert fields(found, 4)["checksum"].endswith("(correct)")


def test_options_vlan_arp_and_icmp() -> None:
    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (5, 0)), ("NOP", None), ("WScale", 7)]
    syn = layers(bytes(ETHER / GUIDE_IP / TCP(flags="S", options=options)))
    assert fields(syn, 4)["options"] == "MSS 1460, SAckOK, Timestamp 5 0, WScale 7"
    tagged = layers(bytes(ETHER / Dot1Q(vlan=7) / GUIDE_IP / GUIDE_TCP))
    assert [layer.name for layer in tagged] == ["TCP", "IPv4", "802.1Q", "Ethernet II"]
    arp = layers(bytes(ETHER / ARP(op=2, psrc="192.168.1.1")))
    assert dict(arp[0].pairs)["operation"] == "reply"
    ping = layers(bytes(ETHER / GUIDE_IP / ICMP(id=3, seq=4) / b"data"))
    assert ping[0].name == "ICMP"
    assert dict(ping[0].pairs)["checksum"].endswith("(correct)")


SEEDS = [
    REQUEST,
    bytes(ETHER / IPv6() / GUIDE_TCP / b"x"),
    bytes(ETHER / Dot1Q(vlan=7) / GUIDE_IP / UDP() / b"x"),
    bytes(ETHER / GUIDE_IP / ICMP() / b"x"),
    bytes(ETHER / ARP()),
]


@given(st.binary(max_size=120))
def test_random_bytes_never_raise(data: bytes) -> None:
    layers(data)
    layers(REQUEST[:14] + data)
    layers(REQUEST[:34] + data)


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(12, 80), st.integers(0, 255)), max_size=5),
    st.integers(0, 80),
)
def test_damaged_frames_never_raise(seed: bytes, changes: list[tuple[int, int]], length: int) -> None:
    damaged = bytearray(seed)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    for layer in layers(bytes(damaged[:length])):
        assert 0 <= layer.start <= layer.end <= length, layer
        assert all(field.start + field.length <= length for field in layer.fields), layer
