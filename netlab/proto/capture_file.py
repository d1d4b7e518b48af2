"""A capture file of either format as a sequence of places: where each packet lies, without copying it.

Sources: draft-ietf-opsawg-pcapng, draft-ietf-opsawg-pcap. For files too large to hold: give a memory map.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import MADV_DONTNEED, PAGESIZE, mmap
from typing import NamedTuple

from netlab.errors import CaptureError
from netlab.proto import pcap, pcapng

_PACKET = 6
_IN_MEMORY = 32 << 20  # bytes of a mapped file that stay in memory behind the place that is read
_head = struct.Struct("<IIIIIII")
_length = struct.Struct("<I")


class Place(NamedTuple):
    """A packet of `length` bytes on the wire: `data[start:end]` of the file. `interface` counts from 0 over
    all sections of the file."""

    time_ns: int
    length: int
    start: int
    end: int
    interface: int


class Described(NamedTuple):
    """An interface; its name is "" in a pcap file."""

    name: str
    linktype: int


@dataclass
class CaptureFile:
    """`interfaces`, `secrets` and `directions` are as far as `places` has read."""

    data: bytes | mmap
    source: str = "capture"
    interfaces: list[Described] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        head = self.data[:4]
        if not head:
            raise CaptureError(f"{self.source}: the file is empty")
        if head != pcapng.MAGIC and head not in pcap.MAGICS:
            raise CaptureError(
                f"{self.source}: neither a pcapng nor a pcap file: it begins with {head.hex()}"
            )

    def places(self) -> Iterator[Place]:
        """The packets in the file's order.

        Raises CaptureError, naming the byte, where the file is damaged or ends too early; all packets
        before that place have been yielded by then.
        """
        self.interfaces.clear()
        self.secrets.clear()
        found = self._pcapng() if self.data[:4] == pcapng.MAGIC else self._pcap()
        return found if isinstance(self.data, bytes) else self._forgetting(self.data, found)

    @staticmethod
    def _forgetting(data: mmap, found: Iterator[Place]) -> Iterator[Place]:
        """Pages of the file that have been read would stay the process's memory for as long as there is room;
        they are given back on the way, and come again from the page cache where they are wanted."""
        kept = 0
        for place in found:
            if place.end - kept > _IN_MEMORY:
                kept = place.start
                data.madvise(MADV_DONTNEED, 0, kept & -PAGESIZE)
            yield place

    def _pcap(self) -> Iterator[Place]:
        self.interfaces.append(Described("", pcap.header(self.data[:24], self.source).linktype))
        with memoryview(self.data) as view:
            for time_ns, length, start, end in pcap.records(view, self.source):
                yield Place(time_ns, length, start, end, 0)

    def _pcapng(self) -> Iterator[Place]:
        view = memoryview(self.data)
        try:
            yield from self._blocks(view, pcapng.BlockReader(view, self.source))
        finally:
            view.release()

    def _blocks(self, view: memoryview, reader: pcapng.BlockReader) -> Iterator[Place]:
        position, size, first, made = 0, len(view), 0, Place._make
        head, length_at = _head.unpack_from, _length.unpack_from
        while position < size:
            if reader.order == "<" and size - position >= 32:
                kind, total, interface, high, low, captured, length = head(view, position)
                fits = 32 + captured <= total <= size - position and not total & 3
                known = kind == _PACKET and fits and interface < len(reader.clocks)
                if known and length_at(view, position + total - 4)[0] == total:
                    start = position + 28
                    time_ns = reader.clocks[interface].ns(high << 32 | low)
                    yield made((time_ns, length, start, start + captured, first + interface))
                    position += total
                    continue
            kind, total = reader.frame(position, size)
            block = self._block(reader, kind, position, total)
            if isinstance(block, pcapng.Section):
                first = len(self.interfaces)
            elif isinstance(block, pcapng.Packet):
                start = position + (28 if kind == _PACKET else 12)
                end = start + len(block.data)
                yield Place(block.time_ns, block.length, start, end, first + block.interface)
            position += total

    def _block(self, reader: pcapng.BlockReader, kind: int, position: int, total: int) -> pcapng.Block | None:
        try:
            block = reader.block(kind, position + 8, position + total - 4)
        except (struct.error, IndexError, ValueError) as error:
            raise reader.error(position, f"damaged block of type {kind}: {error}") from error
        if isinstance(block, pcapng.Interface):
            self.interfaces.append(Described(block.name, block.linktype))
        elif isinstance(block, pcapng.Secrets) and block.kind == pcapng.TLS_KEY_LOG:
            self.secrets.append(block.data.decode(errors="replace"))
        return block
