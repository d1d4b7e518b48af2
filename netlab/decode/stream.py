"""One direction of a TCP connection, put together from its segments.

Source: RFC 9293, section 3.4 (sequence numbers, modulo 2^32). Offsets count bytes from 0, the first
byte after the SYN. Every byte remembers the frame that brought it first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from typing import NamedTuple

from netlab.decode.frame import FIN, SYN

_WRAP = 1 << 32


class _Segment(NamedTuple):
    """A segment that waits for bytes before it; `order` of arrival breaks ties."""

    offset: int
    order: int
    frame: int
    payload: bytes


@dataclass(slots=True)
class Stream:
    """Call `add` for each segment of one direction, in the order of the capture.

    Where the SYN isn't in the capture, the first segment that was added starts the stream, and what
    lies before it is left out. Where segments overlap, the copy that came first stays, as in most
    receivers.
    """

    _data: bytearray = field(default_factory=bytearray)
    _base: int | None = None  # the sequence number of offset 0
    _fin: int | None = None
    _added: int = 0
    _waiting: list[_Segment] = field(default_factory=list)
    # Parallel lists, a row for each run of bytes that one frame brought: where it ends, the frame
    # that brought it, and the frame with which everything up to its end was there.
    _ends: list[int] = field(default_factory=list)
    _carriers: list[int] = field(default_factory=list)
    _completers: list[int] = field(default_factory=list)

    def add(self, frame: int, seq: int, payload: bytes, flags: int) -> None:
        """Takes a segment: its frame's number, sequence number, payload, and TCP flags."""
        if flags & SYN:
            seq = (seq + 1) % _WRAP
        if self._base is None:
            self._base = seq
        offset = self._offset(seq)
        if flags & FIN:
            self._fin = offset + len(payload)
        if not payload or offset + len(payload) <= len(self._data):
            return
        self._added += 1
        if offset > len(self._data):
            insort(self._waiting, _Segment(offset, self._added, frame, payload))
            return
        self._append(offset, payload, frame, frame)
        while self._waiting and self._waiting[0].offset <= len(self._data):
            segment = self._waiting.pop(0)
            self._append(segment.offset, segment.payload, segment.frame, frame)

    def _offset(self, seq: int) -> int:
        """The offset of `seq`: of all that it can mean modulo 2^32, the one nearest to the data's end."""
        assert self._base is not None
        end = len(self._data)
        ahead = (seq - self._base - end + _WRAP // 2) % _WRAP - _WRAP // 2
        return end + ahead

    def _append(self, offset: int, payload: bytes, carrier: int, completer: int) -> None:
        fresh = payload[len(self._data) - offset :]
        if fresh:
            self._data += fresh
            self._ends.append(len(self._data))
            self._carriers.append(carrier)
            self._completers.append(completer)

    def __len__(self) -> int:
        """How many bytes there are without a gap."""
        return len(self._data)

    @property
    def data(self) -> bytes:
        """The bytes from the start to the first gap."""
        return bytes(self._data)

    @property
    def finished(self) -> bool:
        """The peer's FIN came, and everything before it."""
        return self._fin is not None and self._fin <= len(self._data)

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """The ranges of offsets (start, end) that are missing before bytes that did come."""
        found, end = [], len(self._data)
        for segment in self._waiting:
            if segment.offset > end:
                found.append((end, segment.offset))
            end = max(end, segment.offset + len(segment.payload))
        return tuple(found)

    def frames_of(self, start: int, end: int) -> tuple[int, ...]:
        """The numbers of the frames that brought the bytes from `start` to before `end`, ascending."""
        if start >= end:
            return ()
        first, last = bisect_right(self._ends, max(start, 0)), bisect_left(self._ends, end)
        return tuple(sorted(set(self._carriers[first : last + 1])))

    def frame_at(self, offset: int) -> int:
        """The number of the frame with which the bytes up to and with `offset` were all there.

        It is the frame at whose time a receiver could read that byte; another one than the byte's
        carrier where segments came out of order. Raises IndexError where the byte isn't there.
        """
        if not 0 <= offset < len(self._data):
            raise IndexError(f"no byte at offset {offset} of a stream of {len(self._data)}")
        return self._completers[bisect_right(self._ends, offset)]
