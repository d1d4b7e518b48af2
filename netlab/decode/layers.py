"""A frame's layers 4 to 2 with every field that the guide shows in its sections 3.3 to 3.5, and their places.

Sources: RFC 9293 (TCP), RFC 768 (UDP), RFC 791 (IPv4), RFC 8200 (IPv6), RFC 2474 (DSCP), RFC 826 (ARP),
RFC 792 and RFC 4443 (ICMP), IEEE 802.3 and 802.1Q; link types from the tcpdump project's list.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address

from netlab.decode.field import Field, Layer
from netlab.decode.link import ARP, COOKED, COOKED_2, ETHERNET, IPV4, IPV6, LOOPBACKS, VLANS, network
from netlab.decode.transport import TRANSPORTS, Below, checked

__all__ = ["Field", "Layer", "layers", "mac"]

_ETHERTYPES = {0x0800: "IPv4", 0x86DD: "IPv6", 0x0806: "ARP", 0x8100: "802.1Q VLAN", 0x88A8: "802.1ad VLAN"}
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}
_ECN = ("not ECN-capable", "ECT(1)", "ECT(0)", "congestion experienced")
_ARP = {1: "request", 2: "reply"}
_FLAGS = ("none", "More Fragments", "Don't Fragment", "Don't Fragment, More Fragments")
_EXTENSIONS = {
    0: "hop-by-hop options",
    43: "routing",
    44: "fragment",
    51: "authentication",
    60: "destination options",
}
_FRAGMENT, _AUTHENTICATION = 44, 51
_KINDS = ("to us", "broadcast", "multicast", "to another", "sent by us")  # of Linux cooked frames

# What follows a header: its EtherType (or -1: nothing that is known), and where it begins.
_Next = tuple[int, int]


def layers(data: bytes, linktype: int = ETHERNET) -> tuple[Layer, ...]:
    """The layers of a frame from 4 down to 2. One that ends within a header has the layers below it."""
    found: list[Layer] = []
    try:
        ethertype, start = _link(data, linktype, found)
        while ethertype in VLANS:
            ethertype, start = _vlan(data, start, found)
        if ethertype == IPV4:
            _ipv4(data, start, found)
        elif ethertype == IPV6:
            _ipv6(data, start, found)
        elif ethertype == ARP:
            _arp(data, start, found)
    except (struct.error, IndexError):
        pass  # it ends within a header
    found.reverse()
    return tuple(found)


@lru_cache(maxsize=4096)
def mac(packed: bytes) -> str:
    return packed.hex(":")


@lru_cache(maxsize=4096)
def _address4(packed: bytes) -> str:
    return ".".join(map(str, packed))


@lru_cache(maxsize=4096)
def _address6(packed: bytes) -> str:
    return str(IPv6Address(packed))


@lru_cache(maxsize=1024)
def _ethertype(value: int) -> str:
    return f"0x{value:04x} ({_ETHERTYPES[value]})" if value in _ETHERTYPES else f"0x{value:04x}"


@lru_cache(maxsize=256)
def _protocol(value: int) -> str:
    return f"{value} ({_PROTOCOLS[value]})" if value in _PROTOCOLS else str(value)


@lru_cache(maxsize=256)
def _service(octet: int) -> str:
    """The octet that RFC 2474 and RFC 3168 divide into DSCP and ECN."""
    return f"0x{octet:02x} (DSCP {octet >> 2}, {_ECN[octet & 3]})"


# -------------------------------------------------------------------------------------------- link


def _link(data: bytes, linktype: int, found: list[Layer]) -> _Next:
    if linktype == ETHERNET:
        return _ethernet(data, found)
    if linktype == COOKED:
        return _cooked(data, found)
    if linktype == COOKED_2:
        return _cooked_2(data, found)
    _, ethertype, start = network(data, linktype)
    if linktype in LOOPBACKS:
        family = data[:4].hex()
        found.append(Layer(2, "loopback", (Field("address family", family, f"0x{family}", 0, 4),), 0, 4))
    return ethertype, start


def _ethernet(data: bytes, found: list[Layer]) -> _Next:
    kind: int = _short(data, 12)[0]
    destination, source = mac(data[:6]), mac(data[6:12])
    name = "Ethernet II" if kind >= 0x600 else "IEEE 802.3"
    what = Field("EtherType", kind, _ethertype(kind), 12, 2)
    if kind < 0x600:
        what = Field("length", kind, f"{kind} bytes", 12, 2)
    fields = (
        Field("destination MAC", destination, destination, 0, 6),
        Field("source MAC", source, source, 6, 6),
        what,
    )
    found.append(Layer(2, name, fields, 0, 14))
    return kind, 14


def _vlan(data: bytes, start: int, found: list[Layer]) -> _Next:
    tag, kind = _shorts(data, start)
    fields = (
        Field("VLAN id", tag & 0xFFF, str(tag & 0xFFF), start, 2),
        Field("priority", tag >> 13, str(tag >> 13), start, 1),
        Field("EtherType", kind, _ethertype(kind), start + 2, 2),
    )
    found.append(Layer(2, "802.1Q", fields, start, start + 4))
    return kind, start + 4


def _cooked(data: bytes, found: list[Layer]) -> _Next:
    """LINKTYPE_LINUX_SLL."""
    kind, hardware, size = struct.unpack_from(">HHH", data)
    ethertype: int = _short(data, 14)[0]
    fields = (_direction(kind, 0, 2), *_sender(data, hardware, 2, min(size, 8), 6))
    found.append(
        Layer(
            2, "Linux cooked", (*fields, Field("EtherType", ethertype, _ethertype(ethertype), 14, 2)), 0, 16
        )
    )
    return ethertype, 16


def _cooked_2(data: bytes, found: list[Layer]) -> _Next:
    """LINKTYPE_LINUX_SLL2."""
    ethertype, _, index, hardware, kind, size = struct.unpack_from(">HHIHBB", data)
    fields = (
        Field("EtherType", ethertype, _ethertype(ethertype), 0, 2),
        Field("interface index", index, str(index), 4, 4),
        _direction(kind, 10, 1),
        *_sender(data, hardware, 8, min(size, 8), 12),
    )
    if len(data) < 20:
        raise IndexError("a cooked frame of less than 20 bytes")
    found.append(Layer(2, "Linux cooked 2", fields, 0, 20))
    return ethertype, 20


def _direction(kind: int, start: int, length: int) -> Field:
    return Field("packet type", kind, _KINDS[kind] if kind < len(_KINDS) else str(kind), start, length)


def _sender(data: bytes, hardware: int, at: int, size: int, start: int) -> tuple[Field, Field]:
    address = mac(data[start : start + size])
    return Field("hardware type", hardware, str(hardware), at, 2), Field(
        "source MAC", address, address, start, size
    )


def _arp(data: bytes, start: int, found: list[Layer]) -> None:
    hardware, protocol, sizes, operation = struct.unpack_from(">HHHH", data, start)
    known = (hardware, protocol, sizes) == (1, IPV4, 0x0604)
    fields: tuple[Field, ...] = (
        Field("hardware type", hardware, str(hardware), start, 2),
        Field("protocol type", protocol, _ethertype(protocol), start + 2, 2),
        Field("operation", operation, _ARP.get(operation, str(operation)), start + 6, 2),
    )
    end = start + 8 + 2 * ((sizes >> 8) + (sizes & 255))
    if len(data) < end:
        raise IndexError("an ARP packet that is cut short")
    if known:
        fields += tuple(_arp_addresses(data, start + 8))
    found.append(Layer(2, "ARP", fields, start, end))


def _arp_addresses(data: bytes, start: int) -> Iterable[Field]:
    for who, place in (("sender", start), ("target", start + 10)):
        hardware, address = mac(data[place : place + 6]), _address4(data[place + 6 : place + 10])
        yield Field(f"{who} MAC", hardware, hardware, place, 6)
        yield Field(f"{who} address", address, address, place + 6, 4)


# ---------------------------------------------------------------------------------------------- IP


_short = struct.Struct(">H").unpack_from
_shorts = struct.Struct(">HH").unpack_from
_ip4 = struct.Struct(">BBHHHBBH4s4s").unpack_from
_ip6 = struct.Struct(">IHBB16s16s").unpack_from


def _ipv4(data: bytes, start: int, found: list[Layer]) -> None:
    first, service, total, id_, fragment, ttl, protocol, checksum, src, dst = _ip4(data, start)
    size = (first & 15) * 4
    end = start + size
    if first >> 4 != 4 or size < 20 or end > len(data):
        return
    source, destination, flags, offset = (
        _address4(src),
        _address4(dst),
        fragment >> 13,
        (fragment & 0x1FFF) * 8,
    )
    fields = [
        Field("version", 4, "4", start, 1),
        Field("header length", size, f"{size} bytes", start, 1),
        Field("type of service", service, _service(service), start + 1, 1),
        Field("total length", total, f"{total} bytes", start + 2, 2),
        Field("identification", id_, f"0x{id_:04x}", start + 4, 2),
        Field("flags", flags, _FLAGS[flags & 3], start + 6, 1),
        Field("TTL", ttl, str(ttl), start + 8, 1),
        Field("protocol", protocol, _protocol(protocol), start + 9, 1),
        Field("header checksum", checksum, checked(checksum, data[start:end]), start + 10, 2),
        Field("source", source, source, start + 12, 4),
        Field("destination", destination, destination, start + 16, 4),
    ]
    if offset:
        fields.insert(6, Field("fragment offset", offset, f"{offset} bytes", start + 6, 2))
    if size > 20:
        fields.append(
            Field("options", data[start + 20 : end].hex(), f"{size - 20} bytes", start + 20, size - 20)
        )
    found.append(Layer(3, "IPv4", tuple(fields), start, end))
    stop = start + total if total else len(data)  # 0: offloaded to the card (TSO)
    if not offset and (show := TRANSPORTS.get(protocol)) is not None:
        show(data, Below(src + dst, protocol, end, stop, flags & 1 == 1), found)


def _ipv6(data: bytes, start: int, found: list[Layer]) -> None:
    first, length, following, limit, src, dst = _ip6(data, start)
    if first >> 28 != 6:
        return
    source, destination, traffic = _address6(src), _address6(dst), first >> 20 & 255
    fields = (
        Field("version", 6, "6", start, 1),
        Field("traffic class", traffic, _service(traffic), start, 2),
        Field("flow label", first & 0xFFFFF, f"0x{first & 0xFFFFF:05x}", start + 1, 3),
        Field("payload length", length, f"{length} bytes", start + 4, 2),
        Field("next header", following, _protocol(following), start + 6, 1),
        Field("hop limit", limit, str(limit), start + 7, 1),
        Field("source", source, source, start + 8, 16),
        Field("destination", destination, destination, start + 24, 16),
    )
    found.append(Layer(3, "IPv6", fields, start, start + 40))
    place, partial = start + 40, False
    while following in _EXTENSIONS:
        kind, following = following, data[place]
        place, offset, more = _extension(data, kind, place, found)
        partial = partial or more
        if offset:
            return
    if (show := TRANSPORTS.get(following)) is not None:
        show(data, Below(src + dst, following, place, start + 40 + length, partial), found)


def _extension(data: bytes, kind: int, start: int, found: list[Layer]) -> tuple[int, int, bool]:
    """Where it ends; of a fragment header, its offset in bytes and whether more follow."""
    size, offset, more = (data[start + 1] + 1) * 8, 0, False
    fields = [Field("next header", data[start], _protocol(data[start]), start, 1)]
    if kind == _FRAGMENT:
        size = 8
        word, id_ = struct.unpack_from(">HI", data, start + 2)
        offset, more = word & 0xFFF8, word & 1 == 1
        fields += [
            Field("fragment offset", offset, f"{offset} bytes", start + 2, 2),
            Field("more fragments", int(more), "yes" if more else "no", start + 3, 1),
            Field("identification", id_, f"0x{id_:08x}", start + 4, 4),
        ]
    elif kind == _AUTHENTICATION:
        size = (data[start + 1] + 2) * 4
    if start + size > len(data):
        raise IndexError("an extension header that is cut short")
    found.append(Layer(3, f"IPv6 {_EXTENSIONS[kind]}", tuple(fields), start, start + size))
    return start + size, offset, more
