"""Which packets at one interface carried which application bytes of one direction of a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netlab.decode.quic import QuicConnection, Side
from netlab.decode.reassembly import Arrival, Reassembly
from netlab.decode.stream import Stream
from netlab.decode.tls import Plaintext
from netlab.trace.message import Extent


@dataclass(frozen=True)
class Carriage:
    """`streams`: of TCP one, called 0; of QUIC each by its number. `plain`: the bytes in TLS over TCP;
    else, application bytes begin at `shift` of the stream."""

    streams: Mapping[int, Reassembly]
    plain: Plaintext | None = None
    shift: int = 0

    @classmethod
    def tcp(cls, stream: Stream, plain: Plaintext | None = None, shift: int = 0) -> Carriage:
        return cls({0: stream}, plain, shift)

    @classmethod
    def quic(cls, connection: QuicConnection, sender: Side) -> Carriage:
        return cls({key: one for (key, side), one in connection.streams.items() if side == sender})

    def place(self, extent: Extent) -> tuple[int, int]:
        """Where the transport's stream has these bytes: whole TLS records, since no part of one can be
        read. Raises IndexError where TLS has no such bytes."""
        if self.plain is not None:
            return self.plain.stream_range(extent.start, extent.end)
        return extent.start + self.shift, extent.end + self.shift

    def has(self, extents: Sequence[Extent]) -> bool:
        """Whether all these bytes (at least one) came, and nothing before them is missing."""
        return bool(extents) and all(self._has(extent) for extent in extents)

    def _has(self, extent: Extent) -> bool:
        stream = self.streams.get(extent.stream)
        if stream is None or (self.plain is not None and extent.end > len(self.plain)):
            return False
        start, end = self.place(extent) if extent.start < extent.end else (0, 0)
        return start < end <= len(stream)

    def frames_of(self, extents: Sequence[Extent]) -> tuple[int, ...]:
        """The numbers of the frames that brought them, ascending."""
        found: set[int] = set()
        for extent in extents:
            found.update(self.streams[extent.stream].frames_of(*self.place(extent)))
        return tuple(sorted(found))

    def first(self, extents: Sequence[Extent]) -> int:
        """The frame that brought the first byte."""
        return self.streams[extents[0].stream].carrier_at(self.place(extents[0])[0])

    def whole(self, extents: Sequence[Extent]) -> int:
        """The frame with which the last byte could be read."""
        return self.streams[extents[-1].stream].frame_at(self.place(extents[-1])[1] - 1)

    def arrivals(self, extents: Sequence[Extent]) -> Iterator[Arrival]:
        """How the transport's bytes of these extents came, each once."""
        upto = -1
        for extent in extents:
            start, end = self.place(extent)
            yield from self.streams[extent.stream].arrivals(max(start, upto), end)
            upto = max(upto, end)
