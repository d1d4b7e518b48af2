"""Frames in: one packet socket for every interface of a namespace, with a ring shared with the kernel.

Linux Documentation/networking/packet_mmap.rst, TPACKET_V2. The kernel writes a frame, its interface and
its time of arrival into the next slot; reading costs no system call. Frames carry a virtio_net_hdr
(10 bytes) in front, so that those with unfinished checksums or segmentation survive the passage. A frame
longer than a slot (offloads, jumbo) comes whole by the socket's own queue (PACKET_COPY_THRESH).
"""

from __future__ import annotations

import mmap
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

from netlab.wire.frame import NEEDS_CSUM, VIRTIO, VNET

SLOT_BYTES: Final = 2048
SLOTS: Final = 8192  # 65 ms of 1500-byte frames at 1.5 Gbit/s; 16 MiB
_BLOCK_BYTES: Final = 1 << 16
_LONGEST: Final = 1 << 19  # a GSO frame at most (BIG TCP), in bytes

_SOL_PACKET: Final = 263
_PACKET_RX_RING: Final = 5
_PACKET_STATISTICS: Final = 6
_PACKET_COPY_THRESH: Final = 7
_PACKET_VERSION: Final = 10
_PACKET_VNET_HDR: Final = 15
_PACKET_QDISC_BYPASS: Final = 20
_PACKET_IGNORE_OUTGOING: Final = 23
_TPACKET_V2: Final = 1
_ETH_P_ALL: Final = 3
_ETH_P_8021Q: Final = 0x8100
_SO_RCVBUFFORCE: Final = 33

_USER: Final = 1
_COPY: Final = 2
_VLAN: Final = 16
_VLAN_TPID: Final = 64

# struct tpacket2_hdr (status, len, snaplen, mac, net, sec, nsec, vlan_tci, vlan_tpid, padding), then
# struct sockaddr_ll up to its interface index.
_SLOT: Final = struct.Struct("=IIIHHIIHH4xHHi")

Take = Callable[[int, int, memoryview], None]


def open_socket() -> socket.socket:
    """A packet socket for every interface of this thread's namespace. Raises OSError.

    What comes before it has a ring is thrown away when it gets one.
    """
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    opened.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
    opened.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    opened.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
    opened.setsockopt(_SOL_PACKET, _PACKET_COPY_THRESH, 1)
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
    opened.setblocking(False)
    return opened


class Ring:
    """The frames that came in, oldest first."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        per_block = _BLOCK_BYTES // SLOT_BYTES
        request = struct.pack("=IIII", _BLOCK_BYTES, SLOTS // per_block, SLOT_BYTES, SLOTS)
        opened.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._map = mmap.mmap(opened.fileno(), SLOTS * SLOT_BYTES)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("I")
        self._at = 0
        self._clocks_ns = 0  # realtime minus monotonic
        self._dropped = 0
        self.cut = 0  # frames that came without their end, and so can't be carried

    def read(self, take: Take, most: int) -> int:
        """Call `take(interface index, monotonic ns of arrival, virtio_net_hdr and frame)` for each.

        The memory is the kernel's again after the call. Returns how many there were, at most `most`.
        """
        words, at = self._words, self._at
        if not words[at * (SLOT_BYTES // 4)] & _USER:
            return 0
        self._compare_clocks()
        clocks_ns, count = self._clocks_ns, 0
        while count < most and words[at * (SLOT_BYTES // 4)] & _USER:
            base = at * SLOT_BYTES
            status, length, kept, mac, _, sec, nsec, tci, tpid, _, _, index = _SLOT.unpack_from(
                self._bytes, base
            )
            data = self._bytes[base + mac - VNET : base + mac + kept]
            if status & (_COPY | _VLAN) or kept < length:
                data = self._unusual(status, data, kept < length, tci, tpid)
            if data:
                take(index, sec * 1_000_000_000 + nsec - clocks_ns, data)
            words[base // 4] = 0  # the slot is the kernel's again
            at = at + 1 if at + 1 < SLOTS else 0
            count += 1
        self._at = at
        return count

    def dropped(self) -> int:
        """Frames so far that the kernel found no room for, or that came cut."""
        packed = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._dropped += struct.unpack("=II", packed)[1]  # the kernel counts from zero after each look
        return self._dropped + self.cut

    def _compare_clocks(self) -> None:
        """Arrivals are stamped in real time, which may be set; the two clocks differ only by such steps."""
        before = time.monotonic_ns()
        real = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.monotonic_ns()
        if after - before < 2_000 or not self._clocks_ns:  # not preempted in between
            self._clocks_ns = real - (before + after) // 2

    def _unusual(self, status: int, data: memoryview, cut: bool, tci: int, tpid: int) -> memoryview:
        """A frame that is longer than its slot, or whose VLAN tag the kernel took off; empty if lost."""
        if status & _COPY:
            whole = bytearray(_LONGEST)
            data = memoryview(whole)[: self._socket.recv_into(whole)]
        elif cut:
            self.cut += 1
            return data[:0]
        if status & _VLAN:
            data = memoryview(tagged(data, tci, tpid if status & _VLAN_TPID else _ETH_P_8021Q))
        return data


def tagged(data: memoryview, tci: int, tpid: int) -> bytearray:
    """The frame (behind its virtio_net_hdr) with its VLAN tag put back (IEEE 802.1Q, clause 9.3)."""
    flags, gso, header, size, start, offset = VIRTIO.unpack_from(data)
    header += 4 if gso else 0
    start += 4 if flags & NEEDS_CSUM else 0
    virtio = VIRTIO.pack(flags, gso, header, size, start, offset)
    tag = struct.pack("!HH", tpid, tci)
    return bytearray(b"".join((virtio, data[VNET : VNET + 12], tag, data[VNET + 12 :])))
