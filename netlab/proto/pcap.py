"""The classic pcap file format, as libpcap writes it, for reading.

Source: draft-ietf-opsawg-pcap. Both byte orders, microseconds and nanoseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from netlab.errors import CaptureError

# The magic number as it stands in the file ─► byte order, nanoseconds in a unit of the fraction.
_MAGIC = {
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
}
MAGICS = frozenset(_MAGIC)
LARGEST = 262_144  # libpcap's MAXIMUM_SNAPLEN: a longer record is damage


class Header(NamedTuple):
    """`unit_ns`: nanoseconds in a unit of the time stamps' fraction."""

    order: str
    unit_ns: int
    snaplen: int
    linktype: int


class Record(NamedTuple):
    """A packet of `length` bytes on the wire; what was captured is `data[start:end]` of the file."""

    time_ns: int
    length: int
    start: int
    end: int


def header(data: bytes | memoryview, source: str = "capture") -> Header:
    """The file's header. Raises CaptureError where it is none."""
    head = bytes(data[:24])
    if len(head) < 24 or head[:4] not in _MAGIC:
        raise CaptureError(
            f"{source}: byte 0: not a pcap file: no header of 24 bytes with a known magic number"
        )
    order, unit_ns = _MAGIC[head[:4]]
    snaplen, linktype = struct.unpack(order + "II", head[16:])
    return Header(order, unit_ns, snaplen, linktype & 0xFFFF)


def records(data: bytes | memoryview, source: str = "capture") -> Iterator[Record]:
    """The packets in the file's order.

    Raises CaptureError, naming `source` and the byte, where the data is damaged or ends within a
    record. All the records before that place have been yielded by then.
    """
    order, unit_ns, _, _ = header(data, source)
    unpack = struct.Struct(order + "IIII").unpack_from
    position, size = 24, len(data)
    while position < size:
        if size - position < 16:
            raise CaptureError(f"{source}: byte {position}: the file ends within a packet's header")
        seconds, fraction, captured, length = unpack(data, position)
        start = position + 16
        position = start + captured
        if captured > LARGEST:
            raise CaptureError(f"{source}: byte {start - 16}: damaged: a packet of {captured} bytes")
        if position > size:
            raise CaptureError(
                f"{source}: byte {start - 16}: the file ends within a packet of {captured} bytes"
            )
        yield Record(seconds * 1_000_000_000 + fraction * unit_ns, length, start, position)
