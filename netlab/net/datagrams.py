"""UDP from the address that was asked: a socket that listens everywhere must answer from where a datagram
came to, for clients and NAT insist (IP_PKTINFO, ip(7); RFC 3542 section 6)."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

from netlab.errors import LocalProtocolError

Control = list[tuple[int, int, bytes]]  # level, type, data

_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)  # Python names it from 3.14 on; 8 on every Linux
_IN_PKTINFO = struct.Struct("@i4s4s")  # ifindex, the address to answer from, the address in the header
_IN6_PKTINFO = struct.Struct("@16sI")  # the address in the header, ifindex


def ask_for_destination(sock: socket.socket) -> None:
    """Have the kernel say with each datagram to which address it came."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def destination(control: Control) -> str:
    """The local address of a datagram, from its control messages; it is always there, as we asked for it."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return str(IPv4Address(_IN_PKTINFO.unpack(data)[1]))
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return str(IPv6Address(_IN6_PKTINFO.unpack(data)[0]))
    raise LocalProtocolError("a datagram came without its destination")


def from_address(sock: socket.socket, local: str) -> Control:
    """The control message that sets the source address; routing still picks the interface (index 0)."""
    if sock.family == socket.AF_INET6:
        info = _IN6_PKTINFO.pack(IPv6Address(local).packed, 0)
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
    info = _IN_PKTINFO.pack(0, IPv4Address(local).packed, bytes(4))
    return [(socket.IPPROTO_IP, _IP_PKTINFO, info)]
