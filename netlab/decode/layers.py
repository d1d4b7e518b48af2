"""A frame's layers 4 to 2 with every field that the guide shows in its sections 3.3 to 3.5, by scapy.

Sources: RFC 9293 (TCP), RFC 768 (UDP), RFC 791 (IPv4), RFC 8200 (IPv6), RFC 2474 (DSCP), RFC 1071
(checksums), RFC 826 (ARP), IEEE 802.3 and 802.1Q.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any, NamedTuple

_ETHERTYPES = {0x0800: "IPv4", 0x86DD: "IPv6", 0x0806: "ARP", 0x8100: "802.1Q VLAN", 0x88A8: "802.1ad VLAN"}
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}
_FLAGS = {
    "F": "FIN",
    "S": "SYN",
    "R": "RST",
    "P": "PSH",
    "A": "ACK",
    "U": "URG",
    "E": "ECE",
    "C": "CWR",
    "N": "NS",
}
_ECN = ("not ECN-capable", "ECT(1)", "ECT(0)", "congestion experienced")
_ICMP = {0: "echo reply", 3: "destination unreachable", 8: "echo request", 11: "time exceeded"}
_ARP = {1: "request", 2: "reply"}

Fields = tuple[tuple[str, str], ...]


class Layer(NamedTuple):
    """`osi` is the layer's number in the OSI model; `fields` are pairs of name and value, in header order."""

    osi: int
    name: str
    fields: Fields


def layers(data: bytes, medium: Iterable[tuple[str, str]] = ()) -> tuple[Layer, ...]:
    """The layers of an Ethernet frame from 4 down to 2, and 1 where `medium` has its facts.

    A frame that ends within a header has the layers before it; bytes that are no Ethernet frame have none.
    """
    from scapy.layers.inet6 import Ether  # of l2; inet6 also binds IPv4, IPv6, TCP and UDP to it

    found: list[Layer] = []
    if len(data) >= 14:
        packet: Any = Ether(data)
        while packet:
            shown = _SHOW.get(type(packet).__name__)
            if shown is None:
                break
            found.append(shown(packet))
            packet = packet.payload
    facts = tuple(medium)
    if facts:
        found.insert(0, Layer(1, "Physical", facts))
    return tuple(reversed(found))


def _ether(packet: Any) -> Layer:
    return Layer(
        2,
        "Ethernet II",
        (
            ("destination MAC", packet.dst),
            ("source MAC", packet.src),
            ("EtherType", _named(packet.type, "04x", _ETHERTYPES)),
        ),
    )


def _dot1q(packet: Any) -> Layer:
    fields = (("VLAN id", str(packet.vlan)), ("priority", str(packet.prio)))
    return Layer(2, "802.1Q", (*fields, ("EtherType", _named(packet.type, "04x", _ETHERTYPES))))


def _arp(packet: Any) -> Layer:
    return Layer(
        2,
        "ARP",
        (
            ("operation", _ARP.get(packet.op, str(packet.op))),
            ("sender MAC", str(packet.hwsrc)),
            ("sender address", str(packet.psrc)),
            ("target MAC", str(packet.hwdst)),
            ("target address", str(packet.pdst)),
        ),
    )


def _ipv4(packet: Any) -> Layer:
    flags = [
        name for bit, name in (("DF", "Don't Fragment"), ("MF", "More Fragments")) if bit in str(packet.flags)
    ]
    offset = (("fragment offset", f"{packet.frag * 8} bytes"),) if packet.frag else ()
    return Layer(
        3,
        "IPv4",
        (
            ("version", "4"),
            ("header length", f"{packet.ihl * 4} bytes"),
            ("type of service", _service(packet.tos)),
            ("total length", f"{packet.len} bytes"),
            ("identification", f"0x{packet.id:04x}"),
            ("flags", ", ".join(flags) or "none"),
            *offset,
            ("TTL", str(packet.ttl)),
            ("protocol", _numbered(packet.proto)),
            ("header checksum", _checked(packet.chksum, packet.original[: packet.ihl * 4])),
            ("source", packet.src),
            ("destination", packet.dst),
        ),
    )


def _ipv6(packet: Any) -> Layer:
    return Layer(
        3,
        "IPv6",
        (
            ("version", "6"),
            ("traffic class", _service(packet.tc)),
            ("flow label", f"0x{packet.fl:05x}"),
            ("payload length", f"{packet.plen} bytes"),
            ("next header", _numbered(packet.nh)),
            ("hop limit", str(packet.hlim)),
            ("source", packet.src),
            ("destination", packet.dst),
        ),
    )


def _tcp(packet: Any) -> Layer:
    options = (("options", _options(packet.options)),) if packet.options else ()
    return Layer(
        4,
        "TCP",
        (
            ("source port", str(packet.sport)),
            ("destination port", str(packet.dport)),
            ("sequence number", str(packet.seq)),
            ("acknowledgment number", str(packet.ack)),
            ("header length", f"{packet.dataofs * 4} bytes"),
            ("flags", ", ".join(_FLAGS[flag] for flag in str(packet.flags)) or "none"),
            ("window size", str(packet.window)),
            ("checksum", _transport_checked(packet)),
            *options,
            ("data", f"{max(len(_segment(packet)) - packet.dataofs * 4, 0)} bytes"),
        ),
    )


def _udp(packet: Any) -> Layer:
    none = packet.chksum == 0
    return Layer(
        4,
        "UDP",
        (
            ("source port", str(packet.sport)),
            ("destination port", str(packet.dport)),
            ("length", f"{packet.len} bytes"),
            ("checksum", "0x0000 (none)" if none else _transport_checked(packet)),
            ("data", f"{max(packet.len - 8, 0)} bytes"),
        ),
    )


def _icmp(packet: Any) -> Layer:
    fields: Fields = (("type", _named(packet.type, "d", _ICMP)), ("code", str(packet.code)))
    if packet.type in (0, 8):
        fields += (("identifier", f"0x{packet.id:04x}"), ("sequence number", str(packet.seq)))
    return Layer(3, "ICMP", (*fields, ("checksum", _checked(packet.chksum, packet.original))))


_SHOW: dict[str, Callable[[Any], Layer]] = {
    "Ether": _ether,
    "Dot1Q": _dot1q,
    "ARP": _arp,
    "IP": _ipv4,
    "IPv6": _ipv6,
    "TCP": _tcp,
    "UDP": _udp,
    "ICMP": _icmp,
}


def _named(value: int, form: str, names: dict[int, str]) -> str:
    shown = f"0x{value:{form}}" if form.endswith("x") else f"{value:{form}}"
    return f"{shown} ({names[value]})" if value in names else shown


def _numbered(protocol: int) -> str:
    return _named(protocol, "d", _PROTOCOLS)


def _service(octet: int) -> str:
    """The octet that RFC 2474 and RFC 3168 divide into DSCP and ECN."""
    return f"0x{octet:02x} (DSCP {octet >> 2}, {_ECN[octet & 3]})"


def _options(options: Iterable[tuple[Any, Any]]) -> str:
    """`MSS 1460, WScale 7, Timestamp 5 0`, without padding."""
    shown = []
    for name, value in options:
        if name in ("NOP", "EOL"):
            continue
        values = value if isinstance(value, tuple) else (value,)
        words = [str(name), *(str(one) for one in values if one not in (None, b""))]
        shown.append(" ".join(words))
    return ", ".join(shown)


# ---------------------------------------------------------------------------------------- checksums


def _segment(packet: Any) -> bytes:
    """The transport's header and data as the IP header's lengths bound them, without Ethernet's padding."""
    below = packet.underlayer
    original: bytes = packet.original
    if type(below).__name__ == "IP":
        return original[: max(below.len - below.ihl * 4, 0)]
    return original[: below.plen] if type(below).__name__ == "IPv6" else original


def _transport_checked(packet: Any) -> str:
    """Against the pseudo-header of RFC 9293, section 3.1, or RFC 8200, section 8.1."""
    below, segment = packet.underlayer, _segment(packet)
    kind, protocol = type(below).__name__, 6 if type(packet).__name__ == "TCP" else 17
    whole = below.len - below.ihl * 4 if kind == "IP" else getattr(below, "plen", -1)
    fragment = kind == "IP" and (below.frag or "MF" in str(below.flags))
    if kind not in ("IP", "IPv6") or len(segment) < whole or fragment:
        return f"0x{packet.chksum:04x} (not checked: not all of the segment is here)"
    pseudo = ip_address(below.src).packed + ip_address(below.dst).packed
    pseudo += struct.pack(">II", len(segment), protocol)
    return _checked(packet.chksum, pseudo + segment)


def _checked(checksum: int, covered: bytes) -> str:
    """`covered` has the checksum in it: its ones' complement sum is then all ones (RFC 1071)."""
    if len(covered) % 2:
        covered += b"\0"
    total = sum(struct.unpack(f">{len(covered) // 2}H", covered))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return f"0x{checksum:04x} ({'correct' if total == 0xFFFF else 'wrong'})"
