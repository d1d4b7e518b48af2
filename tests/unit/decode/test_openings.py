"""Which packets of a capture get a comment, and what it says."""

from __future__ import annotations

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from netlab.decode.openings import Openings

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
        (WAY / UDP(dport=443) / (b"\xc3\0\0\0\1" + bytes(1195)), "QUIC Initial, edge ─► lb"),
        (WAY / UDP(dport=443) / (b"\xd3\x6b\x33\x43\xcf" + bytes(1195)), "QUIC Initial, edge ─► lb"),  # v2
        (WAY / UDP(dport=443) / (b"\xe3\0\0\0\1" + bytes(1195)), ""),  # Handshake
        (WAY / UDP(dport=443) / (b"\x43" + bytes(1199)), ""),
        (WAY / UDP(dport=443), ""),
        (
            WAY / TCP(flags="PA") / b"GET /user/42?q=1 HTTP/1.1\r\nHost: x\r\n",
            "HTTP/1.1 GET /user/42?q=1, edge ─► lb",
        ),
        (WAY / TCP(flags="PA") / b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 preface, edge ─► lb"),
        (WAY / TCP(flags="PA") / b"HTTP/1.1 200 OK\r\n", ""),
        (ARP(), ""),
    ],
)
def test_openings(packet: Packet, expected: str) -> None:
    data = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)
    assert Openings(NAMES).comment(0, data) == expected


def test_a_quic_connection_is_commented_once_at_each_interface() -> None:
    """The server's Initials, and the client's next ones, open nothing."""
    openings, initial = Openings(NAMES), b"\xc3\0\0\0\1" + bytes(1195)
    asked = bytes(Ether() / WAY / UDP(sport=5, dport=443) / initial)
    answered = bytes(Ether() / IP(src=WAY.dst, dst=WAY.src) / UDP(sport=443, dport=5) / initial)
    said = [openings.comment(where, data) for where in (0, 1) for data in (asked, answered, asked)]
    assert said == ["QUIC Initial, edge ─► lb", "", ""] * 2
