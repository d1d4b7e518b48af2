"""Changes to a frame's content: congestion marked, a bit flipped. Pure.

Frames start with the Ethernet header; where a virtio_net_hdr comes before it, the function says so.
"""

from __future__ import annotations

import struct
from typing import Final

VNET: Final = 10  # bytes of virtio_net_hdr in front of every frame
VIRTIO: Final = struct.Struct("=BBHHHH")  # flags, gso type, header length, gso size, csum start, offset
NEEDS_CSUM: Final = 1
_VLAN_TYPES: Final = (0x8100, 0x88A8)
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_CE: Final = 3  # RFC 3168, section 5


def _network(frame: bytes | bytearray | memoryview) -> tuple[int, int]:
    """The Ethernet type behind VLAN tags, and where that packet starts; (0, 0) where the frame is cut."""
    at = 12
    while len(frame) >= at + 2:
        kind = frame[at] << 8 | frame[at + 1]
        if kind not in _VLAN_TYPES:
            return kind, at + 2
        at += 4
    return 0, 0


def ecn_capable(frame: bytes | bytearray | memoryview) -> bool:
    """True where a router may mark the packet instead of dropping it: ECT(0), ECT(1) or CE already."""
    kind, at = _network(frame)
    if kind == _IPV4 and len(frame) >= at + 20:
        return frame[at + 1] & _CE != 0
    if kind == _IPV6 and len(frame) >= at + 40:
        return frame[at + 1] >> 4 & _CE != 0
    return False


def mark(frame: bytearray | memoryview) -> None:
    """Set Congestion Experienced in an `ecn_capable` frame, with IPv4's checksum (RFC 1624, equation 3)."""
    kind, at = _network(frame)
    if kind == _IPV6:
        frame[at + 1] |= _CE << 4
        return
    before = frame[at] << 8 | frame[at + 1]
    frame[at + 1] |= _CE
    after = before | _CE
    checksum = frame[at + 10] << 8 | frame[at + 11]
    total = (~checksum & 0xFFFF) + (~before & 0xFFFF) + after
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    frame[at + 10 : at + 12] = struct.pack("!H", ~total & 0xFFFF)


def corrupt(data: bytearray, bit: int) -> bool:
    """Flip one bit (counted from the frame's first) behind the virtio_net_hdr of `data`.

    An unfinished checksum is finished first: else the kernel would finish it over the flipped bit, and
    nobody would notice. False where that can't be, in a long frame yet to be cut into packets.
    """
    flags, gso, _, _, start, offset = VIRTIO.unpack_from(data)
    if gso:
        return False
    if flags & NEEDS_CSUM:
        _finish(data, VNET + start, offset)
    data[:VNET] = bytes(VNET)
    data[VNET + bit // 8] ^= 1 << bit % 8
    return True


def _finish(data: bytearray, start: int, offset: int) -> None:
    """The Internet checksum (RFC 1071) from `start` on; the field holds the pseudo-header's sum."""
    covered = bytes(data[start:])
    covered += bytes(len(covered) % 2)
    total = sum(struct.unpack(f"!{len(covered) // 2}H", covered))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", data, start + offset, (~total & 0xFFFF) or 0xFFFF)
