"""TCP, UDP and ICMP headers, field by field, with their checksums checked.

Sources: RFC 9293 (TCP), RFC 768 (UDP), RFC 792 (ICMP), RFC 4443 (ICMPv6), RFC 4861 (neighbours),
RFC 1071 (checksums).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple

from netlab.decode.field import Field, Layer

_ICMP = {
    0: "echo reply",
    3: "destination unreachable",
    5: "redirect",
    8: "echo request",
    11: "time exceeded",
    12: "parameter problem",
}
_ICMPV6 = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    130: "multicast listener query",
    131: "multicast listener report",
    132: "multicast listener done",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    137: "redirect",
    143: "multicast listener report 2",
}
_NEIGHBOURS = (135, 136)
_NAMES = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_OPTIONS = {2: "MSS", 3: "WScale", 4: "SAckOK", 5: "SAck", 8: "Timestamp", 19: "MD5", 28: "UTO", 34: "TFO"}
_WIDTHS = {2: ">H", 3: ">B", 8: ">II", 28: ">H"}


class Below(NamedTuple):
    """What the IP header said: addresses as in the pseudo-header, protocol, and its payload's place in the
    frame, which may end before `stop`. `partial`: it is a fragment."""

    addresses: bytes
    protocol: int
    start: int
    stop: int
    partial: bool


# ---------------------------------------------------------------------------------------- checksums


def checked(checksum: int, covered: bytes) -> str:
    """`covered` has the checksum in it: its ones' complement sum is then all ones (RFC 1071)."""
    return f"0x{checksum:04x} ({'correct' if _sums_up(covered) else 'wrong'})"


def _sums_up(covered: bytes) -> bool:
    """The ones' complement sum of 16-bit words is the whole number modulo 65535."""
    if len(covered) % 2:
        covered += b"\0"
    value = int.from_bytes(covered, "big")
    return value != 0 and value % 0xFFFF == 0


_pseudo = struct.Struct(">II").pack


def _transport_checked(checksum: int, data: bytes, below: Below) -> str:
    """Against the pseudo-header of RFC 9293, section 3.1, or RFC 8200, section 8.1."""
    if below.partial or below.stop > len(data):
        return f"0x{checksum:04x} (not checked: not all of the segment is here)"
    segment = data[below.start : below.stop]
    return checked(checksum, below.addresses + _pseudo(len(segment), below.protocol) + segment)


# ---------------------------------------------------------------------------------------------- TCP


_tcp_head = struct.Struct(">HHIIBBHHH").unpack_from


def _tcp(data: bytes, below: Below, found: list[Layer]) -> None:
    start = below.start
    sport, dport, seq, ack, offset, flags, window, checksum, urgent = _tcp_head(data, start)
    size = (offset >> 4) * 4
    end = start + size
    if size < 20 or end > min(below.stop, len(data)):
        return
    fields = [
        Field("source port", sport, str(sport), start, 2),
        Field("destination port", dport, str(dport), start + 2, 2),
        Field("sequence number", seq, str(seq), start + 4, 4),
        Field("acknowledgment number", ack, str(ack), start + 8, 4),
        Field("header length", size, f"{size} bytes", start + 12, 1),
        Field("flags", flags, _flags(flags), start + 13, 1),
        Field("window size", window, str(window), start + 14, 2),
        Field("checksum", checksum, _transport_checked(checksum, data, below), start + 16, 2),
    ]
    if urgent:
        fields.append(Field("urgent pointer", urgent, str(urgent), start + 18, 2))
    if size > 20:
        raw = data[start + 20 : end]
        if shown := _options(raw):
            fields.append(Field("options", raw.hex(), shown, start + 20, size - 20))
    length = below.stop - end
    fields.append(Field("data", length, f"{length} bytes", end, max(min(below.stop, len(data)) - end, 0)))
    found.append(Layer(4, "TCP", tuple(fields), start, end))


@lru_cache(maxsize=256)
def _flags(flags: int) -> str:
    return ", ".join(name for bit, name in enumerate(_NAMES) if flags >> bit & 1) or "none"


@lru_cache(maxsize=1024)
def _options(data: bytes) -> str:
    """`MSS 1460, WScale 7, Timestamp 5 0`, without padding. Stops where they make no sense."""
    shown, place = [], 0
    while place < len(data) and data[place]:
        kind = data[place]
        if kind == 1:
            place += 1
            continue
        size = data[place + 1] if place + 1 < len(data) else 0
        if size < 2 or place + size > len(data):
            break
        shown.append(_option(kind, data[place + 2 : place + size]))
        place += size
    return ", ".join(shown)


def _option(kind: int, value: bytes) -> str:
    name, width = _OPTIONS.get(kind, f"option {kind}"), _WIDTHS.get(kind)
    if kind == 5 and len(value) % 8 == 0:
        edges = struct.unpack(f">{len(value) // 4}I", value)
        return " ".join((name, *map(str, edges)))
    if width is not None and struct.calcsize(width) == len(value):
        return " ".join((name, *map(str, struct.unpack(width, value))))
    return f"{name} {value.hex()}" if value else name


# ---------------------------------------------------------------------------------------- UDP, ICMP


def _udp(data: bytes, below: Below, found: list[Layer]) -> None:
    start = below.start
    sport, dport, length, checksum = struct.unpack_from(">HHHH", data, start)
    if length < 8:
        return
    told = _transport_checked(checksum, data, below) if checksum else "0x0000 (none)"
    here = max(min(len(data) - start, length) - 8, 0)
    fields = (
        Field("source port", sport, str(sport), start, 2),
        Field("destination port", dport, str(dport), start + 2, 2),
        Field("length", length, f"{length} bytes", start + 4, 2),
        Field("checksum", checksum, told, start + 6, 2),
        Field("data", length - 8, f"{length - 8} bytes", start + 8, here),
    )
    found.append(Layer(4, "UDP", fields, start, start + 8))


def _icmp(data: bytes, below: Below, found: list[Layer]) -> None:
    start, stop = below.start, min(below.stop, len(data))
    kind, code, checksum = struct.unpack_from(">BBH", data, start)
    whole = below.stop <= len(data) and not below.partial
    told = checked(checksum, data[start:stop]) if whole else f"0x{checksum:04x} (not checked: cut short)"
    fields = [*_kind(kind, code, _ICMP, start)]
    if kind in (0, 8):
        fields += _echo(data, start)
    fields.append(Field("checksum", checksum, told, start + 2, 2))
    found.append(Layer(3, "ICMP", tuple(fields), start, stop))


def _icmpv6(data: bytes, below: Below, found: list[Layer]) -> None:
    start, stop = below.start, min(below.stop, len(data))
    kind, code, checksum = struct.unpack_from(">BBH", data, start)
    fields = [*_kind(kind, code, _ICMPV6, start)]
    if kind in (128, 129):
        fields += _echo(data, start)
    elif kind in _NEIGHBOURS and stop - start >= 24:
        target = str(IPv6Address(data[start + 8 : start + 24]))
        fields.append(Field("target address", target, target, start + 8, 16))
    fields.append(Field("checksum", checksum, _transport_checked(checksum, data, below), start + 2, 2))
    found.append(Layer(3, "ICMPv6", tuple(fields), start, stop))


def _kind(kind: int, code: int, names: dict[int, str], start: int) -> tuple[Field, Field]:
    text = f"{kind} ({names[kind]})" if kind in names else str(kind)
    return Field("type", kind, text, start, 1), Field("code", code, str(code), start + 1, 1)


def _echo(data: bytes, start: int) -> tuple[Field, Field]:
    id_, seq = struct.unpack_from(">HH", data, start + 4)
    return (
        Field("identifier", id_, f"0x{id_:04x}", start + 4, 2),
        Field("sequence number", seq, str(seq), start + 6, 2),
    )


TRANSPORTS: dict[int, Callable[[bytes, Below, list[Layer]], None]] = {
    1: _icmp,
    6: _tcp,
    17: _udp,
    58: _icmpv6,
}
