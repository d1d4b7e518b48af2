"""IP fragments put together again, in bounded memory.

Sources: RFC 791, section 3.2 (IPv4); RFC 8200, section 4.5 (IPv6, 60 s); RFC 5722 (fragments that overlap).
"""

from __future__ import annotations

import struct
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from netlab.decode.frame import Frame
from netlab.decode.link import IPV4, IPV6, network

LARGEST = 65_535  # bytes of an IPv4 packet, or of an IPv6 payload
MOST_OPEN = 1024  # packets that wait for a fragment; the oldest gives way
MOST_BYTES = 8 << 20  # that they hold together
WAIT_NS = 60 * 1_000_000_000
_BEFORE_FRAGMENT = frozenset((0, 43, 60))  # hop-by-hop, routing, destination options
_FRAGMENT = 44


class Fragment(NamedTuple):
    """`key`: of the packet that it is of, at one interface. `offset` in bytes; `head`: link and IP headers as
    the whole packet has them, lengths aside; `network`: where in it the IP header starts."""

    key: Hashable
    offset: int
    more: bool
    head: bytes
    network: int
    payload: bytes


def fragment(frame: Frame) -> Fragment | None:
    """None for a frame that isn't a fragment, or whose bytes aren't all there."""
    data = frame.data
    try:
        _, ethertype, start = network(data, frame.linktype)
        if ethertype == IPV4:
            return _of_ipv4(frame, start)
        if ethertype == IPV6:
            return _of_ipv6(frame, start)
    except (struct.error, IndexError):
        pass
    return None


def _of_ipv4(frame: Frame, start: int) -> Fragment | None:
    data = frame.data
    total, id_, word = struct.unpack_from(">HHH", data, start + 2)
    offset, more = (word & 0x1FFF) * 8, word & 0x2000 != 0
    size = (data[start] & 15) * 4
    if not (offset or more) or data[start] >> 4 != 4 or not 20 <= size <= total or start + total > len(data):
        return None
    head = bytearray(data[: start + size])
    struct.pack_into(">H", head, start + 6, word & 0x4000)
    ends = bytes(data[start + 12 : start + 20])
    key = frame.node, frame.interface, 4, ends, data[start + 9], id_
    return Fragment(key, offset, more, bytes(head), start, bytes(data[start + size : start + total]))


def _of_ipv6(frame: Frame, start: int) -> Fragment | None:
    data = frame.data
    end = start + 40 + struct.unpack_from(">H", data, start + 4)[0]
    said, place = start + 6, start + 40  # where the next header's number is, and where that header starts
    while data[said] in _BEFORE_FRAGMENT:
        said, place = place, place + (data[place + 1] + 1) * 8
    if data[said] != _FRAGMENT or data[start] >> 4 != 6:
        return None
    word, id_ = struct.unpack_from(">HI", data, place + 2)
    if not word & 0xFFF9 or place + 8 > end or end > len(data):
        return None  # an atomic fragment is whole as it is (RFC 6946)
    head = bytearray(data[:place])
    head[said] = data[place]
    key = frame.node, frame.interface, 6, bytes(data[start + 8 : start + 40]), id_
    return Fragment(key, word & 0xFFF8, word & 1 == 1, bytes(head), start, bytes(data[place + 8 : end]))


@dataclass(slots=True)
class _Open:
    """Pieces by offset, apart from each other, and their offsets in order. `length` of the whole payload, -1
    before the last one came. `head` of the first. `refused`: why nothing will come of it."""

    since_ns: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    length: int = -1
    head: Fragment | None = None
    size: int = 0
    refused: str = ""


class Fragments:
    """Takes the frames of a capture in their order. `refused`: frame ─► why its fragment was thrown away.
    `held`: bytes that wait."""

    def __init__(self) -> None:
        self._open: dict[Hashable, _Open] = {}
        self.held = 0
        self.refused: dict[int, str] = {}

    def add(self, frame: Frame) -> Frame | None:
        """The frame itself where it is no fragment; None for a fragment; for the one that completes a packet,
        a frame with the whole: its number and time are this frame's, `fragments` says whose bytes it has."""
        found = fragment(frame)
        if found is None:
            return frame
        one = self._packet(found.key, frame.time_ns)
        problem = one.refused or _problem(one, found)
        if problem:
            self._refuse(one, frame.number, problem)
        elif found.offset not in one.pieces:
            self._take(one, found, frame.number)
        if one.refused or one.length < 0 or one.head is None or one.size < one.length:
            self._bound()
            return None
        self._forget(found.key)
        data = _whole(one.head, b"".join(one.pieces[offset] for offset in one.offsets))
        return replace(frame, data=data, length=len(data), fragments=tuple(one.frames))

    def _packet(self, key: Hashable, time_ns: int) -> _Open:
        known = self._open.get(key)
        if known is not None and time_ns - known.since_ns > WAIT_NS:
            self._forget(key)
            known = None
        if known is None:
            known = self._open[key] = _Open(time_ns)
        return known

    def _take(self, one: _Open, found: Fragment, number: int) -> None:
        insort(one.offsets, found.offset)
        one.pieces[found.offset] = found.payload
        one.frames.append(number)
        one.size += len(found.payload)
        self.held += len(found.payload)
        if not found.offset:
            one.head = found
        if not found.more:
            one.length = found.offset + len(found.payload)

    def _refuse(self, one: _Open, number: int, problem: str) -> None:
        """Nothing of the packet is taken any more, also what is still to come (RFC 5722)."""
        self.refused |= dict.fromkeys([*one.frames, number], problem)
        self.held -= one.size
        one.refused, one.size = problem, 0
        one.pieces.clear()
        one.offsets.clear()
        one.frames.clear()

    def _bound(self) -> None:
        while len(self._open) > MOST_OPEN or self.held > MOST_BYTES:
            self._forget(next(iter(self._open)))

    def _forget(self, key: Hashable) -> None:
        self.held -= self._open.pop(key).size


def _problem(one: _Open, found: Fragment) -> str:
    """Why the packet must be refused, "" if it needn't."""
    end = found.offset + len(found.payload)
    if found.more and (len(found.payload) % 8 or not found.payload):
        return "a fragment before the last with a length that is no multiple of 8"
    if len(found.head) - found.network + end > LARGEST + (40 if found.head[found.network] >> 4 == 6 else 0):
        return f"fragments of more than {LARGEST} bytes"
    if one.pieces.get(found.offset) == found.payload:
        return ""  # the same again
    at = bisect_left(one.offsets, found.offset)
    before = one.offsets[at - 1] if at else -1
    after = one.offsets[at] if at < len(one.offsets) else LARGEST + 1
    if (at and before + len(one.pieces[before]) > found.offset) or (after < end or after == found.offset):
        return "fragments that overlap (RFC 5722)"
    last = one.length if one.length >= 0 else LARGEST + 1
    if end > last or (not found.more and (one.length >= 0 or at < len(one.offsets))):
        return "fragments that don't agree where the packet ends"
    return ""


def _whole(first: Fragment, payload: bytes) -> bytes:
    head, start = bytearray(first.head), first.network
    if head[start] >> 4 == 6:
        struct.pack_into(">H", head, start + 4, len(head) - start - 40 + len(payload))
        return bytes(head) + payload
    struct.pack_into(">H", head, start + 2, len(head) - start + len(payload))
    struct.pack_into(">H", head, start + 10, 0)
    struct.pack_into(">H", head, start + 10, _checksum(bytes(head[start:])))
    return bytes(head) + payload


def _checksum(header: bytes) -> int:
    """Of an IPv4 header whose own checksum is 0 (RFC 1071)."""
    total: int = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def reassembled(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Without fragments, but with the packets that they make."""
    joiner = Fragments()
    for frame in frames:
        whole = joiner.add(frame)
        if whole is not None:
            yield whole
