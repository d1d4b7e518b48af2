"""Which packets of a capture get a comment, and what it says."""

from __future__ import annotations

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from netlab.decode.frame import Frame
from netlab.scenarios.openings import openings

NAMES = {"edge": ("192.0.2.1",), "lb": ("198.51.100.1", "2001:db8::1")}
HELLO = b"\x16\x03\x01\x00\x40\x01\x00\x00\x3c"
WAY = IP(src="192.0.2.1", dst="198.51.100.1")


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (WAY / TCP(flags="S"), "TCP SYN, edge ─► lb"),
        (WAY / TCP(flags="SA"), ""),
        (WAY / TCP(flags="PA") / HELLO, "TLS ClientHello, edge ─► lb"),
        (WAY / TCP(flags="PA") / (HELLO[:5] + b"\x02"), ""),  # ServerHello
        (WAY / TCP(flags="PA") / HELLO[:4], ""),  # cut by a snapshot length
        (IP(src="192.0.2.9", dst="198.51.100.1") / TCP(flags="S"), "TCP SYN, 192.0.2.9 ─► lb"),
        (WAY / UDP(dport=53) / DNS(qd=DNSQR(qname="example.com")), "DNS query, edge ─► lb"),
        (WAY / UDP(sport=53, dport=53) / DNS(qr=1), ""),
        (WAY / UDP(dport=53) / b"short", ""),
        (ARP(), ""),
    ],
)
def test_openings(packet: Packet, expected: str) -> None:
    data = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)
    frame = Frame(7, 1, "edge", "eth0", len(data), data)
    assert openings([frame], NAMES) == ({7: expected} if expected else {})
