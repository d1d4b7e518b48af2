"""One direction of a TCP connection, put together from its segments.

Source: RFC 9293, section 3.4 (sequence numbers, modulo 2^32). Offsets count bytes from 0, the first
byte after the SYN.
"""

from __future__ import annotations

from netlab.decode.frame import FIN, SYN
from netlab.decode.reassembly import Reassembly

_WRAP = 1 << 32


class Stream(Reassembly):
    """Call `add` for each segment of one direction, in the order of the capture.

    Where the SYN isn't in the capture, the first segment that was added starts the stream, and what
    lies before it is left out.
    """

    __slots__ = ("_base", "_fin", "opened")

    def __init__(self) -> None:
        super().__init__()
        self._base: int | None = None  # the sequence number of offset 0
        self._fin: int | None = None
        self.opened = False  # the SYN is in the capture

    def add(self, frame: int, seq: int, payload: bytes, flags: int) -> None:
        """Takes a segment: its frame's number, sequence number, payload, and TCP flags."""
        if flags & SYN:
            seq = (seq + 1) % _WRAP
            self.opened = True
        if self._base is None:
            self._base = seq
        offset = self.offset(seq)
        if flags & FIN:
            self._fin = offset + len(payload)
        self.put(offset, payload, frame)

    def offset(self, seq: int) -> int:
        """The offset of `seq`: of all that it can mean modulo 2^32, the one nearest to the data's end."""
        end = len(self)
        if self._base is None:
            return 0
        ahead = (seq - self._base - end + _WRAP // 2) % _WRAP - _WRAP // 2
        return end + ahead

    @property
    def finished(self) -> bool:
        """The peer's FIN came, and everything before it."""
        return self._fin is not None and self._fin <= len(self)
