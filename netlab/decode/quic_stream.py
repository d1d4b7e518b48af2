"""One direction of a QUIC stream: its bytes in order, and which packet carried which of them.

Source: RFC 9000, section 2.2.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

from netlab.decode.reassembly import Reassembly


class Carried(NamedTuple):
    """Bytes from `start` to before `end` of a stream in packet `number`, which came in frame `frame`."""

    start: int
    end: int
    frame: int
    number: int


class Repeat(NamedTuple):
    """`again` carried bytes of `stream` that `first` had carried already: a retransmission, at the sender's
    interface of a packet that it thought lost, at the receiver's one that it sent for nothing."""

    stream: int
    again: Carried
    first: Carried


class QuicStream(Reassembly):
    """`final_size` is known with FIN or RESET_STREAM; `reset` is the error code of the latter, else None."""

    __slots__ = ("_longest", "_sent", "fin_frame", "final_size", "id", "repeats", "reset")

    def __init__(self, id_: int) -> None:
        super().__init__()
        self.id = id_
        self.final_size: int | None = None
        self.fin_frame = 0
        self.reset: int | None = None
        self.repeats: list[Repeat] = []
        self._sent: list[Carried] = []  # by start
        self._longest = 0

    def add(self, offset: int, data: bytes, fin: bool, carrier: tuple[int, int], completer: int) -> None:
        """Takes a STREAM or CRYPTO frame. `carrier`: the frame of the capture and the packet number."""
        piece = Carried(offset, offset + len(data), *carrier)
        first = self._overlap(piece)
        if first is not None:
            self.repeats.append(Repeat(self.id, piece, first))
        if data:
            insort(self._sent, piece)
            self._longest = max(self._longest, len(data))
            self.put(offset, data, carrier[0], completer)
        if fin and self.final_size is None:
            self.final_size, self.fin_frame = piece.end, carrier[0]

    def _overlap(self, piece: Carried) -> Carried | None:
        """The first frame that carried bytes of `piece`."""
        row = bisect_left(self._sent, (piece.start - self._longest,))
        found: Carried | None = None
        while row < len(self._sent) and self._sent[row].start < piece.end:
            one = self._sent[row]
            if one.end > piece.start and one.frame != piece.frame:
                found = one if found is None or one.frame < found.frame else found
            row += 1
        return found

    @property
    def carried(self) -> tuple[Carried, ...]:
        """All that was carried, by offset; what was carried twice is there twice."""
        return tuple(self._sent)

    @property
    def finished(self) -> bool:
        """The sender ended it, and every byte came."""
        return self.reset is None and self.final_size is not None and self.final_size <= len(self)
