"""Pcap streams that come in pieces, merged by time into pcapng packets. Pure: time is passed in."""

from __future__ import annotations

import struct
from collections.abc import Callable
from heapq import heappop, heappush

from netlab.capture.files import DIRECTIONS
from netlab.errors import CaptureError
from netlab.proto import pcap, pcapng

_HEADER_BYTES = 24  # of a pcap stream
_RECORD_BYTES = 16  # of a packet's header
_NS = 1_000_000_000


class Merger:
    """Source 2n is what interface n received, 2n + 1 what it sent."""

    def __init__(self, interfaces: int, comment: Callable[[int, bytes], str]) -> None:
        """`comment`: what is to be said of a packet, from its interface's number and its data."""
        self._comment = comment
        self._started = [False] * (len(DIRECTIONS) * interfaces)
        self._rest = [b""] * (len(DIRECTIONS) * interfaces)
        self._held: list[tuple[int, int, int, int, bytes]] = []
        self._unpack = struct.Struct("<IIII").unpack_from
        self._count = 0
        self.written = [0] * interfaces
        self.held_bytes = 0

    def receive(self, source: int, data: bytes) -> None:
        """More of a source's stream, in any pieces. Raises CaptureError where it is no pcap."""
        data = self._rest[source] + data
        position = 0
        if not self._started[source]:
            if len(data) < _HEADER_BYTES:
                self._rest[source] = data
                return
            order = pcap.header(data, "a capture's stream").order
            self._unpack = struct.Struct(f"{order}IIII").unpack_from
            self._started[source] = True
            position = _HEADER_BYTES
        self._rest[source] = data[self._packets(source, data, position) :]

    def _packets(self, source: int, data: bytes, position: int) -> int:
        """Takes the whole packets from `position` on; where the rest begins."""
        unpack, size = self._unpack, len(data)
        while position + _RECORD_BYTES <= size:
            seconds, fraction, captured, length = unpack(data, position)
            if captured > pcap.LARGEST:
                raise CaptureError(f"a capture's stream: damaged: a packet of {captured} bytes")
            start = position + _RECORD_BYTES
            if start + captured > size:
                break
            position = start + captured
            self._count += 1
            packet = seconds * _NS + fraction, source, self._count, length, data[start:position]
            heappush(self._held, packet)
            self.held_bytes += captured
        return position

    def due(self, before_ns: int, most_bytes: int) -> bytes:
        """The packets from before this time, as blocks in the order of time, and at most about so many bytes
        of them; one that came later than others of its time follows them."""
        held, blocks = self._held, []
        enough = self.held_bytes - most_bytes
        while held and held[0][0] < before_ns and self.held_bytes > enough:
            time_ns, source, _, length, data = heappop(held)
            interface = source // len(DIRECTIONS)
            self.held_bytes -= len(data)
            self.written[interface] += 1
            said = self._comment(interface, data)
            direction = DIRECTIONS[source % len(DIRECTIONS)]
            blocks.append(pcapng.packet(interface, time_ns, data, length, said, direction))
        return b"".join(blocks)
