"""QUIC datagrams taken apart into packets, before and after their protection is removed.

Sources: RFC 9000, sections 12 and 17 and appendix A.3; RFC 8999 (what all versions share); RFC 9369 (v2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netlab.decode.quic_keys import V2, VERSIONS, Keys

INITIAL, ZERO_RTT, HANDSHAKE, RETRY = "Initial", "0-RTT", "Handshake", "Retry"
ONE_RTT, NEGOTIATION = "1-RTT", "Version Negotiation"
_LONG_TYPES = (INITIAL, ZERO_RTT, HANDSHAKE, RETRY)
_LONG_TYPES_V2 = (RETRY, INITIAL, ZERO_RTT, HANDSHAKE)
_LONGEST_ID = 20  # in versions 1 and 2
_TAG = 16  # of the AEAD, and of Retry's integrity


class Reader:
    """Takes bytes apart from their start. Raises ValueError where they end too early."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self.data):
            raise ValueError("ends too early")
        piece, self.position = self.data[self.position : end], end
        return piece

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def varint(self) -> int:
        """RFC 9000, section 16."""
        if self.position >= len(self.data):
            raise ValueError("ends too early")
        width = 1 << (self.data[self.position] >> 6)
        return self.number(width) & ((1 << (8 * width - 2)) - 1)

    def left(self) -> int:
        return len(self.data) - self.position


class Sealed(NamedTuple):
    """A packet as it lies in its datagram, at [start, end).

    `number_at`: where the protected packet number is, 0 in packets without one. `token`: of an Initial
    or a Retry. `versions`: of a Version Negotiation. `source` is None in short headers, whose
    `destination` is all that follows the first byte: its length is known to the ends only.
    """

    type: str
    version: int
    destination: bytes
    source: bytes | None
    start: int
    end: int
    number_at: int
    token: bytes = b""
    versions: tuple[int, ...] = ()


class Opened(NamedTuple):
    """A packet without its protection. `reserved_ok`: the reserved bits are 0, as they have to be."""

    number: int
    plain: bytes
    header_length: int
    key_phase: int
    spin: int
    generation: int
    reserved_ok: bool


def split(datagram: bytes) -> tuple[Sealed, ...]:
    """The packets that a UDP datagram holds (RFC 9000, section 12.2), as far as they can be told apart.

    What follows a packet that isn't one (padding, rubbish) is left out; of a datagram that isn't QUIC,
    nothing comes out.
    """
    found: list[Sealed] = []
    start = 0
    while start < len(datagram):
        try:
            packet = _packet(datagram, start)
        except ValueError:
            break
        if packet is None:
            break
        found.append(packet)
        start = packet.end
    return tuple(found)


def _packet(data: bytes, start: int) -> Sealed | None:
    first = data[start]
    if first & 0x80:
        return _long(data, start)
    if not first & 0x40 or len(data) - start < 1 + 4 + _TAG:
        return None
    return Sealed(ONE_RTT, 0, data[start + 1 : start + 1 + _LONGEST_ID], None, start, len(data), 0)


def _long(data: bytes, start: int) -> Sealed | None:
    reader = Reader(data, start + 1)
    version = reader.number(4)
    destination, source = reader.take(reader.number(1)), reader.take(reader.number(1))
    if version == 0:
        count = reader.left() // 4
        versions = tuple(reader.number(4) for _ in range(count))
        return Sealed(NEGOTIATION, 0, destination, source, start, len(data), 0, versions=versions)
    if version not in VERSIONS:
        return Sealed(f"version {version:#010x}", version, destination, source, start, len(data), 0)
    if not data[start] & 0x40 or max(len(destination), len(source)) > _LONGEST_ID:
        return None
    kind = (_LONG_TYPES_V2 if version == V2 else _LONG_TYPES)[data[start] >> 4 & 3]
    if kind == RETRY:
        token = reader.take(max(reader.left() - _TAG, 0))
        reader.take(_TAG)
        return Sealed(RETRY, version, destination, source, start, len(data), 0, token)
    token = reader.take(reader.varint()) if kind == INITIAL else b""
    length = reader.varint()
    number_at = reader.position
    reader.take(length)
    return Sealed(kind, version, destination, source, start, reader.position, number_at, token)


def unprotect(
    data: bytes, packet: Sealed, keys: Keys, largest: int, candidates: Callable[[int], tuple[Keys, ...]]
) -> Opened | None:
    """Opens `packet`, whose `number_at` is set; None where no keys open it.

    `largest`: the highest packet number so far in this direction and space, -1 before the first.
    `candidates` gives the keys to try for a key phase, the likeliest first.
    """
    sample = data[packet.number_at + 4 : packet.number_at + 20]
    if len(sample) < 16 or packet.number_at + 20 > packet.end:
        return None
    mask = keys.header_mask(sample)
    first = data[packet.start] ^ (mask[0] & (0x0F if packet.source is not None else 0x1F))
    size = (first & 3) + 1
    stored = data[packet.number_at : packet.number_at + size]
    truncated = int.from_bytes(bytes(a ^ b for a, b in zip(stored, mask[1:], strict=False)), "big")
    number = full_number(truncated, size * 8, largest)
    header = bytes((first,)) + data[packet.start + 1 : packet.number_at] + truncated.to_bytes(size, "big")
    body = data[packet.number_at + size : packet.end]
    short = packet.source is None
    phase = (first >> 2) & 1 if short else 0
    reserved = first & (0x18 if short else 0x0C)
    for attempt in candidates(phase):
        plain = attempt.open(number, header, body)
        if plain is not None:
            spin = (first >> 5) & 1 if short else 0
            return Opened(number, plain, len(header), phase, spin, attempt.generation, not reserved)
    return None


def full_number(truncated: int, bits: int, largest: int) -> int:
    """The packet number nearest to `largest` + 1 that ends in `truncated` (RFC 9000, appendix A.3)."""
    expected, window = largest + 1, 1 << bits
    candidate = (expected & ~(window - 1)) | truncated
    if candidate <= expected - window // 2 and candidate < (1 << 62) - window:
        return candidate + window
    if candidate > expected + window // 2 and candidate >= window:
        return candidate - window
    return candidate
