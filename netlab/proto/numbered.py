"""Datagrams that say which they are: what the role `datagrams` sends, and a capture can count.

Magic (4 bytes), sequence number (8), time of sending (8, CLOCK_REALTIME ns), all big-endian; then zeros.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEAD = struct.Struct("!4sQQ")
_MAGIC = b"\xabnl\x01"
SMALLEST = _HEAD.size
LARGEST = 65_507  # of a UDP payload over IPv4


class Numbered(NamedTuple):
    """`sequence` from 0."""

    sequence: int
    time_ns: int


def encode(sequence: int, time_ns: int, size: int) -> bytes:
    """A payload of `size` bytes, which is at least SMALLEST."""
    return _HEAD.pack(_MAGIC, sequence, time_ns).ljust(size, b"\0")


def decode(payload: bytes) -> Numbered | None:
    """None where it is something else. Also of a payload that was cut after its head."""
    if len(payload) < _HEAD.size or not payload.startswith(_MAGIC):
        return None
    return Numbered(*_HEAD.unpack_from(payload)[1:])
