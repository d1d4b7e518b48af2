"""An ordered stream of bytes, put together from pieces that frames brought in any order.

Offsets count bytes from 0. Every byte remembers the frame that brought it first, and the frame with which
everything up to it was there: the difference between the two is what a gap cost that byte.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from typing import NamedTuple


class _Piece(NamedTuple):
    """Bytes that wait for those before them; `order` of arrival breaks ties."""

    offset: int
    order: int
    frame: int
    payload: bytes


class Arrival(NamedTuple):
    """Bytes from `start` to before `end`: `carrier` brought them, with `completer` a receiver could read
    them. `completer` differs from `carrier` where earlier bytes were missing when they came."""

    start: int
    end: int
    carrier: int
    completer: int


class Reassembly:
    """Where pieces overlap, the copy that came first stays, as in most receivers."""

    __slots__ = ("_added", "_carriers", "_completers", "_data", "_ends", "_waiting")

    def __init__(self) -> None:
        self._data = bytearray()
        self._added = 0
        self._waiting: list[_Piece] = []
        # Parallel lists, a row for each run of bytes that one frame brought.
        self._ends: list[int] = []
        self._carriers: list[int] = []
        self._completers: list[int] = []

    def put(self, offset: int, payload: bytes, carrier: int, completer: int | None = None) -> None:
        """Takes a piece that frame `carrier` brought. `completer`: the frame with which it became readable,
        where that is another one (its keys came later)."""
        done = carrier if completer is None else completer
        if not payload or offset + len(payload) <= len(self._data):
            return
        self._added += 1
        if offset > len(self._data):
            insort(self._waiting, _Piece(offset, self._added, carrier, payload))
            return
        end, taken = offset + len(payload), 0
        while True:
            following = self._waiting[taken] if taken < len(self._waiting) else None
            if following is not None and following.offset <= len(self._data):
                self._append(following.offset, following.payload, following.frame, done)
                taken += 1
            elif len(self._data) < end:
                upto = end if following is None else min(end, following.offset)
                self._append(offset, payload[: upto - offset], carrier, done)
            else:
                break
        del self._waiting[:taken]

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

    def since(self, offset: int) -> bytes:
        """The bytes from `offset` to the first gap."""
        return bytes(self._data[offset:])

    def part(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`, as far as they are there without a gap."""
        return bytes(self._data[start:end])

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """The ranges of offsets (start, end) that are missing before bytes that did come."""
        found, end = [], len(self._data)
        for piece in self._waiting:
            if piece.offset > end:
                found.append((end, piece.offset))
            end = max(end, piece.offset + len(piece.payload))
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
        carrier where pieces came out of order. Raises IndexError where the byte isn't there.
        """
        return self._completers[self._row(offset)]

    def carrier_at(self, offset: int) -> int:
        """The number of the frame that brought the byte at `offset`. Raises IndexError as `frame_at`."""
        return self._carriers[self._row(offset)]

    def _row(self, offset: int) -> int:
        if not 0 <= offset < len(self._data):
            raise IndexError(f"no byte at offset {offset} of a stream of {len(self._data)}")
        return bisect_right(self._ends, offset)

    def delivered_before(self, time_ns: int, time_of: Callable[[int], int]) -> int:
        """How many bytes could be read before `time_ns`; `time_of` says when a frame came."""
        row = bisect_left(self._completers, time_ns, key=time_of)
        return self._ends[row - 1] if row else 0

    def arrivals(self, start: int = 0, end: int | None = None) -> Iterator[Arrival]:
        """How the bytes from `start` to before `end` came, in the order of the stream."""
        stop = len(self._data) if end is None else min(end, len(self._data))
        row, place = bisect_right(self._ends, max(start, 0)), max(start, 0)
        while place < stop:
            upto = min(self._ends[row], stop)
            yield Arrival(place, upto, self._carriers[row], self._completers[row])
            place, row = upto, row + 1
