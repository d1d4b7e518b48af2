"""Frames of a capture, and the headers that tell whose they are and recognise them further on.

Sources: IEEE 802.1Q, RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP), RFC 768 (UDP), RFC 792 (ICMP).
This is the fast path, by struct alone; `netlab.decode.layers` shows a frame with every field.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address
from typing import NamedTuple

from netlab.decode.link import ARP, ETHERNET, IPV4, IPV6, network
from netlab.proto import pcap, pcapng

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
_PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "icmpv6", 132: "sctp"}
# IPv6 extension headers that are followed by another header: hop-by-hop, routing, fragment,
# authentication, destination options (RFC 8200, section 4; RFC 4302).
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS = frozenset((_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION))


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as one interface saw it. `number` counts from 1 in the capture; `time_ns` is CLOCK_REALTIME.

    `length` is its length in bytes on the wire; `data` may hold less (the capture's snapshot length).
    `linktype` says what `data` begins with; `direction` is "" where the capture doesn't. `fragments`: the
    frames that brought the packet, where it was put together (netlab.decode.fragments); () as captured.
    """

    number: int
    time_ns: int
    node: str
    interface: str
    length: int
    data: bytes
    linktype: int = ETHERNET
    direction: pcapng.Direction = ""
    fragments: tuple[int, ...] = ()


class Headers(NamedTuple):
    """Ethernet, IP and transport headers. What a frame doesn't have is 0 or "".

    `vlan` is the outermost tag's id, -1 without one. `ttl` is the hop limit in IPv6. `ip_id` is the
    fragment header's identification in IPv6. `fragment_offset` is in bytes. `payload_offset` and
    `payload_length` say where the transport's payload is in the frame's data, and how long the
    headers say it is: with a snapshot length, data may end before it.
    """

    eth_src: str
    eth_dst: str
    ethertype: int
    vlan: int
    ip_version: int
    src: str
    dst: str
    ttl: int
    protocol: str
    ip_id: int
    fragment_offset: int
    more_fragments: bool
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    payload_offset: int
    payload_length: int
    network_offset: int
    transport_offset: int


class Arp(NamedTuple):
    """An ARP packet for Ethernet and IPv4 (RFC 826). `operation` 1: request, 2: reply."""

    operation: int
    sender_mac: str
    sender: str
    target_mac: str
    target: str


def frames(data: bytes | memoryview, source: str = "capture") -> Iterator[Frame]:
    """The frames of a pcapng or pcap file, numbered from 1.

    An interface's name `node:interface` is split at its first colon; another has no node. Raises
    CaptureError as the readers do, after all the whole frames before the damage.
    """
    if bytes(data[:4]) in pcap.MAGICS:
        linktype = pcap.header(data, source).linktype
        for number, record in enumerate(pcap.records(data, source), 1):
            captured = bytes(data[record.start : record.end])
            yield Frame(number, record.time_ns, "", "", record.length, captured, linktype)
        return
    interfaces: list[tuple[str, str, int]] = []
    number = 0
    for block in pcapng.read(data, source):
        if isinstance(block, pcapng.Packet):
            number += 1
            node, interface, linktype = interfaces[block.interface]
            seen = block.length, block.data, linktype, block.direction
            yield Frame(number, block.time_ns, node, interface, *seen)
        elif isinstance(block, pcapng.Interface):
            interfaces.append((*split_name(block.name), block.linktype))
        elif isinstance(block, pcapng.Section):
            interfaces = []


def split_name(name: str) -> tuple[str, str]:
    """Node and interface of `node:interface`; the node is "" where there is no colon."""
    node, colon, interface = name.partition(":")
    return (node, interface) if colon else ("", name)


# ---------------------------------------------------------------------------------------- headers


class _Ip(NamedTuple):
    """`start`, `end`: of the IP payload, by the header's length fields. `offset`: of a fragment."""

    version: int
    src: str
    dst: str
    ttl: int
    protocol: int
    id: int
    offset: int
    more: bool
    start: int
    end: int


_ipv4 = struct.Struct(">BBHHHBBH4s4s").unpack_from
_ipv6 = struct.Struct(">IHBB16s16s").unpack_from
_tcp = struct.Struct(">HHIIBBH").unpack_from
_udp = struct.Struct(">HHHH").unpack_from
_short = struct.Struct(">H").unpack_from


@lru_cache(maxsize=4096)
def _text4(packed: bytes) -> str:
    return ".".join(map(str, packed))


@lru_cache(maxsize=4096)
def _text6(packed: bytes) -> str:
    return str(IPv6Address(packed))


@lru_cache(maxsize=4096)
def _mac(packed: bytes) -> str:
    return packed.hex(":")


def headers(data: bytes, linktype: int = ETHERNET) -> Headers | None:
    """The headers of a frame; None where it isn't IP, or ends within a header. MACs are "" without Ethernet.

    A fragment that isn't the first has its addresses and protocol, and ports of 0. Transport
    protocols other than TCP and UDP have ports of 0 and all of the IP payload as theirs.
    """
    try:
        vlan, ethertype, start = network(data, linktype)
        if ethertype == IPV4:
            ip = _read_ipv4(data, start)
        elif ethertype == IPV6:
            ip = _read_ipv6(data, start)
        else:
            return None
        if ip is None:
            return None
        sport, dport, seq, ack, flags, window, size = _transport(data, ip)
        if ip.start + size > min(ip.end, len(data)):
            return None
    except (struct.error, IndexError):
        return None
    payload = ip.start + size
    framed = linktype == ETHERNET
    return Headers(
        _mac(data[6:12]) if framed else "",
        _mac(data[:6]) if framed else "",
        ethertype,
        vlan,
        ip.version,
        ip.src,
        ip.dst,
        ip.ttl,
        _PROTOCOLS.get(ip.protocol) or str(ip.protocol),
        ip.id,
        ip.offset,
        ip.more,
        sport,
        dport,
        seq,
        ack,
        flags,
        window,
        payload,
        max(ip.end - payload, 0),
        start,
        ip.start,
    )


def _transport(data: bytes, ip: _Ip) -> tuple[int, int, int, int, int, int, int]:
    """Ports, seq, ack, flags, window and header size; IndexError where the header's own size is wrong."""
    if ip.offset:
        return 0, 0, 0, 0, 0, 0, 0
    if ip.protocol == _TCP:
        sport, dport, seq, ack, offset, flags, window = _tcp(data, ip.start)
        if offset < 0x50:
            raise IndexError("a TCP header of less than 20 bytes")
        return sport, dport, seq, ack, flags, window, (offset >> 4) * 4
    if ip.protocol == _UDP:
        sport, dport, length, _ = _udp(data, ip.start)
        if length < 8:
            raise IndexError("a UDP length of less than its header's")
        return sport, dport, 0, 0, 0, 0, 8
    return 0, 0, 0, 0, 0, 0, 8 if ip.protocol in (_ICMP, _ICMPV6) else 0


def _read_ipv4(data: bytes, start: int) -> _Ip | None:
    first, _, total, id_, fragment, ttl, protocol, _, src, dst = _ipv4(data, start)
    size = (first & 15) * 4
    if first >> 4 != 4 or size < 20 or total < size or start + size > len(data):
        return None
    offset, more = (fragment & 0x1FFF) * 8, fragment & 0x2000 != 0
    return _Ip(4, _text4(src), _text4(dst), ttl, protocol, id_, offset, more, start + size, start + total)


def _read_ipv6(data: bytes, start: int) -> _Ip | None:
    first, length, following, ttl, src, dst = _ipv6(data, start)
    if first >> 28 != 6:
        return None
    position = start + 40
    end = position + length
    id_ = offset = 0
    more = False
    while following in _EXTENSIONS and not offset:
        kind, following, size = following, data[position], data[position + 1]
        if kind == _FRAGMENT:
            fragment, id_ = struct.unpack_from(">HI", data, position + 2)
            offset, more = fragment & 0xFFF8, fragment & 1 != 0
            position += 8
        elif kind == _AUTHENTICATION:
            position += (size + 2) * 4
        else:
            position += (size + 1) * 8
    if position > end:
        return None
    return _Ip(6, _text6(src), _text6(dst), ttl, following, id_, offset, more, position, end)


def arp(data: bytes, linktype: int = ETHERNET) -> Arp | None:
    """The ARP packet of a frame; None where it is none."""
    try:
        _, ethertype, start = network(data, linktype)
        if ethertype != ARP or len(data) < start + 28:
            return None
        hardware, protocol, sizes, operation = struct.unpack_from(">HHHH", data, start)
    except (struct.error, IndexError):
        return None
    if (hardware, protocol, sizes) != (1, IPV4, 0x0604):
        return None
    sender, target = start + 8, start + 18
    return Arp(
        operation,
        _mac(data[sender : sender + 6]),
        _text4(data[sender + 6 : sender + 10]),
        _mac(data[target : target + 6]),
        _text4(data[target + 6 : target + 10]),
    )


# ---------------------------------------------------------------------------------------- identity


def identity(data: bytes) -> bytes | None:
    """A key that is the same for one packet on every interface that it crosses; None where it isn't IP.

    It leaves out what routers and NAT change: MACs, TTL, addresses, ports (an echo's identifier in
    ICMP) and checksums. What it has: protocol, IP identification and fragment offset; in TCP
    sequence and acknowledgement numbers, flags, window, options; lengths; a hash of the payload.
    A retransmission has another IP identification in IPv4, so it is another packet; in IPv6, which
    has no identification, it has the same key unless its TCP time stamp differs.
    """
    found = headers(data)
    return None if found is None else identity_of(found, data)


_key = struct.Struct(">BIHH8s").pack


def identity_of(found: Headers, data: bytes) -> bytes:
    """`identity` of a frame whose headers have been read already."""
    start, end = found.transport_offset, found.payload_offset + found.payload_length
    if found.fragment_offset:
        kept, hashed = b"", data[start:end]
    elif found.protocol == "tcp":
        kept = data[start + 4 : start + 16] + data[start + 20 : found.payload_offset]
        hashed = data[found.payload_offset : end]
    elif found.protocol == "udp":
        kept, hashed = b"", data[found.payload_offset : end]
    elif found.protocol in ("icmp", "icmpv6"):
        kept, hashed = _icmp(data[start:end])
    else:
        kept, hashed = b"", data[start:end]
    digest = blake2b(hashed, digest_size=8).digest() if hashed else bytes(8)
    protocol = found.protocol.encode()
    return b"%b/%b%b" % (
        protocol,
        _key(found.ip_version, found.ip_id, found.fragment_offset, found.payload_length & 0xFFFF, digest),
        kept,
    )


def _icmp(message: bytes) -> tuple[bytes, bytes]:
    """What identifies an ICMP message: type, code, and for an echo its sequence number and data.

    An error quotes a packet whose addresses NAT has translated: only the quoted packet's IP
    identification stays (bytes 4 and 5 of its header).
    """
    kind = message[:1]
    if kind in (b"\x00", b"\x08", b"\x80", b"\x81"):
        return message[:2] + message[6:8], message[8:]
    return message[:2] + message[12:14], b""
