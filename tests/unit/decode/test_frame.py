"""Headers and identity of frames, made by scapy."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1Q, Ether

from netlab.decode.frame import ACK, PSH, Arp, Frame, arp, frames, headers, identity
from netlab.proto import pcapng

ETHER = Ether(src="00:1a:2b:3c:4d:5e", dst="a4:5e:60:e8:4f:2c")
OTHER_ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IP4 = IP(src="192.168.1.10", dst="93.184.216.34", id=0x1A2B, flags="DF", ttl=64)
IP6 = IPv6(src="2001:db8::a", dst="2001:db8::b", hlim=64)
SEGMENT = TCP(sport=53124, dport=443, seq=1000, ack=2000, flags="PA", window=500)


def test_tcp_over_ipv4() -> None:
    data = bytes(ETHER / IP4 / SEGMENT / b"hello")
    found = headers(data)
    assert found is not None
    assert (found.eth_src, found.eth_dst) == ("00:1a:2b:3c:4d:5e", "a4:5e:60:e8:4f:2c")
    assert (found.ethertype, found.vlan, found.ip_version) == (0x0800, -1, 4)
    assert (found.src, found.dst, found.ttl) == ("192.168.1.10", "93.184.216.34", 64)
    assert (found.protocol, found.ip_id, found.fragment_offset) == ("tcp", 0x1A2B, 0)
    assert (found.sport, found.dport, found.seq, found.ack) == (53124, 443, 1000, 2000)
    assert (found.flags, found.window) == (PSH | ACK, 500)
    assert data[found.payload_offset :][: found.payload_length] == b"hello"


@pytest.mark.parametrize(
    "below",
    [
        ETHER / Dot1Q(vlan=7) / IP4,
        ETHER / Dot1Q(vlan=7) / Dot1Q(vlan=8) / IP6,
        ETHER / IP(src="192.0.2.1", dst="192.0.2.2", options=[IPOption_RR()]),
        ETHER / IP6,
        ETHER / IP6 / IPv6ExtHdrHopByHop(),
        ETHER / IP6 / IPv6ExtHdrFragment(id=99, m=1),
    ],
)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_whatever_is_below_the_transport(below: Ether, protocol: str) -> None:
    transport = SEGMENT if protocol == "tcp" else UDP(sport=53124, dport=443)
    data = bytes(below / transport / b"hello")
    found = headers(data + b"\0\0\0\0")
    assert found is not None
    assert (found.protocol, found.sport, found.dport) == (protocol, 53124, 443)
    assert data[found.payload_offset :][: found.payload_length] == b"hello"
    assert found.vlan == (7 if Dot1Q in below else -1)


def test_options_of_tcp_are_no_payload() -> None:
    options = [("MSS", 1460), ("Timestamp", (5, 0)), ("WScale", 7)]
    found = headers(bytes(ETHER / IP4 / TCP(flags="S", options=options)) + bytes(6))
    assert found is not None
    assert found.payload_length == 0


def test_a_later_fragment_has_no_ports() -> None:
    found = headers(bytes(ETHER / IP(src="192.0.2.1", dst="192.0.2.2", frag=185, proto=17) / (b"x" * 30)))
    assert found is not None
    assert (found.protocol, found.sport, found.fragment_offset) == ("udp", 0, 1480)


def test_icmp() -> None:
    for data, protocol in (
        (bytes(ETHER / IP4 / ICMP() / b"ping"), "icmp"),
        (bytes(ETHER / IP6 / ICMPv6EchoRequest(data=b"ping")), "icmpv6"),
    ):
        found = headers(data)
        assert found is not None
        assert (found.protocol, found.sport) == (protocol, 0)
        assert data[found.payload_offset :] == b"ping"


def test_arp() -> None:
    data = bytes(ETHER / ARP(op=1, hwsrc="00:1a:2b:3c:4d:5e", psrc="192.168.1.10", pdst="192.168.1.1"))
    assert headers(data) is None
    assert identity(data) is None
    assert arp(data) == Arp(1, "00:1a:2b:3c:4d:5e", "192.168.1.10", "00:00:00:00:00:00", "192.168.1.1")
    assert arp(bytes(ETHER / IP4 / SEGMENT)) is None


@pytest.mark.parametrize(
    "frame", [ETHER / IP4 / SEGMENT, ETHER / IP6 / SEGMENT, ETHER / Dot1Q(vlan=7) / IP4 / UDP()]
)
def test_a_frame_that_ends_within_a_header_has_none(frame: Ether) -> None:
    data = bytes(frame)
    assert headers(data) is not None
    for length in range(len(data)):
        assert headers(data[:length]) is None, length


def test_a_snapshot_length_cuts_only_payload() -> None:
    data = bytes(ETHER / IP4 / SEGMENT / b"hello")
    found = headers(data[:-3])
    assert found is not None
    assert found.payload_length == 5


# ---------------------------------------------------------------------------------------- identity


def nat(ip: IP | IPv6) -> IP | IPv6:
    """The packet after a home router: another source, a hop less."""
    if ip.version == 4:
        return IP(src="203.0.113.5", dst=ip.dst, id=ip.id, flags=ip.flags, ttl=ip.ttl - 1)
    return IPv6(src=ip.src, dst=ip.dst, hlim=ip.hlim - 1)


TIMED = [("NOP", None), ("NOP", None), ("Timestamp", (5, 6))]


@pytest.mark.parametrize("ip", [IP4, IP6])
@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        (
            SEGMENT / b"hello",
            TCP(sport=40000, dport=443, seq=1000, ack=2000, flags="PA", window=500) / b"hello",
        ),
        (TCP(sport=1, options=TIMED), TCP(sport=2, options=TIMED)),
        (UDP(sport=53124, dport=53) / b"query", UDP(sport=40000, dport=53) / b"query"),
    ],
)
def test_identity_survives_nat_and_routers(ip: IP | IPv6, inside: TCP, outside: TCP) -> None:
    before, after = bytes(ETHER / ip / inside), bytes(OTHER_ETHER / nat(ip) / outside)
    assert before != after
    assert identity(before) == identity(after)


def test_an_echo_keeps_its_identity_where_nat_changes_its_identifier() -> None:
    inside, outside = ICMP(id=7, seq=3) / b"ping", ICMP(id=8, seq=3) / b"ping"
    assert identity(bytes(ETHER / IP4 / inside)) == identity(bytes(OTHER_ETHER / nat(IP4) / outside))
    assert identity(bytes(ETHER / IP4 / inside)) != identity(bytes(ETHER / IP4 / ICMP(id=7, seq=4) / b"ping"))


def test_identity_ignores_vlan_tags_and_padding() -> None:
    plain, tagged = bytes(ETHER / IP4 / SEGMENT), bytes(ETHER / Dot1Q(vlan=7) / IP4 / SEGMENT)
    assert identity(plain) == identity(tagged) == identity(plain + bytes(6))


@pytest.mark.parametrize(
    "other",
    [
        IP(src=IP4.src, dst=IP4.dst, id=0x1A2C) / SEGMENT / b"hello",
        IP4 / TCP(seq=1001, ack=2000, flags="PA", window=500) / b"hello",
        IP4 / TCP(seq=1000, ack=2001, flags="PA", window=500) / b"hello",
        IP4 / TCP(seq=1000, ack=2000, flags="A", window=500) / b"hello",
        IP4 / TCP(seq=1000, ack=2000, flags="PA", window=501) / b"hello",
        IP4 / TCP(seq=1000, ack=2000, flags="PA", window=500, options=TIMED) / b"hello",
        IP4 / SEGMENT / b"hellO",
        IP4 / SEGMENT / b"hello!",
        IP4 / UDP() / b"hello",
    ],
)
def test_another_packet_has_another_identity(other: IP) -> None:
    assert identity(bytes(ETHER / IP4 / SEGMENT / b"hello")) != identity(bytes(ETHER / other))


def test_an_icmp_error_keeps_its_identity_where_nat_rewrites_the_quote() -> None:
    def error(quoted: IP) -> bytes:
        return bytes(ETHER / IP(src="198.51.100.1", dst=quoted.src, id=9) / ICMP(type=11) / quoted / SEGMENT)

    assert identity(error(IP4)) == identity(error(nat(IP4)))
    assert identity(error(IP4)) != identity(error(IP(src=IP4.src, dst=IP4.dst, id=5)))


# ---------------------------------------------------------------------------------------- files


def test_frames_of_a_pcapng_and_of_a_pcap() -> None:
    data = pcapng.section() + pcapng.interface("client-a:eth0") + pcapng.interface("eth1")
    data += pcapng.packet(1, 5, b"abc", 9) + pcapng.packet(0, 6, b"d")
    assert list(frames(data)) == [
        Frame(1, 5, "", "eth1", 9, b"abc"),
        Frame(2, 6, "client-a", "eth0", 1, b"d"),
    ]
    classic = (
        struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1) + struct.pack("<IIII", 1, 5, 3, 9) + b"abc"
    )
    assert list(frames(classic)) == [Frame(1, 1_000_000_005, "", "", 9, b"abc")]


SEEDS = [
    bytes(ETHER / IP4 / TCP(options=TIMED) / b"hello"),
    bytes(ETHER / IP(options=[IPOption_RR()]) / UDP() / b"hello"),
    bytes(ETHER / Dot1Q(vlan=7) / IP6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment() / SEGMENT),
    bytes(ETHER / IP4 / ICMP(type=11) / IP4 / UDP()),
    bytes(ETHER / ARP()),
]


@given(st.binary(max_size=120), st.sampled_from([b"", SEEDS[0][:14], SEEDS[0][:34], SEEDS[2][:18]]))
def test_random_bytes_never_raise(data: bytes, start: bytes) -> None:
    headers(start + data)
    identity(start + data)
    arp(start + data)


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(12, 120), st.integers(0, 255)), max_size=5),
    st.integers(0, 120),
)
def test_damaged_frames_never_raise(seed: bytes, changes: list[tuple[int, int]], length: int) -> None:
    damaged = bytearray(seed)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    found = headers(bytes(damaged[:length]))
    assert found is None or found.payload_offset <= length
    identity(bytes(damaged[:length]))
    arp(bytes(damaged[:length]))


def test_a_large_capture_is_read_in_seconds() -> None:
    """150,000 frames a second are the aim on an idle machine; a tenth of that is a fault."""
    data = SEEDS[0] + bytes(1400)
    started = time.perf_counter()
    for _ in range(15_000):
        headers(data)
        identity(data)
    took = time.perf_counter() - started
    assert took < 2.0, f"15,000 frames took {took:.2f} s, at most 2 s"
