"""Where a frame's network header is, by the capture's link type.

Sources: the link types of the tcpdump project (https://www.tcpdump.org/linktypes.html); IEEE 802.1Q.
"""

from __future__ import annotations

import struct

NULL, ETHERNET, RAW, LOOP, COOKED, COOKED_2 = 0, 1, 101, 108, 113, 276
_RAW_IPV4, _RAW_IPV6 = 228, 229
_RAWS = frozenset((RAW, _RAW_IPV4, _RAW_IPV6, 12, 14))  # 12 and 14: what BSDs call it in files
LOOPBACKS = frozenset((NULL, LOOP))
LINKTYPES = frozenset((ETHERNET, COOKED, COOKED_2)) | LOOPBACKS | _RAWS

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
VLANS = frozenset((0x8100, 0x88A8))

_short = struct.Struct(">H").unpack_from


def network(data: bytes, linktype: int = ETHERNET) -> tuple[int, int, int]:
    """VLAN id or -1, EtherType (-1 if unknown), and where the network header starts.

    Raises struct.error or IndexError where the frame ends before that.
    """
    if linktype == ETHERNET:
        return _tagged(data, 12)
    if linktype in _RAWS:
        return -1, _version(data, 0), 0
    if linktype in LOOPBACKS:
        return -1, _version(data, 4), 4
    if linktype == COOKED:
        return _tagged(data, 14)
    if linktype == COOKED_2:
        return -1, _short(data, 0)[0], 20
    return -1, -1, 0


def _tagged(data: bytes, place: int) -> tuple[int, int, int]:
    ethertype: int = _short(data, place)[0]
    vlan, start = -1, place + 2
    while ethertype in VLANS:
        tag, ethertype = struct.unpack_from(">HH", data, start)
        vlan = tag & 0xFFF if vlan < 0 else vlan
        start += 4
    return vlan, ethertype, start


def _version(data: bytes, start: int) -> int:
    """By the IP header's first four bits: the loopback's address family differs between systems."""
    return {4: IPV4, 6: IPV6}.get(data[start] >> 4, -1)
